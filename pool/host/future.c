/* SPDX-License-Identifier: MIT
 *
 * future.c: the public calls about futures.
 *
 * A future is of a job (job_future.c) or of a call in the queue (calls.c); its kind knows what to
 * do. When the pool ends, all its futures are finished first, so they can be asked and freed after
 * it.
 */
#include <errno.h>

#include "pool/control/mine.h"
#include "pool/host/awaited.h"
#include "pool/host/callback.h"
#include "pool/host/future_set.h"
#include "pool/host/hold.h"
#include "pool/host/job_future.h"
#include "pool/host/progress.h"
#include "pool/host/wait.h"
#include "shm/clock.h"
#include "shm/error.h"

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
    return future != NULL ? weir__check_mine(future->set->mine, "a future")
                          : weir__refuse_null("future");
}

static int report_late(int timeout_ms)
{
    return weir__fail(-ETIMEDOUT, "the job has not ended within %d ms", timeout_ms);
}

int weir_future_wait(weir_future *future, int timeout_ms)
{
    const int error = check_future(future);

    if (error < 0)
        return error;
    return future->kind->wait(future, weir__limit_ns(timeout_ms)) ? report_again(future)
                                                                  : report_late(timeout_ms);
}

bool weir_future_done(weir_future *future)
{
    return check_future(future) == 0 && future->kind->done(future, false);
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
    if (!weir_future_done(future) || future->code == 0)
        return NULL;
    return future->error;
}

void weir_future_cancel(weir_future *future)
{
    weir_pool *pool;

    if (future == NULL || !weir__is_mine(future->set->mine))
        return;
    pool = future->pool;
    if (pool == NULL || !weir__pool_touch(pool))
        return;
    future->kind->cancel(pool, future);
    weir__pool_untouch(pool);
}

void weir_future_free(weir_future *future)
{
    if (future == NULL || !weir__is_mine(future->set->mine))
        return;
    if (future->pool != NULL) {
        const weir_error before = *weir_last_error();

        /* Before a look at it: that waits for a thread that finishes the future, and the thread may
         * wait for the job's end. */
        weir_future_cancel(future);
        if (!weir_future_done(future))
            (void)!weir_future_wait(future, -1); /* its error goes with it */
        weir__fail_with(&before);
    }
    if (weir__is_awaited(future))
        weir__awaited_remove(future->callback_arg);
    else if (future->caller != NULL)
        weir__callback_forget(future);
    future->kind->free(future);
}

/* In a forked child all of these are refused before they look at anything else: the child has a
 * copy of the future, as it was in the middle of what other threads did with it, and the job is the
 * program's. A future that is freed there is only forgotten. */

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

/* Of a future that has ended. As in concurrent.futures one that was cancelled has not failed. */
static bool has_failed(const weir_future *future)
{
    return future->code != 0 && future->code != -ECANCELED;
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
        if (!futures[i]->kind->done(futures[i], true)) {
            open = true;
            continue;
        }
        if (weir__progress_begun(futures[i]->progress)) /* another thread has seen the end */
            weir__progress_end(pool, -1, futures[i]->progress, futures[i]->code);
        if (when == WEIR_WHEN_ANY || (when == WEIR_WHEN_FIRST_ERROR && has_failed(futures[i])))
            return (int64_t)i;
    }
    return any && open ? -EAGAIN : (int64_t)count;
}

static void mark_all(weir_future *const *futures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (futures[i] != NULL)
            futures[i]->kind->mark(futures[i]);
    }
}

/* Returns when it will be time to show something again. */
static int64_t show_progress_of_all(weir_pool *pool, weir_future *const *futures, size_t count)
{
    int64_t first = INT64_MAX, next;

    for (size_t i = 0; i < count; i++) {
        next = futures[i] != NULL ? weir__job_future_show(pool, futures[i]) : INT64_MAX;
        first = next < first ? next : first;
    }
    return first;
}

/* weir_future_wait_many(), but for its arguments. */
static int64_t wait_for_several(weir_pool *pool, weir_future *const *futures, size_t count,
                                weir_when when, int timeout_ms)
{
    const int64_t limit = weir__limit_ns(timeout_ms);

    for (;;) {
        uint32_t bell = pool != NULL ? atomic_load(&pool->control->host_bell) : 0;
        int64_t answer = look_at_all(pool, futures, count, when), next;

        if (answer != -EAGAIN)
            return answer;
        mark_all(futures, count);
        answer = look_at_all(pool, futures, count, when);
        if (answer != -EAGAIN)
            return answer;
        if (limit != INT64_MAX && weir__now_ns() >= limit)
            return weir__fail(-ETIMEDOUT, "the futures have not ended within %d ms", timeout_ms);
        next = show_progress_of_all(pool, futures, count);
        weir__host_sleep(pool, bell, next < limit ? next : limit);
    }
}

/* The first future, if any, that has ended and shows no progress: without a look at those behind
 * it. -EAGAIN: there is none. */
static int64_t find_ended(weir_future *const *futures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (futures[i] == NULL)
            continue;
        if (check_future(futures[i]) < 0)
            return -EDEADLK;
        if (futures[i]->progress != NULL)
            return -EAGAIN;
        if (futures[i]->kind->done(futures[i], true))
            return (int64_t)i;
    }
    return -EAGAIN;
}

int64_t weir_future_wait_many(weir_future *const *futures, size_t count, weir_when when,
                              int timeout_ms)
{
    weir_pool *held __attribute__((cleanup(weir__pool_let_go))) = NULL, *pool;
    int64_t answer;
    bool several;

    if (futures == NULL && count > 0)
        return weir__fail(-EINVAL, "the array of futures is NULL");
    if (when != WEIR_WHEN_ANY && when != WEIR_WHEN_ALL && when != WEIR_WHEN_FIRST_ERROR)
        return weir__fail(-EINVAL, "weir_when is %d; it must be from %d to %d", (int)when,
                          WEIR_WHEN_ANY, WEIR_WHEN_FIRST_ERROR);
    answer = when == WEIR_WHEN_ANY ? find_ended(futures, count) : -EAGAIN;
    if (answer != -EAGAIN)
        return answer;
    for (size_t i = 0; i < count; i++) {
        if (futures[i] != NULL && check_future(futures[i]) < 0)
            return -EDEADLK;
    }
    pool = common_pool(futures, count, &several);
    if (several)
        return weir__fail(-EINVAL, "the futures are of several pools");
    if (pool != NULL && !weir__pool_hold(pool)) /* it has just ended, and all its futures */
        pool = NULL;
    held = pool;
    answer = wait_for_several(pool, futures, count, when, timeout_ms);
    for (size_t i = 0; i < count && pool != NULL; i++) {
        if (futures[i] != NULL)
            weir__progress_leave(pool, futures[i]->progress);
    }
    return answer;
}
