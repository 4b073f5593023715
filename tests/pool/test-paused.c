/* SPDX-License-Identifier: MIT
 *
 * All processes of a program stand still for a while, as by Ctrl-Z and fg, or by docker pause: that
 * is time of none of them.
 */
#include "child.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

static _Atomic int *begun; /* shared */

/* Sleeps 600 ms of its own time. */
static int take_a_while(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    ++*begun;
    for (int i = 0; i < 60; i++)
        sleep_us(10000);
    return 0;
}

static int hang(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    ++*begun;
    while (pause() < 0)
        ;
    return 0;
}

static int complain(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, weir_last_error()->message);
    return 1;
}

/* Runs it as the leader of a group that is stopped for so long once `begun` is reached, and returns
 * its exit status. */
static int run_with_pause(int (*program)(void), int when, int pause_ms)
{
    int status;
    pid_t child;

    *begun = 0;
    child = start_group(program);
    WAIT_UNTIL(*begun >= when, 10000);
    sleep_us(100000);
    assert_int_equal(kill(-child, SIGSTOP), 0);
    sleep_us(pause_ms * 1000);
    assert_int_equal(kill(-child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int with_deadlines(const weir_job_options *options)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    weir_pool_stats stats;

    if (weir_pool_for(pool, weir_range_of(4), take_a_while, NULL, options) != 0)
        return complain("weir_pool_for");
    if (weir_pool_get_stats(pool, &stats) != 0 || stats.workers_died != 0)
        return complain("a worker died");
    weir_pool_free(pool);
    return weir_scope_end(scope) == 0 ? 0 : 2;
}

static int with_chunk_timeout(void)
{
    return with_deadlines(OPTIONS(.grain = 1, .chunk_timeout_ms = 2500));
}

static int with_timeout(void)
{
    return with_deadlines(OPTIONS(.grain = 1, .timeout_ms = 4000));
}

static void no_chunk_is_late__when_all_processes_stood_still(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(run_with_pause(with_chunk_timeout, 1 + i, 3500), 0);
}

static void no_job_is_late__when_all_processes_stood_still(void **state)
{
    (void)state;
    assert_int_equal(run_with_pause(with_timeout, 1, 5000), 0);
    assert_int_equal(run_with_pause(with_timeout, 3, 5000), 0);
}

/* Two pauses of 1 s and a chunk that may take 500 ms: it is killed in time all the same. */
static int hanging(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    const double start = now_ms();

    if (weir_pool_for(pool, weir_range_of(1), hang, NULL, OPTIONS(.chunk_timeout_ms = 500)) !=
        -ETIMEDOUT)
        return complain("not -ETIMEDOUT");
    if (now_ms() - start < 1500 || now_ms() - start > 6000)
        return 2;
    weir_pool_free(pool);
    return weir_scope_end(scope) == 0 ? 0 : 3;
}

static void a_chunk_that_hangs_is_killed__after_a_pause(void **state)
{
    (void)state;
    assert_int_equal(run_with_pause(hanging, 1, 1500), 0);
}

/* A worker that stands still alone is one that hangs. */
static void a_worker_that_is_stopped_alone_is_killed__by_the_deadline(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_future *future;
    const double start = now_ms();

    (void)state;
    *begun = 0;
    future =
        weir_pool_for_async(pool, weir_range_of(1), hang, NULL, OPTIONS(.chunk_timeout_ms = 800));
    assert_non_null(future);
    WAIT_UNTIL(*begun == 1, 5000);
    kill(weir_pool_worker_pid(pool, 0), SIGSTOP);
    assert_int_equal(weir_future_wait(future, 10000), -ETIMEDOUT);
    assert_true(now_ms() - start < 5000);
    weir_future_free(future);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void take_long(void *arg)
{
    (void)arg;
    ++*begun;
    for (int i = 0; i < 100; i++)
        sleep_us(10000);
    ++*begun;
}

/* Workers that end in order have 5 s for it. */
static int ending(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .finalizer = take_long});

    weir_pool_free(pool);
    return weir_scope_end(scope) != 0 ? 1 : *begun == 4 ? 0 : 2;
}

static void finalizers_are_run_to_their_end__when_all_stood_still_meanwhile(void **state)
{
    (void)state;
    assert_int_equal(run_with_pause(ending, 2, 7500), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(no_chunk_is_late__when_all_processes_stood_still),
        UNIT(no_job_is_late__when_all_processes_stood_still),
        UNIT(a_chunk_that_hangs_is_killed__after_a_pause),
        UNIT(a_worker_that_is_stopped_alone_is_killed__by_the_deadline),
        UNIT(finalizers_are_run_to_their_end__when_all_stood_still_meanwhile),
    };

    leak_isolate();
    begun = shared_memory(4096);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
