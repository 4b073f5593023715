/* SPDX-License-Identifier: MIT
 *
 * A pool that another thread kills just before a call takes a lock: at each lock of each call.
 *
 * Every pthread_mutex_lock() of the library passes here (ld's --wrap). The thread under test has
 * the pool killed before its n-th one, for n = 1, 2, ... until the call has fewer, or LOCKS_MAX: a
 * call that polls takes ever more. Where the call holds the pool the kill waits for it, so the call
 * goes on after KILL_MS.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define KILL_MS   10
#define LOCKS_MAX 24
#define NAP_US    1000

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

/* Of the thread under test: it is about to take so many locks; 0: none is counted. */
static _Thread_local int locks_left;

static struct {
    weir_pool *pool;
    pthread_t killer;
    _Atomic bool killed;
    bool begun;
} the_kill;

static void *kill_pool(void *arg)
{
    weir_pool_kill(arg);
    atomic_store(&the_kill.killed, true);
    return NULL;
}

static void have_it_killed(void)
{
    the_kill.begun = pthread_create(&the_kill.killer, NULL, kill_pool, the_kill.pool) == 0;
    for (int i = 0; i < KILL_MS && !atomic_load(&the_kill.killed); i++)
        usleep(1000);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (locks_left > 0 && --locks_left == 0)
        have_it_killed();
    return __real_pthread_mutex_lock(mutex);
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static int nap_and_give(weir_task *task, void *arg)
{
    char large[200] = {0};

    usleep(NAP_US);
    return weir_task_result(task, large, *(const int *)arg != 0 ? sizeof large : 8);
}

static int nap(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    usleep(NAP_US);
    return 0;
}

static void ignore(weir_future *future, void *arg)
{
    (void)future;
    (void)arg;
}

static weir_future *submit(const weir_job_options *options)
{
    const int large = options != NULL;

    return weir_pool_submit(the_kill.pool, nap_and_give, &large, sizeof large, options);
}

/* A call of the queue, a call with a job of its own, a job. */
static weir_future *launch(int kind)
{
    return kind == 0   ? submit(NULL)
           : kind == 1 ? submit(OPTIONS(.retries = 1))
                       : weir_pool_for_async(the_kill.pool, (weir_range){0, 2}, nap, NULL, NULL);
}

/* ---- the calls ------------------------------------------------------------------------------ */

/* What each call may give, with a pool that lives, ends or has ended. */
static bool is_expected(int64_t result)
{
    return result >= 0 || result == WEIR_EDIED || result == -ECANCELED || result == -ETIMEDOUT;
}

static int64_t call_wait(weir_future **futures)
{
    return weir_future_wait(futures[0], -1);
}

static int64_t call_done(weir_future **futures)
{
    while (!weir_future_done(futures[0]))
        usleep(200);
    return 0;
}

static int64_t call_result(weir_future **futures)
{
    size_t size;

    return weir_future_result(futures[0], &size) != NULL || size == 0 ? 0 : 1;
}

static int64_t call_error(weir_future **futures)
{
    while (weir_future_error(futures[0]) == NULL && !weir_future_done(futures[0]))
        usleep(200);
    return 0;
}

static int64_t call_cancel(weir_future **futures)
{
    weir_future_cancel(futures[0]);
    return weir_future_wait(futures[0], -1);
}

static int64_t call_free(weir_future **futures)
{
    weir_future_free(futures[0]);
    futures[0] = NULL;
    return 0;
}

static int64_t call_wait_any(weir_future **futures)
{
    return weir_future_wait_many(futures, 3, WEIR_WHEN_ANY, -1);
}

static int64_t call_wait_all(weir_future **futures)
{
    return weir_future_wait_many(futures, 3, WEIR_WHEN_ALL, -1);
}

static int64_t call_then(weir_future **futures)
{
    const int64_t result = weir_future_then(futures[0], ignore, NULL);

    if (result == -EINVAL) /* nothing calls back any more */
        return 0;
    return result < 0 ? result : weir_pool_dispatch(the_kill.pool);
}

static int64_t call_waiter(weir_future **futures)
{
    weir_waiter *waiter = weir_waiter_new(the_kill.pool);
    int64_t result = 0;
    weir_future *ended;

    if (waiter == NULL)
        return weir_last_error()->code;
    for (int i = 0; i < 3 && result == 0; i++)
        result = weir_waiter_add(waiter, futures[i], NULL);
    while (result == 0 && weir_waiter_next(waiter, &ended, NULL, -1) > 0)
        ;
    weir_waiter_free(waiter);
    return result;
}

static int64_t call_submit(weir_future **futures)
{
    (void)futures;
    for (int kind = 0; kind < 3; kind++) {
        weir_future *future = launch(kind);

        if (future == NULL)
            return weir_last_error()->code;
        weir_future_free(future);
    }
    return 0;
}

static int64_t call_for(weir_future **futures)
{
    (void)futures;
    return weir_pool_for(the_kill.pool, (weir_range){0, 4}, nap, NULL, NULL);
}

static int64_t call_stream(weir_future **futures)
{
    weir_stream *stream = weir_stream_new(the_kill.pool, nap_and_give, NULL);
    const int large = 1;
    int64_t result = 0;
    weir_item item;

    (void)futures;
    if (stream == NULL)
        return weir_last_error()->code;
    for (int i = 0; i < 3 && result == 0; i++)
        result = weir_stream_put(stream, &large, sizeof large);
    while (result == 0 && weir_stream_next(stream, &item, -1) > 0)
        ;
    weir_stream_free(stream);
    return result;
}

static int64_t call_pool(weir_future **futures)
{
    weir_pool_stats stats;

    (void)futures;
    weir_pool_cancel(the_kill.pool);
    if (weir_pool_workers(the_kill.pool) < 0)
        return weir_last_error()->code;
    return weir_pool_get_stats(the_kill.pool, &stats);
}

static int64_t call_pool_free(weir_future **futures)
{
    (void)futures;
    weir_pool_free(the_kill.pool);
    return 0;
}

/* ---- each lock of each of them -------------------------------------------------------------- */

struct run {
    int64_t (*call)(weir_future **);
    weir_future *futures[3];
    int at;
    int64_t result;
    char message[sizeof(weir_last_error()->message)];
};

/* Calls, and frees the futures. */
static void *call_it(void *arg)
{
    struct run *run = arg;

    locks_left = run->at;
    run->result = run->call(run->futures);
    locks_left = 0;
    snprintf(run->message, sizeof run->message, "%s", weir_last_error()->message);
    if (the_kill.begun)
        pthread_join(the_kill.killer, NULL);
    for (int i = 0; i < 3; i++)
        weir_future_free(run->futures[i]);
    return NULL;
}

/* The main thread makes what there is, and others use it: for ThreadSanitizer, see
 * race/meson.build. Returns whether the call took so many locks. */
static bool is_overtaken(int64_t (*call)(weir_future **), int kind, int at)
{
    struct run run = {.call = call, .at = at};
    weir_scope *scope = begin();
    pthread_t thread;

    the_kill.pool = new_pool(scope, 1);
    the_kill.begun = false;
    atomic_store(&the_kill.killed, false);
    for (int i = 0; i < 3; i++)
        assert_non_null(run.futures[i] = launch(kind));
    assert_int_equal(pthread_create(&thread, NULL, call_it, &run), 0);
    pthread_join(thread, NULL);
    if (!is_expected(run.result))
        fail_msg("lock %d, kind %d: %lld: %s", at, kind, (long long)run.result, run.message);
    assert_int_equal(weir_scope_end(scope), 0);
    return the_kill.begun;
}

static void at_each_lock(int64_t (*call)(weir_future **))
{
    for (int kind = 0; kind < 3; kind++) {
        for (int at = 1; at < LOCKS_MAX && is_overtaken(call, kind, at); at++)
            ;
    }
}

#define TEST(call)                                                                                 \
    static void call##_ends__when_the_pool_is_killed_at_any_of_its_locks(void **state)             \
    {                                                                                              \
        (void)state;                                                                               \
        at_each_lock(call_##call);                                                                 \
    }

/* clang-format off */
TEST(wait) TEST(done) TEST(result) TEST(error) TEST(cancel) TEST(free) TEST(wait_any) TEST(wait_all)
TEST(then) TEST(waiter) TEST(submit) TEST(for) TEST(stream) TEST(pool) TEST(pool_free)

#define RUN(call) UNIT(call##_ends__when_the_pool_is_killed_at_any_of_its_locks)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(wait), RUN(done), RUN(result), RUN(error), RUN(cancel), RUN(free), RUN(wait_any),
        RUN(wait_all), RUN(then), RUN(waiter), RUN(submit), RUN(for), RUN(stream), RUN(pool),
        RUN(pool_free),
    };
    /* clang-format on */

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
