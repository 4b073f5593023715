/* SPDX-License-Identifier: MIT
 *
 * task.h: the task that a worker runs.
 */
#ifndef WEIR_TASK_H
#define WEIR_TASK_H

#include "pool/control/control.h"
#include "pool/control/failure.h"
#include "pool/control/mine.h"
#include "pool/control/park.h"
#include "pool/control/ready.h"

/* What the public weir_task is. Private to the worker: all fields are written by it alone. */
struct weir_task {
    struct weir__control *control;
    struct weir__tie *tie; /* to the supervisor */
    uint32_t mine; /* the worker's number: another one in every process that a task has forked */
    struct weir__job *job;
    weir_scope *scope;
    const _Atomic uint64_t *generation; /* of the scope's objects, ... */
    uint64_t synced;                    /* ... and the one that is mapped here */
    unsigned slot;
    uint32_t incarnation;
    unsigned attempt;
    int64_t chunk;
    weir__cell *cell;               /* of the chunk */
    struct weir__failures failures; /* where its failure goes */
    struct weir__call *call;        /* NULL: not a call of the queue */
    struct weir_task *outer;        /* here.c: that has called it; NULL: none */
    uint64_t cursor;                /* in the queue, no cell below it is FREE */
    uint64_t tail;                  /* of the queue, when it was looked at last */
    int64_t settled;                /* since it entered the job */
    int64_t total;                  /* chunks since it was forked */
    int64_t ended_ns; /* timeline.c: when the last chunk ended, if the next one begins then; 0 */
    weir_range at;    /* what a failure is about: the chunk, or the element of a map */
    /* map_reduce.c: its private table, while it is in a job that needs one. */
    struct weir__combiner *combiner;
    bool refused;        /* argument.c: the task was not run */
    const void *written; /* argument.c: through this argument it wrote to private memory */
    bool may_emit;       /* map_reduce.c: in a map function */
    bool told;           /* weir_task_cancelled() was true: the function may return early */
    bool holds;          /* its slot names a piece: piece.h */
    int fail_code;       /* 0: weir_task_fail() was not called */
    bool result_failed;  /* fail_code is that of the last weir_task_result() */
    char message[WEIR__TASK_MESSAGE];
};

/* Ends this process, a copy of the worker that a task has forked and that has returned from the
 * task, with a line on stderr: the worker settles the chunk, not its copy. */
_Noreturn void weir__task_end_copy(const struct weir_task *task);

/* After each of the user's functions. */
static inline void weir__task_check_copy(const struct weir_task *task)
{
    if (__builtin_expect(!weir__is_mine(task->mine), 0))
        weir__task_end_copy(task);
}

#define WEIR__CHUNKS_TIED 64 /* run between two looks at the tie; a power of two */

/* After each chunk: looks at the worker's tie, now and then. */
static inline void weir__task_keep_tie(struct weir_task *task)
{
    if (__builtin_expect(task->tie->changed || task->total % WEIR__CHUNKS_TIED == 0, 0))
        weir__tie_keep(task->control, task->tie);
}

/* Runs the chunk or call that the task has claimed, and settles it. False: it has failed. */
bool weir__task_run(struct weir_task *task, int (*run)(struct weir_task *task, weir_range range),
                    weir_range range);

/* Whether the task is to stop, or one in which it was called. */
bool weir__task_stopped(const struct weir_task *task);

/* Gives back what was given so far in the call's record. */
void weir__task_drop_result(struct weir_task *task, struct weir__result *result);

/* Maps what other processes have made, and notes what cannot be mapped. */
void weir__task_sync(struct weir_task *task);

/* Whether the worker has run as many chunks as it may. */
static inline bool weir__task_worn_out(const struct weir_task *task)
{
    return task->control->chunks_per_worker > 0 && task->total >= task->control->chunks_per_worker;
}

/* Whether the worker is to leave its job though chunks may be left: it is worn out, or there is a
 * function of weir_pool_each() to come to. */
static inline bool weir__task_called_away(const struct weir_task *task)
{
    return weir__task_worn_out(task) || weir__each_is_new(task->control, task->slot);
}

/* The chain: a worker that takes work and leaves `more` of it wakes one more worker, which does the
 * same. For a job whose caller waits it does so only after the caller has found the job long enough
 * to be worth it. */
static inline void weir__task_wake_next(struct weir_task *task, bool more)
{
    struct weir__control *control = task->control;

    if (((more && atomic_load_explicit(&task->job->wake_more, memory_order_relaxed)) ||
         weir__ready_other(control, (unsigned)(task->job - control->jobs))) &&
        weir__any_parked(control)) {
        weir__wake_one(control);
        task->ended_ns = 0; /* waking takes as long as many a chunk */
    }
}

#endif
