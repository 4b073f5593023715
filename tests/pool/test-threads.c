/* SPDX-License-Identifier: MIT
 *
 * Several threads that use one pool: jobs beside each other, and jobs in flight when it ends.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "pool/host/state.h"

/* These tests run under ThreadSanitizer too, which does not see the locks of a thread that has
 * forked. So that thread makes scopes and pools, while there is no other; others do the rest. */
static void apart(void *(*function)(void *), void *arg)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, function, arg), 0);
    pthread_join(thread, NULL);
}

static void *free_pool(void *pool)
{
    weir_pool_free(pool);
    return NULL;
}

static void *kill_pool(void *pool)
{
    weir_pool_kill(pool);
    return NULL;
}

static void *end_scope(void *scope)
{
    weir_scope_end(scope);
    return NULL;
}

#define THREADS 24
#define JOBS    60
#define ITEMS   3000

struct caller {
    weir_pool *pool;
    _Atomic int *items;
    unsigned seed;
    int wrong, jobs;
    _Atomic bool stopped;
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
        callers[i] = (struct caller){.pool = pool, .items = items + i * ITEMS, .seed = (unsigned)i};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    apart(free_pool, pool);
    apart(end_scope, scope);
    munmap(items, THREADS * ITEMS * sizeof(int));
}

struct flight {
    weir_pool *pool;
    _Atomic int *started;
    int64_t chunks;
    int result;
    _Atomic bool launched;
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

    flight->result = weir_pool_for(flight->pool, (weir_range){0, flight->chunks}, take_a_while,
                                   (void *)flight->started, OPTIONS(.grain = 1, .retries = 3));
    return NULL;
}

#define ENDLESS 2000 /* chunks: a minute */

/* Or calls that are about to open one. */
static int open_jobs(weir_pool *pool)
{
    int count;

    pthread_mutex_lock(&pool->lock);
    count = pool->in_use;
    pthread_mutex_unlock(&pool->lock);
    return count;
}

/* Three jobs of 20 ms a chunk. */
static void jobs_in_flight(void *(*end)(void *), int64_t chunks, int results[3], int *starts)
{
    weir_scope *scope = begin();
    _Atomic int *started = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    struct flight flights[3];
    pthread_t threads[3];

    for (int i = 0; i < 3; i++) {
        flights[i] =
            (struct flight){.pool = pool, .started = started, .chunks = chunks, .result = 1};
        assert_int_equal(pthread_create(&threads[i], NULL, fly, &flights[i]), 0);
    }
    WAIT_UNTIL(*started >= 4, 20000);
    WAIT_UNTIL(open_jobs(pool) == 3, 20000);
    if (end != NULL)
        apart(end, pool);
    apart(end_scope, scope);
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
    jobs_in_flight(free_pool, 20, results, &started);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], 0);
    assert_int_equal(started, 60);
}

static void jobs_in_flight_report_a_death__when_the_pool_is_killed(void **state)
{
    int results[3], started;

    (void)state;
    jobs_in_flight(kill_pool, ENDLESS, results, &started);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], WEIR_EDIED);
    assert_true(started < 3 * ENDLESS);
}

static void jobs_in_flight_report_a_death__when_the_scope_ends(void **state)
{
    int results[3], started;

    (void)state;
    jobs_in_flight(NULL, ENDLESS, results, &started);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], WEIR_EDIED);
    assert_true(started < 3 * ENDLESS);
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
    apart(free_pool, pool);
    apart(end_scope, scope);
}

/* Plain jobs beside many jobs of futures: they need places too. */
static void *count_always(void *arg)
{
    struct caller *caller = arg;

    while (!caller->stopped) {
        caller->wrong +=
            weir_pool_for(caller->pool, (weir_range){0, 4}, count_items, caller->items, NULL) != 0;
        caller->jobs++;
    }
    return NULL;
}

static void *crowd_places(void *arg)
{
    static weir_future *futures[6000];
    struct caller *caller = arg;

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 6000; i++)
            futures[i] = weir_pool_for_async(caller->pool, (weir_range){0, 2}, count_items,
                                             caller->items, NULL);
        for (int i = 0; i < 6000; i++) {
            caller->wrong += weir_future_wait(futures[i], -1) != 0;
            weir_future_free(futures[i]);
        }
    }
    return NULL;
}

static void plain_jobs_go_on__beside_more_futures_than_places(void **state)
{
    _Atomic int *items = shared_memory(4096);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    struct caller callers[3], crowd;
    pthread_t threads[3];
    int jobs = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){.pool = pool, .items = items + i * 16};
        assert_int_equal(pthread_create(&threads[i], NULL, count_always, &callers[i]), 0);
    }
    crowd = (struct caller){.pool = pool, .items = items + 64};
    apart(crowd_places, &crowd);
    assert_int_equal(crowd.wrong, 0);
    for (int i = 0; i < 3; i++) {
        callers[i].stopped = true;
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
        assert_int_equal(items[i * 16], callers[i].jobs);
        jobs += callers[i].jobs;
    }
    assert_true(jobs > 0);
    assert_int_equal(items[64], 24000);
    apart(free_pool, pool);
    apart(end_scope, scope);
    munmap(items, 4096);
}

/* ---- the pool ends while others use it ------------------------------------------------------- */

#define ENDS       12
#define LATE_CALLS 200

struct late {
    weir_pool *pool;
    int kind;
    bool wrong;
};

static int run_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int free_and_get(weir_future *future, int result)
{
    weir_future_free(future);
    return result;
}

static int call_in_some_way(struct late *late)
{
    const weir_job_options retries = {.retries = 1};
    weir_future *futures[4];
    int64_t number = 7;
    int result = 0;

    switch (late->kind) {
    case 0:
        futures[0] = weir_pool_submit(late->pool, give_back, &number, sizeof number, NULL);
        return futures[0] == NULL ? weir_last_error()->code
                                  : free_and_get(futures[0], weir_future_wait(futures[0], -1));
    case 1:
        return weir_pool_for(late->pool, (weir_range){0, 100}, run_nothing, NULL, NULL);
    case 2:
        for (int i = 0; i < 4; i++) {
            futures[i] =
                weir_pool_for_async(late->pool, (weir_range){0, 9}, run_nothing, NULL, &retries);
            if (futures[i] == NULL)
                result = weir_last_error()->code;
        }
        if (weir_future_wait_many(futures, 4, WEIR_WHEN_ALL, -1) != 4)
            late->wrong = true;
        for (int i = 0; i < 4; i++)
            weir_future_free(futures[i]);
        return result;
    default:
        futures[0] = weir_pool_submit(late->pool, give_back, &number, sizeof number, &retries);
        if (futures[0] == NULL)
            return weir_last_error()->code;
        weir_pool_cancel(late->pool);
        while (!weir_future_done(futures[0]))
            weir_future_cancel(futures[0]);
        return weir_future_wait(futures[0], -1) == WEIR_EDIED ? free_and_get(futures[0], WEIR_EDIED)
                                                              : free_and_get(futures[0], 0);
    }
}

/* Until the pool has ended, and then some more. */
static void *call_until_the_end(void *arg)
{
    struct late *late = arg;
    int result;

    do
        result = call_in_some_way(late);
    while (result == 0 || result == WEIR_EDIED ||
           (result == -ECANCELED && weir_pool_workers(late->pool) > 0));
    late->wrong |= result != -ECANCELED;
    for (int i = 0; i < LATE_CALLS; i++)
        late->wrong |= call_in_some_way(late) != -ECANCELED;
    return NULL;
}

static void end_under_calls(bool scope_ends)
{
    for (int n = 0; n < ENDS; n++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 2);
        struct late late[4];
        pthread_t threads[4];

        for (int i = 0; i < 4; i++) {
            late[i] = (struct late){.pool = pool, .kind = i};
            assert_int_equal(pthread_create(&threads[i], NULL, call_until_the_end, &late[i]), 0);
        }
        usleep((unsigned)(n * 137 % 3000));
        if (!scope_ends)
            apart(kill_pool, pool);
        apart(end_scope, scope);
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            assert_false(late[i].wrong);
        }
    }
}

static void calls_of_others_fail__when_a_thread_kills_the_pool(void **state)
{
    (void)state;
    end_under_calls(false);
}

static void calls_of_others_fail__when_a_thread_ends_the_scope(void **state)
{
    (void)state;
    end_under_calls(true);
}

static void a_pool_ends_once__when_several_threads_kill_it(void **state)
{
    (void)state;
    for (int n = 0; n < 10; n++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 1);
        pthread_t threads[3];

        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, kill_pool, pool), 0);
        apart(kill_pool, pool);
        assert_int_equal(weir_pool_workers(pool), -ECANCELED);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        apart(end_scope, scope);
    }
}

/* A thread that waits for ever must not hear that its time is over. */
static void *wait_for_ever(void *arg)
{
    struct flight *flight = arg;
    weir_future *future = weir_pool_for_async(flight->pool, (weir_range){0, 400}, take_a_while,
                                              (void *)flight->started, NULL);

    flight->launched = future != NULL;
    flight->result = weir_future_wait(future, -1);
    weir_future_free(future);
    return NULL;
}

static void waiting_threads_learn_of_the_death__when_a_thread_kills_the_pool(void **state)
{
    (void)state;
    for (int n = 0; n < 20; n++) {
        weir_scope *scope = begin();
        _Atomic int *started = shared_memory(4096);
        weir_pool *pool = new_pool(scope, 2);
        struct flight flights[3];
        pthread_t threads[3];

        for (int i = 0; i < 3; i++) {
            flights[i] = (struct flight){.pool = pool, .started = started};
            assert_int_equal(pthread_create(&threads[i], NULL, wait_for_ever, &flights[i]), 0);
        }
        WAIT_UNTIL(flights[0].launched && flights[1].launched && flights[2].launched, 5000);
        usleep((unsigned)(n * 97 % 2000));
        apart(kill_pool, pool);
        for (int i = 0; i < 3; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(flights[i].result, WEIR_EDIED);
        }
        apart(end_scope, scope);
        munmap((void *)started, 4096);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(jobs_do_not_disturb_each_other__when_many_threads_call),
        UNIT(jobs_in_flight_are_finished__when_the_pool_is_freed),
        UNIT(jobs_in_flight_report_a_death__when_the_pool_is_killed),
        UNIT(jobs_in_flight_report_a_death__when_the_scope_ends),
        UNIT(each_future_has_its_result__when_threads_need_places),
        UNIT(plain_jobs_go_on__beside_more_futures_than_places),
        UNIT(calls_of_others_fail__when_a_thread_kills_the_pool),
        UNIT(calls_of_others_fail__when_a_thread_ends_the_scope),
        UNIT(a_pool_ends_once__when_several_threads_kill_it),
        UNIT(waiting_threads_learn_of_the_death__when_a_thread_kills_the_pool),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
