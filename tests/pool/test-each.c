/* SPDX-License-Identifier: MIT
 *
 * weir_pool_each(): a function once in each worker, and in those that come later.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define WORKERS 3

/* What tasks and functions share. */
struct shared {
    _Atomic int runs[WORKERS];      /* of load() in each worker */
    _Atomic int strange;            /* tasks in whose worker it had not run, or not once */
    _Atomic int ready, stop, order; /* order: digits, as functions ran */
    _Atomic int failing_starts;     /* workers whose initializer fails: a bit each */
    _Atomic pid_t busy;             /* a worker that waits for `stop` */
};

/* Private to each worker. */
static int loaded;
static int order;

static int load(weir_task *task, void *arg)
{
    struct shared *shared = *(struct shared **)arg;

    loaded++;
    order = order * 10 + 1;
    shared->runs[weir_task_worker(task)]++;
    return weir_task_worker(task) != weir_worker_index() ||
           weir_task_chunk(task) != weir_worker_index();
}

static int load_second(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    order = order * 10 + 2;
    return 0;
}

static int load_third(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    order = order * 10 + 3;
    return 0;
}

static int check_loaded(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = *(struct shared **)arg;

    (void)task;
    (void)range;
    shared->strange += loaded != 1;
    return 0;
}

static int check_order(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = *(struct shared **)arg;

    (void)task;
    (void)range;
    shared->strange += order != shared->order;
    return 0;
}

static int die(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return raise(SIGKILL);
}

#define SHARED(shared) (&(shared)), OPTIONS(.arg_size = sizeof(shared))

static void check_all(weir_pool *pool, struct shared *shared, weir_task_fn check)
{
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 60}, check, SHARED(shared)), 0);
    assert_int_equal(shared->strange, 0);
}

/* Kills workers on `times` chunks, which are all of the pool's if there is one worker. */
static void kill_workers(weir_pool *pool, int times)
{
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, times}, die, NULL, OPTIONS(.keep_going = true)),
        WEIR_EDIED);
}

static int runs_of_all(const struct shared *shared)
{
    int sum = 0;

    for (int i = 0; i < WORKERS; i++)
        sum += shared->runs[i];
    return sum;
}

/* ---- where it runs -------------------------------------------------------------------------- */

static void a_function_runs_once_in_each_worker__before_the_call_returns(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, WORKERS);

    (void)state;
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), 0);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(shared->runs[i], 1);
    check_all(pool, shared, check_loaded);
    assert_int_equal(runs_of_all(shared), WORKERS);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static void a_replacement_runs_all_functions_in_order__before_its_first_chunk(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, WORKERS);
    weir_pool_stats stats;

    (void)state;
    shared->order = 123;
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), 0);
    assert_int_equal(weir_pool_each(pool, load_second, NULL, NULL), 0);
    assert_int_equal(weir_pool_each(pool, load_third, NULL, NULL), 0);
    check_all(pool, shared, check_order);
    kill_workers(pool, 7);
    check_all(pool, shared, check_order);
    check_all(pool, shared, check_loaded);
    WAIT_UNTIL(weir_pool_get_stats(pool, &stats) == 0 && stats.workers_started == WORKERS + 7,
               20000);
    WAIT_UNTIL(runs_of_all(shared) == WORKERS + 7, 20000);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static void a_worker_that_is_worn_out_is_replaced_by_one_that_has_run_it(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .chunks_per_worker = 3});

    (void)state;
    assert_non_null(pool);
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), 0);
    check_all(pool, shared, check_loaded);
    check_all(pool, shared, check_loaded);
    assert_true(runs_of_all(shared) > 10);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static int check_incarnation(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    return weir_worker_incarnation() != range.begin / 2 + 1;
}

static void it_is_no_chunk__for_chunks_per_worker(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 1, .chunks_per_worker = 2});

    (void)state;
    assert_non_null(pool);
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), 0);
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 8}, check_incarnation, NULL, OPTIONS(.grain = 1)), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static int a_millisecond(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    usleep(1000);
    return 0;
}

static int a_millisecond_call(weir_task *task, void *arg)
{
    return a_millisecond(task, (weir_range){0, 1}, arg);
}

static int note_millisecond(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = *(struct shared **)arg;

    shared->ready |= 1 << weir_task_worker(task);
    return a_millisecond(task, range, arg);
}

static void a_worker_comes_to_it_between_two_chunks__of_a_long_job(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *job = weir_pool_for_async(pool, (weir_range){0, 100000}, note_millisecond, &shared,
                                           OPTIONS(.arg_size = sizeof shared, .grain = 1));

    (void)state;
    assert_non_null(job);
    WAIT_UNTIL(shared->ready == 3, 20000);
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), 0);
    assert_false(weir_future_done(job));
    assert_int_equal(runs_of_all(shared), 2);
    weir_future_free(job);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static void a_worker_comes_to_it_between_two_calls__of_the_queue(void **state)
{
    enum { CALLS = 4000 };
    struct shared *shared = shared_memory(sizeof *shared);
    weir_future **calls = calloc(CALLS, sizeof *calls);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (int i = 0; i < CALLS; i++)
        calls[i] = weir_pool_submit(pool, a_millisecond_call, NULL, 0, NULL);
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), 0);
    assert_false(weir_future_done(calls[CALLS - 1]));
    weir_pool_cancel(pool);
    for (int i = 0; i < CALLS; i++)
        weir_future_free(calls[i]);
    free(calls);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static int wait_for_stop(weir_task *task, void *arg)
{
    struct shared *shared = *(struct shared **)arg;

    (void)task;
    shared->busy = getpid();
    while (!shared->stop)
        usleep(1000);
    return 0;
}

static void *stop_when_one_has_died(void *arg)
{
    struct shared *shared = arg;
    double until = now_ms() + 20000;

    while (runs_of_all(shared) < 2 && now_ms() < until)
        usleep(1000);
    shared->stop = 1;
    return NULL;
}

static void *kill_the_other(void *arg)
{
    struct shared *shared = arg;
    double until = now_ms() + 20000;

    while (runs_of_all(shared) < 1 && now_ms() < until)
        usleep(1000);
    kill(shared->ready, SIGKILL);
    return stop_when_one_has_died(arg);
}

static void the_call_waits_for_a_busy_worker__and_replacements_meanwhile_run_it(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *busy = weir_pool_submit(pool, wait_for_stop, &shared, sizeof shared, NULL);
    pthread_t thread;
    int other;

    (void)state;
    WAIT_UNTIL(shared->busy != 0, 20000);
    other = weir_pool_worker_pid(pool, 0) == shared->busy;
    shared->ready = weir_pool_worker_pid(pool, other);
    assert_int_equal(pthread_create(&thread, NULL, kill_the_other, shared), 0);
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), 0);
    pthread_join(thread, NULL);
    assert_int_equal(shared->runs[other], 2); /* the replacement too */
    assert_int_equal(shared->runs[!other], 1);
    assert_int_equal(weir_future_wait(busy, -1), 0);
    check_all(pool, shared, check_loaded);
    weir_future_free(busy);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

/* ---- its argument --------------------------------------------------------------------------- */

#define LARGE ((size_t)1 << 20)

static int check_large(weir_task *task, void *arg)
{
    const unsigned char *bytes = arg;

    for (size_t i = 0; i < LARGE; i++) {
        if (bytes[i] != (unsigned char)(i * 7))
            return weir_task_fail(task, 5, "byte %zu is %d", i, bytes[i]);
    }
    return 0;
}

static void the_argument_is_a_copy_that_stays__for_replacements(void **state)
{
    unsigned char *large = malloc(LARGE);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (unsigned char)(i * 7);
    assert_int_equal(weir_pool_each(pool, check_large, large, OPTIONS(.arg_size = LARGE)), 0);
    memset(large, 0, LARGE);
    assert_int_equal(weir_pool_each(pool, check_large, large, OPTIONS(.arg_size = LARGE)),
                     WEIR_EFAILED);
    assert_int_equal(weir_pool_map(pool, NULL, large, 1, large, 1, LARGE, NULL, NULL), -EINVAL);
    kill_workers(pool, 2);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, a_millisecond, NULL, NULL), 0);
    free(large);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_call_is_refused__when_its_arguments_are_wrong(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    assert_int_equal(weir_pool_each(NULL, load, NULL, NULL), -EINVAL);
    assert_int_equal(weir_pool_each(pool, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(weir_pool_each(pool, load, NULL, OPTIONS(.arg_size = 8)), -EINVAL);
    assert_int_equal(weir_pool_each(pool, load, NULL, OPTIONS(.retries = 31)), -EINVAL);
    assert_int_equal(weir_pool_each(pool, load, shared, OPTIONS(.arg_size = (size_t)1 << 40)),
                     -ENOMEM);
    assert_message_has("1099511627776");
    assert_int_equal(runs_of_all(shared), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static int never_fails(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static int always_fails(weir_task *task, void *arg)
{
    (void)arg;
    return weir_task_worker(task) == 1 ? weir_task_fail(task, 7, "no such table") : 0;
}

static void a_pool_keeps_so_many_functions__and_no_more(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int i = 0; i < WEIR_EACH_MAX; i++) {
        assert_int_equal(weir_pool_each(pool, always_fails, &i, OPTIONS(.arg_size = sizeof i)),
                         WEIR_EFAILED); /* takes no place */
        assert_int_equal(weir_pool_each(pool, never_fails, &i, OPTIONS(.arg_size = sizeof i)), 0);
    }
    assert_int_equal(weir_pool_each(pool, never_fails, NULL, NULL), -E2BIG);
    assert_message_has("64");
    kill_workers(pool, 1);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, a_millisecond, NULL, NULL), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- failures ------------------------------------------------------------------------------- */

static void a_failure_is_reported_with_its_worker__and_the_function_is_not_kept(void **state)
{
    weir_error failures[4];
    weir_job_report report = {failures, 4};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const pid_t pid = weir_pool_worker_pid(pool, 1);

    (void)state;
    assert_int_equal(
        weir_pool_each(pool, always_fails, NULL, OPTIONS(.keep_going = true, .report = &report)),
        WEIR_EFAILED);
    assert_int_equal(weir_last_error()->worker, 1);
    assert_int_equal(weir_last_error()->pid, pid);
    assert_int_equal(weir_last_error()->task_code, 7);
    assert_int_equal(weir_last_error()->range.begin, 1);
    assert_message_has("no such table");
    assert_int_equal(report.chunks, 2);
    assert_int_equal(report.done, 1);
    assert_int_equal(report.failures_count, 1);
    /* else no worker 1 could be started any more */
    for (int i = 0; i < 5; i++)
        kill_workers(pool, 2);
    WAIT_UNTIL(weir_pool_worker_pid(pool, 1) > 0, 20000);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* Dies in each worker's first incarnation, if `ready` is 0. */
static int die_at_first(weir_task *task, void *arg)
{
    struct shared *shared = *(struct shared **)arg;

    if (weir_task_attempt(task) == 1 && shared->ready == 0)
        raise(SIGSEGV);
    return load(task, arg);
}

static void a_death_is_reported_or_retried__as_the_options_say(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    assert_int_equal(weir_pool_each(pool, die_at_first, SHARED(shared)), WEIR_EDIED);
    assert_int_equal(weir_last_error()->signal, SIGSEGV);
    assert_true(weir_last_error()->worker >= 0 && weir_last_error()->pid > 0);
    assert_int_equal(weir_pool_each(pool, die_at_first, &shared,
                                    OPTIONS(.arg_size = sizeof shared, .retries = 1)),
                     0);
    assert_int_equal(shared->runs[0], 1);
    assert_int_equal(shared->runs[1], 1);
    shared->ready = 1;
    check_all(pool, shared, check_loaded);
    kill_workers(pool, 3);
    check_all(pool, shared, check_loaded);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static int exit_at_first(weir_task *task, void *arg)
{
    struct shared *shared = *(struct shared **)arg;

    if (weir_task_attempt(task) <= 5)
        exit(3);
    shared->runs[weir_task_worker(task)]++;
    return 0;
}

/* Three failed starts in a row give a worker up. */
static void a_death_in_a_call_is_no_failed_start(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_int_equal(weir_pool_each(pool, exit_at_first, &shared,
                                    OPTIONS(.arg_size = sizeof shared, .retries = 5)),
                     0);
    assert_int_equal(shared->runs[0], 1);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static int fail_in_replacements(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return weir_worker_incarnation() > 1;
}

static void a_replacement_in_which_it_fails_cannot_be_started(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_int_equal(weir_pool_each(pool, fail_in_replacements, NULL, NULL), 0);
    kill_workers(pool, 1);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, a_millisecond, NULL, NULL),
                     WEIR_EDIED);
    assert_message_has("a function of weir_pool_each() failed");
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int fail_in_some(void *arg)
{
    struct shared *shared = arg;

    return shared->failing_starts >> weir_worker_index() & 1;
}

static void a_worker_that_was_given_up_is_not_waited_for(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool;
    weir_pool_stats stats;

    (void)state;
    shared->failing_starts = 2;
    pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = 2, .initializer = fail_in_some, .arg = shared});
    assert_non_null(pool);
    /* at once, while it is being tried, and when it has been given up */
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), 0);
    WAIT_UNTIL(weir_pool_get_stats(pool, &stats) == 0 && stats.workers_died == 3, 20000);
    assert_int_equal(weir_pool_each(pool, load_second, NULL, NULL), 0);
    assert_int_equal(shared->runs[0], 1);
    assert_int_equal(shared->runs[1], 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

/* ---- cancelling and time -------------------------------------------------------------------- */

static void a_late_or_cancelled_call_ends__and_the_function_is_not_kept(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_future *busy = weir_pool_submit(pool, wait_for_stop, &shared, sizeof shared, NULL);

    (void)state;
    WAIT_UNTIL(shared->busy != 0, 20000);
    assert_int_equal(
        weir_pool_each(pool, load, &shared, OPTIONS(.arg_size = sizeof shared, .timeout_ms = 50)),
        -ETIMEDOUT);
    weir_pool_interrupt(pool);
    assert_int_equal(weir_pool_each(pool, load, SHARED(shared)), -ECANCELED);
    weir_pool_resume(pool);
    shared->stop = 1;
    assert_int_equal(weir_future_wait(busy, -1), 0);
    kill_workers(pool, 1);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, a_millisecond, NULL, NULL), 0);
    assert_int_equal(runs_of_all(shared), 0);
    weir_future_free(busy);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(shared, sizeof *shared);
}

static int call_in_a_task(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    return weir_pool_each(*(weir_pool **)arg, never_fails, NULL, NULL);
}

static void a_task_cannot_call_it(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, call_in_a_task, &pool,
                                   OPTIONS(.arg_size = sizeof pool)),
                     WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, -EDEADLK);
    weir_pool_free(pool);
    weir_scope_end(scope);
    assert_int_equal(weir_worker_index(), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_function_runs_once_in_each_worker__before_the_call_returns),
        UNIT(a_replacement_runs_all_functions_in_order__before_its_first_chunk),
        UNIT(a_worker_that_is_worn_out_is_replaced_by_one_that_has_run_it),
        UNIT(it_is_no_chunk__for_chunks_per_worker),
        UNIT(a_worker_comes_to_it_between_two_chunks__of_a_long_job),
        UNIT(a_worker_comes_to_it_between_two_calls__of_the_queue),
        UNIT(the_call_waits_for_a_busy_worker__and_replacements_meanwhile_run_it),
        UNIT(the_argument_is_a_copy_that_stays__for_replacements),
        UNIT(a_call_is_refused__when_its_arguments_are_wrong),
        UNIT(a_pool_keeps_so_many_functions__and_no_more),
        UNIT(a_failure_is_reported_with_its_worker__and_the_function_is_not_kept),
        UNIT(a_death_is_reported_or_retried__as_the_options_say),
        UNIT(a_death_in_a_call_is_no_failed_start),
        UNIT(a_replacement_in_which_it_fails_cannot_be_started),
        UNIT(a_worker_that_was_given_up_is_not_waited_for),
        UNIT(a_late_or_cancelled_call_ends__and_the_function_is_not_kept),
        UNIT(a_task_cannot_call_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
