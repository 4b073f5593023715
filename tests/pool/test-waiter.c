/* SPDX-License-Identifier: MIT
 *
 * Waiters: the ends of many futures, one after the other.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static int echo(weir_task *task, void *arg)
{
    return weir_task_result(task, arg, sizeof(int64_t));
}

static int nap(weir_task *task, void *arg)
{
    (void)task;
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
    raise(SIGKILL);
    return 0;
}

static int nap_on_range(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    return nap(task, arg);
}

static int emit_one(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    return weir_emit_int64(task, "k", 1, range.begin);
}

static weir_waiter *new_waiter(weir_pool *pool)
{
    weir_waiter *waiter = weir_waiter_new(pool);

    assert_non_null(waiter);
    return waiter;
}

static weir_future *submit_nap(weir_pool *pool, useconds_t ms)
{
    weir_future *future = weir_pool_submit(pool, nap, &ms, sizeof ms, NULL);

    assert_non_null(future);
    return future;
}

static weir_future *next(weir_waiter *waiter, void **arg)
{
    weir_future *future = NULL;

    assert_int_equal(weir_waiter_next(waiter, &future, arg, 20000), 1);
    assert_non_null(future);
    return future;
}

/* Submits the numbers [0, count), as calls of the queue and as jobs, and takes their ends. */
static void echo_all(weir_pool *pool, weir_waiter *waiter, int64_t count)
{
    unsigned char *seen = calloc((size_t)count, 1);
    weir_future *future;
    void *arg;

    assert_non_null(seen);
    for (int64_t i = 0; i < count; i++) {
        future = weir_pool_submit(pool, echo, &i, sizeof i, OPTIONS(.retries = i % 5 == 0));
        assert_non_null(future);
        assert_int_equal(weir_waiter_add(waiter, future, &seen[i]), 0);
    }
    for (int64_t i = 0; i < count; i++) {
        unsigned char *mark;

        future = next(waiter, &arg);
        mark = arg;
        assert_true(weir_future_done(future));
        assert_int_equal(*(const int64_t *)weir_future_result(future, NULL), mark - seen);
        assert_int_equal((*mark)++, 0);
        weir_future_free(future);
    }
    assert_int_equal(weir_waiter_next(waiter, &future, &arg, -1), 0);
    free(seen);
}

static void each_future_comes_once__when_there_are_many(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 3);
    weir_waiter *waiter = new_waiter(pool);

    (void)state;
    for (int i = 0; i < 3; i++)
        echo_all(pool, waiter, 10000);
    weir_waiter_free(waiter);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void futures_come_as_they_end__whatever_they_are_of(void **state)
{
    const weir_map_reduction sums = {.map = emit_one, .value_size = 8, .combine = weir_sum_int64};
    useconds_t ms = 60;
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 4);
    weir_waiter *waiter = new_waiter(pool);
    weir_future *futures[7] = {
        submit_nap(pool, 1000),
        weir_pool_for_async(pool, weir_range_of(1), nap_on_range, &ms,
                            OPTIONS(.arg_size = sizeof ms)),
        weir_pool_map_reduce_async(pool, weir_range_of(100), &sums, NULL, NULL),
        weir_pool_submit(pool, fail_with_seven, NULL, 0, NULL),
        weir_pool_submit(pool, die, NULL, 0, NULL),
        weir_pool_submit(pool, nap, &ms, sizeof ms, OPTIONS(.timeout_ms = 20)),
        weir_pool_for_async(pool, weir_range_of(0), nap_on_range, &ms, NULL),
    };
    int codes[7] = {0, 0, 0, WEIR_EFAILED, WEIR_EDIED, -ETIMEDOUT, 0}, last = -1;
    weir_future *future;

    (void)state;
    for (intptr_t i = 0; i < 7; i++) {
        assert_non_null(futures[i]);
        assert_int_equal(weir_waiter_add(waiter, futures[i], (void *)i), 0);
    }
    for (int i = 0; i < 7; i++) {
        void *arg;

        future = next(waiter, &arg);
        last = (int)(intptr_t)arg;
        assert_ptr_equal(future, futures[last]);
        assert_int_equal(weir_future_wait(future, 0), codes[last]);
        codes[last] = 1; /* none comes twice */
    }
    assert_int_equal(last, 0);
    assert_int_equal(weir_waiter_next(waiter, &future, NULL, 0), 0);
    assert_int_equal(weir_table_len(weir_future_table(futures[2])), 1);
    for (int i = 0; i < 7; i++)
        weir_future_free(futures[i]);
    weir_waiter_free(waiter);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void waiting_ends__when_the_time_is_up_or_nothing_is_left(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_waiter *waiter = new_waiter(pool);
    weir_future *none = (weir_future *)state, *future = submit_nap(pool, 200);
    void *arg = scope;
    double from = now_ms();

    assert_int_equal(weir_waiter_next(waiter, &none, &arg, -1), 0);
    assert_int_equal(weir_waiter_add(waiter, future, NULL), 0);
    assert_int_equal(weir_waiter_next(waiter, &none, &arg, 0), -ETIMEDOUT);
    assert_int_equal(weir_waiter_next(waiter, &none, &arg, 20), -ETIMEDOUT);
    assert_true(now_ms() - from >= 20);
    assert_ptr_equal(none, state);
    assert_ptr_equal(arg, scope);
    assert_int_equal(weir_waiter_next(waiter, NULL, NULL, 0), -EINVAL);
    assert_ptr_equal(next(waiter, &arg), future);
    assert_null(arg);
    weir_future_free(future);
    weir_waiter_free(waiter);
    weir_scope_end(scope);
}

static int by_size(const void *a, const void *b)
{
    const double one = *(const double *)a, other = *(const double *)b;

    return (one > other) - (one < other);
}

static void the_waiter_wakes_at_once__when_a_future_ends(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_waiter *waiter = new_waiter(pool);
    double took[21];

    (void)state;
    for (int i = 0; i < 21; i++) {
        useconds_t ms = 3;
        double from = now_ms();
        weir_future *future =
            weir_pool_submit(pool, nap, &ms, sizeof ms, OPTIONS(.retries = i % 2));

        assert_int_equal(weir_waiter_add(waiter, future, NULL), 0);
        assert_ptr_equal(next(waiter, NULL), future);
        weir_future_free(future);
        took[i] = now_ms() - from;
    }
    qsort(took, 21, sizeof *took, by_size);
    assert_true(took[10] < 40); /* not at the next tick */
    weir_waiter_free(waiter);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void no_callback(weir_future *future, void *arg)
{
    (void)arg;
    weir_future_free(future);
}

static void a_future_is_refused__when_its_end_goes_elsewhere(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1), *other = new_pool(scope, 1);
    weir_waiter *waiter = new_waiter(pool), *second = new_waiter(pool);
    weir_future *future = submit_nap(pool, 50), *called = submit_nap(pool, 1),
                *foreign = submit_nap(other, 1);

    (void)state;
    assert_int_equal(weir_future_then(called, no_callback, NULL), 0);
    assert_int_equal(weir_waiter_add(waiter, called, NULL), -EBUSY);
    assert_int_equal(weir_waiter_add(waiter, foreign, NULL), -EINVAL);
    assert_int_equal(weir_waiter_add(waiter, future, NULL), 0);
    assert_int_equal(weir_waiter_add(waiter, future, NULL), -EBUSY);
    assert_int_equal(weir_waiter_add(second, future, NULL), -EBUSY);
    assert_int_equal(weir_future_then(future, no_callback, NULL), -EBUSY);
    assert_message_has("a waiter has the future");
    /* What a waiter has given, or a waiter that is gone had, is free again. */
    assert_ptr_equal(next(waiter, NULL), future);
    assert_int_equal(weir_waiter_add(second, future, NULL), 0);
    weir_waiter_free(second);
    assert_int_equal(weir_waiter_add(waiter, future, NULL), 0);
    assert_ptr_equal(next(waiter, NULL), future);
    assert_int_equal(weir_future_then(future, no_callback, NULL), 0);
    weir_future_free(foreign);
    weir_waiter_free(waiter);
    weir_scope_end(scope); /* calls back */
}

static void a_future_leaves_its_waiter__when_it_is_freed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_waiter *waiter = new_waiter(pool);
    weir_future *ended = submit_nap(pool, 0), *running = submit_nap(pool, 30),
                *waiting = submit_nap(pool, 1000), *left = submit_nap(pool, 1);

    (void)state;
    assert_int_equal(weir_future_wait(ended, -1), 0);
    assert_int_equal(weir_waiter_add(waiter, ended, NULL), 0);
    assert_int_equal(weir_waiter_add(waiter, running, NULL), 0);
    assert_int_equal(weir_waiter_add(waiter, waiting, NULL), 0);
    assert_int_equal(weir_waiter_add(waiter, left, NULL), 0);
    weir_future_free(ended);
    weir_future_free(waiting);
    weir_future_free(running);
    assert_ptr_equal(next(waiter, NULL), left);
    assert_int_equal(weir_waiter_next(waiter, &ended, NULL, -1), 0);
    weir_future_free(left);
    weir_waiter_free(waiter);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void cancelled_futures_come_too(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_waiter *waiter = new_waiter(pool);
    weir_future *first = submit_nap(pool, 500), *second = submit_nap(pool, 1000),
                *third = submit_nap(pool, 1000), *future;

    (void)state;
    assert_int_equal(weir_waiter_add(waiter, first, NULL), 0);
    assert_int_equal(weir_waiter_add(waiter, second, NULL), 0);
    assert_int_equal(weir_waiter_add(waiter, third, NULL), 0);
    weir_future_cancel(second);
    assert_ptr_equal(next(waiter, NULL), second);
    assert_false(weir_future_done(first));
    weir_pool_cancel(pool);
    future = next(waiter, NULL);
    assert_ptr_equal(next(waiter, NULL), future == first ? third : first);
    assert_int_equal(weir_waiter_next(waiter, &future, NULL, -1), 0);
    weir_future_free(first);
    weir_future_free(second);
    weir_future_free(third);
    weir_waiter_free(waiter);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void futures_come__when_the_pool_has_ended(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 1);
        weir_waiter *waiter = new_waiter(pool);
        weir_future *first = submit_nap(pool, 20), *second = submit_nap(pool, 20), *future;

        assert_int_equal(weir_waiter_add(waiter, first, NULL), 0);
        if (how == 0)
            weir_pool_free(pool);
        else if (how == 1)
            weir_pool_kill(pool);
        else
            kill(weir_pool_supervisor_pid(pool), SIGKILL);
        assert_int_equal(weir_waiter_add(waiter, second, NULL), 0);
        assert_ptr_equal(next(waiter, NULL), first);
        assert_ptr_equal(next(waiter, NULL), second);
        assert_int_equal(weir_waiter_next(waiter, &future, NULL, -1), 0);
        assert_int_equal(weir_waiter_add(waiter, second, NULL), 0);
        weir_future_free(first);
        weir_scope_end(scope);
        weir_future_free(second);
        weir_waiter_free(waiter);
    }
}

static weir_future *start_nap_on_range(weir_pool *pool, useconds_t *ms)
{
    weir_future *future = weir_pool_for_async(pool, weir_range_of(1), nap_on_range, ms,
                                              OPTIONS(.arg_size = sizeof *ms));

    assert_non_null(future);
    return future;
}

static void a_future_ends_once__when_its_waiter_was_freed_before(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_waiter *waiter = new_waiter(pool);
    weir_future *first = start_nap_on_range(pool, &(useconds_t){60}), *future;
    weir_future *second;

    (void)state;
    assert_int_equal(weir_waiter_add(waiter, first, NULL), 0);
    assert_int_equal(weir_waiter_next(waiter, &future, NULL, 1), -ETIMEDOUT);
    weir_waiter_free(waiter);
    second = start_nap_on_range(pool, &(useconds_t){300});
    assert_int_equal(weir_future_wait(first, -1), 0);
    waiter = new_waiter(pool);
    assert_int_equal(weir_waiter_add(waiter, second, NULL), 0);
    assert_ptr_equal(next(waiter, NULL), second); /* and sees that the first one was noted */
    assert_int_equal(weir_future_wait(first, 0), 0);
    weir_future_free(first);
    weir_future_free(second);
    weir_waiter_free(waiter);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void *echo_in_a_thread(void *arg)
{
    weir_pool *pool = arg;
    weir_waiter *waiter = new_waiter(pool);

    for (int i = 0; i < 3; i++)
        echo_all(pool, waiter, 3000);
    weir_waiter_free(waiter);
    return NULL;
}

static void count_call(weir_future *future, void *arg)
{
    weir_future_free(future);
    ++*(int *)arg;
}

static void each_thread_gets_its_own__when_others_wait_and_dispatch(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    pthread_t threads[3];
    int called = 0, put = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, echo_in_a_thread, pool), 0);
    for (double until = now_ms() + 300; now_ms() < until; put++) {
        assert_int_equal(weir_future_then(submit_nap(pool, 0), count_call, &called), 0);
        assert_true(weir_pool_dispatch(pool) >= 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    WAIT_UNTIL((weir_pool_dispatch(pool), called == put), 10000);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(each_future_comes_once__when_there_are_many),
        UNIT(futures_come_as_they_end__whatever_they_are_of),
        UNIT(waiting_ends__when_the_time_is_up_or_nothing_is_left),
        UNIT(the_waiter_wakes_at_once__when_a_future_ends),
        UNIT(a_future_is_refused__when_its_end_goes_elsewhere),
        UNIT(a_future_leaves_its_waiter__when_it_is_freed),
        UNIT(cancelled_futures_come_too),
        UNIT(futures_come__when_the_pool_has_ended),
        UNIT(a_future_ends_once__when_its_waiter_was_freed_before),
        UNIT(each_thread_gets_its_own__when_others_wait_and_dispatch),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
