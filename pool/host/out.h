/* SPDX-License-Identifier: MIT
 *
 * out.h: calls whose thread may be out in functions of the program, and may not come back.
 */
#ifndef WEIR_OUT_H
#define WEIR_OUT_H

#include "pool/host/state.h"

/* A call whose thread has not come back so long after its job has ended does not come back. */
#define WEIR__LATE_NS INT64_C(2000000000)

/* A call begins that may run functions of the program. `future`: the one that it has claimed; NULL:
 * the call holds the pool for a job of its own, which has this position. NULL: there is no record
 * left: nothing is taken back, and the end of the pool waits for the call until it is late. */
struct weir__out *weir__out_begin(weir_pool *pool, weir_future *future, uint64_t position);

/* Its job is another one by now. Takes NULL. */
void weir__out_move(struct weir__out *out, uint64_t position);

/* With the lock. Takes back what an earlier call of this thread on the future holds, if the thread
 * has left that for certain. */
void weir__out_take_back_left(weir_pool *pool, weir_future *future);

/* Whether the pool has ended while the thread was out. Takes NULL. */
static inline bool weir__out_is_lost(const struct weir__out *out)
{
    return out != NULL && atomic_load_explicit(&out->thread, memory_order_acquire) < 0;
}

/* The call ends. False: the pool has ended while the thread was out, nothing of it may be touched,
 * and what the call held has been taken back. Takes NULL. */
bool weir__out_end(struct weir__out *out);

/* The thread that ends the pool, with the lock, while it waits for calls: takes back what calls
 * hold that do not come back. */
void weir__out_take_back(weir_pool *pool);

#endif
