/* SPDX-License-Identifier: MIT
 *
 * ready.h: the set of jobs that may have FREE chunks.
 *
 * Invariant: a job with a FREE chunk is in the set, or a live process is between taking it out and
 * looking again. When a worker dies the supervisor puts every open job back, so a death in between
 * cannot lose one. Members without a FREE chunk are harmless: a worker looks and takes them out.
 *
 * One bit a job, in words of which only those below `jobs_used` are ever looked at; the host reuses
 * low indices first, so that is one word in most programs. Adding, removing and looking are
 * seq_cst: each "take out, then look again" in worker.c, and "say that I sleep, then look again" in
 * park.c, is one half of a store-load pair whose other half is "make work visible, then look for
 * sleepers".
 */
#ifndef WEIR_READY_H
#define WEIR_READY_H

#include "pool/control/control.h"

static inline _Atomic uint64_t *weir__ready_word(struct weir__control *control, unsigned word)
{
    return &control->meeting[word / 4].ready[word % 4];
}

static inline bool weir__ready_has(struct weir__control *control, unsigned job)
{
    return atomic_load_explicit(weir__ready_word(control, job / 64), memory_order_relaxed) >>
               (job % 64) &
           1;
}

/* Returns whether its word of the set was empty before. */
static inline bool weir__ready_add(struct weir__control *control, unsigned job)
{
    return atomic_fetch_or(weir__ready_word(control, job / 64), UINT64_C(1) << (job % 64)) == 0;
}

static inline void weir__ready_remove(struct weir__control *control, unsigned job)
{
    atomic_fetch_and(weir__ready_word(control, job / 64), ~(UINT64_C(1) << (job % 64)));
}

static inline unsigned weir__ready_words(struct weir__control *control)
{
    /* seq_cst: raised before the first job of a new word is added */
    return (atomic_load(&control->jobs_used) + 63) / 64;
}

static inline bool weir__ready_any(struct weir__control *control)
{
    unsigned words = weir__ready_words(control);

    for (unsigned w = 0; w < words; w++) {
        if (atomic_load(weir__ready_word(control, w)) != 0)
            return true;
    }
    return false;
}

/* Whether any other job is in the set. */
static inline bool weir__ready_other(struct weir__control *control, unsigned job)
{
    unsigned words = weir__ready_words(control);

    for (unsigned w = 0; w < words; w++) {
        uint64_t bits = atomic_load(weir__ready_word(control, w));

        if (w == job / 64)
            bits &= ~(UINT64_C(1) << (job % 64));
        if (bits != 0)
            return true;
    }
    return false;
}

/* The first member at or after `from`, going round; -1 when the set is empty. */
static inline int weir__ready_find(struct weir__control *control, unsigned from)
{
    unsigned words = weir__ready_words(control);

    /* The first word is looked at twice: its upper part at first, all of it at last. */
    for (unsigned i = 0; i <= words && words > 0; i++) {
        unsigned w = (from / 64 + i) % words;
        uint64_t bits = atomic_load(weir__ready_word(control, w));

        if (i == 0 && w == from / 64)
            bits &= ~UINT64_C(0) << (from % 64);
        if (bits != 0)
            return (int)(w * 64 + (unsigned)__builtin_ctzll(bits));
    }
    return -1;
}

#endif
