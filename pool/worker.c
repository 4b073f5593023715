/* SPDX-License-Identifier: MIT
 *
 * worker.c: the worker's loop.
 *
 * A worker finds a job in the ready set, enters it, claims chunk after chunk (in its own region of
 * the range first, then going round, which takes what others have not got to), runs and settles
 * each, and leaves. Where it is killed:
 *
 *   before it enters        nothing is lost; the supervisor puts all jobs back into the ready set
 *   after entering          its count in `activity` stays; the host takes it out (job_is_empty)
 *   after `chunk` is set    the cell is not its own: the supervisor leaves it
 *   after the claim         the cell names it: run again or failed, by the supervisor
 *   while writing a failure the supervisor takes the record back (failure.h)
 *   after settling          the chunk counts; only the hint in `activity` is too low, so the
 *                           supervisor sets `recount`
 */
#include "pool/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "manager/internal.h"
#include "pool/backtrace.h"
#include "pool/failure.h"
#include "pool/park.h"
#include "pool/queue.h"
#include "pool/ready.h"

#define SPIN_START_NS 20000

static bool job_stopped(const struct weir__control *control, const struct weir__job *job)
{
    return atomic_load_explicit(&job->stop, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&control->cancel_epoch, memory_order_relaxed) != job->cancel_epoch;
}

static void describe_failure(struct weir_task *task, int returned)
{
    weir_range range = task->at;
    weir_error *error = weir__failure_claim(task->failures, task->slot);

    if (error == NULL)
        return;
    error->code = WEIR_EFAILED;
    error->worker = (int)task->slot;
    error->pid = getpid();
    error->exit_status = -1;
    error->attempt = (int)task->attempt;
    error->task_code = task->fail_code != 0 ? task->fail_code : returned;
    error->range = range;
    if (task->message[0] != '\0')
        snprintf(error->message, sizeof(error->message),
                 "task failed on [%lld, %lld) with code %d: %s", (long long)range.begin,
                 (long long)range.end, error->task_code, task->message);
    else
        snprintf(error->message, sizeof(error->message), "task failed on [%lld, %lld) with code %d",
                 (long long)range.begin, (long long)range.end, error->task_code);
}

/* An object that is gone by now is only missed if it is used. Others are tried again. */
static void map_what_is_new(struct weir_task *task)
{
    uint64_t generation = atomic_load_explicit(task->generation, memory_order_acquire);
    int result;

    if (generation == task->synced)
        return;
    result = weir_scope_sync(task->scope);
    if (result == 0 || result == -ENOENT)
        task->synced = generation;
}

void weir__task_run(struct weir_task *task, weir_range range)
{
    struct weir__job *job = task->job;
    int returned;

    task->fail_code = 0;
    task->message[0] = '\0';
    task->at = range;
    map_what_is_new(task);

    returned = job->run(task, range);

    if (__fpending(stdout) > 0)
        fflush(stdout);
    if (returned == 0 && task->fail_code == 0) {
        weir__cell_settle(task->cell, CELL_DONE);
    } else {
        describe_failure(task, returned); /* it counts when the cell is FAILED */
        weir__cell_settle(task->cell, CELL_FAILED);
        /* After the cell: killed in between, the failure stands and only more is done than need be.
         * The other way round the job would stop for a chunk that is free again. */
        if (!job->keep_going)
            atomic_fetch_or(&job->stop, STOP_FAILED);
    }
    task->settled++;
    task->total++;
}

/* The supervisor looks at the time since then. */
static void start_clock(struct weir_task *task)
{
    if (task->job->chunk_timeout_ns > 0 || task->job->deadline_ns > 0)
        atomic_store_explicit(&task->control->slots[task->slot].started_ns, weir__now_ns(),
                              memory_order_release);
}

bool weir__task_worn_out(const struct weir_task *task)
{
    return task->control->chunks_per_worker > 0 && task->total >= task->control->chunks_per_worker;
}

enum round {
    ROUND_ALL,     /* no chunk was free any more where it looked */
    ROUND_STOPPED, /* the job is to be stopped */
    ROUND_WORN_OUT /* this worker has done its share for ever; chunks may be left */
};

static int64_t chunk_at(const struct weir__job *job, int64_t start, int64_t position)
{
    int64_t chunk = start + position;

    return chunk < job->count ? chunk : chunk - job->count;
}

/* The first position from `position` on, counted round from `start`, at which a chunk is FREE;
 * `count` when there is none. */
static int64_t find_free(const struct weir__job *job, int64_t start, int64_t position)
{
    while (position < job->count &&
           weir__cell_state_of(atomic_load_explicit(&job->cells[chunk_at(job, start, position)],
                                                    memory_order_relaxed)) != CELL_FREE)
        position++;
    return position;
}

/* Takes the job out of the ready set as no chunk of it is free. False, and it is back, when the
 * supervisor has freed one that had been passed: it counts that in retry_seq before it adds the
 * job, so either this sees the number, or the job was added after the removal. */
static bool take_out(struct weir_task *task, uint32_t retries)
{
    unsigned index = (unsigned)(task->job - task->control->jobs);

    weir__ready_remove(task->control, index);
    if (atomic_load(&task->job->retry_seq) == retries)
        return true;
    weir__ready_add(task->control, index);
    return false;
}

/* The chain: who takes work and leaves some wakes one more worker, who will do the same. Of a job
 * that its caller waits for only once that has found it long enough to be worth it. */
void weir__task_wake_next(struct weir_task *task, bool more)
{
    struct weir__control *control = task->control;

    if (((more && atomic_load_explicit(&task->job->wide, memory_order_relaxed)) ||
         weir__ready_other(control, (unsigned)(task->job - control->jobs))) &&
        weir__any_parked(control))
        weir__wake_one(control);
}

static bool claim(struct weir_task *task, int64_t chunk)
{
    struct weir__slot *slot = &task->control->slots[task->slot];

    start_clock(task);
    /* release: set before the claim, for the supervisor */
    atomic_store_explicit(&slot->chunk, chunk, memory_order_release);
    task->attempt = weir__cell_claim(&task->job->cells[chunk], task->slot, task->incarnation);
    task->chunk = chunk;
    return task->attempt != 0;
}

/* Goes once round the cells from this worker's own region. *out: the job has been taken out of the
 * ready set. A job of a future is taken out as soon as its last chunk is taken, not when that has
 * ended: whether the set was empty tells the program whether it has to wake somebody for its next
 * one. */
static enum round work_round(struct weir_task *task, uint32_t retries, bool *out)
{
    struct weir__job *job = task->job;
    int64_t start = job->count * (int64_t)task->slot / task->control->workers;
    int64_t position = find_free(job, start, 0), next;

    for (; position < job->count; position = next) {
        if (job_stopped(task->control, job))
            return ROUND_STOPPED;
        if (weir__task_worn_out(task))
            return ROUND_WORN_OUT;
        next = position + 1;
        if (claim(task, chunk_at(job, start, position))) {
            next = find_free(job, start, next);
            if (next == job->count && job->async)
                *out = take_out(task, retries);
            weir__task_wake_next(task, next < job->count);
            task->cell = &job->cells[task->chunk];
            task->failures = weir__job_failures(job, task->chunk);
            weir__task_run(task, weir__job_chunk(job, task->chunk));
        }
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

        if (atomic_load(&job->state) != JOB_OPEN) {
            weir__ready_remove(control, index);
            if (atomic_load(&job->state) != JOB_OPEN)
                return;
            /* opened while it was taken out: back with it */
            weir__ready_add(control, index);
        }
        retries = atomic_load(&job->retry_seq);
        out = false;
        round = work_round(task, retries, &out);
        if (round == ROUND_STOPPED)
            weir__ready_remove(control, index);
        else if (round == ROUND_ALL && !out)
            out = take_out(task, retries);
    } while (round == ROUND_ALL && !out);
}

/* Leaves the job, counts what was settled, and tells a host that waits when this may have been the
 * end of it. By the time the flags are read here the job may be another one: then nobody waits for
 * the old one any more, and whoever waits for the new one only looks once too often. */
static void leave(struct weir_task *task)
{
    struct weir__job *job = task->job;
    int64_t count = job->count;
    uint64_t before = atomic_fetch_add(
        &job->activity, ((uint64_t)task->settled << ACTIVITY_SETTLED_SHIFT) - ACTIVITY_LEAVE);

    if (weir__activity_settled(before) + (uint64_t)task->settled >= (uint64_t)count ||
        /* seq_cst, after the cells and the count; pairs with job.c, weir__job_settled(), and
         * supervisor.c, repair(): they set one of these, then look, or have the host look */
        atomic_load(&job->stop) != 0 || atomic_load(&job->recount) != 0)
        weir__host_ring(task->control, job);
}

static void work_on(struct weir_task *task, unsigned index)
{
    struct weir__job *job = &task->control->jobs[index];
    struct weir__slot *slot = &task->control->slots[task->slot];

    /* all lines at once, before the first one is waited for */
    __builtin_prefetch(&job->activity, 1);
    __builtin_prefetch(&job->run, 0);
    __builtin_prefetch(&job->inline_cells[0], 1);
    __builtin_prefetch(&job->inline_cells[WEIR__CHUNKS_INLINE / 2], 1);
    weir__end_spin(task->control, task->slot);
    task->job = job;
    task->settled = 0;
    /* release, before the count: who sees the count sees whose it is (job.c, job_is_empty) */
    atomic_store_explicit(&slot->job, index + 1, memory_order_release);
    atomic_fetch_add(&job->activity, ACTIVITY_ENTER);
    work_inside(task, index);
    weir__announce_spin(task->control, task->slot);
    leave(task);
    atomic_store_explicit(&slot->job, 0, memory_order_release);
    if (task->combiner != NULL)
        weir__map_reduce_leave(task);
}

static void work_loop(struct weir_task *task)
{
    struct weir__control *control = task->control;
    struct weir__spin spin = {.budget_ns = SPIN_START_NS};
    unsigned from = 0;

    while (!weir__task_worn_out(task)) {
        int index = weir__ready_find(control, from);

        if (index >= 0) {
            if (index == WEIR__QUEUE_JOB)
                weir__queue_work(task);
            else
                work_on(task, (unsigned)index);
            from = (unsigned)(index + 1) % WEIR__JOBS_MAX;
        } else if (atomic_load(&control->state) != POOL_RUNNING) {
            return;
        } else {
            weir__park(control, task->slot, &spin);
        }
    }
}

static void pin_to_cpu(unsigned slot)
{
    cpu_set_t may, one;
    int skip, count;

    if (sched_getaffinity(0, sizeof(may), &may) < 0 || (count = CPU_COUNT(&may)) == 0)
        return;
    skip = (int)slot % count;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &may) || skip-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof(one), &one); /* a wish; without it the pool works as well */
        return;
    }
}

_Noreturn static void process_main(struct weir__control *control)
{
    int status = control->process_target(control->arg);

    fflush(stdout);
    fflush(stderr);
    _exit(status);
}

_Noreturn void weir__worker_main(struct weir__control *control, weir_scope *scope, unsigned index)
{
    struct weir__slot *slot = &control->slots[index];
    struct weir_task task = {
        .control = control,
        .scope = scope,
        .slot = index,
        .incarnation = atomic_load(&slot->incarnation),
        .generation = weir__scope_generation(scope),
    };
    sigset_t none;
    char name[16];

    snprintf(name, sizeof(name),
             control->process_target != NULL ? "weir-process" : "weir-worker-%u", index);
    prctl(PR_SET_NAME, name);
    /* What could not be flushed before the fork is the program's to write. */
    __fpurge(stdout);
    __fpurge(stderr);
    setvbuf(stdout, NULL, _IOLBF, 0);
    weir_scope_sync(scope);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (control->process_target != NULL)
        process_main(control);
    if (control->backtrace)
        weir__backtrace_install();
    if (control->pin)
        pin_to_cpu(index);
    if (control->initializer != NULL && control->initializer(control->arg) != 0)
        _exit(WEIR__EXIT_INITIALIZER);
    atomic_store(&slot->state, SLOT_READY);
    work_loop(&task);
    if (control->finalizer != NULL)
        control->finalizer(control->arg);
    fflush(stdout);
    fflush(stderr);
    _exit(0);
}

int weir_task_fail(weir_task *task, int code, const char *format, ...)
{
    va_list args;

    task->fail_code = code != 0 ? code : 1;
    va_start(args, format);
    vsnprintf(task->message, sizeof(task->message), format, args);
    va_end(args);
    return task->fail_code;
}

int weir_task_worker(const weir_task *task)
{
    return (int)task->slot;
}

int weir_task_attempt(const weir_task *task)
{
    return (int)task->attempt;
}

int64_t weir_task_chunk(const weir_task *task)
{
    return task->call == NULL ? task->chunk : 0;
}

bool weir_task_cancelled(const weir_task *task)
{
    return task->call == NULL ? job_stopped(task->control, task->job)
                              : weir__call_stopped(task->control, task->call);
}
