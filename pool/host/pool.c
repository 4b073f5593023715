/* SPDX-License-Identifier: MIT
 *
 * pool.c: making and ending a pool, and the calls of its owner.
 *
 * The pool's private record is used by the program that made it only. A forked child of that
 * program has a copy of it, whose `mine` is not the child's number (mine.h): it is refused before
 * it can touch shared state.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/control/bell.h"
#include "pool/control/mapping.h"
#include "pool/control/mine.h"
#include "pool/control/park.h"
#include "pool/control/self.h"
#include "pool/control/supervision.h"
#include "pool/host/argument.h"
#include "pool/host/calls.h"
#include "pool/host/dispatch.h"
#include "pool/host/future_set.h"
#include "pool/host/hold.h"
#include "pool/host/job.h"
#include "pool/host/job_future.h"
#include "pool/host/out.h"
#include "pool/host/record.h"
#include "pool/host/spec.h"
#include "pool/host/timeline.h"
#include "shm/clock.h"
#include "shm/error.h"

#define FREE_MS (WEIR__FINISH_MS + 1000) /* the supervisor gives workers WEIR__FINISH_MS to end */

static int check_pool_options(const weir_pool_options *options)
{
    if (weir__check_reserved(options->reserved, sizeof(options->reserved) / sizeof(uint64_t),
                             "weir_pool_options") < 0)
        return -EINVAL;
    if (options->workers < 0 && options->workers != WEIR_WORKERS_NONE)
        return weir__fail(-EINVAL,
                          "workers is %d; it must be from 1 to %d, 0 for the default, or %d for a "
                          "pool without processes",
                          options->workers, WEIR_WORKERS_MAX, WEIR_WORKERS_NONE);
    if (options->workers > WEIR_WORKERS_MAX)
        return weir__fail(-E2BIG, "%d workers; a pool has at most %d", options->workers,
                          WEIR_WORKERS_MAX);
    if (options->chunks_per_worker < 0)
        return weir__fail(-EINVAL, "chunks_per_worker is %lld; it must not be negative",
                          (long long)options->chunks_per_worker);
    if (options->nested != WEIR_NESTED_REFUSED && options->nested != WEIR_NESTED_SERIAL)
        return weir__fail(-EINVAL, "nested is %d; it must be %d or %d", (int)options->nested,
                          WEIR_NESTED_REFUSED, WEIR_NESTED_SERIAL);
    if (weir__check_name(options->name, "weir_pool_options.name") < 0)
        return -EINVAL;
    return options->job != NULL ? weir__check_job_defaults(options->job) : 0;
}

static struct weir__inherited get_inherited(const weir_pool_options *options)
{
    return (struct weir__inherited){.keep_stdin = options->keep_stdin,
                                    .close = options->close_descriptors,
                                    .pass = options->pass_descriptors,
                                    .pass_count = options->pass_count};
}

#define UNSAID (WEIR_WORKERS_MAX + 1)

/* What the environment says, WEIR_WORKERS: a number of workers, 0 for a pool without processes, or
 * UNSAID; or a negative error. */
static int read_workers(void)
{
    const char *said = secure_getenv("WEIR_WORKERS");
    char *end;
    long workers;

    if (said == NULL || said[0] == '\0')
        return UNSAID;
    errno = 0;
    workers = strtol(said, &end, 10);
    if (errno != 0 || said[0] < '0' || said[0] > '9' || *end != '\0' || workers > WEIR_WORKERS_MAX)
        return weir__fail(-EINVAL,
                          "WEIR_WORKERS is \"%.40s\" in the environment; it must be a number from "
                          "0 (tasks run in the program) to %d",
                          said, WEIR_WORKERS_MAX);
    return (int)workers;
}

/* How many workers the pool is to have, 0 for a pool without processes; or a negative error. */
static int choose_workers(const weir_pool_options *options)
{
    const int said = read_workers();
    int cpus;

    if (said <= 0)
        return said;
    if (options->workers == WEIR_WORKERS_NONE)
        return 0;
    if (options->workers > 0)
        return options->workers;
    if (said != UNSAID)
        return said;
    cpus = weir_cpu_count();
    return cpus < WEIR_WORKERS_MAX ? cpus : WEIR_WORKERS_MAX;
}

/* ---- pools without processes ---------------------------------------------------------------- */

/* A cleanup: the thread has left a function that a worker would run. */
static void leave_here(const bool *entered)
{
    weir__here.depth -= *entered;
}

/* Of the program's functions the initializer and the finalizer are run here; tasks are by
 * worker/here.c. */
static void begin_here(weir_pool *pool)
{
    struct weir__control *control = pool->control;
    bool entered __attribute__((cleanup(leave_here), unused)) = true;
    int result;

    pool->here = true;
    pool->may_nest = control->program_pool != NULL;
    atomic_store(&control->slots[0].pid, getpid());
    atomic_store(&control->slots[0].state, SLOT_READY);
    atomic_store(&control->status.workers_started, 1);
    weir__here.depth++;
    result = control->initializer != NULL ? control->initializer(control->arg) : 0;
    if (result == 0)
        return;
    control->broken = (weir_error){.code = WEIR_EDIED, .pid = getpid(), .exit_status = -1};
    snprintf(control->broken.message, sizeof(control->broken.message),
             "no task can be run: the initializer failed with code %d, in the program, as the pool "
             "has no processes",
             result);
    atomic_store(&control->state, POOL_BROKEN);
}

static void finish_here(const weir_pool *pool)
{
    bool entered __attribute__((cleanup(leave_here), unused)) = true;

    weir__here.depth++;
    if (pool->control->finalizer != NULL && atomic_load(&pool->control->state) == POOL_RUNNING)
        pool->control->finalizer(pool->control->arg);
}

/* A task of such a pool would wait for its own end. */
static int check_end(weir_pool *pool)
{
    const int error = weir__check_pool(pool);

    if (error == 0 && pool->here && weir__here.depth > 0)
        return weir__fail(-EDEADLK, "a task cannot end a pool");
    return error;
}

/* ---- making and ending ---------------------------------------------------------------------- */

/* With the lock, and once a tick. Calls that have not come back long after the last job has ended
 * are in functions of the program, or have left the pool by longjmp(): they are not waited for any
 * longer, and the memory is left to them. */
static void give_up_late(weir_pool *pool, int64_t *late_ns)
{
    const int64_t now = weir__now_ns();

    if (weir__jobs_running(pool))
        *late_ns = now + WEIR__LATE_NS;
    if (now < *late_ns)
        return;
    pool->left = true;
    pool->in_use = 0;
}

/* Ends what calls of other threads have begun just before the end, and waits until no thread is in
 * the pool. From then on none is. */
static void wait_until_idle(weir_pool *pool)
{
    int64_t late = weir__now_ns() + WEIR__LATE_NS;
    bool ended = false;

    while (!ended) {
        pthread_mutex_lock(&pool->lock);
        weir__out_take_back(pool);
        while (pool->in_use > 0 && WEIR__QUEUE_IS_EMPTY(&pool->futures.list)) {
            weir__pool_sleep(pool, &pool->idle);
            weir__out_take_back(pool);
            if (pool->in_use > 0)
                give_up_late(pool, &late);
        }
        ended = pool->in_use == 0 && WEIR__QUEUE_IS_EMPTY(&pool->callbacks.ended);
        if (ended)
            weir__pool_ended(pool);
        pthread_mutex_unlock(&pool->lock);
        if (!ended) {
            weir__job_futures_end(pool);
            weir__dispatch_finish(pool);
        }
    }
    weir__pool_wait_untouched(pool);
}

/* No call of another thread is in the pool any more, and no future has not ended. */
static void end_calls(weir_pool *pool)
{
    weir__job_futures_end(pool);
    weir__calls_end(pool);
    weir__dispatch_finish(pool);
    wait_until_idle(pool);
}

/* No thread is in the pool any more. */
static void end_pool(weir_pool *pool)
{
    if (pool->left)
        return; /* a thread may be reading there still */
    weir__jobs_release(pool);
    weir__record_empty(pool);
    weir__pool_bury(pool);
}

static void cancel_all(struct weir__control *control)
{
    /* seq_cst; pairs with job.c, begin_call(); pairs with calls.c, await_call_place(): a call has
     * begun when it reads this */
    atomic_fetch_add(&control->cancel_epoch, 1);
    atomic_store(&control->notified_all, 1);
    weir__event_write(control);
    weir__host_wake(control);
}

/* Kills the workers, and waits until the calls of other threads have seen it. False: another call
 * ends the pool. */
static bool kill_workers(weir_pool *pool)
{
    weir_pool *left __attribute__((cleanup(weir__pool_end_left))) = NULL;

    if (!weir__pool_begin_end(pool))
        return false;
    left = pool;
    if (pool->here) {
        atomic_store(&pool->control->interrupted, 1);
        cancel_all(pool->control);
    } else {
        weir__detached_kill(&pool->supervisor);
        atomic_store(&pool->supervisor_gone, true);
        weir__host_wake(pool->control);
    }
    end_calls(pool);
    left = NULL;
    weir__dispatch_close(pool);
    weir__detached_end(&pool->supervisor, pool->scope);
    return true;
}

static weir_pool *pool_of(struct weir__on_end *on_end)
{
    return (weir_pool *)((unsigned char *)on_end - offsetof(struct weir_pool, on_end));
}

static bool hold_for_scope(struct weir__on_end *on_end)
{
    weir_pool *pool = pool_of(on_end);

    return weir__is_mine(pool->mine) && weir__pool_touch(pool);
}

/* Jobs that have ended hold memory until their futures are ended too. */
static bool give_back_to_scope(struct weir__on_end *on_end)
{
    weir_pool *pool = pool_of(on_end);
    weir_pool *held __attribute__((cleanup(weir__pool_let_go))) =
        weir__pool_hold(pool) ? pool : NULL;

    weir__pool_untouch(pool);
    return held != NULL && weir__job_futures_end_settled(pool);
}

static void stop_pool_with_scope(struct weir__on_end *on_end)
{
    weir_pool *pool = pool_of(on_end);

    if (kill_workers(pool))
        end_pool(pool);
}

/* While the supervisor starts, as it takes 0.2 ms (cgroups, mount points). Until then no worker
 * spins. */
static void count_spinners(struct weir__control *control)
{
    const int cpus = weir_cpu_count();

    atomic_store_explicit(&control->spinners_max, cpus > 1 ? cpus - 1 : 0, memory_order_relaxed);
}

static int start(weir_pool *pool, const weir_pool_options *options,
                 const struct weir__inherited *inherited)
{
    int result = weir__timeline_open(pool, options->trace);

    if (result == 0)
        result = weir__fork_supervisor(
            pool->control, pool->scope, inherited,
            &(struct weir__keeps){&pool->dispatch.event_end, &pool->watch, &pool->trace},
            count_spinners, &pool->supervisor);
    weir__timeline_forget(pool);
    return result;
}

/* Not inlined: what the caller has lies above its frame (stack_at), and what comes later below. */
__attribute__((noinline)) weir_pool *weir_pool_new(weir_scope *scope,
                                                   const weir_pool_options *options)
{
    weir_pool_options defaults = {0};
    struct weir__inherited inherited;
    weir_pool *pool;
    int workers;

    if (weir__scope_check_owner(scope, "a pool") < 0)
        return NULL;
    if (options == NULL)
        options = &defaults;
    inherited = get_inherited(options);
    if (check_pool_options(options) < 0 || weir__inherited_check(&inherited) < 0)
        return NULL;
    if (weir__here.depth > 0)
        return weir__fail_null(-EDEADLK, "a task cannot make a pool");
    workers = choose_workers(options);
    if (workers < 0)
        return NULL;
    pool = weir__record_new(scope, workers > 0 ? workers : 1, workers > 0);
    if (pool == NULL)
        return NULL;
    pool->has_job = options->job != NULL;
    if (pool->has_job)
        pool->job = *options->job;
    if (options->nested == WEIR_NESTED_SERIAL)
        pool->control->program_pool = pool;
    pool->control->initializer = options->initializer;
    pool->control->finalizer = options->finalizer;
    pool->control->arg = options->arg;
    pool->control->chunks_per_worker = options->chunks_per_worker;
    pool->control->pin = options->pin;
    pool->control->backtrace = options->backtrace;
    if (options->backtrace)
        pool->control->status.can |= STATUS_STACKS;
    if (pool->control->rings != NULL)
        pool->control->status.can |= STATUS_TRACE;
    pool->control->leave_started = options->leave_started;
    pool->debug = workers > 0 && weir__debug_wanted(); /* else the memory is the same */
    pool->stack_at = (uintptr_t)__builtin_dwarf_cfa();
    pool->control->host_cpu = -1;
    weir__control_show(pool->control, weir__scope_id(scope),
                       options->name != NULL ? options->name : program_invocation_short_name);
    if (weir__dispatch_init(pool) < 0 || (workers > 0 && start(pool, options, &inherited) < 0)) {
        weir__record_free(pool);
        return NULL;
    }
    if (workers == 0)
        begin_here(pool);
    pool->on_end = (struct weir__on_end){
        .stop = stop_pool_with_scope, .hold = hold_for_scope, .give_back = give_back_to_scope};
    weir__scope_on_end_add(scope, &pool->on_end);
    return pool;
}

/* They have no more work, run the finalizer, and end. */
static void finish_workers(weir_pool *pool)
{
    atomic_store(&pool->control->state, POOL_DRAINING);
    weir__wake_all(pool->control);
    weir__detached_order(&pool->supervisor, ORDER_FINISH);
    weir__detached_wait(&pool->supervisor, weir__end_ms(pool->control, FREE_MS));
}

void weir_pool_free(weir_pool *pool)
{
    weir_pool *left __attribute__((cleanup(weir__pool_end_left))) = NULL;

    if (pool == NULL || check_end(pool) < 0 || !weir__pool_begin_end(pool))
        return;
    left = pool;
    end_calls(pool);
    left = NULL;
    if (pool->here)
        finish_here(pool);
    else
        finish_workers(pool);
    weir__dispatch_close(pool);
    weir__detached_end(&pool->supervisor, pool->scope);
    weir__scope_on_end_remove(pool->scope, &pool->on_end);
    end_pool(pool);
}

void weir_pool_kill(weir_pool *pool)
{
    if (pool == NULL || check_end(pool) < 0 || !kill_workers(pool))
        return;
    weir__scope_on_end_remove(pool->scope, &pool->on_end);
    end_pool(pool);
}

/* ---- what it has ---------------------------------------------------------------------------- */

/* The pool is held for an instant only: nothing here waits. */
static int touch_pool(const weir_pool *pool)
{
    int error = weir__check_pool(pool);

    if (error < 0)
        return error;
    return weir__pool_touch((weir_pool *)pool) ? 0 : weir__check_pool(pool);
}

int weir_pool_workers(const weir_pool *pool)
{
    int result = touch_pool(pool);

    if (result < 0)
        return result;
    result = pool->control->workers;
    weir__pool_untouch((weir_pool *)pool);
    return result;
}

pid_t weir_pool_supervisor_pid(const weir_pool *pool)
{
    int error = weir__check_pool(pool);

    if (error < 0)
        return error;
    return pool->here ? weir__fail(-ESRCH, "the pool has no processes") : pool->supervisor.pid;
}

static pid_t get_worker_pid(const weir_pool *pool, int worker)
{
    pid_t pid;

    if (worker < 0 || worker >= pool->control->workers)
        return weir__fail(-ERANGE, "worker %d; the pool has workers 0 to %d", worker,
                          pool->control->workers - 1);
    pid = atomic_load(&pool->control->slots[worker].pid);
    return pid > 0 ? pid : weir__fail(-ESRCH, "worker %d is being replaced", worker);
}

pid_t weir_pool_worker_pid(const weir_pool *pool, int worker)
{
    pid_t result = touch_pool(pool);

    if (result < 0)
        return result;
    result = get_worker_pid(pool, worker);
    weir__pool_untouch((weir_pool *)pool);
    return result;
}

int weir_pool_get_stats(const weir_pool *pool, weir_pool_stats *out)
{
    int result = touch_pool(pool);

    if (result < 0)
        return result;
    if (out != NULL)
        *out = (weir_pool_stats){
            .workers_started = atomic_load(&pool->control->status.workers_started),
            .workers_died = atomic_load(&pool->control->status.workers_died),
            .chunks_retried = atomic_load(&pool->control->status.chunks_retried),
        };
    weir__pool_untouch((weir_pool *)pool);
    return out != NULL ? 0 : weir__fail(-EINVAL, "the place for the stats is NULL");
}

/* ---- cancelling ----------------------------------------------------------------------------- */

/* Signal-safe: no message. */
static bool may_touch(weir_pool *pool)
{
    return pool != NULL && weir__is_mine(pool->mine) && weir__pool_touch(pool);
}

void weir_pool_cancel(weir_pool *pool)
{
    if (!may_touch(pool))
        return;
    cancel_all(pool->control);
    weir__pool_untouch(pool);
}

void weir_pool_interrupt(weir_pool *pool)
{
    if (!may_touch(pool))
        return;
    /* seq_cst, before the step; pairs with job.c, fill_job(); pairs with calls.c, fill_call() */
    atomic_store(&pool->control->interrupted, 1);
    cancel_all(pool->control);
    weir__pool_untouch(pool);
}

void weir_pool_resume(weir_pool *pool)
{
    if (!may_touch(pool))
        return;
    atomic_store(&pool->control->interrupted, 0);
    weir__pool_untouch(pool);
}
