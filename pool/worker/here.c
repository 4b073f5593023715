/* SPDX-License-Identifier: MIT
 *
 * here.c: running a job's tasks in the calling thread.
 *
 * For pools without processes, and for calls that a task makes itself. Everything is as in a worker
 * that is the only one: the record of the job, its cells, its failures and its memory are the same,
 * in a control block that no other process has; so are the cut into chunks and the order in which
 * accumulators and tables are combined, and with them all bits. Chunks run in their order.
 *
 * What there is not: a supervisor. Nothing looks at the time of a chunk; the time of the job is
 * looked at between two chunks. A crash is one of the process, so no cell is found RUNNING: what a
 * task does that would end a worker (exit(), a crash) ends the process.
 *
 * Invariant: weir__here.task is the task that the thread runs, and its `outer` the one from which
 * that was called. A task that is left by an exception would leave it wrong, and its chunk RUNNING
 * for ever: then the process aborts, as a worker does.
 */
#include "pool/worker/here.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "manager/internal.h"
#include "pool/control/chunk.h"
#include "pool/control/self.h"
#include "shm/clock.h"

/* Says why it is to be stopped, where no supervisor does. */
static bool must_stop(struct weir_task *task)
{
    struct weir__job *job = task->job;

    if (job->deadline_ns > 0 && weir__now_ns() >= job->deadline_ns)
        atomic_fetch_or(&job->stop, STOP_TIMEOUT);
    else if (task->outer != NULL && weir__task_stopped(task->outer))
        atomic_fetch_or(&job->stop, STOP_CANCEL);
    return weir__job_stopped(task->control, job);
}

static void on_left(struct weir_task *const *task)
{
    if (*task == NULL)
        return;
    dprintf(STDERR_FILENO,
            "weir: process %d aborts: a task that it ran itself was left by an exception or by "
            "pthread_exit()\n",
            (int)getpid());
    abort();
}

static void run_chunk(struct weir_task *task, int64_t chunk)
{
    struct weir__job *job = task->job;
    struct weir_task *left __attribute__((cleanup(on_left))) = task;

    task->chunk = chunk;
    task->cell = &job->cells[chunk];
    task->failures = weir__job_failures(job, chunk);
    task->total = 1; /* so it never looks at the tie, which it has not */
    weir__task_run(task, job->kind->run, weir__job_chunk(job, chunk));
    left = NULL;
    (void)left;
}

void weir__run_here(struct weir__control *control, weir_scope *scope, unsigned index,
                    int64_t limit_ns)
{
    struct weir__job *job = &control->jobs[index];
    struct weir__tie untied = {0};
    struct weir_task task = {
        .control = control,
        .tie = &untied,
        .mine = weir__mine(),
        .job = job,
        .scope = scope,
        .generation = weir__scope_generation(scope),
        .synced = weir__scope_synced(scope),
        .slot = weir__self.index,
        .incarnation = weir__self.incarnation > 0 ? weir__self.incarnation : 1,
        .outer = weir__here.task,
    };

    weir__here.task = &task;
    weir__here.depth++;
    for (int64_t i = 0; i < job->count && !must_stop(&task); i++) {
        task.attempt = weir__cell_claim(&job->cells[i], task.slot, task.incarnation);
        if (task.attempt == 0)
            continue;
        run_chunk(&task, i);
        if (limit_ns != INT64_MAX && weir__now_ns() >= limit_ns)
            break;
    }
    if (task.combiner != NULL)
        job->kind->leave(&task);
    weir__here.task = task.outer;
    weir__here.depth--;
}
