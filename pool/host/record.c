/* SPDX-License-Identifier: MIT
 *
 * record.c: a pool's private record, and what goes with it.
 *
 * Failure modes: there is no memory, or no address space for the control block.
 */
#include "pool/host/record.h"

#include <errno.h>
#include <stdlib.h>

#include "pool/control/mapping.h"
#include "pool/control/mine.h"
#include "pool/host/calls.h"
#include "pool/host/dispatch.h"
#include "pool/host/future_set.h"
#include "pool/host/job.h"
#include "pool/host/timeline.h"
#include "shm/error.h"

void weir__record_empty(weir_pool *pool)
{
    weir__dispatch_free(pool);
    weir__calls_free(pool);
    weir__descriptor_close(&pool->watch);
    weir__timeline_forget(pool);
    weir__control_free(pool->control);
    weir__jobs_destroy(pool);
}

void weir__record_free(weir_pool *pool)
{
    weir__record_empty(pool);
    free(pool);
}

weir_pool *weir__record_new(weir_scope *scope, int workers, bool watched)
{
    weir_pool *pool = calloc(1, sizeof(*pool));
    pthread_condattr_t monotonic;

    if (pool == NULL)
        return weir__fail_null(-ENOMEM, "no memory for a pool");
    pool->scope = scope;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->idle, &monotonic);
    pthread_cond_init(&pool->finished, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pool->supervisor = WEIR__DETACHED_NONE;
    pool->watch = pool->trace = WEIR__DESCRIPTOR_NONE;
    WEIR__QUEUE_INIT(&pool->futures.list);
    WEIR__QUEUE_INIT(&pool->callbacks.ended);
    pool->dispatch.event = pool->dispatch.event_end = WEIR__DESCRIPTOR_NONE;
    pool->dispatch.poll_fd = -1;
    pool->dispatch.timer_fd = -1;
    pool->mine = weir__mine();
    pool->futures.set = weir__future_set_new(pool);
    if (pool->mine == 0 || pool->futures.set == NULL)
        weir__fail(-ENOMEM, "no memory for a pool");
    else
        pool->control = weir__control_new(workers, true, watched ? &pool->watch : NULL);
    if (pool->control == NULL || weir__jobs_init(pool) < 0) {
        weir__record_free(pool);
        return NULL;
    }
    weir__calls_init(pool->control);
    return pool;
}
