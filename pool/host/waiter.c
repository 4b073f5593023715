/* SPDX-License-Identifier: MIT
 *
 * waiter.c: the ends of many futures, one after the other, as Python's as_completed().
 *
 * A worker that settles a job or call of which a waiter has the future sets a bit and wakes the
 * host if a thread listens. The thread of the waiter takes the bits, ends those futures, and takes
 * them from the waiter's list: so each end costs the same, however many futures there are.
 *
 * An end cannot get lost. The thread counts itself among the listeners, reads the bell, looks at
 * the bits, and then sleeps; a worker sets the bit, then looks whether a thread listens. What a
 * killed worker owed is noted by the supervisor. While a worker is stopped between the two steps,
 * or another thread that had looked at the future gives up its wait just then, no bit is set: so
 * all futures are looked at every LOOK_AT_ALL_NS.
 *
 * Failure modes: there is no memory for a waiter or a future's entry.
 */
#include <errno.h>
#include <stdlib.h>

#include "pool/control/mine.h"
#include "pool/host/awaited.h"
#include "pool/host/future_set.h"
#include "pool/host/hold.h"
#include "pool/host/nested.h"
#include "pool/host/notified.h"
#include "pool/host/wait.h"
#include "shm/error.h"

#define LOOK_AT_ALL_NS 50000000

/* What one call of weir_waiter_next() waits for. */
struct listening {
    weir_waiter *waiter;
    bool listens;   /* counted in control.listeners */
    int64_t all_ns; /* when all futures are to be looked at next */
};

static int check_waiter(const weir_waiter *waiter)
{
    return waiter != NULL ? weir__check_mine(waiter->set->mine, "a waiter")
                          : weir__refuse_null("waiter");
}

weir_waiter *weir_waiter_new(weir_pool *pool)
{
    weir_waiter *waiter;

    if (weir__use_pool(&pool) < 0 || weir__pool_enter(pool) < 0)
        return NULL;
    waiter = calloc(1, sizeof(*waiter));
    if (waiter != NULL) {
        WEIR__QUEUE_INIT(&waiter->open);
        WEIR__QUEUE_INIT(&waiter->ended);
        waiter->set = pool->futures.set;
        weir__future_set_hold(waiter->set);
    }
    weir__pool_leave(pool);
    return waiter != NULL ? waiter : weir__fail_null(-ENOMEM, "no memory for a waiter");
}

/* ---- adding --------------------------------------------------------------------------------- */

/* With pool->lock, unless the pool is gone. */
static int add_future(weir_pool *pool, struct weir__awaited *awaited)
{
    weir_future *future = awaited->future;
    const bool ended = future->pool == NULL;

    if (weir__is_awaited(future))
        return weir__fail(-EBUSY, "a waiter has the future already");
    if (future->callback != NULL)
        return weir__fail(-EBUSY, "the future has a callback");
    future->callback = weir__awaited;
    future->callback_arg = awaited;
    weir__awaited_add(awaited, ended);
    if (!ended)
        future->kind->watch(pool, future);
    return 0;
}

int weir_waiter_add(weir_waiter *waiter, weir_future *future, void *arg)
{
    int result = check_waiter(waiter);
    struct weir__awaited *awaited;
    weir_pool *pool;

    if (result < 0)
        return result;
    if (future == NULL)
        return weir__refuse_null("future");
    if (future->set != waiter->set)
        return weir__fail(-EINVAL, "the future is of another pool than the waiter");
    awaited = calloc(1, sizeof(*awaited));
    if (awaited == NULL)
        return weir__fail(-ENOMEM, "no memory to wait for a future");
    *awaited = (struct weir__awaited){.waiter = waiter, .future = future, .arg = arg};
    pool = atomic_load(&waiter->set->pool);
    if (pool != NULL)
        pthread_mutex_lock(&pool->lock);
    result = add_future(pool, awaited);
    if (pool != NULL)
        pthread_mutex_unlock(&pool->lock);
    if (result < 0)
        free(awaited);
    return result;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Takes the first future that has ended off the waiter. NULL: there is none; *empty: nor will there
 * be. */
static weir_future *take_ended(weir_waiter *waiter, void **arg, bool *empty)
{
    weir_future *future = NULL;
    struct weir__awaited *first;

    pthread_mutex_lock(&waiter->set->lock);
    first = WEIR__QUEUE_FIRST(&waiter->ended);
    *empty = first == NULL && WEIR__QUEUE_IS_EMPTY(&waiter->open);
    pthread_mutex_unlock(&waiter->set->lock);
    if (first == NULL)
        return NULL;
    future = first->future;
    if (arg != NULL)
        *arg = first->arg;
    weir__awaited_remove(first);
    return future;
}

static bool has_ended(const weir_waiter *waiter)
{
    /* seq_cst, after mark_waiter() has said that it listens; pairs with awaited.c, insert() */
    return atomic_load(&waiter->ended_count) > 0;
}

static bool is_waiter_over(weir_pool *pool, void *what)
{
    const struct listening *listening = what;

    if (!has_ended(listening->waiter) && weir__notified_any(pool))
        weir__notified_end(pool, false);
    return has_ended(listening->waiter);
}

static bool mark_waiter(weir_pool *pool, void *what)
{
    struct listening *listening = what;
    const int64_t now = weir__now_ns();
    const bool all = now >= listening->all_ns ||
                     atomic_load_explicit(&pool->supervisor_gone, memory_order_acquire);

    if (!listening->listens) {
        listening->listens = true;
        /* seq_cst, then a look at the bits; pairs with bell.c, weir__host_notify(); pairs with
         * awaited.c, weir__awaited_end() */
        atomic_fetch_add(&pool->control->listeners, 1);
    }
    if (all)
        listening->all_ns = now + LOOK_AT_ALL_NS;
    weir__notified_end(pool, all);
    return has_ended(listening->waiter);
}

static const struct weir__wait_kind waiter_wait = {is_waiter_over, NULL, mark_waiter};

/* Waits until a future of the waiter has ended. */
static void wait_for_end(weir_pool *pool, weir_waiter *waiter, int64_t limit_ns)
{
    struct listening listening = {waiter, false, weir__now_ns() + LOOK_AT_ALL_NS};
    weir_pool *held __attribute__((cleanup(weir__pool_let_go), unused)) = NULL;

    if (!weir__pool_hold(pool)) /* it has just ended, and all its futures */
        return;
    held = pool;
    weir__wait(pool, &waiter_wait, &listening, limit_ns);
    if (listening.listens)
        atomic_fetch_sub(&pool->control->listeners, 1);
}

int weir_waiter_next(weir_waiter *waiter, weir_future **future, void **arg, int timeout_ms)
{
    const int64_t limit = weir__limit_ns(timeout_ms);
    int result = check_waiter(waiter);
    weir_future *ended;
    weir_pool *pool;
    bool empty;

    if (result < 0)
        return result;
    if (future == NULL)
        return weir__fail(-EINVAL, "the place for the future is NULL");
    ended = take_ended(waiter, arg, &empty);
    if (ended == NULL && empty)
        return 0;
    pool = atomic_load(&waiter->set->pool);
    if (ended == NULL && pool != NULL) {
        wait_for_end(pool, waiter, limit);
        ended = take_ended(waiter, arg, &empty);
    }
    if (ended == NULL)
        return weir__fail(-ETIMEDOUT, "no future of the waiter has ended within %d ms", timeout_ms);
    *future = ended;
    return 1;
}

/* ---- the end -------------------------------------------------------------------------------- */

void weir_waiter_free(weir_waiter *waiter)
{
    struct weir__awaited *awaited;
    weir_pool *pool;

    if (waiter == NULL || !weir__is_mine(waiter->set->mine))
        return;
    pool = atomic_load(&waiter->set->pool);
    if (pool != NULL) /* no future of it ends meanwhile */
        pthread_mutex_lock(&pool->lock);
    while ((awaited = WEIR__QUEUE_FIRST(&waiter->open)) != NULL ||
           (awaited = WEIR__QUEUE_FIRST(&waiter->ended)) != NULL)
        weir__awaited_remove(awaited);
    if (pool != NULL)
        pthread_mutex_unlock(&pool->lock);
    weir__future_set_release(waiter->set);
    free(waiter);
}
