/* SPDX-License-Identifier: MIT
 *
 * parts.h: which parts of a job no worker need look through any more.
 *
 * A worker leaves a job when no chunk of it is FREE. If each looked at every chunk for that, all
 * together would make as many looks as there are workers times chunks. So the chunks of a job that
 * has many lie in parts, about as many parts as a part has chunks, and each part has a mark, behind
 * the cells. A part goes through
 *
 *     OPEN --mark (worker)--> SPENT --a chunk becomes FREE again (supervisor)--> OPEN
 *
 * and the mark is a number: that which job.retry_seq had when the round began in which a worker saw
 * no chunk of the part FREE. The part is SPENT while retry_seq is that number still, as a chunk
 * becomes FREE again only by the supervisor, which counts that in retry_seq afterwards. So no
 * process has to take a mark back, and one that comes late, of a worker that was stopped, says
 * nothing.
 *
 * A worker that passes over spent parts has thereby seen as much as if it had looked at each chunk
 * itself since the begin of its round: it may take the job out of the ready set by the same rule
 * (work_jobs.c, take_job_out()).
 *
 * Killed: before the mark, the next worker looks; after it, the mark is true. A chunk on which the
 * worker itself is killed is RUNNING, and taking that back makes all marks void.
 */
#ifndef WEIR_PARTS_H
#define WEIR_PARTS_H

#include "pool/control/ledger.h"

#define WEIR__PARTS_FROM 1024 /* chunks; fewer are looked through sooner than their marks */

struct weir__parts {
    _Atomic uint32_t *marks;
    int64_t count;
    unsigned shift;     /* a part has 1 << shift chunks, the last one may have fewer */
    uint32_t retry_seq; /* when the round began in which they are looked at */
};

/* `count` of chunks: WEIR__PARTS_FROM at least. */
static inline struct weir__parts weir__parts_of(weir__cell *cells, int64_t count,
                                                uint32_t retry_seq)
{
    const unsigned shift = (unsigned)(64 - __builtin_clzll((uint64_t)count)) / 2;

    return (struct weir__parts){
        .marks = (_Atomic uint32_t *)(cells + count),
        .count = ((count - 1) >> shift) + 1,
        .shift = shift,
        .retry_seq = retry_seq,
    };
}

/* What the marks need behind the cells of a job, in bytes. */
static inline size_t weir__parts_size(int64_t count)
{
    return count < WEIR__PARTS_FROM
               ? 0
               : (size_t)weir__parts_of(NULL, count, 0).count * sizeof(_Atomic uint32_t);
}

/* Host, before the job is open: every part is OPEN. */
static inline void weir__parts_reset(weir__cell *cells, int64_t count, uint32_t retry_seq)
{
    struct weir__parts parts;

    if (count < WEIR__PARTS_FROM)
        return;
    parts = weir__parts_of(cells, count, retry_seq);
    for (int64_t i = 0; i < parts.count; i++)
        atomic_store_explicit(&parts.marks[i], retry_seq - 1, memory_order_relaxed);
}

static inline int64_t weir__part_begin(const struct weir__parts *parts, int64_t part)
{
    return part << parts->shift;
}

static inline bool weir__part_is_spent(const struct weir__parts *parts, int64_t part)
{
    /* acquire; pairs with parts.h, weir__part_mark(): what is done next comes after those looks */
    return atomic_load_explicit(&parts->marks[part], memory_order_acquire) == parts->retry_seq;
}

static inline void weir__part_mark(const struct weir__parts *parts, int64_t part)
{
    /* release, after the looks; pairs with parts.h, weir__part_is_spent() */
    atomic_store_explicit(&parts->marks[part], parts->retry_seq, memory_order_release);
}

#endif
