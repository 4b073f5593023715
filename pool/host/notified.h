/* SPDX-License-Identifier: MIT
 *
 * notified.h: futures whose jobs and calls may have ended, as workers have noted.
 */
#ifndef WEIR_NOTIFIED_H
#define WEIR_NOTIFIED_H

#include "pool/control/calls.h"
#include "pool/host/state.h"

/* Takes what is noted, and ends those futures: of all that have a callback or a waiter. `all`:
 * looks at each of them. */
void weir__notified_end(weir_pool *pool, bool all);

/* Whether anything is noted. */
static inline bool weir__notified_any(weir_pool *pool)
{
    struct weir__control *control = pool->control;
    const unsigned jobs = (atomic_load(&control->jobs_used) + 63) / 64;

    for (unsigned w = 0; w < WEIR__QUEUE_CALLS / 64; w++) {
        if (atomic_load(&control->queue->notified[w]) != 0)
            return true;
    }
    for (unsigned w = 0; w < jobs; w++) {
        if (atomic_load(&control->notified[w]) != 0)
            return true;
    }
    return atomic_load(&control->notified_all) != 0;
}

#endif
