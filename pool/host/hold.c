/* SPDX-License-Identifier: MIT
 *
 * hold.c: keeping a pool from going while a call is in it.
 *
 * A thread may kill a pool that others use, so a call may begin at any time: before the end, during
 * it, or after it. `in_use` counts the calls and the open jobs, with the lock: what a call cannot
 * get by then it does not get any more. Calls that must be signal-safe take no lock; they are
 * counted in `touching`, each for some instructions.
 *
 * Invariant: `ended` is set with the lock, while in_use is 0; after that nothing that goes with the
 * pool is touched but by the thread that ends it.
 *
 * Failure modes: a call that begins when 64 further pools have ended finds memory that was freed.
 */
#include "pool/host/hold.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "pool/control/mine.h"
#include "pool/control/self.h"
#include "shm/error.h"

#define ENDED_MAX 64
#define TICK_NS   INT64_C(50000000)

/* State of the library in this process, as manager/host/registry.c has it for scopes. */
static struct {
    weir_pool *_Atomic ended[ENDED_MAX];
    _Atomic unsigned next;
} graves;

static int report_ended(void)
{
    return weir__fail(-ECANCELED, "the pool has ended");
}

int weir__check_pool(const weir_pool *pool)
{
    int error;

    if (pool == NULL)
        return weir__refuse_null("pool");
    error = weir__check_mine(pool->mine, "a pool");
    if (error < 0)
        return error;
    if (__builtin_expect(pool->here, 0) && weir__here.depth > 0 && !pool->may_nest)
        return weir__fail(-EDEADLK, "a task cannot use the pool that runs it; see "
                                    "weir_pool_options.nested");
    return atomic_load_explicit(&pool->ended, memory_order_relaxed) ? report_ended() : 0;
}

int weir__pool_enter_locked(weir_pool *pool)
{
    if (pool->ending)
        return pool->ended ? report_ended() : weir__fail(-ECANCELED, "the pool is about to end");
    pool->in_use++;
    return 0;
}

bool weir__pool_hold(weir_pool *pool)
{
    bool held;

    pthread_mutex_lock(&pool->lock);
    held = !pool->ended;
    pool->in_use += held;
    pthread_mutex_unlock(&pool->lock);
    return held;
}

int weir__pool_enter(weir_pool *pool)
{
    int error = weir__check_pool(pool);

    if (error < 0)
        return error;
    return weir__pool_hold(pool) ? 0 : report_ended();
}

void weir__pool_leave_locked(weir_pool *pool)
{
    if (--pool->in_use == 0)
        pthread_cond_broadcast(&pool->idle);
}

void weir__pool_leave(weir_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    weir__pool_leave_locked(pool);
    pthread_mutex_unlock(&pool->lock);
}

void weir__pool_sleep(weir_pool *pool, pthread_cond_t *changed)
{
    struct timespec limit;
    int before;

    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_nsec += TICK_NS;
    if (limit.tv_nsec >= 1000000000) {
        limit.tv_nsec -= 1000000000;
        limit.tv_sec++;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    pthread_cond_timedwait(changed, &pool->lock, &limit);
    pthread_setcancelstate(before, NULL);
}

void weir__pool_let_go(weir_pool *const *held)
{
    if (*held != NULL)
        weir__pool_leave(*held);
}

void weir__pool_end_left(weir_pool *const *ending)
{
    if (*ending == NULL)
        return;
    pthread_mutex_lock(&(*ending)->lock);
    (*ending)->ending = false;
    pthread_cond_broadcast(&(*ending)->idle);
    pthread_mutex_unlock(&(*ending)->lock);
}

bool weir__pool_begin_end(weir_pool *pool)
{
    bool first;

    pthread_mutex_lock(&pool->lock);
    first = !pool->ending;
    if (first)
        pool->ender = pthread_self();
    pool->ending = true;
    while (!first && !pool->ended && !pthread_equal(pool->ender, pthread_self()))
        weir__pool_sleep(pool, &pool->idle);
    pthread_mutex_unlock(&pool->lock);
    return first;
}

void weir__pool_ended(weir_pool *pool)
{
    atomic_store(&pool->ended, true);
    pthread_cond_broadcast(&pool->idle);
}

void weir__pool_wait_untouched(const weir_pool *pool)
{
    /* seq_cst, after `ended`; pairs with hold.h, weir__pool_touch() */
    while (atomic_load(&pool->touching) > 0)
        sched_yield();
}

/* Lock and conditions hold nothing that would have to be given back; in a forked child, destroying
 * them could wait for threads that are not there. */
void weir__pool_bury(weir_pool *pool)
{
    const unsigned next = atomic_fetch_add(&graves.next, 1) % ENDED_MAX;

    free(atomic_exchange(&graves.ended[next], pool));
}
