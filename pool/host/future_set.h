/* SPDX-License-Identifier: MIT
 *
 * future_set.h: what all futures of a pool share.
 */
#ifndef WEIR_FUTURE_SET_H
#define WEIR_FUTURE_SET_H

#include "pool/host/state.h"

/* Counts the futures of a pool, and has memory for those of calls, which are used again. It
 * outlives the pool if futures do: then the last future that is freed frees it. */
struct weir__future_set {
    weir_pool *_Atomic pool;         /* NULL once the pool is gone */
    uint32_t mine;                   /* as the pool's */
    pthread_mutex_t lock;            /* over what follows */
    weir_future *vacant;             /* linked by `next` */
    struct weir__future_slab *slabs; /* all there are; each is memory for some */
    /* Futures of jobs, all futures in the slabs, and streams; once the pool is gone, of the futures
     * in the slabs only those not given back. */
    int64_t count;
};

/* Of a new pool; NULL without an error when there is no memory. */
struct weir__future_set *weir__future_set_new(weir_pool *pool);

/* Counts a stream, and takes it out again. */
void weir__future_set_hold(struct weir__future_set *set);
void weir__future_set_release(struct weir__future_set *set);

/* Counts the future of a job, and takes it out again. */
void weir__future_set_add(struct weir__future_set *set, weir_future *future);
void weir__future_set_remove(weir_future *future);

/* All vacant futures for calls, linked by `next`: at least one, or NULL when there is no memory.
 * They are zero but for their kind, or as weir__future_set_give() got them. */
weir_future *weir__future_set_take(struct weir__future_set *set,
                                   const struct weir__future_kind *kind);
/* Takes one of them back. */
void weir__future_set_give(weir_future *future);

/* The pool goes; `vacant` are those that it took and has not used. NULL is allowed, both. */
void weir__future_set_leave(struct weir__future_set *set, const weir_future *vacant);

#endif
