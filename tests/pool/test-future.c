/* SPDX-License-Identifier: MIT
 *
 * Futures: submitted calls, waiting for one and for several, cancelling, deadlines, and their ends.
 */
#include "support.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static int twice(weir_task *task, void *arg)
{
    int64_t result = *(int64_t *)arg * 2;

    return weir_task_result(task, &result, sizeof(result));
}

static int give_bytes(weir_task *task, void *arg)
{
    size_t size = *(size_t *)arg;
    char *bytes = malloc(size);
    int result;

    if (bytes == NULL)
        return 1;
    memset(bytes, 'r', size);
    /* The last call counts, and what the first one took is given back. */
    result = weir_task_result(task, bytes, size / 2);
    if (result == 0)
        result = weir_task_result(task, bytes, size);
    free(bytes);
    return result;
}

static int sleep_ms(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    usleep(*(useconds_t *)arg * 1000);
    return 0;
}

static int fail_with_seven(weir_task *task, void *arg)
{
    (void)arg;
    return weir_task_fail(task, 7, "as it was told");
}

static int die(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    raise(SIGSEGV);
    return 0;
}

static weir_future *sleeper(weir_pool *pool, int chunks, useconds_t ms)
{
    weir_future *future = weir_pool_for_async(pool, (weir_range){0, chunks}, sleep_ms, &ms,
                                              OPTIONS(.arg_size = sizeof(ms)));

    assert_non_null(future);
    return future;
}

/* Its chunks, one item each, end when the gate is open. */
static weir_future *held(weir_pool *pool, struct gate *gate, int chunks)
{
    weir_future *future =
        weir_pool_for_async(pool, weir_range_of(chunks), wait_at_gate, (void *)&gate,
                            OPTIONS(.grain = 1, .arg_size = sizeof gate));

    assert_non_null(future);
    return future;
}

static weir_future *submit(weir_pool *pool, weir_call_fn function, int64_t arg)
{
    weir_future *future = weir_pool_submit(pool, function, &arg, sizeof(arg), NULL);

    assert_non_null(future);
    return future;
}

/* ---- results -------------------------------------------------------------------------------- */

static void a_submitted_call_gives_its_result(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *future = submit(pool, twice, 21);
    size_t size = 0;

    (void)state;
    assert_int_equal(*(const int64_t *)weir_future_result(future, &size), 42);
    assert_int_equal(size, 8);
    assert_true(weir_future_done(future));
    assert_null(weir_future_error(future));
    assert_int_equal(weir_future_wait(future, 0), 0);
    weir_future_free(future);
    weir_scope_end(scope);
}

static void a_result_of_any_size_comes_back(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    size_t sizes[] = {0, 1, 64, 65, 4096, 5 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        weir_future *future = submit(pool, give_bytes, (int64_t)sizes[i]);
        size_t size = 99;
        const char *bytes = weir_future_result(future, &size);

        assert_int_equal(size, sizes[i]);
        assert_true(size == 0 ? bytes == NULL : bytes[0] == 'r' && bytes[size - 1] == 'r');
        weir_future_free(future);
    }
    weir_scope_end(scope);
}

/* Far more than places for jobs: submitting takes in what has ended. */
static void any_number_of_calls_can_be_submitted_before_one_is_waited_for(void **state)
{
    enum { CALLS = 30000 };
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future **futures = calloc(CALLS, sizeof(weir_future *));

    (void)state;
    for (int64_t i = 0; i < CALLS; i++)
        futures[i] = submit(pool, twice, i);
    for (int64_t i = CALLS - 1; i >= 0; i--) {
        assert_int_equal(weir_future_wait(futures[i], -1), 0);
        assert_int_equal(*(const int64_t *)weir_future_result(futures[i], NULL), 2 * i);
        weir_future_free(futures[i]);
    }
    free(futures);
    weir_scope_end(scope);
}

static void an_error_is_told_at_each_wait(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *failed = submit(pool, fail_with_seven, 0), *dead = submit(pool, die, 0);
    size_t size = 1;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir_future_wait(failed, -1), WEIR_EFAILED);
        assert_int_equal(weir_last_error()->task_code, 7);
        assert_message_has("as it was told");
        assert_int_equal(weir_future_wait(dead, -1), WEIR_EDIED);
        assert_int_equal(weir_last_error()->signal, SIGSEGV);
    }
    assert_int_equal(weir_future_error(failed)->task_code, 7);
    assert_null(weir_future_result(failed, &size));
    assert_int_equal(size, 0);
    weir_future_free(failed);
    weir_future_free(dead);
    weir_scope_end(scope);
}

static void futures_are_refused__when_arguments_are_wrong(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_future *none[1] = {NULL};

    (void)state;
    assert_null(weir_pool_submit(NULL, twice, NULL, 0, NULL));
    assert_null(weir_pool_submit(pool, NULL, NULL, 0, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_pool_submit(pool, twice, NULL, 8, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_pool_for_async(pool, (weir_range){2, 1}, sleep_ms, NULL, NULL));
    assert_int_equal(weir_future_wait(NULL, 0), -EINVAL);
    assert_null(weir_future_result(NULL, NULL));
    assert_null(weir_future_error(NULL));
    assert_false(weir_future_done(NULL));
    weir_future_cancel(NULL);
    weir_future_free(NULL);
    assert_int_equal(weir_future_wait_many(NULL, 1, WEIR_WHEN_ANY, 0), -EINVAL);
    assert_int_equal(weir_future_wait_many(none, 1, (weir_when)9, 0), -EINVAL);
    assert_message_has("9");
    assert_int_equal(weir_future_wait_many(none, 1, WEIR_WHEN_ANY, 0), 1);
    weir_scope_end(scope);
}

/* The first attempt gives a result of so many bytes and dies; the second gives none. */
static int give_and_die(weir_task *task, void *arg)
{
    static const char bytes[1000];

    if (weir_task_attempt(task) > 1)
        return 0;
    if (weir_task_result(task, bytes, *(size_t *)arg) == 0)
        raise(SIGKILL);
    return 1;
}

static void a_dead_attempt_has_no_result__when_the_next_gives_none(void **state)
{
    static const size_t sizes[] = {20, 1000};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        weir_future *future =
            weir_pool_submit(pool, give_and_die, &sizes[i], sizeof sizes[i], OPTIONS(.retries = 1));
        size_t size = 7;

        assert_int_equal(weir_future_wait(future, -1), 0);
        assert_null(weir_future_result(future, &size));
        assert_int_equal(size, 0);
        weir_future_free(future);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int try_a_result(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    return weir_task_result(task, "x", 1) == -EINVAL ? 0 : 1;
}

/* What a task gives one after the other, without a look at what comes of it. */
struct giving {
    size_t sizes[2]; /* 0: nothing */
    int fail;        /* in between; 0: not */
    int returned;
};

static int give_carelessly(weir_task *task, void *arg)
{
    static const char byte[8] = "careful";
    const struct giving *giving = arg;

    if (giving->sizes[0] > 0)
        weir_task_result(task, byte, giving->sizes[0]);
    if (giving->fail != 0)
        weir_task_fail(task, giving->fail, "by itself");
    if (giving->sizes[1] > 0)
        weir_task_result(task, byte, giving->sizes[1]);
    return giving->returned;
}

#define TOO_LARGE ((size_t)1 << 44)

static void the_call_fails__when_its_last_result_is_lost(void **state)
{
    static const struct {
        struct giving giving;
        int code;
        const char *message;
    } cases[] = {
        {{{TOO_LARGE, 0}, 0, 0}, -ENOSPC, "result of 17592186044416 bytes is lost"},
        {{{8, TOO_LARGE}, 0, 0}, -ENOSPC, "result of 17592186044416 bytes is lost"},
        {{{TOO_LARGE, 8}, 0, 0}, 0, NULL},
        {{{TOO_LARGE, 0}, 0, 5}, -ENOSPC, "is lost"},
        {{{TOO_LARGE, 8}, 0, 5}, 5, "with code 5"},
        {{{TOO_LARGE, 8}, 7, 0}, 7, "by itself"},
        {{{8, TOO_LARGE}, 7, 0}, 7, "by itself"},
    };
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const struct giving *giving = &cases[i / 2].giving;
        /* in the queue, and as a job of its own */
        weir_future *future = weir_pool_submit(pool, give_carelessly, giving, sizeof *giving,
                                               OPTIONS(.retries = (int)(i % 2)));
        size_t size = 99;

        if (cases[i / 2].code == 0) {
            assert_string_equal(weir_future_result(future, &size), "careful");
            assert_int_equal(size, 8);
        } else {
            assert_null(weir_future_result(future, &size));
            assert_int_equal(size, 0);
            assert_int_equal(weir_future_wait(future, -1), WEIR_EFAILED);
            assert_int_equal(weir_future_error(future)->task_code, cases[i / 2].code);
            assert_message_has(cases[i / 2].message);
        }
        weir_future_free(future);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void only_a_submitted_call_has_a_result(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, try_a_result, NULL, NULL),
                     WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, -EINVAL);
    assert_message_has("only a task of weir_pool_submit()");
    weir_scope_end(scope);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void waiting_ends__when_the_time_is_up(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = shared_memory(sizeof *gate);
    weir_pool *pool = new_pool(scope, 1);
    weir_future *future = held(pool, gate, 1);
    double from = now_ms();

    (void)state;
    assert_int_equal(weir_future_wait(future, 50), -ETIMEDOUT);
    assert_false(weir_future_done(future));
    assert_in_range(now_ms() - from, 45, 5000);
    gate->open = true;
    assert_int_equal(weir_future_wait(future, -1), 0);
    weir_future_free(future);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
}

static void waiting_for_several_ends_as_it_should(void **state)
{
    weir_scope *scope = begin();
    struct gate *gates = shared_memory(2 * sizeof *gates);
    weir_pool *pool = new_pool(scope, 4);
    weir_future *futures[4] = {held(pool, &gates[0], 1), NULL, held(pool, &gates[1], 1), NULL};

    (void)state;
    assert_int_equal(weir_future_wait_many(futures, 4, WEIR_WHEN_ANY, 10), -ETIMEDOUT);
    gates[1].open = true;
    assert_int_equal(weir_future_wait_many(futures, 4, WEIR_WHEN_ANY, -1), 2);
    assert_false(weir_future_done(futures[0]));
    futures[1] = submit(pool, fail_with_seven, 0);
    assert_int_equal(weir_future_wait_many(futures, 4, WEIR_WHEN_FIRST_ERROR, -1), 1);
    assert_false(weir_future_done(futures[0]));
    assert_int_equal(weir_future_wait_many(futures, 4, WEIR_WHEN_ALL, 10), -ETIMEDOUT);
    gates[0].open = true;
    assert_int_equal(weir_future_wait_many(futures, 4, WEIR_WHEN_ALL, -1), 4);
    assert_true(weir_future_done(futures[0]));
    assert_int_equal(weir_future_wait_many(futures, 1, WEIR_WHEN_FIRST_ERROR, -1), 1);
    for (int i = 0; i < 4; i++)
        weir_future_free(futures[i]);
    weir_scope_end(scope);
    munmap(gates, 2 * sizeof *gates);
}

static void a_cancelled_future_is_no_error__when_the_first_one_is_awaited(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = shared_memory(sizeof *gate);
    weir_pool *pool = new_pool(scope, 1);
    weir_future *futures[3] = {held(pool, gate, 1)};

    (void)state;
    WAIT_UNTIL(gate->waiting == 1, 20000); /* it may begin with any of them */
    futures[1] = submit(pool, twice, 1);
    futures[2] = held(pool, gate, 1);
    weir_future_cancel(futures[1]);
    weir_future_cancel(futures[2]);
    assert_int_equal(weir_future_wait_many(futures, 3, WEIR_WHEN_FIRST_ERROR, 0), -ETIMEDOUT);
    gate->open = true;
    assert_int_equal(weir_future_wait_many(futures, 3, WEIR_WHEN_FIRST_ERROR, -1), 3);
    assert_int_equal(weir_future_wait(futures[0], 0), 0);
    assert_int_equal(weir_future_wait(futures[1], 0), -ECANCELED);
    assert_int_equal(weir_future_wait(futures[2], 0), -ECANCELED);
    weir_future_free(futures[0]);
    futures[0] = submit(pool, fail_with_seven, 0);
    assert_int_equal(weir_future_wait_many(futures, 3, WEIR_WHEN_FIRST_ERROR, -1), 0);
    for (int i = 0; i < 3; i++)
        weir_future_free(futures[i]);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
}

static void futures_of_several_pools_are_refused(void **state)
{
    weir_scope *scope = begin();
    weir_pool *one = new_pool(scope, 1), *other = new_pool(scope, 1);
    weir_future *futures[2] = {sleeper(one, 1, 100), sleeper(other, 1, 100)};

    (void)state;
    assert_int_equal(weir_future_wait_many(futures, 2, WEIR_WHEN_ALL, -1), -EINVAL);
    weir_future_free(futures[0]);
    weir_future_free(futures[1]);
    weir_scope_end(scope);
}

/* Two tasks that need each other run at once, whichever worker was woken for them. */
static int meet(weir_task *task, void *arg)
{
    _Atomic int *here = *(void **)arg;
    double until = now_ms() + 5000;

    (void)task;
    (*here)++;
    while (*here < 2 && now_ms() < until)
        usleep(100);
    return *here < 2;
}

static void calls_run_at_once__when_submitted_one_after_the_other(void **state)
{
    _Atomic int *here = shared_memory(4096);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int i = 0; i < 300; i++) {
        weir_future *futures[2];

        *here = 0;
        if (i % 3 == 1)
            usleep(300); /* all asleep */
        for (int k = 0; k < 2; k++) {
            futures[k] = weir_pool_submit(pool, meet, &here, sizeof(here), NULL);
            if (i % 5 == 2)
                usleep(30);
        }
        for (int k = 0; k < 2; k++) {
            if (weir_future_wait(futures[k], -1) != 0)
                fail_msg("round %d: %s", i, weir_last_error()->message);
            weir_future_free(futures[k]);
        }
    }
    weir_scope_end(scope);
    munmap((void *)here, 4096);
}

/* ---- cancelling and deadlines --------------------------------------------------------------- */

static void a_cancelled_job_ends__when_its_running_chunks_are_through(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = shared_memory(sizeof *gate);
    struct slow *slow = shared_memory(sizeof *slow);
    weir_pool *pool = new_pool(scope, 2);
    weir_future *future = held(pool, gate, 50);

    (void)state;
    WAIT_UNTIL(gate->waiting == 2, 20000);
    weir_future_cancel(future);
    assert_int_equal(weir_future_wait(future, 20), -ETIMEDOUT);
    gate->open = true;
    assert_int_equal(weir_future_wait(future, -1), -ECANCELED);
    assert_int_equal(gate->waiting, 2);
    weir_future_free(future);

    future =
        weir_pool_for_async(pool, weir_range_of(50), until_cancelled, slow, OPTIONS(.grain = 1));
    WAIT_UNTIL(slow->started == 2, 20000);
    weir_future_free(future); /* waits for both */
    /* and the pool is as before */
    future = submit(pool, twice, 4);
    assert_int_equal(weir_future_wait(future, -1), 0);
    assert_int_equal(slow->started, 2);
    weir_future_free(future);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
    munmap(slow, sizeof *slow);
}

static void a_job_is_stopped__when_it_passes_its_deadline(void **state)
{
    useconds_t ms = 2000;
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int timeout = 100; timeout <= 300; timeout += 100) {
        double took = INFINITY;

        /* Where many processes want the CPUs each of the three that take part may have to wait for
         * one; the best of some tries says what the deadline costs. */
        for (int i = 0; i < 5 && took > timeout * 1.2 + 50; i++) {
            double from = now_ms();

            assert_int_equal(
                weir_pool_for(pool, (weir_range){0, 10}, sleep_ms, &ms,
                              OPTIONS(.arg_size = sizeof(ms), .timeout_ms = timeout, .retries = 3)),
                -ETIMEDOUT);
            assert_message_has("timeout_ms");
            assert_true(now_ms() - from >= timeout * 0.8);
            took = fmin(took, now_ms() - from);
        }
        assert_true(took <= timeout * 1.2 + 50);
    }
    ms = 1;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 10}, sleep_ms, &ms,
                                   OPTIONS(.arg_size = sizeof(ms), .timeout_ms = 5000)),
                     0);
    weir_scope_end(scope);
}

static int slow_once(weir_task *task, weir_range range, void *arg)
{
    if (range.begin == 3 && weir_task_attempt(task) <= *(int *)arg)
        usleep(30000000);
    return 0;
}

static void a_chunk_is_killed_and_retried__when_it_passes_its_deadline(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    int times = 1;
    double from = now_ms();

    (void)state;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 10}, slow_once, &times,
                      OPTIONS(.arg_size = sizeof(times), .chunk_timeout_ms = 400, .retries = 1)),
        0);
    assert_in_range(now_ms() - from, 400, 10000); /* not 30 s */
    times = 2;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 10}, slow_once, &times,
                      OPTIONS(.arg_size = sizeof(times), .chunk_timeout_ms = 400, .retries = 1)),
        -ETIMEDOUT);
    assert_message_has("chunk_timeout_ms 400");
    assert_int_equal(weir_last_error()->range.begin, 3);
    assert_int_equal(weir_last_error()->attempt, 2);
    weir_scope_end(scope);
}

static void a_stopped_worker_is_noticed__by_the_chunk_deadline(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = shared_memory(sizeof *gate);
    weir_pool *pool = new_pool(scope, 1);
    weir_future *future = weir_pool_for_async(
        pool, (weir_range){0, 2}, wait_at_gate, (void *)&gate,
        OPTIONS(.arg_size = sizeof gate, .chunk_timeout_ms = 1000, .retries = 1));

    (void)state;
    WAIT_UNTIL(gate->waiting == 1, 20000);
    assert_int_equal(kill(weir_pool_worker_pid(pool, 0), SIGSTOP), 0);
    gate->open = true;
    assert_int_equal(weir_future_wait(future, 20000), 0);
    weir_future_free(future);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void futures_can_be_asked_and_freed__after_their_pool(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *done = submit(pool, twice, 1), *late = sleeper(pool, 2, 100);
    weir_future *killed;

    (void)state;
    weir_pool_free(pool); /* waits for both */
    assert_int_equal(weir_future_wait(late, 0), 0);
    assert_int_equal(*(const int64_t *)weir_future_result(done, NULL), 2);
    weir_future_free(done);
    weir_future_free(late);

    pool = new_pool(scope, 2);
    killed = sleeper(pool, 2, 5000);
    usleep(10000);
    weir_pool_kill(pool);
    assert_int_equal(weir_future_wait(killed, 0), WEIR_EDIED);
    weir_future_free(killed);

    pool = new_pool(scope, 2);
    killed = sleeper(pool, 2, 5000);
    usleep(10000);
    weir_scope_end(scope);
    assert_int_equal(weir_future_wait(killed, 0), WEIR_EDIED);
    weir_future_free(killed);
}

static void futures_end__when_the_supervisor_is_killed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *futures[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        futures[i] = sleeper(pool, 2, 5000);
    kill(weir_pool_supervisor_pid(pool), SIGKILL);
    assert_int_equal(weir_future_wait_many(futures, 3, WEIR_WHEN_ALL, 3000), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weir_future_wait(futures[i], 0), WEIR_EDIED);
        assert_message_has("supervisor");
        weir_future_free(futures[i]);
    }
    weir_scope_end(scope);
}

static void *submit_many(void *arg)
{
    for (int64_t i = 0; i < 2000; i++) {
        weir_future *future = submit(arg, twice, i);

        if (weir_future_wait(future, -1) != 0 ||
            *(const int64_t *)weir_future_result(future, NULL) != 2 * i)
            return "wrong";
        weir_future_free(future);
    }
    return NULL;
}

static void threads_submit_at_once(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    pthread_t threads[4];
    void *wrong;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, pool), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    weir_scope_end(scope);
}

/* ---- workers -------------------------------------------------------------------------------- */

static int tell_pid(weir_task *task, weir_range range, void *arg)
{
    _Atomic pid_t *pids = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++)
        pids[i] = getpid();
    return 0;
}

static void a_worker_is_replaced__after_chunks_per_worker(void **state)
{
    pid_t *pids = shared_memory(4096);
    weir_scope *scope = begin();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 1, .chunks_per_worker = 3});
    int changes = 0;

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 12}, tell_pid, pids, OPTIONS(.grain = 1)),
                     0);
    for (int i = 1; i < 12; i++)
        changes += pids[i] != pids[i - 1];
    assert_int_equal(changes, 3);
    assert_null(weir_pool_new(scope, &(weir_pool_options){.chunks_per_worker = -1}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    weir_scope_end(scope);
    munmap(pids, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_submitted_call_gives_its_result),
        UNIT(a_result_of_any_size_comes_back),
        UNIT(any_number_of_calls_can_be_submitted_before_one_is_waited_for),
        UNIT(an_error_is_told_at_each_wait),
        UNIT(futures_are_refused__when_arguments_are_wrong),
        UNIT(a_dead_attempt_has_no_result__when_the_next_gives_none),
        UNIT(the_call_fails__when_its_last_result_is_lost),
        UNIT(only_a_submitted_call_has_a_result),
        UNIT(waiting_ends__when_the_time_is_up),
        UNIT(waiting_for_several_ends_as_it_should),
        UNIT(a_cancelled_future_is_no_error__when_the_first_one_is_awaited),
        UNIT(futures_of_several_pools_are_refused),
        UNIT(calls_run_at_once__when_submitted_one_after_the_other),
        UNIT(a_cancelled_job_ends__when_its_running_chunks_are_through),
        UNIT(a_job_is_stopped__when_it_passes_its_deadline),
        UNIT(a_chunk_is_killed_and_retried__when_it_passes_its_deadline),
        UNIT(a_stopped_worker_is_noticed__by_the_chunk_deadline),
        UNIT(futures_can_be_asked_and_freed__after_their_pool),
        UNIT(futures_end__when_the_supervisor_is_killed),
        UNIT(threads_submit_at_once),
        UNIT(a_worker_is_replaced__after_chunks_per_worker),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
