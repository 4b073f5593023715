/* SPDX-License-Identifier: MIT
 *
 * spec.h: from a call's arguments to a job.
 */
#ifndef WEIR_SPEC_H
#define WEIR_SPEC_H

#include "pool/host/state.h"

/* What of progress the options ask for; all zero: nothing. */
struct weir__progress_wish {
    const char *label;
    bool lines;
    void (*call)(const weir_progress *progress, void *arg);
    void *arg;
};

/* Of something that is not one job, kept by the thread that uses it. */
struct weir__progress_counts {
    uint64_t done, failed, total;
    uint64_t out; /* items whose end is waited for */
};

/* What a call that waits is to say; all zero: nothing. */
struct weir__stall_wish {
    int64_t limit_ns;
    void (*call)(const weir_stall *stall, void *arg);
    void *arg;
};

/* What a job is, before it has memory. */
struct weir__job_spec {
    const struct weir__job_kind *kind;
    void (*function)(void); /* the user's */
    const void *arg;
    size_t arg_size;
    weir_range range;
    int64_t count, grain, first_chunk;
    unsigned retries;
    bool keep_going, async;
    uint8_t each;          /* as in the job */
    bool inside;           /* by job.c: the call holds the pool (hold.h), ... */
    uint32_t cancel_epoch; /* ... and when it began to */
    int64_t timeout_ns, chunk_timeout_ns;
    const char *name; /* for who watches; NULL: progress.label */
    struct weir__progress_wish progress;
    struct weir__stall_wish stall;
    weir_job_report *report;                    /* the caller's; NULL: nobody asks */
    const struct weir__progress_counts *counts; /* of a stream; NULL: the job's cells are counted */
    struct weir__job_data data;
    struct weir__map_reduce *map_reduce; /* map_reduce.c; NULL for all other jobs */
    size_t memory;                       /* bytes that the job needs for its data */
};

/* Checks everything that all calls have in common, and sets the spec but for what is special to the
 * call: kind, data and memory. `options` may be NULL. */
int weir__spec_init(struct weir__job_spec *spec, const weir_pool *pool, weir_range range,
                    void (*function)(void), void *arg, const weir_job_options *options,
                    unsigned retries);

/* A name for who watches, or NULL: 0, or -EINVAL with a message that begins with `what`. */
int weir__check_name(const char *name, const char *what);

/* What is to become the defaults of a pool's calls: 0, or -EINVAL with the last error set. */
int weir__check_job_defaults(const weir_job_options *options);
/* The options of a call, with the pool's where they say nothing. `options` may be NULL. */
weir_job_options weir__with_defaults(const weir_pool *pool, const weir_job_options *options);

#endif
