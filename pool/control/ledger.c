/* SPDX-License-Identifier: MIT
 *
 * ledger.c: see ledger.h for the states and the processes that may change them.
 *
 * Memory order: claim acquires (the worker then sees what the host wrote before it opened the job,
 * and what an earlier attempt left), settling releases, and settled()/tally() acquire, so a host
 * that sees DONE sees the chunk's results. Reclaim is a CAS only as a guard: no other process may
 * change a cell whose owner is dead.
 */
#include "pool/control/ledger.h"

#include "pool/control/no_malloc.h"

static uint64_t cell_make(enum weir__cell_state state, unsigned attempt, unsigned owner,
                          uint32_t incarnation)
{
    return (uint64_t)state | (uint64_t)attempt << 3 | (uint64_t)owner << 8 |
           (uint64_t)incarnation << 32;
}

unsigned weir__cell_claim(weir__cell *cell, unsigned owner, uint32_t incarnation)
{
    uint64_t seen = atomic_load_explicit(cell, memory_order_relaxed);
    unsigned attempt;

    if (weir__cell_state_of(seen) != CELL_FREE)
        return 0;
    attempt = weir__cell_attempt(seen) + 1;
    /* acquire; pairs with ledger.c, weir__cell_reclaim(); pairs with job.c, weir__job_open();
     * pairs with calls.c, fill_call() */
    if (!atomic_compare_exchange_strong_explicit(
            cell, &seen, cell_make(CELL_RUNNING, attempt, owner, incarnation), memory_order_acq_rel,
            memory_order_relaxed))
        return 0;
    return attempt;
}

void weir__cell_settle(weir__cell *cell, enum weir__cell_state state)
{
    uint64_t mine = atomic_load_explicit(cell, memory_order_relaxed);

    /* release; pairs with ledger.c, weir__ledger_settled(); pairs with ledger.c,
     * weir__ledger_tally(); pairs with failure.c, counts(); pairs with calls.c, is_final() */
    atomic_store_explicit(cell, (mine & ~UINT64_C(7)) | state, memory_order_release);
}

bool weir__cell_settle_in_time(weir__cell *cell, enum weir__cell_state state)
{
    uint64_t mine = atomic_load_explicit(cell, memory_order_relaxed);

    /* as above; only weir__cell_condemn() may come between */
    return !(mine & CELL_CONDEMNED) &&
           atomic_compare_exchange_strong_explicit(cell, &mine, (mine & ~UINT64_C(7)) | state,
                                                   memory_order_release, memory_order_relaxed);
}

bool weir__cell_condemn(weir__cell *cell, uint64_t seen)
{
    return (seen & CELL_CONDEMNED) ||
           atomic_compare_exchange_strong_explicit(cell, &seen, seen | CELL_CONDEMNED,
                                                   memory_order_relaxed, memory_order_relaxed);
}

enum weir__cell_state weir__cell_reclaim(weir__cell *cell, unsigned owner, uint32_t incarnation,
                                         unsigned retries, unsigned *attempt)
{
    uint64_t seen = atomic_load_explicit(cell, memory_order_acquire);
    enum weir__cell_state next;

    if (weir__cell_state_of(seen) != CELL_RUNNING || weir__cell_owner(seen) != owner ||
        weir__cell_incarnation(seen) != incarnation)
        return CELL_RUNNING;
    *attempt = weir__cell_attempt(seen);
    next = *attempt <= retries && *attempt < CELL_ATTEMPT_MAX ? CELL_FREE : CELL_FAILED;
    /* release; pairs with ledger.c, weir__cell_claim(); pairs with failure.c, counts() */
    if (!atomic_compare_exchange_strong_explicit(cell, &seen,
                                                 cell_make(next, *attempt, owner, incarnation),
                                                 memory_order_acq_rel, memory_order_relaxed))
        return CELL_RUNNING;
    return next;
}

void weir__cell_pass(weir__cell *cell)
{
    uint64_t seen = atomic_load_explicit(cell, memory_order_relaxed);

    while (weir__cell_state_of(seen) == CELL_FREE &&
           !atomic_compare_exchange_weak_explicit(cell, &seen, seen | CELL_DONE,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

void weir__ledger_cancel_unstarted(weir__cell *cells, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t seen = atomic_load_explicit(&cells[i], memory_order_relaxed);

        while (weir__cell_state_of(seen) == CELL_FREE &&
               !atomic_compare_exchange_weak_explicit(&cells[i], &seen, seen | CELL_CANCELLED,
                                                      memory_order_relaxed, memory_order_relaxed))
            ;
    }
}

bool weir__ledger_settled(const weir__cell *cells, int64_t count, int64_t *cursor)
{
    int64_t i = *cursor;

    /* acquire; pairs with ledger.c, weir__cell_settle() */
    while (i < count && weir__cell_final(atomic_load_explicit(&cells[i], memory_order_acquire)))
        i++;
    *cursor = i;
    return i == count;
}

struct weir__chunk_tally weir__ledger_tally(const weir__cell *cells, int64_t count)
{
    struct weir__chunk_tally tally = {0};

    for (int64_t i = 0; i < count; i++) {
        /* acquire; pairs with ledger.c, weir__cell_settle() */
        switch (weir__cell_state_of(atomic_load_explicit(&cells[i], memory_order_acquire))) {
        case CELL_DONE:
            tally.done++;
            break;
        case CELL_FAILED:
            tally.failed++;
            break;
        case CELL_CANCELLED:
            tally.cancelled++;
            break;
        default:
            tally.open++;
        }
    }
    return tally;
}
