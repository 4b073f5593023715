/* SPDX-License-Identifier: MIT
 *
 * Several threads that use one pool: jobs beside each other, and jobs in flight when it ends.
 */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 24
#define JOBS    60
#define ITEMS   3000

struct caller {
    weir_pool *pool;
    _Atomic int *items;
    unsigned seed;
    int wrong;
};

static void *call_often(void *arg)
{
    struct caller *caller = arg;

    for (int job = 0; job < JOBS; job++) {
        int length = (int)(rand_r(&caller->seed) % ITEMS) + 1;
        int result = weir_pool_for(caller->pool, (weir_range){0, length}, count_items,
                                   caller->items, OPTIONS(.chunks = 1 + job * 7 % 200));

        caller->wrong += result != 0;
        for (int i = 0; i < ITEMS; i++)
            caller->wrong += caller->items[i] != (i < length);
        for (int i = 0; i < length; i++)
            caller->items[i] = 0;
    }
    return NULL;
}

static void jobs_do_not_disturb_each_other__when_many_threads_call(void **state)
{
    weir_scope *scope = begin();
    struct caller callers[THREADS];
    pthread_t threads[THREADS];
    _Atomic int *items = shared_memory(THREADS * ITEMS * sizeof(int));
    weir_pool *pool = new_pool(scope, 3);

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){pool, items + i * ITEMS, (unsigned)i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, THREADS * ITEMS * sizeof(int));
}

struct flight {
    weir_pool *pool;
    _Atomic int *started;
    int result;
};

static int take_a_while(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (*(_Atomic int *)arg)++;
    usleep(20000);
    return 0;
}

static void *fly(void *arg)
{
    struct flight *flight = arg;

    flight->result = weir_pool_for(flight->pool, (weir_range){0, 20}, take_a_while,
                                   (void *)flight->started, OPTIONS(.grain = 1, .retries = 3));
    return NULL;
}

static void jobs_in_flight(void (*end)(weir_pool *), int results[3], int *starts)
{
    weir_scope *scope = begin();
    _Atomic int *started = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    struct flight flights[3];
    pthread_t threads[3];

    for (int i = 0; i < 3; i++) {
        flights[i] = (struct flight){pool, started, 1};
        assert_int_equal(pthread_create(&threads[i], NULL, fly, &flights[i]), 0);
    }
    WAIT_UNTIL(*started >= 4, 5000);
    usleep(30000); /* all three have opened their job by now */
    if (end != NULL) {
        end(pool);
        weir_scope_end(scope);
    } else {
        weir_scope_end(scope);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        results[i] = flights[i].result;
    }
    *starts = *started;
    munmap((void *)started, 4096);
}

static void jobs_in_flight_are_finished__when_the_pool_is_freed(void **state)
{
    int results[3], started;

    (void)state;
    jobs_in_flight(weir_pool_free, results, &started);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], 0);
    assert_int_equal(started, 60);
}

static void jobs_in_flight_report_a_death__when_the_pool_is_killed(void **state)
{
    int results[3], started;

    (void)state;
    jobs_in_flight(weir_pool_kill, results, &started);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], WEIR_EDIED);
    assert_true(started < 60);
}

static void jobs_in_flight_report_a_death__when_the_scope_ends(void **state)
{
    int results[3], started;

    (void)state;
    jobs_in_flight(NULL, results, &started);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], WEIR_EDIED);
    assert_true(started < 60);
}

/* ---- more jobs in flight than there are places ----------------------------------------------- */

#define SUBMITTERS 4
#define IN_FLIGHT  2500 /* of each: together more than the 4,095 places */
#define ROUNDS     20

static int give_back(weir_task *task, void *arg)
{
    return weir_task_result(task, arg, sizeof(int64_t));
}

static void *submit_many(void *arg)
{
    struct caller *caller = arg;
    weir_future **futures = calloc(IN_FLIGHT, sizeof(*futures));

    for (int round = 0; round < ROUNDS && futures != NULL; round++) {
        for (int64_t i = 0; i < IN_FLIGHT; i++)
            futures[i] = weir_pool_submit(caller->pool, give_back, &i, sizeof i,
                                          OPTIONS(.retries = 1)); /* a job of its own */
        for (int64_t i = 0; i < IN_FLIGHT; i++) {
            const int64_t *result = weir_future_result(futures[i], NULL);

            caller->wrong +=
                weir_future_wait(futures[i], -1) != 0 || result == NULL || *result != i;
            weir_future_free(futures[i]);
        }
    }
    free(futures);
    return NULL;
}

/* Those that need places finish the futures of others, which may be waiting for them. */
static void each_future_has_its_result__when_threads_need_places(void **state)
{
    weir_scope *scope = begin();
    struct caller callers[SUBMITTERS];
    pthread_t threads[SUBMITTERS];
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int i = 0; i < SUBMITTERS; i++) {
        callers[i] = (struct caller){.pool = pool};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &callers[i]), 0);
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(jobs_do_not_disturb_each_other__when_many_threads_call),
        UNIT(jobs_in_flight_are_finished__when_the_pool_is_freed),
        UNIT(jobs_in_flight_report_a_death__when_the_pool_is_killed),
        UNIT(jobs_in_flight_report_a_death__when_the_scope_ends),
        UNIT(each_future_has_its_result__when_threads_need_places),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
