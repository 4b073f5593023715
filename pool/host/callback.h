/* SPDX-License-Identifier: MIT
 *
 * callback.h: which futures have callbacks, and which of these are to be called.
 */
#ifndef WEIR_CALLBACK_H
#define WEIR_CALLBACK_H

#include "pool/host/state.h"

/* With pool->lock. Gives the future, which has none, a callback. */
void weir__callback_set(weir_pool *pool, weir_future *future, weir_then_fn callback, void *arg);

/* With pool->lock. The place of the job that the future has, if it has one, does not name it any
 * more. */
void weir__callback_leave_place(weir_pool *pool, weir_future *future);

/* With pool->lock. Of a future that has just ended: queues its callback, if it has one that is to
 * be called, or has its waiter told. Returns whether the thread that dispatches must be woken. */
bool weir__callback_queue(weir_pool *pool, weir_future *future);

/* Takes the future whose callback is to be called next: it has no callback any more. NULL: no
 * future is queued. */
weir_future *weir__callback_take(weir_pool *pool);

/* A future that has a callback is freed before that was called. */
void weir__callback_forget(weir_future *future);

#endif
