/* SPDX-License-Identifier: MIT
 *
 * job_future.c: opening a job, waiting for its end, and finishing it.
 *
 * A future has a job until its end is noticed: then what the job gave is taken into private memory
 * and the job is closed, so its place is free for another one. That happens in whatever call looks
 * at the future next; and when all places are taken, in the submitting of another one, for futures
 * at which no thread is looking.
 *
 * pool->lock guards the list, `users`, `finishing`, and the step from "has a job" to "has none". A
 * thread that looks at a job without the lock has claimed the future before:
 *
 *   users 0                   no thread looks. The thread that uses the future may claim it; and so
 *                             may one that needs places or dispatches, if its job has settled, or
 *                             one that ends the pool
 *   users > 0, not finishing  the thread that uses it looks, and finishes a job that has settled.
 *                             Above 1: it looks from within on_progress, and finishes nothing
 *   finishing                 another thread finishes the job; the one that uses the future waits
 */
#include "pool/host/job_future.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/bell.h"
#include "pool/host/awaited.h"
#include "pool/host/callback.h"
#include "pool/host/future_set.h"
#include "pool/host/hold.h"
#include "pool/host/job.h"
#include "pool/host/out.h"
#include "pool/host/progress.h"
#include "pool/host/report.h"
#include "pool/host/result.h"
#include "pool/host/wait.h"
#include "shm/clock.h"
#include "shm/error.h"

#define WAIT_FOR_PLACE_NS 100000
#define PLACES_AT_ONCE    256
#define LOOK_AT_OLDEST    1024

/* ---- from a job to its end ------------------------------------------------------------------ */

static void init_job_future(struct weir__job_future *job, weir_pool *pool,
                            const struct weir__job_spec *spec, void *user_out)
{
    *job = (struct weir__job_future){
        .future.kind = &weir__job_future_kind,
        .kind = spec->kind,
        .data = spec->data,
        .map_reduce = spec->map_reduce,
        .user_out = user_out,
        .keep_going = spec->keep_going,
        .report = spec->report,
    };
    atomic_init(&job->future.pool, pool);
    weir__report_begin(spec->report);
}

/* With pool->lock. Has the callback of the future queued at its job's end; at once if that has
 * come. Between two jobs that is left to the thread that opens the next one. */
static void watch_job(weir_pool *pool, weir_future *future)
{
    if (future->index < 0)
        return;
    pool->jobs.private[future->index].called = future;
    if (weir__job_mark(pool, future->index,
                       weir__is_awaited(future) ? WAITING_NOTED : WAITING_EVENT))
        weir__host_ring(pool->control, &pool->control->jobs[future->index]);
}

/* The future has no job from here on: its place may soon be another one's. Nor has it when a
 * function of the program's is left by an exception before the next one is open. */
static void close_job(weir_pool *pool, weir_future *future)
{
    const int index = future->index;

    pthread_mutex_lock(&pool->lock);
    weir__callback_leave_place(pool, future);
    future->index = -1;
    pthread_mutex_unlock(&pool->lock);
    weir__job_close(pool, index, false);
}

/* It goes on with the job of this index; negative: with none. */
static void take_job(weir_pool *pool, weir_future *future, int index)
{
    pthread_mutex_lock(&pool->lock);
    future->index = index;
    if (future->callback != NULL)
        watch_job(pool, future);
    pthread_mutex_unlock(&pool->lock);
}

static int open_at_last(weir_pool *pool, struct weir__job_spec *spec);

/* The future has a job, whose position a signal handler may want to know. */
static void note_position(weir_pool *pool, weir_future *future)
{
    /* seq_cst, then look; pairs with job_future.c, cancel_job() */
    atomic_store(&future->position, weir__job_position(pool, future->index));
    weir__out_move(weir__job_future_of(future)->out, weir__job_position(pool, future->index));
    if (atomic_load(&future->cancelled))
        weir__job_cancel(pool, future->position);
}

/* Closes the job and opens the one that continues it. False: it cannot be opened. */
static bool go_on(weir_future *future)
{
    struct weir__job_future *job = weir__job_future_of(future);
    struct weir__job_spec spec = *job->then;
    weir_pool *pool = future->pool;
    int index;

    /* Cancelled when all of this job was done: then the one that follows is. */
    if (atomic_load(&pool->control->jobs[future->index].stop) & STOP_CANCEL)
        spec.cancel_epoch--;
    spec.inside = true;
    job->then = NULL;
    close_job(pool, future);
    weir__progress_go_on(future->progress);
    job->kind = spec.kind;
    index = open_at_last(pool, &spec);
    if (index >= 0) /* a thread that waits for several futures has said so at the job before */
        atomic_store(&pool->control->jobs[index].waiting, WAITING_ASLEEP);
    take_job(pool, future, index);
    if (index < 0) {
        future->code = index;
        return false;
    }
    note_position(pool, future);
    return true;
}

/* The job has settled: takes its result. False: it goes on with another job. True: it has ended,
 * and its job is to be closed; without a job its index is negative. */
static bool finish_job(weir_future *future)
{
    struct weir__job_future *job = weir__job_future_of(future);
    weir_pool *pool = future->pool;
    int result;

    if (job->combining) {
        future->code = weir__fail(-ECANCELED, "combine was left by an exception or a jump");
        return true;
    }
    future->code = weir__job_result(pool, future->index);
    if (job->report != NULL)
        weir__report_add(job->report, &pool->control->jobs[future->index]);
    weir__map_made(pool);
    if (future->code == 0 && weir__found_missing(pool) != pool->jobs.private[future->index].missing)
        future->code = weir__report_missing(pool);
    if (job->kind->finish != NULL) {
        job->combining = job->kind->combines;
        result = job->kind->finish(future, &pool->control->jobs[future->index]);
        job->combining = false;
        if (future->code == 0)
            future->code = result;
    }
    return job->then == NULL || !go_on(future);
}

/* ---- futures -------------------------------------------------------------------------------- */

static void list_remove(weir_pool *pool, weir_future *future)
{
    if (future->listed)
        WEIR__QUEUE_REMOVE(&pool->futures.list, future, link);
    future->listed = false;
}

/* The thread that uses the future claims its job: no other thread finishes it until
 * finish_if_done(). NULL: it has ended. */
static weir_pool *claim_job(weir_future *future)
{
    weir_pool *pool = future->pool;
    bool open;

    if (pool == NULL)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    if (future->users > 0)
        weir__out_take_back_left(pool, future);
    while (future->finishing)
        weir__pool_sleep(pool, &pool->finished);
    open = future->pool != NULL;
    if (open)
        future->users++;
    pthread_mutex_unlock(&pool->lock);
    return open ? pool : NULL;
}

/* With pool->lock. Another thread claims the future, at which no thread looks, to finish its
 * job. */
static void claim_to_finish(weir_future *future)
{
    future->users++;
    future->finishing = true;
}

/* Its job, if it has one, is closed; and the pool is not held for it any more. */
static void leave_job(weir_pool *pool, int index)
{
    if (index >= 0)
        weir__job_close(pool, index, true);
    else
        weir__pool_leave(pool);
}

/* Whether calls that look at the future may run functions of the program. */
static bool runs_program(const weir_future *future)
{
    return weir__progress_calls(future->progress) ||
           ((const struct weir__job_future *)future)->kind->combines;
}

/* The future is not claimed any more; with `settled` it has ended. Returns that. */
static bool end_look(weir_pool *pool, weir_future *future, bool settled)
{
    const int index = future->index;
    bool call = false;

    pthread_mutex_lock(&pool->lock);
    future->users--;
    if (future->finishing || pool->ending)
        pthread_cond_broadcast(&pool->finished);
    future->finishing = false;
    if (settled) {
        list_remove(pool, future);
        call = weir__callback_queue(pool, future);
        future->pool = NULL; /* last: the thread that uses the future may free it from here on */
    }
    pthread_mutex_unlock(&pool->lock);
    if (call)
        weir__event_ring(pool->control);
    if (settled)
        leave_job(pool, index);
    return settled;
}

/* A look at a future that is claimed. Cleanups, which do nothing where a look ends in order, give
 * back what it holds if a function of the program's is left by an exception or pthread_exit(). */
struct look {
    weir_pool *pool;
    weir_future *future;
    struct weir__out *out;
    bool inside; /* a function of the program's may run */
};

static void begin_look(struct look *look)
{
    look->inside = runs_program(look->future);
    if (look->inside)
        look->out = weir__out_begin(look->pool, look->future, 0);
    weir__progress_set_out(look->future->progress, look->out);
}

/* False: the pool has ended meanwhile, and the future too. */
static bool leave_look(struct look *look)
{
    look->inside = false;
    weir__progress_set_out(look->future->progress, NULL);
    return weir__out_end(look->out);
}

/* While it waits: the job goes on. */
static void on_wait_left(struct look *look)
{
    if (!look->inside || !leave_look(look))
        return;
    weir__progress_leave(look->pool, look->future->progress);
    end_look(look->pool, look->future, false);
}

/* While it finishes a job that has settled. */
static void on_finish_left(struct look *look)
{
    if (!look->inside || !leave_look(look))
        return;
    if (weir__job_future_of(look->future)->combining)
        finish_job(look->future);
    if (look->future->code != 0)
        weir__keep_error(look->future);
    end_look(look->pool, look->future, true);
}

/* Returns whether the future has ended. `waits`: so that its progress is to show the end. */
static bool finish_if_done(weir_pool *pool, weir_future *future, bool settled, bool waits)
{
    struct look look __attribute__((cleanup(on_finish_left))) = {.pool = pool, .future = future};

    /* Above 1 it is looked at from within on_progress: the wait around it finishes the job. */
    settled = settled && future->users == 1;
    if (settled)
        begin_look(&look);
    settled = settled && finish_job(future);
    if (settled && future->code != 0 && !weir__out_is_lost(look.out))
        weir__keep_error(future);
    if (settled && waits && !weir__out_is_lost(look.out))
        weir__progress_end(pool, future->index, future->progress, future->code);
    if (!leave_look(&look))
        return true;
    return end_look(pool, future, settled);
}

/* One of the oldest futures at which no thread looks and whose job has settled; it is claimed. */
static weir_future *claim_settled(weir_pool *pool)
{
    weir_future *future;
    int looked = 0;

    pthread_mutex_lock(&pool->lock);
    WEIR__QUEUE_EACH (future, &pool->futures.list, link) {
        if (future->users == 0 && weir__job_settled(pool, future->index))
            break;
        if (++looked == LOOK_AT_OLDEST) {
            future = NULL;
            break;
        }
    }
    if (future != NULL)
        claim_to_finish(future);
    pthread_mutex_unlock(&pool->lock);
    return future;
}

void weir__job_future_end_notified(weir_pool *pool, unsigned index)
{
    weir_future *future;

    pthread_mutex_lock(&pool->lock);
    future = pool->jobs.private[index].called;
    if (future != NULL && (future->users > 0 || !weir__job_settled(pool, (int)index)))
        future = NULL; /* the thread that is at it ends it, or the job is notified of again */
    if (future != NULL)
        claim_to_finish(future);
    pthread_mutex_unlock(&pool->lock);
    if (future != NULL)
        finish_if_done(pool, future, true, false);
}

bool weir__job_futures_end_settled(weir_pool *pool)
{
    weir_future *future = NULL;
    int ended = 0;

    while (ended < PLACES_AT_ONCE && (future = claim_settled(pool)) != NULL) {
        finish_if_done(pool, future, true, false);
        ended++;
    }
    return ended > 0;
}

/* Ends futures that have settled, to have their places. If no future has settled, waits a little
 * for an end. */
static bool make_place(weir_pool *pool)
{
    uint32_t bell = atomic_load(&pool->control->host_bell);

    if (!weir__job_futures_end_settled(pool))
        weir__host_sleep(pool, bell, weir__now_ns() + WAIT_FOR_PLACE_NS);
    return !atomic_load(&pool->supervisor_gone);
}

/* Opens the job; where there is no place for it, waits until there is; where there is no memory,
 * futures that have settled give theirs back. */
static int open_at_last(weir_pool *pool, struct weir__job_spec *spec)
{
    for (;;) {
        int index = weir__job_open(pool, spec);

        if (index == -EAGAIN && !make_place(pool))
            return weir__report_no_workers(pool);
        if (index == -EAGAIN)
            continue;
        if ((index != -ENOMEM && index != -ENOSPC) || !weir__job_futures_end_settled(pool))
            return index;
    }
}

/* A job that is being opened. */
struct opening {
    weir_pool *pool;
    struct weir__job_spec *spec;
    weir_future *future;
    bool failed;
};

/* A cleanup, also if combine of another future, which ends to make place, is left by an
 * exception. */
static void on_opening_ended(struct opening *opening)
{
    if (!opening->failed)
        return;
    free(opening->future->progress);
    opening->future->progress = NULL;
    if (opening->spec->inside)
        weir__pool_leave(opening->pool);
}

/* Opens the future's job. Negative: neither job nor progress is there. */
static int open_job(weir_pool *pool, struct weir__job_spec *spec, weir_future *future)
{
    struct opening opening __attribute__((cleanup(on_opening_ended))) = {pool, spec, future, true};
    int result = weir__progress_new(spec, &future->progress);

    if (result < 0) {
        opening.failed = false;
        return result;
    }
    future->index = open_at_last(pool, spec);
    opening.failed = future->index < 0;
    return opening.failed ? future->index : 0;
}

/* A function of the program's was left by an exception or pthread_exit(), and the call with it: as
 * after any call, none of its chunks runs any more. */
static void on_run_left(struct look *run)
{
    weir_future *future = run->future;

    if (!run->inside)
        return;
    if (leave_look(run)) {
        if (future->index >= 0) {
            weir__job_cancel(run->pool, weir__job_position(run->pool, future->index));
            weir__job_wait(run->pool, future->index, INT64_MAX);
        }
        weir__progress_leave(run->pool, future->progress);
        leave_job(run->pool, future->index);
    }
    free(future->progress);
}

/* weir__run() of a job whose call may run functions of the program. */
static int run_with_program(weir_pool *pool, weir_future *future)
{
    struct look run
        __attribute__((cleanup(on_run_left))) = {.pool = pool, .future = future, .inside = true};

    run.out = weir__out_begin(pool, NULL, weir__job_position(pool, future->index));
    weir__job_future_of(future)->out = run.out;
    weir__progress_set_out(future->progress, run.out);
    do
        weir__progress_wait(pool, future->index, INT64_MAX, future->progress);
    while (!weir__out_is_lost(run.out) && !finish_job(future));
    if (!weir__out_is_lost(run.out))
        weir__progress_end(pool, future->index, future->progress, future->code);
    if (!leave_look(&run))
        future->code =
            weir__fail(-ECANCELED, "the pool has ended within a function of the program");
    else
        leave_job(pool, future->index);
    free(future->progress);
    return future->code;
}

int weir__run(weir_pool *pool, struct weir__job_spec *spec, void *user_out)
{
    struct weir__job_future job;
    weir_future *future = &job.future;

    weir__report_begin(spec->report);
    if (spec->count == 0)
        return 0;
    init_job_future(&job, pool, spec, user_out);
    if (open_job(pool, spec, future) < 0)
        return weir_last_error()->code;
    if (runs_program(future))
        return run_with_program(pool, future);
    do
        weir__progress_wait(pool, future->index, INT64_MAX, future->progress);
    while (!finish_job(future));
    weir__progress_end(pool, future->index, future->progress, future->code);
    free(future->progress);
    leave_job(pool, future->index);
    return future->code;
}

/* Of a job without chunks: it has ended. */
static weir_future *launch_empty(weir_pool *pool, weir_future *future)
{
    int error = weir__pool_enter(pool);

    if (error < 0) {
        free(future);
        return NULL;
    }
    weir__future_set_add(pool->futures.set, future);
    future->pool = NULL;
    weir__pool_leave(pool);
    return future;
}

static bool wait_for_job(weir_future *future, int64_t limit_ns);

/* The caller's last error stays as it is. */
static void run_at_once(weir_future *future)
{
    const weir_error before = *weir_last_error();

    wait_for_job(future, INT64_MAX);
    weir__fail_with(&before);
}

weir_future *weir__launch(weir_pool *pool, struct weir__job_spec *spec, void *user_out)
{
    struct weir__job_future *job = malloc(sizeof(*job));
    weir_future *future;

    if (job == NULL)
        return weir__fail_null(-ENOMEM, "no memory for a future");
    future = &job->future;
    init_job_future(job, pool, spec, user_out);
    spec->async = true;
    if (spec->count == 0)
        return launch_empty(pool, future);
    if (open_job(pool, spec, future) < 0) {
        free(job);
        return NULL;
    }
    note_position(pool, future);
    weir__future_set_add(pool->futures.set, future);
    pthread_mutex_lock(&pool->lock);
    WEIR__QUEUE_PUT(&pool->futures.list, future, link);
    future->listed = true;
    if (pool->ending)
        pthread_cond_broadcast(&pool->idle); /* the thread that ends the pool ends it */
    pthread_mutex_unlock(&pool->lock);
    if (pool->here) /* no process would run it meanwhile */
        run_at_once(future);
    return future;
}

/* With pool->lock. One that has a job, and at which no thread looks. */
static weir_future *find_unclaimed(weir_pool *pool)
{
    weir_future *future;

    WEIR__QUEUE_EACH (future, &pool->futures.list, link) {
        if (future->users == 0)
            break;
    }
    return future;
}

/* Claims a future that has a job, to finish it; waits where another thread looks at it. NULL: none
 * has a job. */
static weir_future *claim_to_end(weir_pool *pool)
{
    weir_future *future;

    pthread_mutex_lock(&pool->lock);
    while ((future = find_unclaimed(pool)) == NULL && !WEIR__QUEUE_IS_EMPTY(&pool->futures.list)) {
        weir__out_take_back(pool);
        if (find_unclaimed(pool) == NULL)
            weir__pool_sleep(pool, &pool->finished);
    }
    if (future != NULL)
        claim_to_finish(future);
    pthread_mutex_unlock(&pool->lock);
    return future;
}

void weir__job_futures_end(weir_pool *pool)
{
    weir_future *future;

    while ((future = claim_to_end(pool)) != NULL)
        finish_if_done(pool, future, weir__job_wait(pool, future->index, INT64_MAX), false);
}

/* ---- what the public calls need (future.c) -------------------------------------------------- */

static bool is_job_done(weir_future *future, bool waits)
{
    weir_pool *pool = claim_job(future);

    return pool == NULL ||
           finish_if_done(pool, future, weir__job_settled(pool, future->index), waits);
}

/* False: the pool has ended meanwhile, and the future too. */
static bool wait_in_look(weir_pool *pool, weir_future *future, int64_t limit_ns, bool *settled)
{
    struct look look __attribute__((cleanup(on_wait_left))) = {.pool = pool, .future = future};

    begin_look(&look);
    *settled = weir__progress_wait(pool, future->index, limit_ns, future->progress);
    return leave_look(&look);
}

static bool wait_for_job(weir_future *future, int64_t limit_ns)
{
    weir_pool *pool;

    while ((pool = claim_job(future)) != NULL) {
        const bool within = future->users > 1; /* on_progress; the wait around it goes on */
        bool settled = false;

        if (!wait_in_look(pool, future, limit_ns, &settled))
            continue; /* it has ended */
        finish_if_done(pool, future, settled, true);
        if (!settled || within)
            return false;
    }
    return true;
}

static void cancel_job(weir_pool *pool, weir_future *future)
{
    /* seq_cst, then look; pairs with job_future.c, note_position(): a job that takes this one's
     * place in the future is cancelled by one of them */
    atomic_store(&future->cancelled, true);
    weir__job_cancel(pool, atomic_load(&future->position));
}

static void mark_job_waiting(weir_future *future)
{
    weir_pool *pool = claim_job(future);

    if (pool == NULL)
        return;
    weir__job_mark(pool, future->index, WAITING_ASLEEP);
    finish_if_done(pool, future, false, false);
}

static void free_job_future(weir_future *future)
{
    struct weir__job_future *job = weir__job_future_of(future);

    weir__result_free(future);
    if (job->kind->release != NULL)
        job->kind->release(job->map_reduce);
    free(future->progress);
    weir__future_set_remove(future);
    free(job);
}

int64_t weir__job_future_show(weir_pool *pool, weir_future *future)
{
    struct look look __attribute__((cleanup(on_wait_left))) = {.pool = pool, .future = future};
    int64_t next;

    if (future->progress == NULL || claim_job(future) == NULL)
        return INT64_MAX;
    begin_look(&look);
    next = weir__progress_look(pool, future->index, future->progress);
    if (leave_look(&look))
        end_look(pool, future, false);
    return next;
}

const struct weir__future_kind weir__job_future_kind = {
    .done = is_job_done,
    .wait = wait_for_job,
    .cancel = cancel_job,
    .mark = mark_job_waiting,
    .watch = watch_job,
    .free = free_job_future,
};
