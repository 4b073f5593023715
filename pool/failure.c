/* SPDX-License-Identifier: MIT
 *
 * failure.c: see failure.h for the states and who may change them.
 *
 * Memory order: `task_chunk` is set after the claim, and -1 is written before the claim is taken
 * back, so it never names a chunk of another claim. A record is read only after the acquire of a
 * cell that is FAILED; the settling of that cell released it.
 */
#include "pool/failure.h"

#include <string.h>
#include <time.h>

#include "pool/park.h"

#define LOOK_AGAIN_NS 20000

void weir__failure_reset(struct weir__job *job)
{
    atomic_store_explicit(&job->failure.owner, 0, memory_order_relaxed);
    atomic_store_explicit(&job->failure.task_chunk, -1, memory_order_relaxed);
    atomic_store_explicit(&job->failure.death_chunk, -1, memory_order_relaxed);
}

/* pairs with the release of weir__cell_settle and weir__cell_reclaim */
static bool counts(const struct weir__job *job, int64_t chunk)
{
    return chunk >= 0 && chunk < job->count &&
           weir__cell_state_of(atomic_load_explicit(&job->cells[chunk], memory_order_acquire)) ==
               CELL_FAILED;
}

weir_error *weir__failure_claim(struct weir__job *job, unsigned slot, int64_t chunk)
{
    const struct timespec look_again = {0, LOOK_AGAIN_NS};
    uint32_t nobody = 0;

    while (!atomic_compare_exchange_strong(&job->failure.owner, &nobody, slot + 1)) {
        if (counts(job, atomic_load(&job->failure.task_chunk)))
            return NULL;
        nanosleep(&look_again, NULL);
        nobody = 0;
    }
    atomic_store(&job->failure.task_chunk, chunk);
    job->failure.task_ns = weir__now_ns();
    memset(&job->failure.task, 0, sizeof(job->failure.task));
    return &job->failure.task;
}

weir_error *weir__failure_claim_death(struct weir__job *job, int64_t chunk)
{
    if (counts(job, atomic_load(&job->failure.death_chunk)))
        return NULL;
    atomic_store(&job->failure.death_chunk, chunk);
    job->failure.death_ns = weir__now_ns();
    memset(&job->failure.death, 0, sizeof(job->failure.death));
    return &job->failure.death;
}

void weir__failure_withdraw(struct weir__job *job, unsigned slot)
{
    if (atomic_load(&job->failure.owner) != slot + 1 ||
        counts(job, atomic_load(&job->failure.task_chunk)))
        return;
    atomic_store(&job->failure.task_chunk, -1);
    atomic_store(&job->failure.owner, 0);
}

const weir_error *weir__failure_first(const struct weir__job *job)
{
    const struct weir__failure *failure = &job->failure;
    bool task = counts(job, atomic_load(&failure->task_chunk));
    bool death = counts(job, atomic_load(&failure->death_chunk));

    if (task && (!death || failure->task_ns <= failure->death_ns))
        return &failure->task;
    return death ? &failure->death : NULL;
}
