/* SPDX-License-Identifier: MIT
 *
 * worker.h: a worker process.
 */
#ifndef WEIR_WORKER_H
#define WEIR_WORKER_H

#include "pool/control.h"
#include "pool/failure.h"

/* The task that a worker runs: what the public weir_task is. Private to the worker. */
struct weir_task {
    struct weir__control *control;
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
    uint64_t cursor;                /* in the queue, no cell below it is FREE */
    uint64_t tail;                  /* of the queue, when it was looked at last */
    int64_t settled;                /* since it entered the job */
    int64_t total;                  /* chunks since it was forked */
    weir_range at; /* what a failure is about: the chunk, or the element of a map */
    /* map_reduce.c: its private table, while it is in a job that needs one. */
    struct weir__combiner *combiner;
    bool may_emit; /* map_reduce.c: in a map function */
    int fail_code; /* 0: weir_task_fail() was not called */
    char message[WEIR__TASK_MESSAGE];
};

/* Exit status of a worker whose initializer failed; its return value is in the slot's failure. */
#define WEIR__EXIT_INITIALIZER 111

/* Runs worker `slot` until the pool ends, or, for a weir_process, its target. Signals are blocked
 * when it is called. Does not return. */
_Noreturn void weir__worker_main(struct weir__control *control, weir_scope *scope, unsigned slot);

/* Runs the chunk that the task has claimed, and settles it. */
void weir__task_run(struct weir_task *task, weir_range range);
/* The chain: who takes work and leaves `more` wakes the next worker. */
void weir__task_wake_next(struct weir_task *task, bool more);
/* Whether the worker has run as many chunks as it may. */
bool weir__task_worn_out(const struct weir_task *task);

/* map_reduce.c: gives back what the worker has of its own for the job that it leaves. */
void weir__map_reduce_leave(struct weir_task *task);

#endif
