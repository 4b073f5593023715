/* SPDX-License-Identifier: MIT
 *
 * What a job, a pool and a call's defaults tell and say: reports, stats, and weir_pool_options.job.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>

#define CHUNKS 60

/* Of [0, CHUNKS) in chunks of one item: which go wrong. */
static bool fails(int64_t item)
{
    return item % 6 == 3;
}

static bool dies(int64_t item)
{
    return item % 20 == 5;
}

static int go_wrong(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    if (dies(range.begin))
        raise(SIGKILL);
    return fails(range.begin)
               ? weir_task_fail(task, (int)range.begin + 100, "item %d", (int)range.begin)
               : 0;
}

static void assert_failure(const weir_error *error)
{
    const int64_t item = error->range.begin;
    char message[32];

    assert_int_equal(error->range.end, item + 1);
    assert_in_range(error->worker, 0, 2);
    assert_true(error->pid > 0);
    assert_int_equal(error->attempt, 1);
    if (dies(item)) {
        assert_int_equal(error->code, WEIR_EDIED);
        assert_int_equal(error->signal, SIGKILL);
        assert_non_null(strstr(error->message, "was killed by signal 9"));
        return;
    }
    assert_true(fails(item));
    assert_int_equal(error->code, WEIR_EFAILED);
    assert_int_equal(error->task_code, item + 100);
    snprintf(message, sizeof message, ": item %d", (int)item);
    assert_non_null(strstr(error->message, message));
}

static void all_failures_are_told__when_a_job_keeps_going(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 3);
    weir_error failures[CHUNKS + 1];
    size_t expected = 0;

    (void)state;
    for (int64_t i = 0; i < CHUNKS; i++)
        expected += fails(i) || dies(i);
    for (size_t most = 0; most <= CHUNKS; most += 4) {
        weir_job_report report = {.failures = failures, .failures_most = most, .deaths = 77};

        failures[most].code = 42;
        assert_int_not_equal(
            weir_pool_for(pool, weir_range_of(CHUNKS), go_wrong, NULL,
                          OPTIONS(.grain = 1, .keep_going = true, .report = &report)),
            0);
        assert_int_equal(report.chunks, CHUNKS);
        assert_int_equal(report.failed, expected);
        assert_int_equal(report.done, CHUNKS - expected);
        assert_int_equal(report.deaths, 3);
        assert_int_equal(report.retries, 0);
        assert_int_equal(report.failures_count, most < expected ? most : expected);
        assert_int_equal(failures[most].code, 42);
        for (size_t i = 0; i < report.failures_count; i++) {
            assert_failure(&failures[i]);
            assert_true(i == 0 || failures[i - 1].range.begin < failures[i].range.begin);
        }
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_report_tells_the_first_one_too__when_a_job_does_not_keep_going(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_error failures[10];
    weir_job_report report = {failures, 10};

    (void)state;
    assert_int_equal(weir_pool_for(pool, weir_range_of(CHUNKS), go_wrong, NULL,
                                   OPTIONS(.grain = 1, .report = &report)),
                     WEIR_EFAILED);
    assert_int_equal(report.failed, 1);
    assert_int_equal(report.done, 3);
    assert_int_equal(report.chunks, CHUNKS);
    assert_int_equal(report.failures_count, 1);
    assert_string_equal(failures[0].message, weir_last_error()->message);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int die_at_first(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    if (weir_task_attempt(task) == 1 && range.begin % 10 == 0)
        raise(SIGKILL);
    return 0;
}

static int map_and_die_at_first(weir_task *task, weir_range range, void *arg)
{
    if (weir_task_attempt(task) == 1 && range.begin == 0)
        raise(SIGKILL);
    (void)arg;
    return weir_emit_int64(task, "k", 1, range.end - range.begin);
}

static int call_and_die_at_first(weir_task *task, void *arg)
{
    (void)arg;
    if (weir_task_attempt(task) == 1)
        raise(SIGKILL);
    return 0;
}

static void deaths_and_retries_are_counted__when_the_job_succeeds(void **state)
{
    const weir_map_reduction sums = {
        .map = map_and_die_at_first, .value_size = 8, .combine = weir_sum_int64};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_job_report report = {0};
    weir_pool_stats stats;
    weir_future *future;
    weir_table *table;

    (void)state;
    assert_int_equal(weir_pool_get_stats(pool, &stats), 0);
    assert_int_equal(stats.workers_started, 2);
    assert_int_equal(stats.workers_died, 0);
    assert_int_equal(stats.chunks_retried, 0);
    assert_int_equal(weir_pool_for(pool, weir_range_of(50), die_at_first, NULL,
                                   OPTIONS(.grain = 1, .retries = 2, .report = &report)),
                     0);
    assert_int_equal(report.deaths, 5);
    assert_int_equal(report.retries, 5);
    assert_int_equal(report.done, 50);
    assert_int_equal(report.failed, 0);
    assert_int_equal(report.failures_count, 0);
    assert_int_equal(weir_pool_get_stats(pool, &stats), 0);
    assert_int_equal(stats.chunks_retried, 5);
    table = weir_pool_map_reduce(pool, weir_range_of(100), &sums, NULL,
                                 OPTIONS(.chunks = 4, .report = &report));
    assert_non_null(table);
    assert_int_equal(report.chunks, 5); /* one is merged */
    assert_int_equal(report.done, 5);
    assert_int_equal(report.deaths, 1);
    assert_int_equal(report.retries, 1);
    future = weir_pool_submit(pool, call_and_die_at_first, NULL, 0,
                              OPTIONS(.retries = 1, .report = &report));
    assert_int_equal(weir_future_wait(future, -1), 0);
    assert_int_equal(report.chunks, 1);
    assert_int_equal(report.deaths, 1);
    weir_future_free(future);
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(0), die_at_first, NULL, OPTIONS(.report = &report)), 0);
    assert_int_equal(report.chunks + report.deaths + report.done, 0);
    assert_int_equal(weir_pool_get_stats(pool, &stats), 0);
    assert_int_equal(stats.workers_died, 7);
    WAIT_UNTIL(weir_pool_get_stats(pool, &stats) == 0 && stats.workers_started == 9, 5000);
    assert_int_equal(stats.chunks_retried, 7);
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_report_is_refused__when_it_is_wrong(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_job_report report = {.failures_most = 3};
    weir_pool_stats stats;

    (void)state;
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(1), go_wrong, NULL, OPTIONS(.report = &report)), -EINVAL);
    assert_message_has("failures_most is 3");
    report = (weir_job_report){.reserved = {[3] = 1}};
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(1), go_wrong, NULL, OPTIONS(.report = &report)), -EINVAL);
    assert_message_has("weir_job_report");
    assert_int_equal(weir_pool_get_stats(NULL, &stats), -EINVAL);
    assert_int_equal(weir_pool_get_stats(pool, NULL), -EINVAL);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- the defaults of a pool ----------------------------------------------------------------- */

static int nap(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    usleep(*(useconds_t *)arg * 1000);
    return 0;
}

static int call_nap(weir_task *task, void *arg)
{
    return nap(task, (weir_range){0, 1}, arg);
}

static weir_pool *pool_with(weir_scope *scope, const weir_job_options *job)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2, .job = job});

    if (pool == NULL)
        fail_msg("%s", weir_last_error()->message);
    return pool;
}

/* Naps are as long as this: those that are to be ended, far longer than a busy machine may take. */
static useconds_t nap_ms;

static int submit_and_wait(weir_pool *pool, weir_call_fn function, const weir_job_options *options)
{
    weir_future *future = weir_pool_submit(pool, function, &nap_ms, sizeof nap_ms, options);
    int result;

    assert_non_null(future);
    result = weir_future_wait(future, -1);
    weir_future_free(future);
    return result;
}

static void a_call_takes_what_its_pool_says__when_it_says_nothing(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = pool_with(scope, OPTIONS(.retries = 1));
    const weir_range range = weir_range_of(11);
    weir_job_report report = {0};

    (void)state;
    assert_int_equal(weir_pool_for(pool, range, die_at_first, NULL, NULL), 0);
    assert_int_equal(weir_pool_for(pool, range, die_at_first, NULL, OPTIONS(.grain = 1)), 0);
    assert_int_equal(
        weir_pool_for(pool, range, die_at_first, NULL, OPTIONS(.retries = WEIR_RETRIES_NONE)),
        WEIR_EDIED);
    assert_int_equal(submit_and_wait(pool, call_and_die_at_first, NULL), 0);
    assert_int_equal(
        submit_and_wait(pool, call_and_die_at_first, OPTIONS(.retries = WEIR_RETRIES_NONE)),
        WEIR_EDIED);
    weir_pool_free(pool);

    pool = pool_with(scope, OPTIONS(.timeout_ms = 20, .keep_going = true));
    nap_ms = 20000;
    assert_int_equal(weir_pool_for(pool, weir_range_of(1), nap, (void *)&nap_ms,
                                   OPTIONS(.arg_size = sizeof nap_ms)),
                     -ETIMEDOUT);
    assert_int_equal(submit_and_wait(pool, call_nap, NULL), -ETIMEDOUT);
    nap_ms = 100;
    assert_int_equal(submit_and_wait(pool, call_nap, OPTIONS(.timeout_ms = WEIR_TIMEOUT_NONE)), 0);
    assert_int_equal(submit_and_wait(pool, call_nap, OPTIONS(.timeout_ms = 20000)), 0);
    assert_int_equal(weir_pool_for(pool, weir_range_of(CHUNKS), go_wrong, NULL,
                                   OPTIONS(.grain = 1, .timeout_ms = 60000, .report = &report)) < 0,
                     1);
    assert_int_equal(report.done + report.failed, CHUNKS); /* it kept going */
    weir_pool_free(pool);

    pool = pool_with(scope, OPTIONS(.chunk_timeout_ms = 20));
    nap_ms = 20000;
    assert_int_equal(submit_and_wait(pool, call_nap, NULL), -ETIMEDOUT);
    nap_ms = 100;
    assert_int_equal(
        submit_and_wait(pool, call_nap, OPTIONS(.chunk_timeout_ms = WEIR_TIMEOUT_NONE)), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_pool_is_refused__when_its_defaults_are_of_one_call(void **state)
{
    weir_job_report report = {0};
    const weir_job_options wrong[] = {
        {.chunks = 4},           {.grain = 1},        {.arg_size = 8},
        {.shared = true},        {.progress = "x"},   {.retries = 99},
        {.timeout_ms = -2},      {.report = &report}, {.chunk_timeout_ms = -9},
        {.reserved = {[0] = 1}}, {.name = "x"},
    };
    weir_scope *scope = begin();

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_null(weir_pool_new(scope, &(weir_pool_options){.workers = 1, .job = &wrong[i]}));
        assert_int_equal(weir_last_error()->code, -EINVAL);
    }
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(all_failures_are_told__when_a_job_keeps_going),
        UNIT(a_report_tells_the_first_one_too__when_a_job_does_not_keep_going),
        UNIT(deaths_and_retries_are_counted__when_the_job_succeeds),
        UNIT(a_report_is_refused__when_it_is_wrong),
        UNIT(a_call_takes_what_its_pool_says__when_it_says_nothing),
        UNIT(a_pool_is_refused__when_its_defaults_are_of_one_call),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
