/* SPDX-License-Identifier: MIT
 *
 * Pools without processes: WEIR_WORKERS_NONE, and WEIR_WORKERS in the environment. Other programs
 * of this folder run with WEIR_WORKERS=0 too.
 */
#include "reductions.h"
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define ITEMS 10007

static weir_pool *new_here(weir_scope *scope)
{
    return new_pool(scope, WEIR_WORKERS_NONE);
}

/* ---- the same results ----------------------------------------------------------------------- */

static int twice(weir_task *task, void *arg)
{
    const int result = 2 * *(int *)arg;

    return weir_task_result(task, &result, sizeof result);
}

static void results_have_the_same_bits__without_processes(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pools[] = {new_here(scope), new_pool(scope, 3)};
    weir_future *future;
    double sums[2], later;
    int seven = 7;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            weir_pool_reduce(pools[i], (weir_range){0, ITEMS}, &sum_awkward, &sums[i], NULL, NULL),
            0);
        future = weir_pool_reduce_async(pools[i], (weir_range){0, ITEMS}, &sum_awkward, NULL, NULL);
        later = *(const double *)weir_future_result(future, NULL);
        assert_memory_equal(&later, &sums[i], sizeof later);
        weir_future_free(future);
        future = WEIR_SUBMIT(pools[i], twice, seven, NULL);
        assert_true(i == 1 || weir_future_done(future));
        assert_int_equal(*(const int *)weir_future_result(future, NULL), 14);
        weir_future_free(future);
    }
    assert_memory_equal(&sums[0], &sums[1], sizeof sums[0]);
    weir_pool_free(pools[0]);
    weir_pool_free(pools[1]);
    weir_scope_end(scope);
}

static int private_sum;

static int add_in_order(weir_task *task, weir_range range, void *arg)
{
    pid_t *pid = arg;

    *pid = getpid();
    if (private_sum != (int)range.begin || weir_task_worker(task) != 0 ||
        weir_worker_index() != 0 || weir_worker_incarnation() != 1 || weir_task_attempt(task) != 1)
        return 1;
    private_sum = (int)range.end;
    return 0;
}

static void tasks_run_in_the_program_in_their_order__and_no_process_is_forked(void **state)
{
    weir_scope *scope = begin();
    const int children = count_children();
    weir_pool *pool = new_here(scope);
    pid_t pid = 0;
    weir_pool_stats stats;

    (void)state;
    private_sum = 0;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, ITEMS}, add_in_order, &pid, NULL), 0);
    assert_int_equal(private_sum, ITEMS);
    assert_int_equal(pid, getpid());
    assert_int_equal(count_children(), children);
    assert_int_equal(weir_pool_workers(pool), 1);
    assert_int_equal(weir_pool_worker_pid(pool, 0), getpid());
    assert_int_equal(weir_pool_worker_pid(pool, 1), -ERANGE);
    assert_int_equal(weir_pool_supervisor_pid(pool), -ESRCH);
    assert_int_equal(weir_pool_get_stats(pool, &stats), 0);
    assert_int_equal(stats.workers_died, 0);
    assert_int_equal(weir_worker_index(), -ESRCH);
    assert_int_equal(weir_worker_incarnation(), -ESRCH);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int note_each(weir_task *task, void *arg)
{
    (*(int *)arg)++;
    return weir_task_worker(task);
}

static void a_function_for_each_worker_runs_once(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_here(scope);
    int runs = 0;

    (void)state;
    assert_int_equal(weir_pool_each(pool, note_each, &runs, NULL), 0);
    assert_int_equal(runs, 1);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void note_end(weir_future *future, void *arg)
{
    (*(int *)arg)++;
    weir_future_free(future);
}

static void callbacks_are_called_in_dispatch(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_here(scope);
    struct pollfd fd = {.fd = weir_pool_fd(pool), .events = POLLIN};
    int calls = 0;

    (void)state;
    assert_true(fd.fd >= 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(weir_future_then(WEIR_SUBMIT(pool, twice, i, NULL), note_end, &calls), 0);
    assert_int_equal(calls, 0);
    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_int_equal(weir_pool_dispatch(pool), 3);
    assert_int_equal(calls, 3);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- the initializer ------------------------------------------------------------------------ */

static int begun, finished;

static int begin_worker(void *arg)
{
    begun += weir_worker_index() == 0;
    return *(int *)arg;
}

static void finish_worker(void *arg)
{
    (void)arg;
    finished += weir_worker_index() == 0;
}

static void initializer_and_finalizer_run_in_the_program(void **state)
{
    int code = 0;
    weir_pool_options options = {.workers = WEIR_WORKERS_NONE,
                                 .initializer = begin_worker,
                                 .finalizer = finish_worker,
                                 .arg = &code};
    weir_scope *scope = begin();
    weir_pool *pool = weir_pool_new(scope, &options);
    double sum;

    (void)state;
    assert_non_null(pool);
    assert_int_equal(begun, 1);
    weir_pool_free(pool);
    assert_int_equal(finished, 1);
    code = 5;
    pool = weir_pool_new(scope, &options);
    assert_non_null(pool); /* as in a pool with processes, the first job says it */
    assert_int_equal(weir_pool_reduce(pool, (weir_range){0, 9}, &sum_awkward, &sum, NULL, NULL),
                     WEIR_EDIED);
    assert_message_has("initializer failed with code 5");
    weir_pool_kill(pool);
    assert_int_equal(finished, 1);
    weir_scope_end(scope);
}

/* ---- failures, cancelling, time ------------------------------------------------------------- */

static int fail_at_5000(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    if (range.begin <= 5000 && 5000 < range.end)
        return weir_task_fail(task, 9, "no such row");
    return 0;
}

static void a_failure_says_what_it_says_in_any_pool(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pools[] = {new_pool(scope, 2), new_here(scope)};
    weir_error errors[2], all[4];
    weir_job_report report = {all, 4};

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir_pool_for(pools[i], (weir_range){0, ITEMS}, fail_at_5000, NULL,
                                       OPTIONS(.keep_going = true, .report = &report)),
                         WEIR_EFAILED);
        errors[i] = *weir_last_error();
        assert_int_equal(report.done, 63);
        assert_int_equal(report.failures_count, 1);
        weir_pool_free(pools[i]);
    }
    assert_string_equal(errors[0].message, errors[1].message);
    assert_int_equal(errors[1].worker, 0);
    assert_int_equal(errors[1].pid, getpid());
    weir_scope_end(scope);
}

struct call {
    weir_pool *pool;
    int chunks, code;
};

static int cancel_pool(weir_task *task, weir_range range, void *arg)
{
    struct call *call = arg;

    (void)task;
    (void)range;
    if (++call->chunks == 3)
        weir_pool_cancel(call->pool);
    return 0;
}

static int sleep_a_while(weir_task *task, weir_range range, void *arg)
{
    struct call *call = arg;

    (void)task;
    (void)range;
    call->chunks++;
    usleep(20000);
    return 0;
}

static void a_job_ends_between_two_chunks__when_it_is_cancelled_or_late(void **state)
{
    weir_scope *scope = begin();
    struct call call = {.pool = new_here(scope)};

    (void)state;
    assert_int_equal(weir_pool_for(call.pool, (weir_range){0, ITEMS}, cancel_pool, &call, NULL),
                     -ECANCELED);
    assert_int_equal(call.chunks, 3);
    call.chunks = 0;
    assert_int_equal(weir_pool_for(call.pool, (weir_range){0, ITEMS}, sleep_a_while, &call,
                                   OPTIONS(.grain = 1, .timeout_ms = 50)),
                     -ETIMEDOUT);
    assert_in_range(call.chunks, 1, 3);
    weir_pool_interrupt(call.pool);
    call.chunks = 0;
    assert_int_equal(weir_pool_for(call.pool, (weir_range){0, ITEMS}, cancel_pool, &call, NULL),
                     -ECANCELED);
    assert_int_equal(call.chunks, 0);
    weir_pool_kill(call.pool);
    weir_scope_end(scope);
}

static int call_pool(weir_task *task, weir_range range, void *arg)
{
    struct call *call = arg;
    double sum;

    (void)task;
    (void)range;
    call->code =
        weir_pool_reduce(call->pool, (weir_range){0, ITEMS}, &sum_awkward, &sum, NULL, NULL);
    weir_pool_free(call->pool); /* refused: this would wait for itself */
    weir_pool_kill(call->pool);
    return weir_pool_each(call->pool, note_each, &call->chunks, NULL) != -EDEADLK;
}

static void a_task_that_calls_its_pool_is_refused__unless_calls_may_be_nested(void **state)
{
    weir_scope *scope = begin();
    struct call call = {.pool = new_here(scope)};

    (void)state;
    assert_int_equal(weir_pool_for(call.pool, (weir_range){0, 1}, call_pool, &call, NULL), 0);
    assert_int_equal(call.code, -EDEADLK);
    weir_pool_free(call.pool);
    call.pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = WEIR_WORKERS_NONE, .nested = WEIR_NESTED_SERIAL});
    assert_int_equal(weir_pool_for(call.pool, (weir_range){0, 1}, call_pool, &call, NULL), 0);
    assert_int_equal(call.code, 0);
    weir_pool_free(call.pool);
    weir_scope_end(scope);
}

static void the_scopes_end_ends_the_pool(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_here(scope);

    (void)state;
    weir_scope_end(scope);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, fail_at_5000, NULL, NULL), -ECANCELED);
}

/* ---- the environment ------------------------------------------------------------------------ */

/* The number of workers of a pool that asks for `workers`, or the error. */
static int workers_with(weir_scope *scope, const char *said, int workers)
{
    weir_pool *pool;
    int result;

    setenv("WEIR_WORKERS", said, 1);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    unsetenv("WEIR_WORKERS");
    if (pool == NULL)
        return weir_last_error()->code;
    result = weir_pool_supervisor_pid(pool) > 0 ? weir_pool_workers(pool) : 0;
    weir_pool_free(pool);
    return result;
}

static void the_environment_sets_the_number__where_the_program_gives_none(void **state)
{
    static const char *const wrong[] = {"many", "-1", "1025", "3 ", " 3", "3x", "99999999999999"};
    weir_scope *scope = begin();

    (void)state;
    assert_int_equal(workers_with(scope, "3", 0), 3);
    assert_int_equal(workers_with(scope, "3", 2), 2);
    assert_int_equal(workers_with(scope, "3", WEIR_WORKERS_NONE), 0);
    assert_int_equal(workers_with(scope, "0", 0), 0);
    assert_int_equal(workers_with(scope, "0", 2), 0);
    assert_int_equal(workers_with(scope, "", 2), 2);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(workers_with(scope, wrong[i], 0), -EINVAL);
        assert_message_has(wrong[i]);
        assert_message_has("from 0");
        assert_message_has("1024");
    }
    assert_int_equal(workers_with(scope, "3", -2), -EINVAL);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(results_have_the_same_bits__without_processes),
        UNIT(tasks_run_in_the_program_in_their_order__and_no_process_is_forked),
        UNIT(a_function_for_each_worker_runs_once),
        UNIT(callbacks_are_called_in_dispatch),
        UNIT(initializer_and_finalizer_run_in_the_program),
        UNIT(a_failure_says_what_it_says_in_any_pool),
        UNIT(a_job_ends_between_two_chunks__when_it_is_cancelled_or_late),
        UNIT(a_task_that_calls_its_pool_is_refused__unless_calls_may_be_nested),
        UNIT(the_scopes_end_ends_the_pool),
        UNIT(the_environment_sets_the_number__where_the_program_gives_none),
    };

    unsetenv("WEIR_WORKERS");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
