/* SPDX-License-Identifier: MIT
 *
 * calls.c: the host's side of the queue of submitted calls; control/calls.h has the states.
 *
 * A call's place is its future's from when it is put until its end is taken over into the future:
 * when a thread looks at the future, or when the tail comes round to the place. All of that under
 * pool->lock; a thread that waits does so without it, and is counted in `users`, so that no thread
 * puts another call into the place it looks at. The pool does not go while one waits, as it counts
 * in pool->in_use.
 *
 * There is no place for a call when the one at the tail has not been started since the tail was
 * there last. Then the call gets a job of its own, as all calls do that ask for retries, deadlines,
 * progress or stall_ms, or have a large argument.
 */
#include "pool/host/calls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/bell.h"
#include "pool/control/calls.h"
#include "pool/control/failure.h"
#include "pool/control/park.h"
#include "pool/control/ready.h"
#include "pool/host/awaited.h"
#include "pool/host/callback.h"
#include "pool/host/future_set.h"
#include "pool/host/hold.h"
#include "pool/host/result.h"
#include "pool/host/spec.h"
#include "pool/host/wait.h"
#include "shm/clock.h"
#include "shm/error.h"

#define BULK_PUTS      4  /* in a row, until they are called many */
#define PLACES_TRIED   64 /* a call that takes long is passed over */
#define FULL_AHEAD     64 /* when the queue is full: so many places at once are waited for, ... */
#define FULL_NS        1000000 /* ... then asleep */
#define PREFETCH_AHEAD 4

static_assert(sizeof(struct weir__call) == 3 * WEIR__LINE, "a call is three lines, ...");
static_assert(offsetof(struct weir__call, inline_arg) + 16 == WEIR__LINE,
              "... of which a call with a small argument needs one");
static_assert((WEIR__QUEUE_CALLS & (WEIR__QUEUE_CALLS - 1)) == 0, "positions may wrap");

static const struct weir__future_kind call_future_kind;

void weir__calls_init(struct weir__control *control)
{
    struct weir__job *job = &control->jobs[WEIR__QUEUE_JOB];

    job->does = DOES_CALL;
    job->count = WEIR__QUEUE_CALLS;
    job->cells = control->queue->cells;
    job->keep_going = true;
    job->async = true;
    atomic_store(&job->wake_more, 1);
    atomic_store(&control->queue->tail, QUEUE_IDLE);
    atomic_store(&control->jobs_used, WEIR__QUEUE_JOB + 1);
    atomic_store(&job->state, JOB_OPEN);
}

/* ---- futures -------------------------------------------------------------------------------- */

/* The host's side of the queue. With pool->lock, all of it. */
struct weir__call_ring {
    uint64_t tail;          /* position of the next call */
    uint64_t missing_below; /* calls before it were in flight when an object was found missing */
    uint32_t missing;       /* *found_missing when that was looked at */
    const _Atomic uint32_t *found_missing;   /* weir__scope_found_missing() */
    int since_wait;                          /* calls put since a thread last waited for one */
    weir_future *vacant;                     /* futures, taken over from the set all at once */
    weir_future *futures[WEIR__QUEUE_CALLS]; /* whose call is in that place; NULL: it is vacant */
};

/* With pool->lock. */
static weir_future *take_future(struct weir__call_ring *ring, struct weir__future_set *set)
{
    weir_future *future = ring->vacant;

    if (future == NULL)
        future = weir__future_set_take(set, &call_future_kind);
    if (future != NULL)
        ring->vacant = future->next;
    return future;
}

static void free_call(weir_future *future)
{
    weir__result_free(future);
    future->code = 0;
    if (future->callback != NULL)
        future->callback = NULL;
    weir__future_set_give(future);
}

void weir__calls_free(weir_pool *pool)
{
    weir__future_set_leave(pool->futures.set, pool->calls != NULL ? pool->calls->vacant : NULL);
    free(pool->calls);
    pool->calls = NULL;
}

/* ---- the end of a call ---------------------------------------------------------------------- */

static struct weir__call *call_of(const weir_pool *pool, const weir_future *future)
{
    return &pool->control->queue->calls[weir__queue_place(future->position)];
}

static weir__cell *cell_of(const weir_pool *pool, const weir_future *future)
{
    return &pool->control->queue->cells[weir__queue_place(future->position)];
}

static bool is_final(const weir__cell *cell)
{
    /* acquire; pairs with ledger.c, weir__cell_settle() */
    return weir__cell_final(atomic_load_explicit(cell, memory_order_acquire));
}

/* As weir__job_settled(). The place is the future's. */
static bool is_call_settled(weir_pool *pool, const weir_future *future)
{
    weir__cell *cell = cell_of(pool, future);
    bool gone;

    if (is_final(cell))
        return true;
    gone = atomic_load_explicit(&pool->supervisor_gone, memory_order_acquire);
    if (gone || weir__call_stopped(pool->control, call_of(pool, future)) ||
        atomic_load(&pool->control->state) == POOL_BROKEN)
        weir__ledger_cancel_unstarted(cell, 1);
    return gone || is_final(cell);
}

/* As weir__job_result(). */
static int result_of(weir_pool *pool, const weir_future *future)
{
    struct weir__control *control = pool->control;
    uint64_t cell = atomic_load_explicit(cell_of(pool, future), memory_order_acquire);

    if (weir__cell_state_of(cell) == CELL_DONE)
        return 0;
    if (weir__cell_state_of(cell) == CELL_FAILED)
        return weir__report_failure(
            weir__queue_failures(control->queue, weir__queue_place(future->position)), 1);
    if (weir__is_without_workers(pool))
        return weir__report_no_workers(pool);
    return weir__fail(-ECANCELED, weir__cell_attempt(cell) > 0
                                      ? "the call was cancelled, and its task returned early"
                                      : "the call was cancelled before it was started");
}

/* Of a call that failed, or gave something. The caller's last error stays as it is: this may happen
 * while another call is put. */
static void take_over(weir_pool *pool, weir_future *future)
{
    struct weir__queue *queue = pool->control->queue;
    struct weir__call *call = call_of(pool, future);
    const weir_error before = *weir_last_error();
    int result;

    future->code = result_of(pool, future);
    if (call->gave) {
        result = weir__take_result(future, pool, &call->result, future->code == 0);
        if (future->code == 0)
            future->code = result;
        call->result.size = 0;
    }
    if (future->code == 0 && future->position < pool->calls->missing_below)
        future->code = weir__report_missing(pool);
    if (future->code != 0) {
        weir__keep_error(future);
        weir__fail_with(&before);
    }
    /* no other call has a record; and that of a place is on a page that nothing else needs */
    if (weir__cell_state_of(atomic_load(cell_of(pool, future))) == CELL_FAILED)
        weir__failure_reset(&queue->failures[weir__queue_place(future->position)]);
}

/* With pool->lock. If an object is missing now that was not before, each call in flight may have
 * made it. */
static void note_missing(struct weir__call_ring *ring)
{
    /* relaxed, as weir__found_missing() */
    const uint32_t missing = atomic_load_explicit(ring->found_missing, memory_order_relaxed);

    if (missing == ring->missing)
        return;
    ring->missing = missing;
    ring->missing_below = ring->tail;
}

/* With pool->lock. The call has settled: takes its end over, and its place is vacant. */
static void end_call(weir_pool *pool, weir_future *future)
{
    const unsigned place = weir__queue_place(future->position);
    const struct weir__queue *queue = pool->control->queue;

    weir__map_made(pool);
    note_missing(pool->calls);
    if (weir__cell_state_of(atomic_load_explicit(&queue->cells[place], memory_order_relaxed)) !=
            CELL_DONE ||
        queue->calls[place].gave || future->position < pool->calls->missing_below)
        take_over(pool, future);
    if (future->callback != NULL && weir__callback_queue(pool, future))
        weir__event_ring(pool->control);
    /* before the place is another call's: a signal handler may cancel this one at any time */
    atomic_store_explicit(&future->pool, NULL, memory_order_release);
    pool->calls->futures[place] = NULL;
}

/* Has the host notified of the end of a call, as `how` says. True: it has come. */
static bool mark_call(weir_pool *pool, weir_future *future, uint32_t how)
{
    atomic_fetch_or(&call_of(pool, future)->waiting, how);
    /* seq_cst; pairs with work_calls.c, run_claimed(): that settles, then looks at the mark */
    atomic_thread_fence(memory_order_seq_cst);
    return is_call_settled(pool, future);
}

/* ---- putting -------------------------------------------------------------------------------- */

static bool is_no_timeout(int timeout_ms)
{
    return timeout_ms == 0 || timeout_ms == WEIR_TIMEOUT_NONE;
}

static bool is_plain(const weir_job_options *options)
{
    if (options == NULL)
        return true;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0)
            return false;
    }
    return (options->retries == 0 || options->retries == WEIR_RETRIES_NONE) &&
           is_no_timeout(options->timeout_ms) && is_no_timeout(options->chunk_timeout_ms) &&
           options->report == NULL && options->progress == NULL && options->on_progress == NULL &&
           !options->progress_lines &&
           (options->stall_ms == WEIR_STALL_NONE ||
            (options->stall_ms == 0 && options->on_stall == NULL));
}

static bool is_plain_call(const weir_pool *pool, const weir_job_options *options)
{
    weir_job_options own;

    if (!pool->has_job)
        return is_plain(options);
    own = weir__with_defaults(pool, options);
    return is_plain(&own);
}

static struct weir__call_ring *get_ring(weir_pool *pool)
{
    if (pool->calls != NULL)
        return pool->calls;
    pool->calls = calloc(1, sizeof(*pool->calls));
    if (pool->calls != NULL) {
        pool->calls->found_missing = weir__scope_found_missing(pool->scope);
        pool->calls->missing = weir__found_missing(pool);
    }
    return pool->calls;
}

/* Whether the call at the tail still waits to be started since the tail was there last: the queue
 * is full. */
static bool is_full(weir_pool *pool, const weir_future *future)
{
    return future != NULL && future->users == 0 &&
           weir__cell_state_of(atomic_load(cell_of(pool, future))) == CELL_FREE &&
           !is_call_settled(pool, future);
}

/* With pool->lock. Moves the tail to a vacant place. -1: no place is vacant; -EAGAIN: the queue is
 * full. */
static int take_call_place(weir_pool *pool, struct weir__call_ring *ring)
{
    for (int i = 0; i < PLACES_TRIED; i++, ring->tail++) {
        const unsigned place = weir__queue_place(ring->tail);
        weir_future *future = ring->futures[place];

        if (future == NULL)
            return (int)place;
        if (is_full(pool, future))
            return -EAGAIN;
        if (future->users == 0 && is_call_settled(pool, future)) {
            end_call(pool, future);
            return (int)place;
        }
    }
    return -1;
}

/* With pool->lock. Has the host woken at the end of the call in the middle of the queue, or of its
 * first one if that is not known. False: there is a place by now. */
static bool mark_half(weir_pool *pool, uint64_t tail)
{
    const unsigned first = weir__queue_place(tail);
    const unsigned half = weir__queue_place(tail + WEIR__QUEUE_CALLS / 2);
    struct weir__call_ring *ring = pool->calls;
    weir_future *future = ring->futures[half];

    if (ring->tail != tail || !is_full(pool, ring->futures[first]))
        return false;
    if (!is_full(pool, future))
        future = ring->futures[first];
    return !mark_call(pool, future, WAITING_ASLEEP);
}

/* Waits until workers have come further, by many places at once: where both sides go on one by one
 * each step moves lines of the cache to and fro. */
static void await_place(weir_pool *pool, uint64_t tail)
{
    struct weir__control *control = pool->control;
    const weir__cell *ahead = &control->queue->cells[weir__queue_place(tail + FULL_AHEAD)];
    uint32_t bell = atomic_load(&control->host_bell);
    int64_t start, budget;
    bool full;

    start = weir__now_ns();
    budget = weir__spin_budget(pool, start);
    do {
        if (weir__cell_state_of(atomic_load_explicit(ahead, memory_order_relaxed)) != CELL_FREE)
            return;
        for (int k = 0; k < WEIR__LOOKS_A_ROUND; k++)
            weir__pause();
    } while (weir__now_ns() - start < budget);
    pthread_mutex_lock(&pool->lock);
    full = mark_half(pool, tail);
    pthread_mutex_unlock(&pool->lock);
    if (full)
        weir__host_sleep(pool, bell, weir__now_ns() + FULL_NS);
}

static void fill_call(weir_pool *pool, unsigned place, weir_call_fn function, const void *arg,
                      size_t arg_size, uint32_t epoch)
{
    struct weir__call *call = &pool->control->queue->calls[place];

    call->function = function;
    call->arg = (void *)arg;
    if (arg_size > 0) {
        call->arg = call->inline_arg;
        memcpy(call->inline_arg, arg, arg_size);
    }
    call->gave = 0;
    atomic_store_explicit(&call->position, pool->calls->tail, memory_order_relaxed);
    atomic_store_explicit(&call->waiting, 0, memory_order_relaxed);
    /* seq_cst, after the call has read the epoch; pairs with pool.c, weir_pool_interrupt() */
    if (atomic_load(&pool->control->interrupted))
        epoch--;
    atomic_store_explicit(&call->cancel_epoch, epoch, memory_order_relaxed);
    /* release; pairs with ledger.c, weir__cell_claim(): a worker that has claimed the call sees all
     * of the above */
    atomic_store_explicit(&pool->control->queue->cells[place], CELL_FREE, memory_order_release);
}

/* With pool->lock. Moves the tail over the call. True: a worker has to be woken. */
static bool publish_call(weir_pool *pool, struct weir__call_ring *ring)
{
    struct weir__queue *queue = pool->control->queue;
    uint64_t word = ++ring->tail << QUEUE_POSITION_SHIFT;
    unsigned next = weir__queue_place(ring->tail + PREFETCH_AHEAD);

    if (ring->since_wait >= BULK_PUTS)
        word |= QUEUE_BULK;
    else
        ring->since_wait++;
    __builtin_prefetch(&queue->calls[next], 1);
    __builtin_prefetch(&queue->cells[next], 1);
    /* seq_cst; pairs with work_calls.c, take_queue_out() */
    return atomic_exchange(&queue->tail, word) & QUEUE_IDLE;
}

/* As job.c, publish_and_wake(). */
static void publish_queue_and_wake(struct weir__control *control)
{
    if (weir__ready_add(control, WEIR__QUEUE_JOB) && !weir__any_spinning(control))
        weir__wake_one(control);
}

/* With pool->lock, which it lets go of while it waits for a place. *epoch: when the call began.
 * Negative: there is no place. */
static int await_call_place(weir_pool *pool, uint32_t *epoch)
{
    /* not once the pool ends: the thread that ends it frees the ring */
    struct weir__call_ring *ring = pool->ending ? NULL : get_ring(pool);
    uint64_t tail;
    int place;

    if (ring == NULL)
        return -1;
    /* seq_cst; pairs with pool.c, cancel_all(): a call has begun when it reads this */
    *epoch = atomic_load(&pool->control->cancel_epoch);
    while ((place = take_call_place(pool, ring)) == -EAGAIN) {
        tail = ring->tail;
        pool->in_use++;
        pthread_mutex_unlock(&pool->lock);
        await_place(pool, tail);
        pthread_mutex_lock(&pool->lock);
        weir__pool_leave_locked(pool);
        if (pool->ending)
            return -1;
    }
    return place;
}

weir_future *weir__call_put(weir_pool *pool, weir_call_fn function, const void *arg,
                            size_t arg_size, const weir_job_options *options)
{
    weir_future *future = NULL;
    struct weir__call_ring *ring;
    bool idle = false;
    uint32_t epoch = 0;
    int place;

    if (function == NULL || (arg == NULL && arg_size > 0) || arg_size > WEIR__ARG_INLINE ||
        !is_plain_call(pool, options) || (pool->debug && arg_size == 0) || pool->here)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    place = await_call_place(pool, &epoch);
    ring = pool->calls;
    if (place >= 0)
        future = take_future(ring, pool->futures.set);
    if (future != NULL) {
        note_missing(ring);
        atomic_store_explicit(&future->position, ring->tail, memory_order_relaxed);
        atomic_store_explicit(&future->pool, pool, memory_order_relaxed);
        ring->futures[place] = future;
        fill_call(pool, (unsigned)place, function, arg, arg_size, epoch);
        idle = publish_call(pool, ring) && weir__pool_touch(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (idle) {
        publish_queue_and_wake(pool->control);
        weir__pool_untouch(pool);
    }
    return future;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* With pool->lock. Whether the call has ended, now or before. */
static inline bool end_if_settled(weir_pool *pool, weir_future *future)
{
    if (atomic_load_explicit(&future->pool, memory_order_relaxed) == NULL)
        return true;
    if (!is_call_settled(pool, future))
        return false;
    end_call(pool, future);
    return true;
}

static bool is_call_done(weir_future *future, bool waits)
{
    weir_pool *pool = atomic_load_explicit(&future->pool, memory_order_acquire);
    bool ended;

    (void)waits; /* a call has no progress to show */
    if (pool == NULL)
        return true;
    pthread_mutex_lock(&pool->lock);
    ended = end_if_settled(pool, future);
    pthread_mutex_unlock(&pool->lock);
    return ended;
}

/* Counts the thread as one that waits. NULL: the call has ended. */
static weir_pool *wait_begin(weir_future *future)
{
    weir_pool *pool = atomic_load_explicit(&future->pool, memory_order_acquire);
    bool open;

    if (pool == NULL)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    open = atomic_load_explicit(&future->pool, memory_order_relaxed) != NULL;
    if (open) {
        future->users++;
        pool->in_use++;
        if (pool->calls->since_wait >= BULK_PUTS)
            atomic_fetch_and(&pool->control->queue->tail, ~QUEUE_BULK);
        pool->calls->since_wait = 0;
    }
    pthread_mutex_unlock(&pool->lock);
    return open ? pool : NULL;
}

static bool wait_end(weir_pool *pool, weir_future *future)
{
    bool ended;

    pthread_mutex_lock(&pool->lock);
    future->users--;
    ended = end_if_settled(pool, future);
    weir__pool_leave_locked(pool);
    pthread_mutex_unlock(&pool->lock);
    return ended;
}

/* Of a thread that is counted: true when the call has settled, or another thread has ended it. */
static bool is_call_over(weir_pool *pool, void *what)
{
    const weir_future *future = what;

    return atomic_load_explicit(&future->pool, memory_order_acquire) == NULL ||
           is_call_settled(pool, future);
}

static bool mark_call_asleep(weir_pool *pool, void *what)
{
    return is_call_over(pool, what) || mark_call(pool, what, WAITING_ASLEEP);
}

static const struct weir__wait_kind call_wait = {is_call_over, NULL, mark_call_asleep};

static bool wait_for_call(weir_future *future, int64_t limit_ns)
{
    weir_pool *pool;

    if (is_call_done(future, true))
        return true;
    pool = wait_begin(future);
    if (pool == NULL)
        return true;
    weir__wait(pool, &call_wait, future, limit_ns);
    return wait_end(pool, future);
}

static void mark_call_waiting(weir_future *future)
{
    weir_pool *pool = wait_begin(future);

    if (pool == NULL)
        return;
    mark_call(pool, future, WAITING_ASLEEP);
    wait_end(pool, future);
}

static void cancel_call(weir_pool *pool, weir_future *future)
{
    struct weir__call *call = call_of(pool, future);
    uint64_t before = atomic_load(&call->cancelled), mine = future->position + 1;

    /* only ever up: should the call have ended and its place be another one's, that
     * one is not hit */
    while (before < mine && !atomic_compare_exchange_weak(&call->cancelled, &before, mine))
        ;
    weir__queue_ring(pool->control, weir__queue_place(future->position));
}

/* The first future at `*place` or behind it that has a call; *place is then behind that. NULL:
 * there is none. */
static weir_future *next_call(weir_pool *pool, unsigned *place)
{
    weir_future *future = NULL;

    pthread_mutex_lock(&pool->lock);
    while (pool->calls != NULL && future == NULL && *place < WEIR__QUEUE_CALLS)
        future = pool->calls->futures[(*place)++];
    pthread_mutex_unlock(&pool->lock);
    return future;
}

/* Another thread may free such a future meanwhile: its record stays as long as the pool, and no
 * call gets it any more. */
void weir__calls_end(weir_pool *pool)
{
    unsigned place = 0;
    weir_future *future;

    while ((future = next_call(pool, &place)) != NULL)
        wait_for_call(future, INT64_MAX);
}

/* ---- callbacks ------------------------------------------------------------------------------ */

static void watch_call(weir_pool *pool, weir_future *future)
{
    if (mark_call(pool, future, weir__is_awaited(future) ? WAITING_NOTED : WAITING_EVENT))
        weir__queue_ring(pool->control, weir__queue_place(future->position));
}

static const struct weir__future_kind call_future_kind = {
    .done = is_call_done,
    .wait = wait_for_call,
    .cancel = cancel_call,
    .mark = mark_call_waiting,
    .watch = watch_call,
    .free = free_call,
};

void weir__call_end_notified(weir_pool *pool, unsigned place)
{
    weir_future *future;

    pthread_mutex_lock(&pool->lock);
    future = pool->calls != NULL ? pool->calls->futures[place] : NULL;
    /* a thread that waits for it ends it */
    if (future != NULL && future->callback != NULL && future->users == 0 &&
        is_call_settled(pool, future))
        end_call(pool, future);
    pthread_mutex_unlock(&pool->lock);
}
