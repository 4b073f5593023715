/* SPDX-License-Identifier: MIT
 *
 * callback.c: which futures have callbacks, and which of these are to be called.
 *
 * A future with a callback is counted from weir_future_then() until the callback is taken to be
 * called, or the future is freed. Its end queues it, in whatever thread notices the end; the thread
 * that dispatches calls (dispatch.c). Invariant: `caller` is NULL once it is not counted any more.
 * The end of a future that a waiter has goes to the waiter in place of that (awaited.c).
 */
#include "pool/host/callback.h"

#include "pool/host/awaited.h"

void weir__callback_set(weir_pool *pool, weir_future *future, weir_then_fn callback, void *arg)
{
    future->callback = callback;
    future->callback_arg = arg;
    future->caller = pool;
    pool->callbacks.count++;
}

void weir__callback_leave_place(weir_pool *pool, weir_future *future)
{
    if (future->index >= 0 && pool->jobs.private[future->index].called == future)
        pool->jobs.private[future->index].called = NULL;
}

bool weir__callback_queue(weir_pool *pool, weir_future *future)
{
    /* also if it has none any more: a waiter that was freed has taken it away */
    weir__callback_leave_place(pool, future);
    if (future->callback == NULL)
        return false;
    if (weir__is_awaited(future)) {
        weir__awaited_end(pool, future);
        return false;
    }
    WEIR__QUEUE_PUT(&pool->callbacks.ended, future, link);
    future->queued = true;
    return !pool->callbacks.collects;
}

/* With pool->lock. */
static void forget_callback(weir_pool *pool, weir_future *future)
{
    if (future->queued)
        WEIR__QUEUE_REMOVE(&pool->callbacks.ended, future, link);
    if (future->pool == pool)
        weir__callback_leave_place(pool, future);
    future->queued = false;
    future->caller = NULL;
    pool->callbacks.count--;
}

void weir__callback_forget(weir_future *future)
{
    weir_pool *pool = future->caller;

    pthread_mutex_lock(&pool->lock);
    forget_callback(pool, future);
    pthread_mutex_unlock(&pool->lock);
    if (pool->callbacks.changed != NULL)
        pool->callbacks.changed(pool);
}

weir_future *weir__callback_take(weir_pool *pool)
{
    weir_future *future;

    pthread_mutex_lock(&pool->lock);
    future = WEIR__QUEUE_FIRST(&pool->callbacks.ended);
    if (future != NULL)
        forget_callback(pool, future);
    pthread_mutex_unlock(&pool->lock);
    return future;
}
