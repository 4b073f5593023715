/* SPDX-License-Identifier: MIT
 *
 * awaited.h: futures that a waiter has, until their ends are taken from it.
 */
#ifndef WEIR_AWAITED_H
#define WEIR_AWAITED_H

#include "pool/host/queue.h"
#include "pool/host/state.h"

/* One future of a waiter; it is the future's callback_arg, and weir__awaited its callback, which is
 * never called. */
struct weir__awaited {
    weir_waiter *waiter;
    weir_future *future;
    void *arg;
    bool ended; /* on the waiter's list of these */
    WEIR__QUEUE_LINK(weir__awaited) link;
};

WEIR__QUEUE(weir__awaited_list, weir__awaited);

/* Both lists with set->lock; taken after pool->lock if both are. */
struct weir_waiter {
    struct weir__future_set *set; /* of the pool; it outlives it */
    struct weir__awaited_list open, ended;
    _Atomic size_t ended_count; /* a hint for those who do not have the lock */
};

void weir__awaited(weir_future *future, void *arg);

static inline bool weir__is_awaited(const weir_future *future)
{
    return future->callback == weir__awaited;
}

/* The thread of the waiter: puts the future, whose callback is weir__awaited, onto a list of its
 * waiter. With pool->lock, unless the pool is gone. */
void weir__awaited_add(struct weir__awaited *awaited, bool ended);

/* With pool->lock, in whatever thread notices it: the future has just ended. */
void weir__awaited_end(weir_pool *pool, weir_future *future);

/* The future is the waiter's no more: its end was taken, or one of the two is freed. */
void weir__awaited_remove(struct weir__awaited *awaited);

#endif
