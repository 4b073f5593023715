/* SPDX-License-Identifier: MIT
 *
 * growth-steps.c: the steps of a job that look at more than one worker, in a record of so many
 * workers that no process has, for a count of instructions:
 *
 *     valgrind --tool=callgrind --toggle-collect=step growth-steps WORKERS STEP
 *
 * STEP is open (a job is opened and no worker spins or sleeps), found (the last worker spins),
 * announce (a worker is about to spin), wake (the last worker sleeps), chunk (a worker wakes the
 * next one before it runs a chunk, and nobody sleeps), or of a job of a million chunks: leave (all
 * workers enter when no chunk is free any more, and leave) or run (a worker runs all of them). Or
 * calls: when one worker has run a full queue of calls all come to it, and find none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lone-control.h"
#include "pool/control/calls.h"
#include "pool/control/park.h"
#include "pool/control/parts.h"
#include "pool/control/ready.h"
#include "pool/worker/work_calls.h"
#include "pool/worker/work_jobs.h"

#define CHUNKS 1000000
#define JOB    1

static struct weir__control *control;
static unsigned last;

static int nothing(struct weir_task *task, weir_range range)
{
    (void)task;
    (void)range;
    return 0;
}

static const struct weir__job_kind kind = {.run = nothing};

static void open_job(uint64_t cell)
{
    struct weir__job *job = &control->jobs[JOB];

    job->kind = &kind;
    job->count = CHUNKS;
    job->range = (weir_range){0, CHUNKS};
    job->grain = 1;
    job->cells = map_memory(CHUNKS * sizeof job->cells[0] + weir__parts_size(CHUNKS));
    for (int i = 0; i < CHUNKS; i++)
        job->cells[i] = cell;
    weir__parts_reset(job->cells, CHUNKS, job->retry_seq);
    job->state = JOB_OPEN;
}

static int call_nothing(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static void open_queue(void)
{
    struct weir__queue *queue = map_memory(sizeof *queue);

    control->queue = queue;
    for (uint64_t i = 0; i < WEIR__QUEUE_CALLS; i++) {
        queue->calls[i].function = call_nothing;
        queue->calls[i].position = i;
    }
    queue->tail = (uint64_t)WEIR__QUEUE_CALLS << QUEUE_POSITION_SHIFT;
    weir__ready_add(control, WEIR__QUEUE_JOB);
}

static void work_on_job(struct weir_task *task)
{
    weir__work_on_job(task, JOB);
}

static void work(int workers, void (*on)(struct weir_task *task))
{
    struct weir__tie tie;

    for (int i = 0; i < workers; i++) {
        struct weir_task task = lone_worker(control, (unsigned)i, &tie);

        on(&task);
    }
}

__attribute__((noinline)) static void step(const char *name)
{
    if (strcmp(name, "leave") == 0)
        work(control->workers, work_on_job);
    else if (strcmp(name, "run") == 0)
        work(1, work_on_job);
    else if (strcmp(name, "calls") == 0)
        work(control->workers, weir__work_calls);
    if (strcmp(name, "open") == 0 || strcmp(name, "found") == 0)
        weir__take_spinner(control);
    if (strcmp(name, "announce") == 0) {
        weir__announce_spin(control, last);
        weir__end_spin(control, last);
    } else if (strcmp(name, "chunk") != 0 || weir__any_parked(control)) {
        weir__wake_one(control);
    }
}

int main(int argc, char **argv)
{
    const int workers = argc == 3 ? atoi(argv[1]) : 0;
    _Atomic uint64_t *bits;

    if (workers < 1 || workers > WEIR_WORKERS_MAX)
        return 2;
    control = lone_control_new((unsigned)workers, JOB);
    control->spinners_max = workers;
    last = (unsigned)workers - 1;
    bits = strcmp(argv[2], "wake") == 0 ? &control->meeting[last / 64].parked
                                        : &control->meeting[last / 64].spinning;
    if (strcmp(argv[2], "wake") == 0 || strcmp(argv[2], "found") == 0)
        atomic_fetch_or(bits, UINT64_C(1) << (last % 64));
    if (strcmp(argv[2], "leave") == 0 || strcmp(argv[2], "run") == 0)
        open_job(strcmp(argv[2], "run") == 0 ? CELL_FREE : CELL_DONE);
    if (strcmp(argv[2], "calls") == 0) {
        open_queue();
        work(1, weir__work_calls);
    }
    step(argv[2]);
    return 0;
}
