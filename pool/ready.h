/* SPDX-License-Identifier: MIT
 *
 * ready.h: the set of jobs that may have FREE chunks.
 *
 * Invariant: a job with a FREE chunk is in the set, or a live process is between taking it out and
 * looking again. When a worker dies the supervisor puts every open job back, so a death in between
 * cannot lose one. Members without a FREE chunk are harmless: a worker looks and takes them out.
 *
 * Two levels, 64 words under one summary word. All operations are seq_cst: each "take out, then
 * look again" here, and "say that I sleep, then look again" in park.c, is one half of a store-load
 * pair whose other half is "make work visible, then look for sleepers".
 */
#ifndef WEIR_READY_H
#define WEIR_READY_H

#include "pool/control.h"

static inline bool weir__ready_any(struct weir__control *control)
{
    return atomic_load(&control->ready_summary) != 0;
}

static inline bool weir__ready_has(struct weir__control *control, unsigned job)
{
    return atomic_load_explicit(&control->ready[job / 64], memory_order_relaxed) >> (job % 64) & 1;
}

static inline void weir__ready_add(struct weir__control *control, unsigned job)
{
    uint64_t word = UINT64_C(1) << (job / 64);

    atomic_fetch_or(&control->ready[job / 64], UINT64_C(1) << (job % 64));
    /* Somebody who empties the word meanwhile clears the summary first and looks at the word after.
     */
    if (!(atomic_load(&control->ready_summary) & word))
        atomic_fetch_or(&control->ready_summary, word);
}

static inline void weir__ready_remove(struct weir__control *control, unsigned job)
{
    uint64_t bit = UINT64_C(1) << (job % 64), word = UINT64_C(1) << (job / 64);

    if (atomic_fetch_and(&control->ready[job / 64], ~bit) & ~bit)
        return;
    atomic_fetch_and(&control->ready_summary, ~word);
    if (atomic_load(&control->ready[job / 64]) != 0)
        atomic_fetch_or(&control->ready_summary, word);
}

/* The first member at or after `from`, going round; -1 when the set is empty. */
static inline int weir__ready_find(struct weir__control *control, unsigned from)
{
    uint64_t summary = atomic_load(&control->ready_summary);
    unsigned first = from / 64 % 64;

    if (summary == 0)
        return -1;
    for (unsigned i = 0; i <= 64; i++) {
        unsigned w = (first + i) % 64;
        uint64_t bits;

        if (!(summary >> w & 1))
            continue;
        bits = atomic_load(&control->ready[w]);
        if (i == 0)
            bits &= ~UINT64_C(0) << (from % 64);
        if (bits != 0)
            return (int)(w * 64 + (unsigned)__builtin_ctzll(bits));
    }
    return -1;
}

#endif
