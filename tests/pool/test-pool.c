/* SPDX-License-Identifier: MIT
 *
 * A pool: what weir-pool.h promises of making and ending it, and of who may call, while nobody
 * dies.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

/* ---- making --------------------------------------------------------------------------------- */

static void a_pool_is_refused__when_its_options_are_wrong(void **state)
{
    weir_scope *scope = begin();
    weir_pool_options reserved = {.reserved = {[1] = 1}};

    (void)state;
    assert_null(weir_pool_new(NULL, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_pool_new(scope, &(weir_pool_options){.workers = -3}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_message_has("-3");
    assert_message_has("1024");
    assert_null(weir_pool_new(scope, &(weir_pool_options){.workers = 1025}));
    assert_int_equal(weir_last_error()->code, -E2BIG);
    assert_message_has("1025");
    assert_message_has("1024");
    assert_null(weir_pool_new(scope, &reserved));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_message_has("reserved");
    weir_scope_end(scope);
    assert_null(weir_pool_new(scope, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
}

static void a_pool_has_a_worker_for_each_cpu__when_nothing_is_said(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = weir_pool_new(scope, NULL);

    (void)state;
    assert_non_null(pool);
    assert_true(weir_cpu_count() >= 1);
    assert_int_equal(weir_pool_workers(pool), weir_cpu_count());
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void pids_are_those_of_the_processes__when_asked_for(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 3);

    (void)state;
    assert_int_equal(weir_pool_workers(NULL), -EINVAL);
    assert_int_equal(weir_pool_supervisor_pid(NULL), -EINVAL);
    assert_int_equal(weir_pool_worker_pid(NULL, 0), -EINVAL);
    assert_int_equal(weir_pool_worker_pid(pool, 3), -ERANGE);
    assert_message_has("worker 3");
    assert_message_has("0 to 2");
    assert_int_equal(weir_pool_worker_pid(pool, -1), -ERANGE);
    assert_int_equal(weir_pool_workers(pool), 3);
    assert_int_equal(kill(weir_pool_supervisor_pid(pool), 0), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(kill(weir_pool_worker_pid(pool, i), 0), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void nothing_happens__when_null_is_freed(void **state)
{
    (void)state;
    weir_pool_free(NULL);
    weir_pool_kill(NULL);
    weir_pool_cancel(NULL);
}

static _Atomic int *calls; /* initializers, finalizers */

static int initialize(void *arg)
{
    calls[0] += *(int *)arg;
    return 0;
}

static void finalize(void *arg)
{
    calls[1] += *(int *)arg;
}

static void each_worker_is_initialized_and_finalized_once__when_a_pool_is_freed(void **state)
{
    static int weight = 5;
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    calls = shared_memory(4096);
    pool = weir_pool_new(
        scope, &(weir_pool_options){
                   .workers = 3, .initializer = initialize, .finalizer = finalize, .arg = &weight});
    assert_non_null(pool);
    weight = 1000; /* the workers have the memory as it was */
    WAIT_UNTIL(calls[0] == 15, 5000);
    weir_pool_free(pool);
    assert_int_equal(calls[0], 15);
    assert_int_equal(calls[1], 15);
    weir_scope_end(scope);
    munmap(calls, 4096);
}

static int initialize_not(void *arg)
{
    (void)arg;
    return 9;
}

static void the_first_job_reports_it__when_the_initializer_fails(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .initializer = initialize_not});
    _Atomic int *items = shared_memory(4096);

    (void)state;
    assert_non_null(pool);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, count_items, items, NULL),
                         WEIR_EDIED);
        assert_message_has("initializer");
        assert_int_equal(weir_last_error()->code, WEIR_EDIED);
    }
    assert_int_equal(items[0], 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 4096);
}

static int slow_initializer(void *arg)
{
    (void)arg;
    usleep(300000);
    return 0;
}

static void a_job_waits_for_the_workers__when_they_are_still_starting(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .initializer = slow_initializer});

    (void)state;
    assert_non_null(pool);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, count_items, items, NULL), 0);
    assert_int_equal(items[99], 1);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 4096);
}

/* ---- who may call --------------------------------------------------------------------------- */

struct refusal {
    weir_scope *scope;
    weir_pool *pool;
    _Atomic int new_pool, pool_for, workers, process;
};

static int try_all(struct refusal *refusal)
{
    refusal->new_pool = weir_pool_new(refusal->scope, NULL) == NULL ? weir_last_error()->code : 1;
    refusal->pool_for = weir_pool_for(refusal->pool, (weir_range){0, 1}, count_items, NULL, NULL);
    refusal->workers = weir_pool_workers(refusal->pool);
    refusal->process = weir_process_start(refusal->scope, (int (*)(void *))abort, NULL) == NULL
                           ? weir_last_error()->code
                           : 1;
    weir_pool_cancel(refusal->pool);
    weir_pool_free(refusal->pool);
    weir_pool_kill(refusal->pool);
    return 0;
}

static int try_in_worker(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    return try_all(*(struct refusal **)arg);
}

static void assert_all_refused(struct refusal *refusal)
{
    assert_int_equal(refusal->new_pool, -EDEADLK);
    assert_int_equal(refusal->pool_for, -EDEADLK);
    assert_int_equal(refusal->workers, -EDEADLK);
    assert_int_equal(refusal->process, -EDEADLK);
    refusal->new_pool = refusal->pool_for = refusal->workers = refusal->process = 0;
}

static void pool_calls_are_refused__in_a_worker_and_in_a_forked_child(void **state)
{
    weir_scope *scope = begin();
    struct refusal *refusal = shared_memory(4096);
    weir_pool *outer, *pool;
    int status;
    pid_t child;

    (void)state;
    /* The workers of `pool` know `outer`, and have heard of `pool` too. */
    outer = new_pool(scope, 1);
    pool = new_pool(scope, 2);
    refusal->scope = scope;
    refusal->pool = outer;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, try_in_worker, &refusal,
                                   OPTIONS(.arg_size = sizeof(void *))),
                     0);
    assert_all_refused(refusal);
    refusal->pool = pool;
    child = fork();
    if (child == 0) {
        try_all(refusal);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_all_refused(refusal);
    /* both work as before */
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 10}, count_items, refusal, OPTIONS(.grain = 1)), 0);
    assert_int_equal(
        weir_pool_for(outer, (weir_range){0, 10}, count_items, refusal, OPTIONS(.grain = 1)), 0);
    weir_pool_free(outer);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(refusal, 4096);
}

/* The program's variables as a worker finds them that was forked before they were set. */
static weir_pool *unset_pool;
static weir_future *unset_future;
static weir_stream *unset_stream;
static weir_process *unset_process;

static int use_what_is_unset(weir_task *task, weir_range range, void *arg)
{
    const int64_t one = 1;
    weir_item item;

    (void)range;
    (void)arg;
    if (weir_pool_for(unset_pool, (weir_range){0, 1}, count_items, NULL, NULL) != -EDEADLK)
        return weir_task_fail(task, 1, "for: %s", weir_last_error()->message);
    if (strstr(weir_last_error()->message, "worker") == NULL)
        return weir_task_fail(task, 2, "%s", weir_last_error()->message);
    if (weir_pool_submit(unset_pool, NULL, NULL, 0, NULL) != NULL ||
        weir_last_error()->code != -EDEADLK)
        return weir_task_fail(task, 3, "submit: %s", weir_last_error()->message);
    if (weir_future_wait(unset_future, 0) != -EDEADLK ||
        weir_future_then(unset_future, NULL, NULL) != -EDEADLK ||
        weir_future_table(unset_future) != NULL || weir_last_error()->code != -EDEADLK)
        return weir_task_fail(task, 4, "future: %s", weir_last_error()->message);
    if (weir_stream_put(unset_stream, &one, sizeof one) != -EDEADLK ||
        weir_stream_next(unset_stream, &item, 0) != -EDEADLK)
        return weir_task_fail(task, 5, "stream: %s", weir_last_error()->message);
    if (weir_process_join(unset_process, 0, NULL) != -EDEADLK ||
        weir_process_kill(unset_process, SIGTERM) != -EDEADLK)
        return weir_task_fail(task, 6, "process: %s", weir_last_error()->message);
    return 0;
}

static void a_null_handle_is_told_from_a_worker__when_it_was_set_after_the_fork(void **state)
{
    weir_scope *scope = begin();

    (void)state;
    unset_pool = new_pool(scope, 1);
    if (weir_pool_for(unset_pool, (weir_range){0, 1}, use_what_is_unset, NULL, NULL) != 0)
        fail_msg("%s", weir_last_error()->message);
    weir_pool_free(unset_pool);
    unset_pool = NULL;
    assert_int_equal(weir_pool_workers(NULL), -EINVAL);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_pool_is_refused__when_its_options_are_wrong),
        UNIT(a_pool_has_a_worker_for_each_cpu__when_nothing_is_said),
        UNIT(pids_are_those_of_the_processes__when_asked_for),
        UNIT(nothing_happens__when_null_is_freed),
        UNIT(each_worker_is_initialized_and_finalized_once__when_a_pool_is_freed),
        UNIT(the_first_job_reports_it__when_the_initializer_fails),
        UNIT(a_job_waits_for_the_workers__when_they_are_still_starting),
        UNIT(pool_calls_are_refused__in_a_worker_and_in_a_forked_child),
        UNIT(a_null_handle_is_told_from_a_worker__when_it_was_set_after_the_fork),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
