/* SPDX-License-Identifier: MIT
 *
 * Futures in a program with an event loop: each callback comes once, whoever dies.
 */
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <uv.h>

#include "pool/host/state.h"

#define SOON_MS 900 /* before the tick that would repair a lost signal */

static int calls, sum, failures, last_code;

static void note(weir_future *future, void *arg)
{
    size_t size;
    const int *result;

    last_code = weir_future_wait(future, 0);
    result = weir_future_result(future, &size);
    calls++;
    failures += last_code != 0;
    sum += result != NULL && size == sizeof *result ? *result : 0;
    if (arg != NULL)
        *(weir_future **)arg = NULL;
    weir_future_free(future);
}

/* How many calls of sleep_ms() have begun since start(). */
static _Atomic int *begun;

static void start(void)
{
    atomic_store(begun, 0);
    calls = sum = failures = last_code = 0;
}

static int twice(weir_task *task, void *arg)
{
    int number = *(int *)arg * 2;

    return weir_task_result(task, &number, sizeof number);
}

static struct gate *gate; /* shared */

static int twice_at_gate(weir_task *task, void *arg)
{
    return pass(gate) != 0 ? 1 : twice(task, arg);
}

static int sleep_ms(weir_task *task, void *arg)
{
    atomic_fetch_add(begun, 1);
    usleep((useconds_t) * (int *)arg * 1000);
    return twice(task, arg);
}

/* The first attempt dies, wherever that leaves it. */
static int die_at_first(weir_task *task, void *arg)
{
    if (weir_task_attempt(task) == 1)
        kill(getpid(), SIGKILL);
    return twice(task, arg);
}

static weir_future *submit_then(weir_pool *pool, weir_call_fn function, int number, int retries)
{
    weir_future *future =
        weir_pool_submit(pool, function, &number, sizeof number, OPTIONS(.retries = retries));

    if (future == NULL)
        fail_msg("%s", weir_last_error()->message);
    assert_int_equal(weir_future_then(future, note, NULL), 0);
    return future;
}

/* Waits on the descriptor as a loop would, until `wanted` callbacks have come. Returns the longest
 * wait in ms. */
static double dispatch_until(weir_pool *pool, int wanted, int limit_ms)
{
    struct pollfd poll_fd = {.fd = weir_pool_fd(pool), .events = POLLIN};
    double begin_ms = now_ms(), longest = 0;

    assert_true(poll_fd.fd >= 0);
    while (calls < wanted && now_ms() - begin_ms < limit_ms) {
        double before = now_ms();

        poll(&poll_fd, 1, 100);
        longest = now_ms() - before > longest ? now_ms() - before : longest;
        if (poll_fd.revents & POLLIN)
            assert_true(weir_pool_dispatch(pool) >= 0);
    }
    assert_int_equal(calls, wanted);
    return now_ms() - begin_ms;
}

/* ---- any loop -------------------------------------------------------------------------------- */

static void each_callback_comes_once__when_dispatched_by_hand(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    start();
    assert_int_equal(weir_pool_dispatch(pool), 0);
    assert_int_equal(weir_pool_fd(pool), weir_pool_fd(pool));
    for (int i = 0; i < 500; i++)
        submit_then(pool, twice, i, 0);
    dispatch_until(pool, 500, 20000);
    assert_int_equal(sum, 499 * 500);
    assert_int_equal(failures, 0);
    assert_int_equal(weir_pool_dispatch(pool), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    assert_int_equal(calls, 500);
}

static void the_callback_waits_for_dispatch__when_the_future_has_ended(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    int number = 4;
    weir_future *future = weir_pool_submit(pool, twice, &number, sizeof number, NULL);

    (void)state;
    start();
    assert_int_equal(weir_future_wait(future, -1), 0);
    assert_int_equal(weir_future_then(future, note, NULL), 0);
    assert_int_equal(calls, 0);
    assert_true(dispatch_until(pool, 1, 5000) < SOON_MS);
    assert_int_equal(sum, 8);
    /* and with a job that has settled, which no thread has noticed */
    future = weir_pool_submit(pool, twice, &number, sizeof number, NULL);
    usleep(50000);
    assert_int_equal(weir_future_then(future, note, NULL), 0);
    assert_int_equal(calls, 1);
    assert_true(dispatch_until(pool, 2, 5000) < SOON_MS);
    /* and with one that the program waits for, whose worker has not told of it */
    future = weir_pool_submit(pool, sleep_ms, &number, sizeof number, NULL);
    assert_int_equal(weir_future_then(future, note, NULL), 0);
    atomic_store(&pool->control->jobs[future->index].waiting, 0);
    assert_int_equal(weir_future_wait(future, -1), 0);
    assert_true(dispatch_until(pool, 3, 5000) < SOON_MS);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void nothing_is_accepted__that_has_no_sense(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1), *other = new_pool(scope, 1);
    int number = 1;
    weir_future *future = weir_pool_submit(pool, sleep_ms, &number, sizeof number, NULL);
    weir_future *foreign, *foreign_job;

    (void)state;
    number = 300;
    foreign = weir_pool_submit(other, sleep_ms, &number, sizeof number, NULL);
    foreign_job = weir_pool_submit(other, sleep_ms, &number, sizeof number, OPTIONS(.retries = 1));
    start();
    assert_int_equal(weir_future_then(NULL, note, NULL), -EINVAL);
    assert_int_equal(weir_future_then(future, NULL, NULL), -EINVAL);
    assert_int_equal(weir_future_then(future, note, NULL), 0);
    assert_int_equal(weir_future_then(future, note, NULL), -EBUSY);
    assert_int_equal(weir_pool_fd(NULL), -EINVAL);
    assert_int_equal(weir_pool_dispatch(NULL), -EINVAL);
    assert_int_equal(weir_pool_use_loop(NULL, NULL), -EINVAL);
    assert_int_equal(weir_pool_use_loop(pool, NULL), 0); /* it uses none */
    weir_pool_free(pool);
    weir_pool_free(other);
    /* Of a pool that is gone nothing calls back, be it a call's future or a job's. */
    assert_int_equal(weir_future_then(foreign, note, NULL), -EINVAL);
    assert_message_has("pool has ended");
    assert_int_equal(weir_future_then(foreign_job, note, NULL), -EINVAL);
    assert_message_has("pool has ended");
    weir_future_free(foreign);
    weir_future_free(foreign_job);
    assert_int_equal(calls, 1);
    weir_scope_end(scope);
}

static void there_is_no_call__when_the_future_is_freed_before(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    start();
    weir_future_free(submit_then(pool, sleep_ms, 20, 0)); /* running or not */
    weir_future_free(submit_then(pool, twice, 20, 0));
    {
        weir_future *ended = submit_then(pool, twice, 20, 0);

        assert_int_equal(weir_future_wait(ended, -1), 0);
        weir_future_free(ended);
    }
    assert_int_equal(weir_pool_dispatch(pool), 0);
    usleep(50000);
    assert_int_equal(weir_pool_dispatch(pool), 0);
    assert_int_equal(calls, 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    assert_int_equal(calls, 0);
}

static void callbacks_come__when_more_are_in_flight_than_there_are_places(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    start();
    for (int i = 0; i < 6000; i++)
        submit_then(pool, twice, 1, 0);
    dispatch_until(pool, 6000, 60000);
    assert_int_equal(sum, 12000);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int emit_items(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        int64_t key = i % 100;

        if (weir_emit_int64(task, &key, sizeof key, 1) < 0)
            return -1;
    }
    return 0;
}

static void note_table(weir_future *future, void *arg)
{
    weir_table *table = weir_future_table(future);

    (void)arg;
    calls++;
    sum += table != NULL ? (int)weir_table_len(table) : 0;
    weir_table_free(table);
    weir_future_free(future);
}

/* It goes on with a second job, in which the tables are merged. */
static void the_callback_comes_after_the_merge__of_a_map_reduce(void **state)
{
    const weir_map_reduction counting = {
        .map = emit_items, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    start();
    for (int i = 0; i < 20; i++) {
        weir_future *future =
            weir_pool_map_reduce_async(pool, (weir_range){0, 5000}, &counting, NULL, NULL);

        assert_non_null(future);
        assert_int_equal(weir_future_then(future, note_table, NULL), 0);
        assert_true(dispatch_until(pool, i + 1, 5000) < SOON_MS);
    }
    assert_int_equal(sum, 2000);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- ends of all kinds ----------------------------------------------------------------------- */

static void callbacks_come_soon__when_workers_die(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    start();
    for (int i = 0; i < 20; i++)
        submit_then(pool, die_at_first, 1, i % 2 == 0 ? 1 : -1);
    dispatch_until(pool, 20, 60000);
    assert_int_equal(failures, 10);
    assert_int_equal(sum, 20);
    for (int i = 0; i < 3; i++) {
        start();
        submit_then(pool, die_at_first, 1, -1);
        assert_true(dispatch_until(pool, 1, 5000) < SOON_MS);
        assert_int_equal(last_code, WEIR_EDIED);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* Kills a worker every few milliseconds, wherever it is. */
static void *kill_often(void *arg)
{
    weir_pool *pool = arg;

    for (unsigned i = 0; i < 150; i++) {
        pid_t pid = weir_pool_worker_pid(pool, (int)(i % 2));

        if (pid > 0)
            kill(pid, SIGKILL);
        usleep(3000 + i * 7 % 11 * 100);
    }
    return NULL;
}

static void every_callback_comes__in_a_storm_of_kills(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    pthread_t killer;

    (void)state;
    start();
    assert_int_equal(pthread_create(&killer, NULL, kill_often, pool), 0);
    for (int round = 1; round <= 15; round++) {
        for (int i = 0; i < 200; i++)
            submit_then(pool, twice, 1, 30);
        dispatch_until(pool, 200 * round, 60000);
    }
    pthread_join(killer, NULL);
    assert_int_equal(failures, 0);
    assert_int_equal(sum, 6000);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void callbacks_come_soon__when_the_supervisor_is_killed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    start();
    for (int i = 0; i < 5; i++)
        submit_then(pool, sleep_ms, 10000, 0);
    usleep(20000);
    kill(weir_pool_supervisor_pid(pool), SIGKILL);
    assert_true(dispatch_until(pool, 5, 10000) < SOON_MS);
    assert_int_equal(failures, 5);
    assert_int_equal(last_code, WEIR_EDIED);
    /* the descriptor is at rest */
    assert_int_equal(poll(&(struct pollfd){.fd = weir_pool_fd(pool), .events = POLLIN}, 1, 0), 0);
    weir_pool_kill(pool);
    weir_scope_end(scope);
}

static void callbacks_come_soon__when_jobs_are_cancelled_or_late(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    int number = 10000;
    weir_future *future;

    (void)state;
    gate = shared_memory(sizeof *gate);
    pool = new_pool(scope, 1);
    start();
    for (int i = 0; i < 5; i++)
        submit_then(pool, twice_at_gate, 3, 0);
    WAIT_UNTIL(gate->waiting == 1, 20000);
    weir_pool_cancel(pool);
    gate->open = true;
    assert_true(dispatch_until(pool, 5, 10000) < SOON_MS);
    assert_int_equal(failures, 4);
    *gate = (struct gate){0};
    /* at once, even if no call ends for a while */
    start();
    future = weir_pool_submit(pool, sleep_ms, &number, sizeof number, NULL);
    WAIT_UNTIL(atomic_load(begun) == 1, 10000);
    submit_then(pool, sleep_ms, 10, 0);
    weir_pool_cancel(pool);
    assert_true(dispatch_until(pool, 1, 10000) < SOON_MS);
    assert_int_equal(last_code, -ECANCELED);
    kill(weir_pool_worker_pid(pool, 0), SIGKILL);
    weir_future_free(future);
    /* one by one */
    start();
    submit_then(pool, twice_at_gate, 3, 0);
    WAIT_UNTIL(gate->waiting == 1, 20000);
    weir_future_cancel(submit_then(pool, twice_at_gate, 3, 0));
    gate->open = true;
    assert_true(dispatch_until(pool, 2, 10000) < SOON_MS);
    assert_int_equal(failures, 1);
    start();
    future = weir_pool_submit(pool, sleep_ms, &number, sizeof number, OPTIONS(.timeout_ms = 50));
    assert_int_equal(weir_future_then(future, note, NULL), 0);
    assert_true(dispatch_until(pool, 1, 10000) < SOON_MS);
    assert_int_equal(last_code, -ETIMEDOUT);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
}

static void a_lost_signal_is_made_good__within_two_seconds(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    start();
    assert_true(weir_pool_fd(pool) >= 0);
    /* as if a worker had been stopped just before its write */
    atomic_store(&pool->control->event, 1);
    submit_then(pool, twice, 1, 0);
    dispatch_until(pool, 1, 2000);
    /* and at rest there are no ticks */
    usleep(1100000);
    weir_pool_dispatch(pool);
    assert_int_equal(poll(&(struct pollfd){.fd = weir_pool_fd(pool), .events = POLLIN}, 1, 1200),
                     0);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- the end of the pool --------------------------------------------------------------------- */

static void callbacks_that_are_left_are_called__when_the_pool_ends(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 1);

        start();
        for (int i = 0; i < 10; i++)
            submit_then(pool, sleep_ms, 20, 0);
        if (way == 0)
            weir_pool_free(pool);
        else if (way == 1)
            weir_pool_kill(pool);
        if (way < 2)
            assert_int_equal(calls, 10);
        weir_scope_end(scope);
        assert_int_equal(calls, 10);
        assert_true(way == 0 ? failures == 0 : failures >= 8);
    }
}

static weir_pool *pool_to_free;

static void free_the_pool(weir_future *future, void *arg)
{
    int number = 1, nth = ++calls;

    (void)arg;
    weir_future_free(future);
    weir_pool_free(pool_to_free); /* does it for the first; the others are called in there */
    if (nth > 1) {
        assert_null(weir_pool_submit(pool_to_free, twice, &number, sizeof number, NULL));
        assert_int_equal(weir_last_error()->code, -ECANCELED);
    }
}

static void a_pool_can_be_freed__in_a_callback(void **state)
{
    weir_scope *scope = begin();
    int number = 1;

    (void)state;
    start();
    pool_to_free = new_pool(scope, 1);
    for (int i = 0; i < 3; i++) {
        weir_future *future = weir_pool_submit(pool_to_free, twice, &number, sizeof number, NULL);

        assert_int_equal(weir_future_then(future, free_the_pool, NULL), 0);
    }
    while (calls == 0) {
        assert_int_equal(
            poll(&(struct pollfd){.fd = weir_pool_fd(pool_to_free), .events = POLLIN}, 1, 20000),
            1);
        assert_true(weir_pool_dispatch(pool_to_free) >= 0);
    }
    assert_int_equal(calls, 3);
    weir_scope_end(scope);
}

/* ---- libuv ----------------------------------------------------------------------------------- */

static weir_pool *chained_pool;

static void submit_next(weir_future *future, void *arg)
{
    int *left = arg;

    calls++;
    weir_future_free(future);
    if (--*left > 0) {
        future = weir_pool_submit(chained_pool, twice, left, sizeof *left, NULL);
        assert_int_equal(weir_future_then(future, submit_next, left), 0);
    }
}

static void the_loop_runs_until_all_are_called__when_attached(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *future;
    uv_loop_t loop;
    int left = 50;

    (void)state;
    start();
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(weir_pool_use_loop(pool, &loop), 0);
    assert_int_equal(weir_pool_use_loop(pool, &loop), -EBUSY);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0); /* nothing to come: it returns at once */
    for (int i = 0; i < 100; i++)
        submit_then(pool, twice, 1, 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(calls, 100);
    assert_int_equal(sum, 200);
    /* a callback that submits the next one */
    start();
    chained_pool = pool;
    future = weir_pool_submit(pool, twice, &left, sizeof left, NULL);
    assert_int_equal(weir_future_then(future, submit_next, &left), 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(calls, 50);
    /* freed before the call: nothing to wait for */
    future = submit_then(pool, twice, 1, 0);
    weir_future_free(future);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(weir_pool_use_loop(pool, NULL), 0);
    assert_int_equal(weir_pool_use_loop(pool, &loop), 0);
    weir_pool_free(pool);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(each_callback_comes_once__when_dispatched_by_hand),
        UNIT(the_callback_waits_for_dispatch__when_the_future_has_ended),
        UNIT(nothing_is_accepted__that_has_no_sense),
        UNIT(there_is_no_call__when_the_future_is_freed_before),
        UNIT(callbacks_come__when_more_are_in_flight_than_there_are_places),
        UNIT(the_callback_comes_after_the_merge__of_a_map_reduce),
        UNIT(callbacks_come_soon__when_workers_die),
        UNIT(every_callback_comes__in_a_storm_of_kills),
        UNIT(callbacks_come_soon__when_the_supervisor_is_killed),
        UNIT(callbacks_come_soon__when_jobs_are_cancelled_or_late),
        UNIT(a_lost_signal_is_made_good__within_two_seconds),
        UNIT(callbacks_that_are_left_are_called__when_the_pool_ends),
        UNIT(a_pool_can_be_freed__in_a_callback),
        UNIT(the_loop_runs_until_all_are_called__when_attached),
    };
    uv_loop_t loop;

    /* libuv keeps a pipe of its own from the first loop on */
    if (uv_loop_init(&loop) != 0 || uv_loop_close(&loop) != 0)
        return 1;
    begun = shared_memory(sizeof *begun);
    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
