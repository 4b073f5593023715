/* SPDX-License-Identifier: MIT
 *
 * failure.c: see failure.h for the states and the processes that may change them.
 *
 * Memory order: `task_next` is set after the claim, and 0 is written before the claim is taken
 * back, so it never names a chunk of another claim. A record is read only after the acquire of a
 * cell that is FAILED; the settling of that cell released it.
 */
#include "pool/control/failure.h"

#include <string.h>

#include "pool/control/futex.h"
#include "shm/clock.h"

#include "pool/control/no_malloc.h"

#define LOOK_AGAIN_NS 20000

void weir__failure_reset(struct weir__failure *record)
{
    atomic_store_explicit(&record->owner, 0, memory_order_relaxed);
    atomic_store_explicit(&record->task_next, 0, memory_order_relaxed);
    atomic_store_explicit(&record->death_next, 0, memory_order_relaxed);
}

/* Whether a record counts that names `next`, its chunk + 1. */
static bool counts(const struct weir__failures *failures, int64_t next)
{
    return next > 0 && next <= failures->count &&
           /* acquire; pairs with ledger.c, weir__cell_settle(); pairs with ledger.c,
            * weir__cell_reclaim() */
           weir__cell_state_of(atomic_load_explicit(&failures->cells[next - 1],
                                                    memory_order_acquire)) == CELL_FAILED;
}

weir_error *weir__failure_claim(struct weir__failures failures, unsigned slot)
{
    struct weir__failure *record = failures.record;
    uint32_t nobody = 0;

    while (!atomic_compare_exchange_strong(&record->owner, &nobody, slot + 1)) {
        if (counts(&failures, atomic_load(&record->task_next)))
            return NULL;
        weir__futex_wait(&record->owner, nobody, LOOK_AGAIN_NS);
        nobody = 0;
    }
    atomic_store(&record->task_next, failures.chunk + 1);
    record->task_ns = weir__now_ns();
    memset(&record->task, 0, sizeof(record->task));
    return &record->task;
}

weir_error *weir__failure_claim_death(struct weir__failures failures)
{
    struct weir__failure *record = failures.record;

    if (counts(&failures, atomic_load(&record->death_next)))
        return NULL;
    atomic_store(&record->death_next, failures.chunk + 1);
    record->death_ns = weir__now_ns();
    memset(&record->death, 0, sizeof(record->death));
    return &record->death;
}

struct weir__failure_entry *weir__failure_log_take(struct weir__failures failures)
{
    struct weir__failure_log *log = failures.log;
    uint64_t taken;

    if (log == NULL || atomic_load_explicit(&log->taken, memory_order_relaxed) >= log->size)
        return NULL;
    taken = atomic_fetch_add_explicit(&log->taken, 1, memory_order_relaxed);
    return taken < log->size ? &log->entries[taken] : NULL;
}

void weir__failure_log_note(struct weir__failures failures, struct weir__failure_entry *entry)
{
    atomic_store(&entry->next, failures.chunk + 1);
}

bool weir__failure_log_counts(struct weir__failures failures,
                              const struct weir__failure_entry *entry)
{
    return counts(&failures, atomic_load(&entry->next));
}

void weir__failure_withdraw(struct weir__failures failures, unsigned slot)
{
    struct weir__failure *record = failures.record;

    for (uint64_t i = 0; failures.log != NULL && i < failures.log->size; i++) {
        if (atomic_load(&failures.log->entries[i].next) == failures.chunk + 1)
            atomic_store(&failures.log->entries[i].next, 0);
    }
    if (atomic_load(&record->owner) != slot + 1 ||
        counts(&failures, atomic_load(&record->task_next)))
        return;
    atomic_store(&record->task_next, 0);
    atomic_store(&record->owner, 0);
}

const weir_error *weir__failure_first(struct weir__failures failures)
{
    const struct weir__failure *record = failures.record;
    bool task = counts(&failures, atomic_load(&record->task_next));
    bool death = counts(&failures, atomic_load(&record->death_next));

    if (task && (!death || record->task_ns <= record->death_ns))
        return &record->task;
    return death ? &record->death : NULL;
}
