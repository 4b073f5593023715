/* SPDX-License-Identifier: MIT
 *
 * future.c: a job that somebody asks about later, and the calls that wait for one at once.
 *
 * A future has a job until its end is noticed: then what the job gave is taken into private memory
 * and the job is closed, so its place is free for another one. That happens in whatever call looks
 * at the future next; and when all places are taken, in the submitting of another one, for futures
 * at which no thread is looking. When the pool ends, all its futures are finished first, so they
 * can be asked and freed after it.
 *
 * pool->lock guards the list, `users`, and the step from "has a job" to "has none".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/bell.h"
#include "pool/host/progress.h"
#include "pool/host/state.h"
#include "shm/clock.h"
#include "shm/error.h"

#define WAIT_FOR_PLACE_NS 100000
#define PLACES_AT_ONCE    256
#define LOOK_AT_OLDEST    1024

/* ---- from a job to its end ------------------------------------------------------------------ */

static void init_job_future(struct weir__job_future *job, weir_pool *pool,
                            const struct weir__job_spec *spec, void *user_out)
{
    memset(&job->future, 0, sizeof(job->future));
    atomic_init(&job->future.pool, pool);
    job->future.work = &job->work;
    job->work = (struct weir__work){
        .kind = spec->kind,
        .data = spec->data,
        .map_reduce = spec->map_reduce,
        .user_out = user_out,
        .arg = spec->arg,
        .keep_going = spec->keep_going,
    };
}

static int open_at_last(weir_pool *pool, const struct weir__job_spec *spec);

/* Closes the job and opens the one that continues it. False: it cannot be opened. */
static bool go_on(weir_future *future)
{
    struct weir__job_spec spec = *future->work->then;
    weir_pool *pool = future->pool;
    const int before = future->index;

    /* Cancelled when all of this job was done: then the one that follows is. */
    if (atomic_load(&pool->control->jobs[before].stop) & STOP_CANCEL)
        spec.cancel_epoch--;
    future->work->then = NULL;
    weir__job_close(pool, future->index);
    weir__progress_go_on(future->progress);
    future->work->kind = spec.kind;
    future->index = open_at_last(pool, &spec);
    if (future->index < 0) {
        future->code = future->index;
        return false;
    }
    /* Who waits for several futures has said so at the job before this one. */
    atomic_store(&pool->control->jobs[future->index].waiting, WAITING_ASLEEP);
    weir__callback_move(future, before);
    return true;
}

/* The job has settled: takes its result. False: it goes on with another job. True: it has ended,
 * and its job is to be closed; its index is negative if there is none. */
static bool finish_job(weir_future *future)
{
    weir_pool *pool = future->pool;
    int result;

    future->code = weir__job_result(pool, future->index);
    result = weir__map_made(pool);
    if (future->code == 0)
        future->code = result;
    if (future->work->kind->finish != NULL) {
        result = future->work->kind->finish(future, &pool->control->jobs[future->index]);
        if (future->code == 0)
            future->code = result;
    }
    return future->work->then == NULL || !go_on(future);
}

static bool is_call(const weir_future *future)
{
    return future->work == NULL;
}

/* ---- futures -------------------------------------------------------------------------------- */

static void list_add(weir_pool *pool, weir_future *future)
{
    TAILQ_INSERT_TAIL(&pool->futures, future, link);
    future->listed = true;
}

static void list_remove(weir_pool *pool, weir_future *future)
{
    if (future->listed)
        TAILQ_REMOVE(&pool->futures, future, link);
    future->listed = false;
}

/* Claims the future's job for this thread: nobody else finishes it until finish_if_done(). NULL:
 * it has ended. */
static weir_pool *claim_job(weir_future *future)
{
    weir_pool *pool = future->pool;

    if (pool == NULL)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    if (future->pool != NULL)
        future->users++;
    pthread_mutex_unlock(&pool->lock);
    return future->pool;
}

static void keep_error(weir_future *future)
{
    if (future->code == 0)
        return;
    future->error = malloc(sizeof(*future->error));
    if (future->error != NULL)
        *future->error = *weir_last_error();
}

/* Returns whether the future has ended. `waits`: so that its progress is to show the end. */
static bool finish_if_done(weir_pool *pool, weir_future *future, bool settled, bool waits)
{
    int index;
    bool call = false;

    settled = settled && finish_job(future);
    if (settled)
        keep_error(future);
    index = future->index;
    if (settled && waits)
        weir__progress_end(pool, index, future->progress, future->code);
    pthread_mutex_lock(&pool->lock);
    future->users--;
    if (settled) {
        list_remove(pool, future);
        future->pool = NULL;
        call = weir__callback_queue(pool, future);
    }
    pthread_mutex_unlock(&pool->lock);
    if (settled && index >= 0)
        weir__job_close(pool, index);
    if (call)
        weir__event_ring(pool->control);
    return settled;
}

/* One of the oldest futures at which nobody looks and whose job has settled; it is claimed. */
static weir_future *claim_settled(weir_pool *pool)
{
    weir_future *future;
    int looked = 0;

    pthread_mutex_lock(&pool->lock);
    TAILQ_FOREACH(future, &pool->futures, link)
    {
        if (future->users == 0 && weir__job_settled(pool, future->index))
            break;
        if (++looked == LOOK_AT_OLDEST) {
            future = NULL;
            break;
        }
    }
    if (future != NULL)
        future->users++;
    pthread_mutex_unlock(&pool->lock);
    return future;
}

void weir__job_future_end_notified(weir_pool *pool, int index)
{
    weir_future *future;

    pthread_mutex_lock(&pool->lock);
    future = pool->job_private[index].called;
    if (future != NULL && (future->users > 0 || !weir__job_settled(pool, index)))
        future = NULL; /* who is at it ends it, or it is told again */
    if (future != NULL)
        future->users++;
    pthread_mutex_unlock(&pool->lock);
    if (future != NULL)
        finish_if_done(pool, future, true, false);
}

/* Ends futures that have settled, to have their places; if there are none, waits a little for one.
 */
static bool make_place(weir_pool *pool)
{
    uint32_t bell = atomic_load(&pool->control->host_bell);
    weir_future *future = NULL;
    int places = 0;

    while (places < PLACES_AT_ONCE && (future = claim_settled(pool)) != NULL) {
        finish_if_done(pool, future, true, false);
        places++;
    }
    if (places == 0)
        weir__host_sleep(pool, bell, weir__now_ns() + WAIT_FOR_PLACE_NS);
    return !atomic_load(&pool->supervisor_gone);
}

/* Opens the job; where there is no place for it, waits until there is. */
static int open_at_last(weir_pool *pool, const struct weir__job_spec *spec)
{
    for (;;) {
        int index = weir__job_open(pool, spec);

        if (index != -EAGAIN)
            return index;
        if (!make_place(pool))
            return weir__report_lost_supervisor(pool);
    }
}

int weir__run(weir_pool *pool, const struct weir__job_spec *spec, void *user_out)
{
    struct weir__job_future job;
    weir_future *future = &job.future;

    if (spec->count == 0)
        return 0;
    init_job_future(&job, pool, spec, user_out);
    if (weir__progress_new(spec, &future->progress) < 0)
        return -ENOMEM;
    future->index = open_at_last(pool, spec);
    if (future->index < 0) {
        weir__progress_free(future->progress);
        return future->index;
    }
    do
        weir__progress_wait(pool, future->index, INT64_MAX, future->progress);
    while (!finish_job(future));
    weir__progress_end(pool, future->index, future->progress, future->code);
    weir__progress_free(future->progress);
    if (future->index >= 0)
        weir__job_close(pool, future->index);
    return future->code;
}

weir_future *weir__launch(weir_pool *pool, struct weir__job_spec *spec, void *user_out)
{
    struct weir__job_future *job = malloc(sizeof(*job));
    weir_future *future;

    if (job == NULL) {
        weir__fail(-ENOMEM, "no memory for a future");
        return NULL;
    }
    future = &job->future;
    init_job_future(job, pool, spec, user_out);
    if (spec->count == 0) {
        weir__future_set_add(pool->future_set, future);
        future->pool = NULL;
        return future;
    }
    if (pool->ending) {
        free(job);
        weir__fail(-ECANCELED, "the pool is about to end");
        return NULL;
    }
    spec->async = true;
    if (weir__progress_new(spec, &future->progress) < 0) {
        free(job);
        return NULL;
    }
    future->index = open_at_last(pool, spec);
    if (future->index < 0) {
        weir__progress_free(future->progress);
        free(job);
        return NULL;
    }
    weir__future_set_add(pool->future_set, future);
    pthread_mutex_lock(&pool->lock);
    list_add(pool, future);
    pthread_mutex_unlock(&pool->lock);
    return future;
}

void weir__futures_end(weir_pool *pool)
{
    weir_future *future;

    while ((future = TAILQ_FIRST(&pool->futures)) != NULL) {
        if (claim_job(future) != NULL)
            finish_if_done(pool, future, weir__job_wait(pool, future->index, INT64_MAX), false);
    }
    weir__calls_end(pool);
}

/* Sets the last error again for a result that was noticed earlier. */
static int report_again(const weir_future *future)
{
    if (future->code == 0)
        return 0;
    return future->error != NULL ? weir__fail_with(future->error)
                                 : weir__fail(future->code, "the job failed");
}

static int check_future(const weir_future *future)
{
    return future != NULL ? 0 : weir__fail(-EINVAL, "the future is NULL");
}

static int64_t limit_of(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : weir__now_ns() + (int64_t)timeout_ms * 1000000;
}

static int report_late(int timeout_ms)
{
    return weir__fail(-ETIMEDOUT, "the job has not ended within %d ms", timeout_ms);
}

int weir_future_wait(weir_future *future, int timeout_ms)
{
    const int64_t limit_ns = limit_of(timeout_ms);
    weir_pool *pool;

    if (check_future(future) < 0)
        return -EINVAL;
    if (is_call(future))
        return weir__call_wait(future, limit_ns) ? report_again(future) : report_late(timeout_ms);
    while ((pool = claim_job(future)) != NULL) {
        bool settled = weir__progress_wait(pool, future->index, limit_ns, future->progress);

        finish_if_done(pool, future, settled, true);
        if (!settled)
            return report_late(timeout_ms);
    }
    return report_again(future);
}

static bool has_ended(weir_future *future, bool waits)
{
    weir_pool *pool;
    bool settled;

    if (is_call(future))
        return weir__call_done(future);
    pool = claim_job(future);
    if (pool == NULL)
        return true;
    settled = weir__job_settled(pool, future->index);
    return finish_if_done(pool, future, settled, waits);
}

bool weir_future_done(weir_future *future)
{
    return future != NULL && has_ended(future, false);
}

const void *weir_future_result(weir_future *future, size_t *size)
{
    if (size != NULL)
        *size = 0;
    if (check_future(future) < 0 || weir_future_wait(future, -1) < 0)
        return NULL;
    if (size != NULL)
        *size = future->result_size;
    return future->result;
}

const weir_error *weir_future_error(weir_future *future)
{
    if (future == NULL || !weir_future_done(future) || future->code == 0)
        return NULL;
    return future->error;
}

void weir_future_cancel(weir_future *future)
{
    weir_pool *pool = future != NULL ? future->pool : NULL;

    if (pool == NULL)
        return;
    if (is_call(future)) {
        weir__call_cancel(future);
        return;
    }
    atomic_fetch_or(&pool->control->jobs[future->index].stop, STOP_CANCEL);
    weir__host_ring(pool->control, &pool->control->jobs[future->index]);
}

void weir_future_free(weir_future *future)
{
    if (future == NULL)
        return;
    if (future->pool != NULL && !weir_future_done(future)) {
        const weir_error before = *weir_last_error();

        weir_future_cancel(future);
        weir_future_wait(future, -1);
        weir__fail_with(&before);
    }
    if (future->caller != NULL)
        weir__callback_forget(future);
    if (is_call(future)) {
        weir__call_free(future);
        return;
    }
    free(future->result);
    free(future->error);
    if (future->work->kind->release != NULL)
        future->work->kind->release(future->work->map_reduce);
    weir__progress_free(future->progress);
    weir__future_set_remove(future);
    free(future);
}

/* ---- several -------------------------------------------------------------------------------- */

static weir_pool *common_pool(weir_future *const *futures, size_t count, bool *several)
{
    weir_pool *pool = NULL;

    *several = false;
    for (size_t i = 0; i < count; i++) {
        weir_pool *other = futures[i] != NULL ? futures[i]->pool : NULL;

        *several |= other != NULL && pool != NULL && other != pool;
        pool = other != NULL ? other : pool;
    }
    return pool;
}

/* The answer, or -EAGAIN when there is none yet. */
static int64_t look_at_all(weir_pool *pool, weir_future *const *futures, size_t count,
                           weir_when when)
{
    bool open = false, any = false;

    for (size_t i = 0; i < count; i++) {
        if (futures[i] == NULL)
            continue;
        any = true;
        if (!has_ended(futures[i], true)) {
            open = true;
            continue;
        }
        if (weir__progress_begun(futures[i]->progress)) /* another thread has seen the end */
            weir__progress_end(pool, -1, futures[i]->progress, futures[i]->code);
        if (when == WEIR_WHEN_ANY || (when == WEIR_WHEN_FIRST_ERROR && futures[i]->code != 0))
            return (int64_t)i;
    }
    return any && open ? -EAGAIN : (int64_t)count;
}

static void mark_waiting(weir_pool *pool, weir_future *const *futures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (futures[i] != NULL && is_call(futures[i])) {
            weir__call_mark(futures[i]);
        } else if (futures[i] != NULL && claim_job(futures[i]) != NULL) {
            /* seq_cst, then look once more; pairs with weir__host_ring() */
            atomic_fetch_or(&pool->control->jobs[futures[i]->index].waiting, WAITING_ASLEEP);
            finish_if_done(pool, futures[i], false, false);
        }
    }
}

/* Returns when it will be time to show something again. */
static int64_t show_progress_of_all(weir_pool *pool, weir_future *const *futures, size_t count)
{
    int64_t first = INT64_MAX, next;

    for (size_t i = 0; i < count; i++) {
        if (futures[i] != NULL && futures[i]->progress != NULL && claim_job(futures[i]) != NULL) {
            next = weir__progress_look(pool, futures[i]->index, futures[i]->progress);
            finish_if_done(pool, futures[i], false, false);
            first = next < first ? next : first;
        }
    }
    return first;
}

/* weir_future_wait_many(), but for its arguments. */
static int64_t wait_for_several(weir_pool *pool, weir_future *const *futures, size_t count,
                                weir_when when, int timeout_ms)
{
    const int64_t limit = limit_of(timeout_ms);

    for (;;) {
        uint32_t bell = pool != NULL ? atomic_load(&pool->control->host_bell) : 0;
        int64_t answer = look_at_all(pool, futures, count, when), next;

        if (answer != -EAGAIN)
            return answer;
        mark_waiting(pool, futures, count);
        answer = look_at_all(pool, futures, count, when);
        if (answer != -EAGAIN)
            return answer;
        if (limit != INT64_MAX && weir__now_ns() >= limit)
            return weir__fail(-ETIMEDOUT, "not within %d ms", timeout_ms);
        next = show_progress_of_all(pool, futures, count);
        weir__host_sleep(pool, bell, next < limit ? next : limit);
    }
}

int64_t weir_future_wait_many(weir_future *const *futures, size_t count, weir_when when,
                              int timeout_ms)
{
    int64_t answer;
    bool several;
    weir_pool *pool;

    if (futures == NULL && count > 0)
        return weir__fail(-EINVAL, "the array of futures is NULL");
    if (when != WEIR_WHEN_ANY && when != WEIR_WHEN_ALL && when != WEIR_WHEN_FIRST_ERROR)
        return weir__fail(-EINVAL, "weir_when is %d; it must be from %d to %d", (int)when,
                          WEIR_WHEN_ANY, WEIR_WHEN_FIRST_ERROR);
    pool = common_pool(futures, count, &several);
    if (several)
        return weir__fail(-EINVAL, "the futures are of several pools");
    answer = wait_for_several(pool, futures, count, when, timeout_ms);
    for (size_t i = 0; i < count && pool != NULL; i++) {
        if (futures[i] != NULL)
            weir__progress_leave(pool, futures[i]->progress);
    }
    return answer;
}
