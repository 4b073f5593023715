/* SPDX-License-Identifier: MIT
 *
 * supervisor.c: forks, reaps and replaces workers, and ends them with the host.
 *
 * It is off the hot path: host and workers meet in the control block without it. It sleeps in
 * ppoll() on the lifeline to the host and the host's pidfd, which SIGCHLD ends. There is no
 * library's loop and no malloc() here: between the fork of a program with threads and the caller's
 * own task nothing may wait for a lock that a thread of the host held at that moment, and not every
 * allocator gives its locks back to a child (AddressSanitizer's of gcc 12 does not).
 *
 * When workers have died, those that it finds in one round are looked after together, because some
 * steps take the longer the more workers there are:
 *  1. they are reaped, so no other process acts for them any more, and what they had started is
 *     ended (strays.c);
 *  2. the one chunk that the cell of each says it was running becomes free again, or fails with a
 *     report;
 *  3. repair: every open job goes back into the ready set, every host thread that waits looks
 *     again, each worker is rung that may sleep without being seen, and one is woken for what is
 *     ready. That restores all invariants that a death between two steps of park.c, ready.h or
 *     worker.c can break, wherever it happened. A pool that ends has no job that is open, and no
 *     thread in it: it is not repaired;
 *  4. replacements are forked, unless workers keep dying at their start.
 *
 * A worker costs no descriptor here: each one that is forked would have to close those of all
 * others.
 *
 * When the host is gone (end of file on the lifeline, or its pidfd: each sees cases that the other
 * does not), the workers are killed, and if the manager is gone too the scope is cleaned here. The
 * end of the host also continues a supervisor that is stopped.
 *
 * Killed: the kernel kills the workers with it, or they end by themselves (tie.c), and the host
 * finds the lifeline closed.
 */
#include "pool/control/supervision.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "manager/internal.h"
#include "pool/control/bell.h"
#include "pool/control/calls.h"
#include "pool/control/chunk.h"
#include "pool/control/failure.h"
#include "pool/control/hello.h"
#include "pool/control/park.h"
#include "pool/control/pause.h"
#include "pool/control/piece.h"
#include "pool/control/ready.h"
#include "pool/control/ring.h"
#include "pool/control/tie.h"
#include "pool/supervisor/deadline.h"
#include "pool/supervisor/strays.h"
#include "pool/supervisor/tell.h"
#include "pool/supervisor/timeline.h"
#include "shm/clock.h"

#include "pool/control/no_malloc.h"

#define FAILED_STARTS_MAX 3  /* in a row, of a worker that exits, ... */
#define KILLED_STARTS_MAX 20 /* ... or is killed: perhaps by another program */
#define FORK_AGAIN_NS     INT64_C(50000000)
#define WITHOUT_WORKER_NS INT64_C(5000000000)
#define REAP_MS           2000
#define REAP_AGAIN_NS     INT64_C(200000)
#define STRAYS_A_ROUND    64                /* that are reaped, beside the workers */
#define FORKS_NS          INT64_C(10000000) /* of one round */
#define STACKS_NS         INT64_C(200000000)

#define POLL_AGAIN_NS INT64_C(10000000)

struct child {
    struct supervisor *supervisor;
    unsigned slot;
    pid_t pid;         /* 0: none, or it has been reaped */
    pid_t died;        /* the last one that was reaped, ... */
    int status;        /* ... and how it ended, as waitpid() gives it */
    uint64_t mark;     /* of what it starts; strays.c */
    int failed_starts; /* in a row */
    bool late;         /* it is to be killed for the time it took */
    struct child *next_dead;
};

enum { POLL_LIFELINE, POLL_HOST, POLLED };

struct supervisor {
    int64_t finish_ns, fork_ns, reap_ns, untrace_ns; /* when each is due; 0: not at all */
    uint32_t obeyed;                                 /* ORDER_... that have been carried out */
    struct weir__control *control;
    weir_scope *scope;
    int lifeline;
    pid_t pid;
    struct sigaction usr1; /* what the workers have */
    int process_pipe[2];   /* of a weir_process: tie.c; the end to write to stays open here */
    int alive;
    int64_t without_since_ns; /* no worker lives since then, as none can be forked; 0: not so */
    bool ending;              /* no replacement any more */
    bool late;                /* some children are */
    struct pollfd polled[POLLED];
    struct weir__strays strays;
    struct weir__pauses pauses;
    int64_t awake_ns;        /* since when it has not waited; 0: not yet */
    struct child *dead;      /* those that were reaped in this round */
    struct child **dead_end; /* where the next one is added */
    int found;               /* find_worker(): the last child that it found */
    struct child children[]; /* one a worker */
};

static void fork_into(struct child *child);

/* ---- a dead worker -------------------------------------------------------------------------- */

/* Draining is known here before the host's order is read: a worker may have ended because of it. */
static bool replaces_workers(const struct supervisor *supervisor)
{
    const struct weir__control *control = supervisor->control;

    return !supervisor->ending && atomic_load(&control->state) != POOL_DRAINING &&
           !(atomic_load(&control->orders) & ORDER_KILL);
}

static void describe_status(char *out, size_t size, int status)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == WEIR__EXIT_INITIALIZER)
        snprintf(out, size, "ended because its initializer failed");
    else if (WEXITSTATUS(status) == WEIR__EXIT_EACH)
        snprintf(out, size, "ended because a function of weir_pool_each() failed");
    else
        snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
}

static void fill_death(weir_error *error, const struct child *child)
{
    const int status = child->status;

    memset(error, 0, sizeof(*error));
    error->code = WEIR_EDIED;
    error->worker = (int)child->slot;
    error->pid = child->died;
    error->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    error->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Why the supervisor itself killed the worker, if it did. */
static bool describe_timeout(char *out, size_t size, const struct weir__job *job, uint32_t killed)
{
    if (killed == KILLED_CHUNK)
        snprintf(out, size, "was killed: the chunk took longer than chunk_timeout_ms %lld",
                 (long long)(job->chunk_timeout_ns / 1000000));
    else if (killed == KILLED_JOB)
        snprintf(out, size, "was killed: the job passed its timeout_ms");
    return killed != KILLED_NOT;
}

static bool is_queue(const struct child *child, const struct weir__job *job)
{
    return job == &child->supervisor->control->jobs[WEIR__QUEUE_JOB];
}

static struct weir__failures failures_of(const struct child *child, struct weir__job *job,
                                         int64_t chunk)
{
    return is_queue(child, job)
               ? weir__queue_failures(child->supervisor->control->queue, (unsigned)chunk)
               : weir__job_failures(job, chunk);
}

static struct weir__result *result_of(const struct child *child, struct weir__job *job,
                                      int64_t chunk)
{
    return is_queue(child, job) ? &child->supervisor->control->queue->calls[chunk].result
                                : &job->result;
}

/* It may have died of an object that it could not map: using that is a SIGSEGV. */
static void add_unmapped(const struct child *child, char *message, size_t size)
{
    const struct supervisor *supervisor = child->supervisor;
    /* pairs with task.c, weir__task_sync() */
    uint64_t note = atomic_load(&supervisor->control->slots[child->slot].unmapped);
    const struct weir__unmapped unmapped = {-(int32_t)(uint32_t)note, (uint32_t)(note >> 32)};
    char why[400];

    if (note == 0)
        return;
    weir__scope_describe(supervisor->scope, unmapped, why, sizeof(why));
    snprintf(message, size, "; it could not map %s", why);
}

static void fill_death_on(weir_error *error, struct child *child, const struct weir__job *job,
                          int64_t chunk, unsigned attempt)
{
    uint32_t killed = atomic_load(&child->supervisor->control->slots[child->slot].killed);
    weir_range range = is_queue(child, job) ? (weir_range){0, 1} : weir__job_chunk(job, chunk);
    char how[128];
    int used;

    fill_death(error, child);
    error->attempt = (int)attempt;
    error->range = range;
    if (describe_timeout(how, sizeof(how), job, killed))
        error->code = -ETIMEDOUT;
    else
        describe_status(how, sizeof(how), child->status);
    used = snprintf(error->message, sizeof(error->message),
                    "worker %u (pid %d) %s on [%lld, %lld), attempt %u of %u", child->slot,
                    (int)child->died, how, (long long)range.begin, (long long)range.end, attempt,
                    job->retries + 1);
    if (used > 0 && (size_t)used < sizeof(error->message))
        add_unmapped(child, error->message + used, sizeof(error->message) - (size_t)used);
}

static void report_death(struct child *child, struct weir__job *job, int64_t chunk,
                         unsigned attempt)
{
    struct weir__failures failures = failures_of(child, job, chunk);
    weir_error *error = weir__failure_claim_death(failures);
    struct weir__failure_entry *entry = weir__failure_log_take(failures);

    if (error != NULL)
        fill_death_on(error, child, job, chunk, attempt);
    if (entry != NULL) {
        fill_death_on(&entry->error, child, job, chunk, attempt);
        weir__failure_log_note(failures, entry);
    }
}

static void tell_death_on(struct child *child, const struct weir__job *job, int64_t chunk,
                          unsigned attempt, bool again)
{
    struct weir__control *control = child->supervisor->control;
    weir_error error;

    if (!control->log)
        return;
    fill_death_on(&error, child, job, chunk, attempt);
    weir__tell(control, "%s; %s", error.message,
               again ? "the range is run again" : "the range has failed");
}

/* Of a worker that has ended, and was running no chunk. Those that end with their pool are not told
 * of one by one. */
static void tell_end(const struct child *child, bool ready)
{
    struct weir__control *control = child->supervisor->control;
    char how[128];

    if (!control->log || (control->process_target == NULL && !replaces_workers(child->supervisor)))
        return;
    describe_status(how, sizeof(how), child->status);
    weir__tell(control, "worker %u (pid %d) %s%s", child->slot, (int)child->died, how,
               ready ? "" : ", before it was ready");
}

static void tell_end_of_pool(const struct supervisor *supervisor, const char *why)
{
    const struct weir__status *status = &supervisor->control->status;

    weir__tell(supervisor->control,
               "%s: %llu workers were started, %llu died, and %llu ranges were run again", why,
               (unsigned long long)atomic_load(&status->workers_started),
               (unsigned long long)atomic_load(&status->workers_died),
               (unsigned long long)atomic_load(&status->chunks_retried));
}

static void tell_start(const struct child *child)
{
    struct weir__control *control = child->supervisor->control;
    const uint32_t incarnation = atomic_load(&control->slots[child->slot].incarnation);

    if (incarnation <= 1)
        weir__tell(control, "worker %u (pid %d) was started", child->slot, (int)child->pid);
    else
        weir__tell(control, "worker %u (pid %d) was started, process %u of this worker",
                   child->slot, (int)child->pid, incarnation);
}

/* What became of a chunk whose worker died. Before its cell is changed: the job may end then. */
static void count_death(const struct child *child, struct weir__job *job, bool again)
{
    struct weir__control *control = child->supervisor->control;

    atomic_fetch_add(&job->deaths, 1);
    if (atomic_load(&control->slots[child->slot].killed) != KILLED_NOT)
        atomic_fetch_add(&control->status.chunks_timed_out, 1);
    if (!again)
        return;
    atomic_fetch_add(&job->retried, 1);
    atomic_fetch_add(&control->status.chunks_retried, 1);
}

/* NULL: of no chunk. */
static void note_death(const struct child *child, const struct weir__job *job, int64_t chunk,
                       unsigned attempt, bool again)
{
    weir__timeline_died(child->supervisor->control,
                        &(struct weir__timeline_death){.slot = child->slot,
                                                       .pid = child->died,
                                                       .status = child->status,
                                                       .job = job,
                                                       .chunk = chunk,
                                                       .attempt = attempt,
                                                       .again = again});
}

/* Returns whether the worker was running a chunk. */
static bool reclaim_chunk(struct child *child, struct weir__job *job)
{
    struct weir__slot *slot = &child->supervisor->control->slots[child->slot];
    int64_t chunk = atomic_load_explicit(&slot->chunk, memory_order_acquire);
    unsigned attempt = 0, retries = job->retries;
    weir__cell *cell;

    if (chunk < 0 || chunk >= job->count)
        return false;
    cell = &job->cells[chunk];
    if (weir__cell_state_of(atomic_load(cell)) != CELL_RUNNING ||
        weir__cell_owner(atomic_load(cell)) != child->slot)
        return false;
    weir__failure_withdraw(failures_of(child, job, chunk), child->slot);
    weir__piece_reclaim(child->supervisor->control, child->slot, result_of(child, job, chunk));
    if (atomic_load(&job->stop) & STOP_TIMEOUT)
        retries = 0;
    /* described before the cell is final: a process that sees FAILED finds the reason */
    attempt = weir__cell_attempt(atomic_load(cell));
    count_death(child, job, attempt <= retries);
    tell_death_on(child, job, chunk, attempt, attempt <= retries);
    note_death(child, job, chunk, attempt, attempt <= retries);
    if (attempt > retries) {
        report_death(child, job, chunk, attempt);
        if (!job->keep_going)
            atomic_fetch_or(&job->stop, STOP_FAILED);
    }
    weir__cell_reclaim(cell, child->slot, atomic_load(&slot->incarnation), retries, &attempt);
    /* seq_cst; pairs with work_jobs.c, work_inside(): counted before repair() adds to the ready
     * set */
    atomic_fetch_add(&job->retry_seq, 1);
    return true;
}

/* Looks after the job that the dead worker was in. Returns as reclaim_chunk(). */
static bool settle_job(struct child *child)
{
    struct weir__control *control = child->supervisor->control;
    struct weir__slot *slot = &control->slots[child->slot];
    uint32_t index = atomic_load(&slot->job);
    bool running = false;

    if (index == 0 || index > WEIR__JOBS_MAX)
        return false;
    if (weir__supervisor_enter(control, index - 1))
        running = reclaim_chunk(child, &control->jobs[index - 1]);
    weir__supervisor_leave(control, index - 1);
    return running;
}

static void repair(struct weir__control *control)
{
    uint32_t used = atomic_load(&control->jobs_used);

    for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++) {
        struct weir__job *job = &control->jobs[i];

        if (atomic_load(&job->state) != JOB_OPEN)
            continue;
        if (job->each == 0) /* else each worker looks for itself (work_each.c) */
            weir__ready_add(control, i);
        /* seq_cst, then the ring; pairs with work_jobs.c, leave_job() */
        atomic_store(&job->recount, 1);
        weir__host_ring(control, job);
    }
    /* The dead worker may have been about to notify the host; and the queue has calls. */
    atomic_store(&control->notified_all, 1);
    weir__event_write(control);
    weir__host_wake(control);
    weir__wake_lost(control);
}

/* ---- forking -------------------------------------------------------------------------------- */

static void give_up(struct weir__control *control, const weir_error *why)
{
    weir__tell(control, "%s", why->message);
    control->broken = *why;
    /* seq_cst; pairs with pool/host/result.h, weir__is_without_workers(): `broken` is read after
     * the state */
    atomic_store(&control->state, POOL_BROKEN);
    repair(control);
}

static void give_up_if_all_broken(struct supervisor *supervisor, const weir_error *why)
{
    struct weir__control *control = supervisor->control;

    for (int i = 0; i < control->workers; i++) {
        if (atomic_load(&control->slots[i].state) != SLOT_BROKEN)
            return;
    }
    give_up(control, why);
}

/* A fork has failed. It is tried again soon; but a pool that has been without any worker for long
 * would leave its callers waiting for ever. */
static void note_failed_fork(struct supervisor *supervisor, int error)
{
    int64_t now = weir__now_ns();
    weir_error why = {.code = -error, .worker = -1, .exit_status = -1};

    supervisor->fork_ns = now + FORK_AGAIN_NS;
    if (supervisor->alive > 0 || !replaces_workers(supervisor)) {
        supervisor->without_since_ns = 0;
    } else if (supervisor->without_since_ns == 0) {
        supervisor->without_since_ns = now;
    } else if (now - supervisor->without_since_ns > WITHOUT_WORKER_NS &&
               atomic_load(&supervisor->control->state) == POOL_RUNNING) {
        snprintf(why.message, sizeof(why.message), "no worker could be forked for %d s: %s",
                 (int)(WITHOUT_WORKER_NS / 1000000000), strerror(error));
        give_up(supervisor->control, &why);
    }
}

/* No worker comes to the chunks that jobs of weir_pool_each() have for this slot. */
static void pass_each(struct weir__control *control, unsigned slot)
{
    const uint32_t used = atomic_load(&control->jobs_used);

    for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++) {
        struct weir__job *job = &control->jobs[i];

        /* seq_cst, after the slot is BROKEN; pairs with job.c, publish_to_each() */
        if (weir__supervisor_enter(control, i) && job->each > 0) {
            weir__cell_pass(&job->cells[slot]);
            atomic_store(&job->recount, 1);
            weir__host_ring(control, job);
        }
        weir__supervisor_leave(control, i);
    }
}

static void note_failed_start(struct child *child)
{
    struct weir__slot *slot = &child->supervisor->control->slots[child->slot];
    weir_error why;
    char how[128];

    atomic_fetch_add(&child->supervisor->control->status.starts_failed, 1);
    if (++child->failed_starts <
        (WIFSIGNALED(child->status) ? KILLED_STARTS_MAX : FAILED_STARTS_MAX))
        return;
    fill_death(&why, child);
    describe_status(how, sizeof(how), child->status);
    snprintf(why.message, sizeof(why.message),
             "no worker can be started: worker %u (pid %d) %s, %d times in a row", child->slot,
             (int)child->died, how, child->failed_starts);
    atomic_store(&slot->state, SLOT_BROKEN);
    pass_each(child->supervisor->control, child->slot);
    give_up_if_all_broken(child->supervisor, &why);
}

/* Not for longer than a moment, as workers may die and deadlines pass meanwhile. */
static void fork_missing(struct supervisor *supervisor)
{
    const int64_t limit = weir__now_ns() + FORKS_NS;

    for (int i = 0; i < supervisor->control->workers && replaces_workers(supervisor); i++) {
        struct child *child = &supervisor->children[i];

        if (child->pid != 0 || atomic_load(&supervisor->control->slots[i].state) != SLOT_EMPTY)
            continue;
        if (weir__now_ns() > limit) {
            supervisor->fork_ns = limit; /* to go on in the next round */
            return;
        }
        fork_into(child);
        if (child->pid == 0)
            return; /* and fork_ns says when it is tried again */
    }
}

static void note_process_end(struct weir__control *control, int status)
{
    control->exit_status = status;
    /* seq_cst; pairs with process.c, weir_process_join(): exit_status is read after it */
    atomic_store(&control->ended, 1);
    weir__host_wake(control);
}

/* What the worker of a slot had begun is for others, and the slot is empty. It has been reaped.
 * Returns whether it was running a chunk. */
static bool clear_slot(struct child *child)
{
    struct weir__control *control = child->supervisor->control;
    struct weir__slot *slot = &control->slots[child->slot];
    uint64_t bit = UINT64_C(1) << (child->slot % 64);

    const bool running = settle_job(child);

    if (!running && child->status != 0)
        note_death(child, NULL, 0, 0, false);
    /* not those that the supervisor has killed to end the pool */
    if ((running || child->status != 0) && !(atomic_load(&control->orders) & ORDER_KILL))
        atomic_fetch_add(&control->status.workers_died, 1);
    weir__piece_let_go(slot); /* what its last chunk has given is the host's */
    atomic_store(&slot->job, 0);
    atomic_store(&slot->killed, KILLED_NOT);
    atomic_store(&slot->unmapped, 0);
    atomic_store(&slot->each, 0);
    atomic_store(&slot->each_seen, 0);
    atomic_store(&slot->pid, 0);
    atomic_fetch_and(&control->meeting[child->slot / 64].parked, ~bit);
    atomic_fetch_and(&control->meeting[child->slot / 64].spinning, ~bit);
    atomic_store(&slot->state, SLOT_EMPTY);
    return running;
}

/* Of a worker that has been reaped. One that starts may run a chunk, of weir_pool_each(): to die of
 * that is no failed start. */
static void look_after(struct child *child)
{
    struct supervisor *supervisor = child->supervisor;
    struct weir__control *control = supervisor->control;
    bool ready = atomic_load(&control->slots[child->slot].state) == SLOT_READY;

    supervisor->alive--;
    if (control->process_target != NULL) {
        tell_end(child, true);
        note_process_end(control, child->status);
        supervisor->ending = true;
        return;
    }
    if (clear_slot(child)) {
        child->failed_starts = 0;
        return;
    }
    tell_end(child, ready);
    if (ready)
        child->failed_starts = 0;
    else if (!supervisor->ending)
        note_failed_start(child);
}

/* What a worker leaves that has ended in order stays until the pool ends. */
static bool ended_in_order(const struct child *child)
{
    return WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0 &&
           atomic_load(&child->supervisor->control->slots[child->slot].job) == 0;
}

/* Before the chunks of workers that have died are free again. When the pool ends all is ended at
 * once. */
static void end_strays(struct supervisor *supervisor)
{
    const struct child *child = supervisor->dead;

    if (supervisor->control->process_target != NULL) {
        weir__strays_end(&supervisor->strays, WIFEXITED(child->status));
        return;
    }
    while (child != NULL && ended_in_order(child))
        child = child->next_dead;
    if (child != NULL && !supervisor->ending)
        weir__strays_kill(&supervisor->strays);
}

/* Whether a worker with this mark is among those that have died. */
static bool has_died(void *context, uint64_t mark)
{
    const struct supervisor *supervisor = context;

    for (const struct child *child = supervisor->dead; child != NULL; child = child->next_dead) {
        if (child->mark == mark && !ended_in_order(child))
            return true;
    }
    return false;
}

/* Children are listed, and die, nearly in the order in which they were forked: that of the slots.
 * NULL: no worker has this pid. */
static struct child *find_worker(struct supervisor *supervisor, pid_t pid)
{
    for (int i = 0; i < supervisor->control->workers; i++) {
        supervisor->found = (supervisor->found + 1) % supervisor->control->workers;
        if (supervisor->children[supervisor->found].pid == pid)
            return &supervisor->children[supervisor->found];
    }
    return NULL;
}

/* What could not be reaped now is tried again. */
static bool reap_soon(struct supervisor *supervisor)
{
    supervisor->reap_ns = weir__now_ns() + POLL_AGAIN_NS;
    return false;
}

/* One child that has ended. False: there is none, or it could not be reaped now. */
static bool reap_one(struct supervisor *supervisor)
{
    siginfo_t info = {.si_pid = 0};
    struct child *child;
    int status;

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
        return errno != ECHILD && reap_soon(supervisor);
    if (info.si_pid == 0)
        return false;
    child = find_worker(supervisor, info.si_pid);
    /* seq_cst, before it is reaped; pairs with process.c, open_own() */
    if (child != NULL)
        atomic_store(&supervisor->control->slots[child->slot].pid, 0);
    if (waitpid(info.si_pid, &status, WNOHANG | __WALL) != info.si_pid)
        return reap_soon(supervisor);
    if (child != NULL) {
        child->died = child->pid;
        child->pid = 0;
        child->status = status;
        child->next_dead = NULL;
        *supervisor->dead_end = child;
        supervisor->dead_end = &child->next_dead;
    }
    return true;
}

static void look_after_dead(struct supervisor *supervisor)
{
    int left = supervisor->control->workers + STRAYS_A_ROUND;

    supervisor->dead = NULL;
    supervisor->dead_end = &supervisor->dead;
    while (left > 0 && reap_one(supervisor))
        left--;
    if (left == 0)
        reap_soon(supervisor);
    if (supervisor->dead == NULL)
        return;
    end_strays(supervisor);
    for (struct child *child = supervisor->dead; child != NULL; child = child->next_dead)
        look_after(child);
    if (!replaces_workers(supervisor))
        return;
    repair(supervisor->control);
    supervisor->fork_ns = weir__now_ns(); /* now */
}

/* In the worker: only what a worker needs stays open. The lifeline stays, so that the host sees its
 * end only when the workers are gone too. */
_Noreturn static void become_worker(struct child *child)
{
    struct supervisor *supervisor = child->supervisor;
    const struct weir__control *control = supervisor->control;
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    struct weir__tie tie;

    weir__tie_begin(&tie, supervisor->pid);
    if (weir__is_file(control->watch_fd, control->watch_device, control->watch_inode))
        close(control->watch_fd);
    if (weir__is_file(control->trace_fd, control->trace_device, control->trace_inode))
        close(control->trace_fd);
    if (supervisor->process_pipe[0] >= 0) {
        close(supervisor->process_pipe[1]);
        weir__tie_to_pipe(supervisor->process_pipe[0]);
    }
    sigaction(SIGCHLD, &fresh, NULL);
    sigaction(SIGUSR1, &supervisor->usr1, NULL);
    weir__worker_main(supervisor->control, supervisor->scope, child->slot, &tie);
}

/* On failure pid is 0 and errno set, and the fork is tried again later. */
static void fork_into(struct child *child)
{
    struct supervisor *supervisor = child->supervisor;
    struct weir__slot *slot = &supervisor->control->slots[child->slot];
    sigset_t all, before;
    int error;

    (void)!weir_scope_sync(supervisor->scope); /* the worker does it again */
    atomic_fetch_add(&slot->incarnation, 1);
    atomic_store(&slot->state, SLOT_STARTING);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    if (supervisor->control->process_target != NULL)
        (void)!pipe2(supervisor->process_pipe, O_CLOEXEC);
    child->mark = weir__strays_mark(&supervisor->strays);
    child->pid = fork();
    error = errno;
    if (child->pid == 0)
        become_worker(child);
    weir__strays_unmark(&supervisor->strays);
    if (supervisor->process_pipe[0] >= 0)
        close(supervisor->process_pipe[0]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (child->pid <= 0) {
        child->pid = 0;
        atomic_store(&slot->state, SLOT_EMPTY);
        note_failed_fork(supervisor, error);
        errno = error;
        return;
    }
    supervisor->without_since_ns = 0;
    supervisor->alive++;
    atomic_fetch_add(&supervisor->control->status.workers_started, 1);
    atomic_store(&slot->pid, child->pid); /* seq_cst; pairs with process.c, open_own() */
    weir__timeline_started(supervisor->control, child->slot, child->pid);
    tell_start(child);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void kill_worker(void *context, unsigned slot)
{
    const struct supervisor *supervisor = context;

    /* not reaped yet, so the pid is still its own */
    if (supervisor->children[slot].pid > 0)
        kill(supervisor->children[slot].pid, SIGKILL);
}

/* In a pool with `backtrace` it says first where it is. */
static void note_late(void *context, unsigned slot)
{
    struct supervisor *supervisor = context;
    struct child *child = &supervisor->children[slot];

    child->late = true;
    supervisor->late = true;
    if (!supervisor->control->backtrace || child->pid <= 0)
        return;
    atomic_store(&supervisor->control->slots[slot].shown, 0);
    kill(child->pid, SIGQUIT);
}

static bool is_showing(const struct supervisor *supervisor)
{
    for (int i = 0; i < supervisor->control->workers; i++) {
        /* seq_cst; pairs with backtrace.c, on_question() */
        if (supervisor->children[i].late && supervisor->children[i].pid > 0 &&
            atomic_load(&supervisor->control->slots[i].shown) == 0)
            return true;
    }
    return false;
}

/* Of all late workers together: one that is stopped, or holds a lock that the handler needs, writes
 * nothing. */
static void wait_for_stacks(const struct supervisor *supervisor)
{
    const struct timespec step = {.tv_nsec = REAP_AGAIN_NS};
    const int64_t limit = weir__now_ns() + STACKS_NS;

    while (is_showing(supervisor) && weir__now_ns() < limit)
        nanosleep(&step, NULL);
}

static void kill_late(struct supervisor *supervisor)
{
    if (supervisor->control->backtrace)
        wait_for_stacks(supervisor);
    for (int i = 0; i < supervisor->control->workers; i++) {
        if (supervisor->children[i].late)
            kill_worker(supervisor, (unsigned)i);
        supervisor->children[i].late = false;
    }
    supervisor->late = false;
}

static void kill_all(struct supervisor *supervisor)
{
    supervisor->ending = true;
    /* for workers of a user whom this process may not kill; tie.c */
    atomic_fetch_or(&supervisor->control->orders, ORDER_KILL);
    for (int i = 0; i < supervisor->control->workers; i++)
        kill_worker(supervisor, (unsigned)i);
}

/* Reaps the workers, which were killed. Not for ever: those that this process may not kill run
 * their chunks to the end. */
static void reap_all(const struct supervisor *supervisor)
{
    const struct timespec step = {.tv_nsec = REAP_AGAIN_NS};
    const int64_t limit =
        weir__now_ns() + INT64_C(1000000) * weir__end_ms(supervisor->control, REAP_MS);

    for (int i = 0; i < supervisor->control->workers; i++) {
        const pid_t pid = supervisor->children[i].pid;

        while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0 && weir__now_ns() < limit)
            nanosleep(&step, NULL);
    }
}

/* It woke later than planned: all processes of the pool stood still, if this one did not alone.
 * Then the time does not count. A chunk that sleeps and one that stands still look alike from
 * outside, so this process itself is what tells. */
static void note_pause(struct supervisor *supervisor, int64_t planned, int64_t now)
{
    const int64_t pause = weir__pause_after(planned, now);

    /* pairs with look.c, weir__look_asked() */
    if (pause == 0 ||
        atomic_load_explicit(&supervisor->control->alone_ns, memory_order_relaxed) >= planned)
        return;
    weir__pauses_add(&supervisor->pauses, planned, now);
    if (supervisor->finish_ns != 0)
        supervisor->finish_ns += pause;
    if (supervisor->without_since_ns != 0)
        supervisor->without_since_ns += pause;
}

/* The same between two waits: what is done there takes no such time. */
static void note_pause_at_work(struct supervisor *supervisor)
{
    const int64_t now = weir__now_ns();

    if (supervisor->awake_ns != 0)
        note_pause(supervisor, supervisor->awake_ns, now);
    supervisor->awake_ns = now;
}

static void look_at_deadlines(struct supervisor *supervisor)
{
    struct weir__control *control = supervisor->control;
    int64_t next = INT64_MAX, seen = INT64_MAX;

    /* seq_cst, then look at the jobs; pairs with look.c, weir__look_at(): a job that is not seen
     * here finds this, and rings */
    atomic_store(&control->look_ns, INT64_MAX);
    if (atomic_load(&control->timed_jobs) > 0)
        next = weir__deadlines_look(control, &supervisor->pauses, note_late, supervisor);
    if (supervisor->late)
        kill_late(supervisor);
    while (next < seen && !atomic_compare_exchange_weak(&control->look_ns, &seen, next))
        ;
}

/* True when the host has ended what it sends, but is there: it ends this pool, not its scope. */
static bool host_ends_pool(const struct supervisor *supervisor)
{
    struct pollfd lifeline = {.fd = supervisor->lifeline};

    return poll(&lifeline, 1, 0) == 0; /* POLLHUP would say that the host's end is closed */
}

/* The host is gone, or has ended this pool: no process is left that a report could reach. */
_Noreturn static void end_with_host(struct supervisor *supervisor, bool scope_lives)
{
    kill_all(supervisor);
    reap_all(supervisor);
    weir__strays_end(&supervisor->strays, false);
    tell_end_of_pool(supervisor, scope_lives ? "the pool has ended" : "the program has ended");
    if (!scope_lives)
        weir__scope_clean_after_host(supervisor->scope);
    weir__timeline_write(supervisor->control, !scope_lives);
    _exit(0);
}

/* Rings say nothing but that a word in the control block has changed: each round looks there. */
static void on_lifeline(struct supervisor *supervisor)
{
    ssize_t got;
    char ring;

    do
        got = recv(supervisor->lifeline, &ring, 1, MSG_DONTWAIT);
    while (got > 0);
    if (got == 0 || errno == ECONNRESET)
        end_with_host(supervisor, host_ends_pool(supervisor));
}

static void obey(struct supervisor *supervisor)
{
    uint32_t orders = atomic_load(&supervisor->control->orders) & ~supervisor->obeyed;

    supervisor->obeyed |= orders;
    if (orders & ORDER_FINISH) {
        supervisor->ending = true;
        supervisor->finish_ns =
            weir__now_ns() + INT64_C(1000000) * weir__end_ms(supervisor->control, WEIR__FINISH_MS);
    }
    if (orders & ORDER_KILL)
        kill_all(supervisor);
}

/* ---- a timeline for who watches -------------------------------------------------------------- */

/* For how many milliseconds; -1: nobody has asked. Set by the handler. */
static _Atomic int trace_asked = -1;

/* By sigqueue() alone, so a SIGUSR1 that is sent to all programs of a group says nothing. */
static void on_trace_asked(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (info->si_code == SI_QUEUE && (info->si_uid == 0 || info->si_uid == geteuid()))
        atomic_store(&trace_asked, info->si_value.sival_int);
}

/* A pool with a file of its own is traced all the time. */
static void trace_for_watcher(struct supervisor *supervisor)
{
    struct weir__control *control = supervisor->control;
    const int ms = atomic_exchange(&trace_asked, -1);

    if (ms < 0 || control->rings == NULL || control->trace_fd >= 0)
        return;
    if (!weir__is_traced(control))
        control->traced_ns = weir__now_ns();
    supervisor->untrace_ns = weir__now_ns() + ms * INT64_C(1000000);
    atomic_store(&control->tracing, ms > 0);
}

/* ---- what is due ----------------------------------------------------------------------------- */

static bool is_due(int64_t *when_ns, int64_t now)
{
    if (*when_ns == 0 || *when_ns > now)
        return false;
    *when_ns = 0;
    return true;
}

static void do_what_is_due(struct supervisor *supervisor)
{
    int64_t now;

    note_pause_at_work(supervisor);
    now = supervisor->awake_ns;
    (void)is_due(&supervisor->reap_ns, now); /* each round reaps */
    if (atomic_load(&supervisor->control->look_ns) <= now)
        look_at_deadlines(supervisor);
    if (is_due(&supervisor->fork_ns, now))
        fork_missing(supervisor);
    if (is_due(&supervisor->finish_ns, now))
        kill_all(supervisor);
    if (is_due(&supervisor->untrace_ns, now))
        atomic_store(&supervisor->control->tracing, 0);
}

/* Rounded up, so that what it was for is due when poll() returns; -1: nothing will be. While
 * something is to come it is a tick at most, so that a pause is seen. */
static int next_timeout_ms(const struct supervisor *supervisor)
{
    const int64_t due[] = {supervisor->finish_ns, supervisor->fork_ns, supervisor->reap_ns,
                           supervisor->untrace_ns};
    int64_t first = atomic_load(&supervisor->control->look_ns);

    for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++) {
        if (due[i] != 0 && due[i] < first)
            first = due[i];
    }
    return first == INT64_MAX ? -1 : weir__tick_ms(first - weir__now_ns());
}

/* A kernel that cannot poll for now (ENOMEM) leaves everything to be looked at in turn, a little
 * later; what looks does not wait. Only the host's end is seen by its lifeline alone then. */
static void wait_for_events(struct supervisor *supervisor)
{
    const int timeout = next_timeout_ms(supervisor);
    const struct timespec limit = {timeout / 1000, timeout % 1000 * 1000000L};
    int64_t planned;
    struct pollfd *polled = supervisor->polled;
    sigset_t none;
    int error;

    note_pause_at_work(supervisor);
    planned = supervisor->awake_ns + timeout * INT64_C(1000000);
    sigemptyset(&none);
    error = ppoll(polled, POLLED, timeout >= 0 ? &limit : NULL, &none) < 0 ? errno : 0;
    supervisor->awake_ns = weir__now_ns();
    if (timeout >= 0)
        note_pause(supervisor, planned, supervisor->awake_ns);
    if (error == 0)
        return;
    /* EINTR comes before anything has happened to a descriptor: a child has ended. */
    polled[POLL_HOST].revents = 0;
    polled[POLL_LIFELINE].revents = (short)(error == EINTR ? 0 : POLLIN);
    if (error != EINTR)
        nanosleep(&(struct timespec){.tv_nsec = POLL_AGAIN_NS}, NULL);
}

static void supervise(struct supervisor *supervisor)
{
    const struct pollfd *polled = supervisor->polled;

    while (!supervisor->ending || supervisor->alive > 0) {
        wait_for_events(supervisor);
        look_after_dead(supervisor);
        if (polled[POLL_LIFELINE].revents != 0)
            on_lifeline(supervisor);
        if (polled[POLL_HOST].revents != 0)
            end_with_host(supervisor, false);
        obey(supervisor);
        trace_for_watcher(supervisor);
        do_what_is_due(supervisor);
    }
    weir__strays_end(&supervisor->strays,
                     !(atomic_load(&supervisor->control->orders) & ORDER_KILL));
    if (supervisor->control->process_target == NULL)
        tell_end_of_pool(supervisor, "the pool has ended");
    weir__timeline_write(supervisor->control, false);
}

/* ---- the start ------------------------------------------------------------------------------ */

static bool is_worker(void *context, pid_t pid)
{
    return find_worker(context, pid) != NULL;
}

static void on_child_end(int number)
{
    (void)number; /* it only ends a poll */
}

/* NULL: no memory. It is never given back, as it ends with the process. */
static struct supervisor *make_supervisor(struct weir__control *control, weir_scope *scope,
                                          int lifeline)
{
    size_t workers = (size_t)control->workers;
    struct supervisor *supervisor =
        mmap(NULL, sizeof(*supervisor) + workers * sizeof(struct child), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (supervisor == MAP_FAILED)
        return NULL;
    supervisor->control = control;
    supervisor->scope = scope;
    supervisor->lifeline = lifeline;
    supervisor->process_pipe[0] = supervisor->process_pipe[1] = -1;
    supervisor->pid = getpid();
    for (size_t i = 0; i < workers; i++)
        supervisor->children[i] = (struct child){.supervisor = supervisor, .slot = (unsigned)i};
    supervisor->polled[POLL_LIFELINE] = (struct pollfd){.fd = lifeline, .events = POLLIN};
    supervisor->polled[POLL_HOST] =
        (struct pollfd){.fd = weir__scope_host_pidfd(scope), .events = POLLIN};
    supervisor->strays = (struct weir__strays){.left = control->leave_started,
                                               .is_worker = is_worker,
                                               .has_died = has_died,
                                               .context = supervisor};
    weir__strays_begin(&supervisor->strays);
    return supervisor;
}

static int fork_workers(struct supervisor *supervisor, struct weir__hello *hello)
{
    for (int i = 0; i < supervisor->control->workers; i++) {
        fork_into(&supervisor->children[i]);
        if (supervisor->children[i].pid == 0) {
            int error = errno;

            snprintf(hello->message, sizeof(hello->message), "cannot fork worker %d of %d: %s", i,
                     supervisor->control->workers, strerror(error));
            return -error;
        }
    }
    return 0;
}

/* A stopped process sees nothing, so the kernel sends SIGCONT when the host's end of a socket is
 * closed. That of a pool's events serves best: the host writes nothing there, so what a program
 * stops stays so. A weir_process has the lifeline alone. */
static void continue_at_hosts_end(const struct supervisor *supervisor)
{
    const int events = supervisor->control->event_fd;
    const int socket = events >= 0 ? events : supervisor->lifeline;
    const int flags = fcntl(socket, F_GETFL);

    if (flags >= 0 && fcntl(socket, F_SETOWN, supervisor->pid) == 0 &&
        fcntl(socket, F_SETSIG, SIGCONT) == 0)
        (void)fcntl(socket, F_SETFL, flags | O_ASYNC);
}

_Noreturn void weir__supervisor_main(struct weir__control *control, weir_scope *scope, int lifeline)
{
    struct weir__hello hello = {.pid = getpid()};
    struct supervisor *supervisor = make_supervisor(control, scope, lifeline);
    struct sigaction ignore = {.sa_handler = SIG_IGN},
                     wake = {.sa_handler = on_child_end, .sa_flags = SA_NOCLDSTOP},
                     asked = {.sa_sigaction = on_trace_asked, .sa_flags = SA_SIGINFO};
    sigset_t polled;

    control->status.supervisor_pid = getpid();
    prctl(PR_SET_NAME, "weir-supervisor");
    sigaction(SIGTERM, &ignore, NULL);
    sigaction(SIGCHLD, &wake, NULL);
    if (supervisor == NULL) {
        hello.code = -errno;
        snprintf(hello.message, sizeof(hello.message), "the supervisor cannot start: %s",
                 strerror(errno));
    } else {
        if (control->watch_fd < 0)
            weir__tell(control, "other programs cannot see it: there is no file of memory for its "
                                "page (RLIMIT_FSIZE, descriptors, a sandbox, Linux before 5.1)");
        continue_at_hosts_end(supervisor);
        sigaction(SIGUSR1, &asked, &supervisor->usr1);
        hello.code = fork_workers(supervisor, &hello);
        control->process_pid = supervisor->children[0].pid;
    }
    if (!weir__lifeline_send(lifeline, &hello, sizeof(hello)) || hello.code != 0) {
        /* what was forked ends with this process */
        _exit(1);
    }
    sigemptyset(&polled); /* only while it polls */
    sigaddset(&polled, SIGCHLD);
    sigaddset(&polled, SIGUSR1);
    sigprocmask(SIG_SETMASK, &polled, NULL);
    supervise(supervisor);
    _exit(0);
}
