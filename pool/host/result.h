/* SPDX-License-Identifier: MIT
 *
 * result.h: what a job or call gave, and why it gave nothing.
 */
#ifndef WEIR_HOST_RESULT_H
#define WEIR_HOST_RESULT_H

#include <errno.h>

#include "pool/control/failure.h"
#include "pool/control/result.h"
#include "pool/host/state.h"

void weir__map_made_now(const weir_pool *pool);

/* Maps what workers have made before what this thread has seen settled. What cannot be mapped is
 * counted by weir__found_missing(). */
static inline void weir__map_made(const weir_pool *pool)
{
    if (atomic_load_explicit(weir__scope_generation(pool->scope), memory_order_acquire) !=
        weir__scope_synced(pool->scope))
        weir__map_made_now(pool);
}

/* How often an object was found missing that workers may have made. */
static inline uint32_t weir__found_missing(const weir_pool *pool)
{
    /* relaxed: this process's own number, changed by the syncs above */
    return atomic_load_explicit(weir__scope_found_missing(pool->scope), memory_order_relaxed);
}

/* Of a job or call that was in flight when an object was found missing, perhaps one that it has
 * made and names to the caller: 0 if all can be mapped by now; or the error, with a message. */
int weir__report_missing(const weir_pool *pool);

/* Memory for a result, which is the future's. NULL: ENOMEM is set. */
void *weir__result_alloc(weir_future *future, size_t size);

/* Keeps the last error with the future, which has failed. */
void weir__keep_error(weir_future *future);

/* Takes over what a call gave, in a block or in `result` itself, and gives the block back. `good`:
 * the call has not failed, and the future gets it. 0 or a negative error. */
int weir__take_result(weir_future *future, weir_pool *pool, struct weir__result *result, bool good);

/* Of a future that has ended: frees its result and its error. */
void weir__result_free(weir_future *future);

/* Sets the last error to the failure that counts, the first one. `failed`: so many chunks have. */
int weir__report_failure(struct weir__failures failures, int64_t failed);

/* Whether no worker is left, nor will be. */
static inline bool weir__is_without_workers(const weir_pool *pool)
{
    /* seq_cst; pairs with supervisor.c, give_up(): `broken` is written before the state */
    return atomic_load(&pool->supervisor_gone) || atomic_load(&pool->control->state) == POOL_BROKEN;
}

/* The error of jobs and calls that are open then; only if that is so. */
int weir__report_no_workers(const weir_pool *pool);

#endif
