/* SPDX-License-Identifier: MIT
 *
 * work_jobs.c: how a worker works on a job.
 *
 * It enters the job, claims chunk after chunk (in its own region of the range first, then going
 * round, which takes what others have not got to), runs and settles each, and leaves. Where it is
 * killed:
 *
 *   before it enters        nothing is lost; the supervisor puts all jobs back into the ready set
 *   after entering          its count in `activity` stays; the host takes it out (job_is_empty)
 *   after `chunk` is set    the cell is not its own: the supervisor leaves it
 *   after the claim         the cell names it: run again or failed, by the supervisor
 *   while writing a failure the supervisor takes the record back (failure.h)
 *   after settling          the chunk counts; only the hint in `activity` is too low, so the
 *                           supervisor sets `recount`
 */
#include "pool/worker/work_jobs.h"

#include "pool/control/bell.h"
#include "pool/control/chunk.h"
#include "pool/control/failure.h"
#include "pool/control/park.h"
#include "pool/control/parts.h"
#include "pool/control/ready.h"
#include "pool/worker/argument.h"
#include "pool/worker/timeline.h"
#include "shm/clock.h"

/* The supervisor looks at the time since then; without a deadline only who watches does. A chunk
 * that is claimed before the job is known to last has begun with the job. */
static void start_clock(struct weir_task *task)
{
    struct weir__slot *slot = &task->control->slots[task->slot];

    if (task->job->chunk_timeout_ns > 0 || task->job->deadline_ns > 0)
        atomic_store_explicit(&slot->started_ns, weir__now_ns(), memory_order_release);
    else if (atomic_load_explicit(&task->job->wake_more, memory_order_relaxed))
        atomic_store_explicit(&slot->started_ns, weir__now_coarse_ns(), memory_order_release);
}

enum round {
    ROUND_ALL,     /* no chunk was free any more where it looked */
    ROUND_STOPPED, /* the job is to be stopped */
    ROUND_AWAY     /* this worker is called away; chunks may be left */
};

static int64_t chunk_at(const struct weir__job *job, int64_t start, int64_t position)
{
    int64_t chunk = start + position;

    return chunk < job->count ? chunk : chunk - job->count;
}

static inline bool is_free(const struct weir__job *job, int64_t chunk)
{
    return weir__cell_state_of(atomic_load_explicit(&job->cells[chunk], memory_order_relaxed)) ==
           CELL_FREE;
}

/* The first chunk in [chunk, end) that is FREE, or `end`, where the part ends or the round: then
 * the rest of the part came first in the round. */
static int64_t look_through_part(const struct weir__job *job, const struct weir__parts *parts,
                                 int64_t chunk, int64_t end)
{
    const int64_t part = chunk >> parts->shift, begin = chunk;

    while (chunk < end && !is_free(job, chunk))
        chunk++;
    if (chunk == end && begin == weir__part_begin(parts, part))
        weir__part_mark(parts, part);
    return chunk;
}

/* The first chunk in [chunk, end) that is FREE, or `end`. */
static int64_t look_through_parts(const struct weir__job *job, const struct weir__parts *parts,
                                  int64_t chunk, int64_t end)
{
    while (chunk < end) {
        int64_t part = chunk >> parts->shift, part_end, found;

        while (part < parts->count && weir__part_is_spent(parts, part))
            part++;
        if (weir__part_begin(parts, part) > chunk)
            chunk = weir__part_begin(parts, part);
        if (chunk >= end)
            break;
        part_end = weir__part_begin(parts, part + 1);
        if (part_end > end)
            part_end = end;
        found = look_through_part(job, parts, chunk, part_end);
        if (found < part_end)
            return found;
        chunk = found;
    }
    return end;
}

/* find_free() in a job of many chunks, in a round that began at `retries`. */
static __attribute__((noinline)) int64_t
find_free_in_parts(const struct weir__job *job, int64_t start, int64_t position, uint32_t retries)
{
    const struct weir__parts parts = weir__parts_of(job->cells, job->count, retries);
    const int64_t first_leg = job->count - start;

    if (position < first_leg)
        position = look_through_parts(job, &parts, start + position, job->count) - start;
    if (position >= first_leg)
        position = first_leg + look_through_parts(job, &parts, position - first_leg, start);
    return position;
}

/* The first position from `position` on, counted round from `start`, at which a chunk is FREE;
 * `count` when no chunk is. */
static inline int64_t find_free(const struct weir__job *job, int64_t start, int64_t position,
                                uint32_t retries)
{
    while (position < job->count && !is_free(job, chunk_at(job, start, position))) {
        if (job->count >= WEIR__PARTS_FROM)
            return find_free_in_parts(job, start, position, retries);
        position++;
    }
    return position;
}

/* Takes the job out of the ready set as no chunk of it is free. False, and it is back, when the
 * supervisor has freed one that had been passed: it counts that in retry_seq before it adds the
 * job, so either this sees the number, or the job was added after the removal. */
static bool take_job_out(struct weir_task *task, uint32_t retries)
{
    unsigned index = (unsigned)(task->job - task->control->jobs);

    weir__ready_remove(task->control, index);
    if (atomic_load(&task->job->retry_seq) == retries)
        return true;
    weir__ready_add(task->control, index);
    return false;
}

bool weir__work_claim(struct weir_task *task, int64_t chunk)
{
    struct weir__slot *slot = &task->control->slots[task->slot];

    start_clock(task);
    atomic_store_explicit(&slot->uncounted, (uint32_t)task->settled, memory_order_relaxed);
    /* release: set before the claim, for the supervisor */
    atomic_store_explicit(&slot->chunk, chunk, memory_order_release);
    task->attempt = weir__cell_claim(&task->job->cells[chunk], task->slot, task->incarnation);
    task->chunk = chunk;
    return task->attempt != 0;
}

static inline void run_claimed(struct weir_task *task)
{
    struct weir__job *job = task->job;
    const int64_t begin_ns = weir__timeline_begin(task);
    bool done;

    task->cell = &job->cells[task->chunk];
    task->failures = weir__job_failures(job, task->chunk);
    done = weir__task_run(task, job->checked ? weir__argument_run : job->kind->run,
                          weir__job_chunk(job, task->chunk));
    if (__builtin_expect(begin_ns != 0, 0))
        weir__timeline_end(task, begin_ns, !done);
}

/* Goes once round the cells from this worker's own region. *out: the job has been taken out of the
 * ready set. A job of a future is taken out as soon as its last chunk is taken, not when that has
 * ended: whether the set was empty tells the host whether it has to wake a worker for its next
 * one. So if it is put back a worker is woken for it. */
static enum round work_round(struct weir_task *task, uint32_t retries, bool *out)
{
    struct weir__job *job = task->job;
    int64_t start = job->count * (int64_t)task->slot / task->control->workers;
    int64_t position = find_free(job, start, 0, retries), next;
    bool claimed, more;

    for (; position < job->count; position = next) {
        if (weir__job_stopped(task->control, job))
            return ROUND_STOPPED;
        if (weir__task_called_away(task))
            return ROUND_AWAY;
        claimed = weir__work_claim(task, chunk_at(job, start, position));
        next = find_free(job, start, position + 1, retries);
        if (!claimed)
            continue;
        more = next < job->count;
        if (!more && job->async) {
            *out = take_job_out(task, retries);
            more = !*out;
        }
        weir__task_wake_next(task, more);
        run_claimed(task);
    }
    return ROUND_ALL;
}

/* Works on the job until no chunk is free, or it must not be worked on, and takes it out of the
 * ready set. */
static void work_inside(struct weir_task *task, unsigned index)
{
    struct weir__control *control = task->control;
    struct weir__job *job = task->job;
    enum round round;
    bool out;

    do {
        uint32_t retries;

        /* seq_cst; pairs with job.c, weir__job_open(): OPEN shows all that was written before it */
        if (atomic_load(&job->state) != JOB_OPEN) {
            weir__ready_remove(control, index);
            if (atomic_load(&job->state) != JOB_OPEN)
                return;
            /* opened while it was taken out: back with it */
            weir__ready_add(control, index);
        }
        if (job->each > 0) { /* a bit that the supervisor has set for the job before it */
            weir__ready_remove(control, index);
            return;
        }
        /* seq_cst; pairs with supervisor.c, reclaim_chunk() */
        retries = atomic_load(&job->retry_seq);
        out = false;
        round = work_round(task, retries, &out);
        if (round == ROUND_STOPPED)
            weir__ready_remove(control, index);
        else if (round == ROUND_ALL && !out)
            out = take_job_out(task, retries);
    } while (round == ROUND_ALL && !out);
}

/* Leaves the job, counts what was settled, and tells a host that waits when this may have been the
 * end of it. By the time the flags are read here the job may be another one: then no thread waits
 * for the old one any more, and a thread that waits for the new one only looks once too often. */
static inline void leave_job(struct weir_task *task)
{
    struct weir__job *job = task->job;
    int64_t count = job->count;
    /* seq_cst; pairs with job.c, worth_a_look() */
    uint64_t before = atomic_fetch_add(
        &job->activity, ((uint64_t)task->settled << ACTIVITY_SETTLED_SHIFT) - ACTIVITY_LEAVE);

    if (weir__activity_settled(before) + (uint64_t)task->settled >= (uint64_t)count ||
        /* seq_cst, after the cells and the count; pairs with job.c, is_settled(); pairs with
         * supervisor.c, repair(): they set one of these, then look, or have the host look */
        (atomic_load(&job->stop) & STOP_ANY) != 0 || atomic_load(&job->recount) != 0)
        weir__host_ring(task->control, job);
}

static inline void enter_job(struct weir_task *task, unsigned index)
{
    struct weir__job *job = &task->control->jobs[index];
    struct weir__slot *slot = &task->control->slots[task->slot];

    weir__end_spin(task->control, task->slot);
    task->job = job;
    task->settled = 0;
    atomic_store_explicit(&slot->uncounted, 0, memory_order_relaxed);
    /* release, before the count: a process that sees the count sees whose it is (job.c,
     * job_is_empty()) */
    atomic_store_explicit(&slot->job, index + 1, memory_order_release);
    atomic_fetch_add(&job->activity, ACTIVITY_ENTER);
}

void weir__work_enter(struct weir_task *task, unsigned index)
{
    enter_job(task, index);
}

void weir__work_run(struct weir_task *task)
{
    run_claimed(task);
}

void weir__work_leave(struct weir_task *task)
{
    leave_job(task);
    weir__timeline_pause(task);
    atomic_store_explicit(&task->control->slots[task->slot].job, 0, memory_order_release);
}

void weir__work_on_job(struct weir_task *task, unsigned index)
{
    struct weir__job *job = &task->control->jobs[index];
    struct weir__slot *slot = &task->control->slots[task->slot];
    const struct weir__job_kind *kind = NULL;

    /* all lines at once, before the first one is waited for */
    __builtin_prefetch(&job->activity, 1);
    __builtin_prefetch(&job->kind, 0);
    __builtin_prefetch(&job->inline_cells[0], 1);
    __builtin_prefetch(&job->inline_cells[WEIR__CHUNKS_INLINE / 2], 1);
    enter_job(task, index);
    work_inside(task, index);
    if (task->combiner != NULL)
        kind = job->kind; /* now: after this worker has left, the job may be another one */
    weir__announce_spin(task->control, task->slot);
    leave_job(task);
    weir__timeline_pause(task);
    atomic_store_explicit(&slot->job, 0, memory_order_release);
    if (kind != NULL)
        kind->leave(task);
}
