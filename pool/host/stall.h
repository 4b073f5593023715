/* SPDX-License-Identifier: MIT
 *
 * stall.h: what a call waits for, said when no chunk of its job ends.
 */
#ifndef WEIR_STALL_H
#define WEIR_STALL_H

#include "pool/host/spec.h"

/* Private to the thread that waits. All zero: it says nothing. */
struct weir__stall {
    struct weir__stall_wish wish;
    char name[WEIR__STATUS_NAME]; /* of the job, or the stream; "": it has none */
    int64_t ended;                /* chunks that had ended at the last look */
    int64_t since_ns; /* no chunk has ended since, but for time in which it was paused */
    int64_t say_ns;   /* how long that is to last before it is said */
    int64_t next_ns;  /* no look before */
};

void weir__stall_init(struct weir__stall *stall, const struct weir__job_spec *spec);

/* The next job follows: what was seen of the one before does not count. */
void weir__stall_go_on(struct weir__stall *stall);

/* Looks, if it is time, and says what there is to say of the job; `job` NULL: of the stream with
 * these counts; both NULL: there is none at present. Returns when it will be time; INT64_MAX:
 * never. */
int64_t weir__stall_look(weir_pool *pool, const struct weir__job *job,
                         const struct weir__progress_counts *counts, struct weir__stall *stall);

/* When it will be time; INT64_MAX: never. */
static inline int64_t weir__stall_next(const struct weir__stall *stall)
{
    return stall->wish.limit_ns > 0 ? stall->next_ns : INT64_MAX;
}

#endif
