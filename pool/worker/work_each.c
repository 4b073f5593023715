/* SPDX-License-Identifier: MIT
 *
 * work_each.c: functions that each worker runs once (weir_pool_each()).
 *
 * The job of such a call has one chunk a slot, and is not in the ready set: a worker that finds a
 * higher number in control.each_latest than it has come to goes through control.each. While the
 * call lasts it claims the chunk of its slot. A worker that comes later finds the chunk DONE by the
 * worker before it, or the function KEPT, and runs it on its own account: as the initializer,
 * before its first chunk. All such functions have their turn before the worker is READY.
 *
 * A worker names a place (slot.each) before it looks at it, and the host does not reuse a place
 * that a slot names. So function and argument stay while they are used here, even if the call fails
 * meanwhile.
 *
 * Killed in a chunk: as in work_jobs.c; the replacement claims the chunk if it is FREE again. In a
 * function on its own account: the worker could not be started, as in an initializer.
 */
#include "pool/worker/work_each.h"

#include "pool/control/exit_guard.h"
#include "pool/control/supervision.h"
#include "pool/worker/work_jobs.h"

/* The place of the function with the lowest number above *seen, which is set to that number; -1:
 * there is none. */
static int find_next(struct weir__control *control, uint64_t *seen)
{
    uint64_t lowest = UINT64_MAX;
    int place = -1;

    for (int i = 0; i < WEIR__EACH_PLACES; i++) {
        const uint64_t number = atomic_load(&control->each[i].number);

        if (number > *seen && number < lowest) {
            lowest = number;
            place = i;
        }
    }
    if (place >= 0)
        *seen = lowest;
    return place;
}

/* On this worker's own account: a job of one chunk that no other process knows. A cancel of the
 * program's is about its calls, and not about this. */
static void run_as_initializer(struct weir_task *task, const struct weir__each *each)
{
    struct weir__job job = {.kind = each->kind,
                            .function = (void (*)(void))each->function,
                            .arg = each->arg,
                            .count = 1};
    const weir_range own = {task->slot, (int64_t)task->slot + 1};
    weir__cell *cell = job.inline_cells;

    do {
        atomic_store(cell, CELL_FREE);
        job.cancel_epoch = atomic_load(&task->control->cancel_epoch);
        task->job = &job;
        task->chunk = task->slot;
        task->cell = cell;
        task->failures = (struct weir__failures){&job.failure, NULL, cell, 1, 0};
        task->attempt = weir__cell_claim(cell, task->slot, task->incarnation);
        weir__task_run(task, each->kind->run, own);
    } while (weir__cell_state_of(atomic_load(cell)) == CELL_CANCELLED);
    if (weir__cell_state_of(atomic_load(cell)) != CELL_DONE)
        weir__process_end(WEIR__EXIT_EACH);
    task->job = NULL;
    task->cell = NULL;
}

enum chunk {
    CHUNK_MET,    /* this worker has run it, or its call is to be stopped */
    CHUNK_BEFORE, /* the worker before this one has run it */
    CHUNK_CLOSED, /* the call has ended */
};

static enum chunk run_as_chunk(struct weir_task *task, const struct weir__each *each,
                               unsigned place)
{
    const struct weir__control *control = task->control;
    enum chunk found = CHUNK_CLOSED;
    const struct weir__job *job;

    weir__work_enter(task, each->job);
    job = task->job;
    /* seq_cst; pairs with job.c, weir__job_open(): OPEN shows all that was written before it */
    if (atomic_load(&job->state) == JOB_OPEN && job->each == place + 1)
        found = weir__cell_state_of(atomic_load(&job->cells[task->slot])) == CELL_DONE
                    ? CHUNK_BEFORE
                    : CHUNK_MET;
    if (found == CHUNK_MET && !weir__job_stopped(control, job) &&
        weir__work_claim(task, task->slot))
        weir__work_run(task);
    weir__work_leave(task);
    return found;
}

static void come_to(struct weir_task *task, const struct weir__each *each, unsigned place)
{
    const bool open = atomic_load(&each->state) == EACH_OPEN;
    const enum chunk found = open ? run_as_chunk(task, each, place) : CHUNK_CLOSED;
    const uint32_t state = atomic_load(&each->state);

    if (found != CHUNK_MET && (state == EACH_KEPT || (state == EACH_OPEN && found == CHUNK_BEFORE)))
        run_as_initializer(task, each);
}

void weir__work_each(struct weir_task *task)
{
    struct weir__control *control = task->control;
    struct weir__slot *slot = &control->slots[task->slot];
    const int64_t total = task->total;
    uint64_t seen = atomic_load(&slot->each_seen);
    /* seq_cst; pairs with job.c, publish_to_each(): all numbers up to it are found below */
    const uint64_t latest = atomic_load(&control->each_latest);
    int place;

    weir__end_spin(control, task->slot);
    while (seen < latest && (place = find_next(control, &seen)) >= 0) {
        const struct weir__each *each = &control->each[place];

        /* seq_cst, then look; pairs with each.c, is_named() */
        atomic_store(&slot->each, (uint32_t)place + 1);
        if (atomic_load(&each->number) == seen)
            come_to(task, each, (unsigned)place);
        atomic_store(&slot->each, 0);
        atomic_store(&slot->each_seen, seen);
    }
    if (seen < latest) /* some were dropped */
        atomic_store(&slot->each_seen, latest);
    task->total = total; /* none of these counts as a chunk of weir_pool_options */
    weir__tie_keep(control, task->tie);
}
