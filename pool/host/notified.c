/* SPDX-License-Identifier: MIT
 *
 * notified.c: futures whose jobs and calls may have ended, as workers have noted.
 *
 * Any thread of the program may take the notes: a future that has ended is queued where its end
 * goes, to its pool's callbacks or to its waiter, and whoever is to take it from there is woken. A
 * note too many is harmless: the cells decide. One that a killed worker owed comes from the
 * supervisor (notified_all).
 */
#include "pool/host/notified.h"

#include "pool/host/calls.h"
#include "pool/host/job_future.h"

/* Takes the bits of `notified`, and calls `end` for each of them; for every one if `all`. */
static inline void end_each(weir_pool *pool, _Atomic uint64_t *notified, unsigned count, bool all,
                            void (*end)(weir_pool *pool, unsigned index))
{
    for (unsigned w = 0; w * 64 < count; w++) {
        uint64_t bits = atomic_load(&notified[w]) != 0 ? atomic_exchange(&notified[w], 0) : 0;

        for (bits = all ? UINT64_MAX : bits; bits != 0; bits &= bits - 1)
            end(pool, w * 64 + (unsigned)__builtin_ctzll(bits));
    }
}

void weir__notified_end(weir_pool *pool, bool all)
{
    struct weir__control *control = pool->control;

    if (atomic_exchange(&control->notified_all, 0) != 0)
        all = true;
    end_each(pool, control->notified, atomic_load(&control->jobs_used), all,
             weir__job_future_end_notified);
    end_each(pool, control->queue->notified, WEIR__QUEUE_CALLS, all, weir__call_end_notified);
}
