/* SPDX-License-Identifier: MIT
 *
 * Cancelling: by a thread, in a signal handler, and at the moments at which it could be lost:
 * before a call has a job, between the two jobs of a map-reduce, between two calls.
 */
#include "now.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "pool/host/job.h"

#define JOBS (WEIR__JOBS_MAX - 1) /* one stands for the queue of calls */

/* ---- calls that run ------------------------------------------------------------------------- */

struct canceller {
    weir_pool *pool;
    struct slow *slow;
};

static void *cancel_when_started(void *arg)
{
    struct canceller *canceller = arg;

    while (canceller->slow->started == 0)
        usleep(100);
    usleep(5000);
    weir_pool_cancel(canceller->pool);
    return NULL;
}

static void the_call_returns_and_the_pool_goes_on__when_cancelled_by_a_thread(void **state)
{
    weir_scope *scope = begin();
    struct slow *slow = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    struct canceller canceller = {pool, slow};
    pthread_t thread;

    (void)state;
    for (int round = 0; round < 5; round++) {
        slow->started = slow->cancelled = 0;
        assert_int_equal(pthread_create(&thread, NULL, cancel_when_started, &canceller), 0);
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 1000}, until_cancelled, slow, OPTIONS(.grain = 1)),
            -ECANCELED);
        pthread_join(thread, NULL);
        assert_message_has("[0, 1000)");
        assert_true(slow->started >= 1 && slow->started <= 2);
        assert_int_equal(slow->cancelled, slow->started);
    }
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 10}, count_items, slow, OPTIONS(.grain = 1)), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(slow, 4096);
}

/* One chunk that sees the cancel and returns 0: its work is not done. */
static void the_call_says_so__when_its_only_task_returns_early(void **state)
{
    weir_scope *scope = begin();
    struct slow *slow = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    struct canceller canceller = {pool, slow};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_started, &canceller), 0);
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 1}, until_cancelled, slow, OPTIONS(.chunks = 1)),
        -ECANCELED);
    pthread_join(thread, NULL);
    assert_int_equal(slow->cancelled, 1);
    for (int round = 0; round < 20; round++)
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, until_cancelled, slow,
                                       OPTIONS(.chunks = 1, .timeout_ms = 10 + round)),
                         -ETIMEDOUT);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(slow, 4096);
}

static int result_until_cancelled(weir_task *task, void *arg)
{
    const int result = 7;
    struct slow *slow = *(struct slow **)arg;

    if (weir_task_result(task, &result, sizeof(result)) < 0)
        return 1;
    return until_cancelled(task, (weir_range){0, 1}, slow);
}

static void the_future_has_no_result__when_its_task_returns_early(void **state)
{
    weir_scope *scope = begin();
    struct slow *slow = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    weir_future *future;

    (void)state;
    for (int retries = 0; retries < 2; retries++) { /* a call of the queue, and a job */
        slow->started = 0;
        future = weir_pool_submit(pool, result_until_cancelled, &(struct slow *){slow},
                                  sizeof(slow), OPTIONS(.retries = retries));
        assert_non_null(future);
        while (slow->started == 0)
            usleep(100);
        weir_future_cancel(future);
        assert_int_equal(weir_future_wait(future, 20000), -ECANCELED);
        assert_null(weir_future_result(future, NULL));
        weir_future_free(future);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(slow, 4096);
}

static void *free_pool(void *pool)
{
    weir_pool_free(pool);
    return NULL;
}

/* The thread that frees the pool waits for the job, which ends by the other thread's cancel. */
static void the_job_is_cancelled__when_its_future_is_freed_while_the_pool_is(void **state)
{
    weir_scope *scope = begin();
    struct slow *slow = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    weir_future *future = weir_pool_for_async(pool, (weir_range){0, 1}, until_cancelled, slow,
                                              OPTIONS(.chunks = 1, .retries = 1));
    int64_t start = now_ms();
    pthread_t thread;

    (void)state;
    assert_non_null(future);
    while (slow->started == 0)
        usleep(100);
    assert_int_equal(pthread_create(&thread, NULL, free_pool, pool), 0);
    usleep(50000); /* it waits by now */
    weir_future_free(future);
    pthread_join(thread, NULL);
    assert_int_equal(slow->cancelled, 1);
    assert_true(now_ms() - start < 5000); /* until_cancelled() gives up after 10 s and more */
    weir_scope_end(scope);
    munmap(slow, 4096);
}

static weir_pool *alarmed_pool;
static struct slow *alarmed_slow;

/* Comes again until a task has begun: what is cancelled before the job is there is no job. */
static void on_alarm(int signal)
{
    (void)signal;
    if (alarmed_slow->started > 0)
        weir_pool_cancel(alarmed_pool);
    else
        ualarm(50000, 0);
}

static void the_call_returns__when_cancelled_in_a_signal_handler(void **state)
{
    weir_scope *scope = begin();
    struct slow *slow = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    struct sigaction action = {.sa_handler = on_alarm}, before;

    (void)state;
    alarmed_pool = pool;
    alarmed_slow = slow;
    sigaction(SIGALRM, &action, &before);
    ualarm(50000, 0);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1000}, until_cancelled, slow, NULL),
                     -ECANCELED);
    sigaction(SIGALRM, &before, NULL);
    assert_true(slow->started >= 1);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(slow, 4096);
}

/* ---- calls that have no job yet ------------------------------------------------------------- */

struct late_call {
    weir_pool *pool;
    struct slow *slow;
    int code;
    _Atomic bool returned;
};

static void *call_late(void *arg)
{
    struct late_call *late = arg;

    late->code = weir_pool_for(late->pool, (weir_range){0, 10}, count_items, &late->slow->started,
                               OPTIONS(.chunks = 1));
    late->returned = true;
    return NULL;
}

/* All places are taken, so the call waits for one when it is cancelled. */
static void a_call_is_cancelled__when_it_waits_for_a_place(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = shared_memory(8192);
    weir_pool *pool = new_pool(scope, 1);
    weir_future **futures = calloc(JOBS, sizeof(weir_future *));
    struct late_call late = {.pool = pool, .slow = (struct slow *)((char *)gate + 4096)};
    pthread_t thread;
    int cancelled = 0;

    (void)state;
    for (int i = 0; i < JOBS; i++) /* those with retries are jobs of their own */
        futures[i] =
            weir_pool_submit(pool, call_at_gate, &gate, sizeof gate, OPTIONS(.retries = 1));
    WAIT_UNTIL(gate->waiting == 1, 20000);
    assert_int_equal(pthread_create(&thread, NULL, call_late, &late), 0);
    for (int i = 0; i < 400 && !late.returned; i++) { /* the thread may be late */
        usleep(50000);
        weir_pool_cancel(pool);
    }
    gate->open = true;
    pthread_join(thread, NULL);
    assert_int_equal(late.code, -ECANCELED);
    assert_int_equal(late.slow->started, 0);
    for (int i = 0; i < JOBS; i++) {
        cancelled += weir_future_wait(futures[i], -1) == -ECANCELED;
        weir_future_free(futures[i]);
    }
    assert_int_equal(cancelled, JOBS - 1);
    free(futures);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gate, 8192);
}

static int emit_and_count(weir_task *task, weir_range range, void *arg)
{
    _Atomic int *mapped = *(void **)arg;

    for (int64_t i = range.begin; i < range.end; i++)
        weir_emit_int64(task, &i, sizeof i, 1);
    *mapped += (int)(range.end - range.begin);
    return 0;
}

static const weir_map_reduction counting = {
    .map = emit_and_count, .value_size = sizeof(int64_t), .combine = weir_sum_int64};

/* All is mapped, and no thread has looked yet: the second job is not there. */
static void a_map_reduce_is_cancelled__when_it_is_between_its_two_jobs(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *mapped = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        weir_future *future;

        *mapped = 0;
        future = weir_pool_map_reduce_async(pool, (weir_range){0, 1000}, &counting, &mapped,
                                            OPTIONS(.arg_size = sizeof mapped));
        WAIT_UNTIL(*mapped == 1000, 5000);
        usleep(20000); /* until the last chunk is settled, too */
        if (whole)
            weir_pool_cancel(pool);
        else
            weir_future_cancel(future);
        assert_int_equal(weir_future_wait(future, -1), -ECANCELED);
        assert_null(weir_future_table(future));
        weir_future_free(future);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap((void *)mapped, 4096);
}

/* ---- calls to come -------------------------------------------------------------------------- */

static int count_call(weir_task *task, void *arg)
{
    _Atomic int *runs = *(void **)arg;

    (void)task;
    (*runs)++;
    return 0;
}

static int fold_count(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)accumulator;
    return count_items(task, range, arg);
}

static void combine_nothing(void *into, const void *from, void *arg)
{
    (void)into;
    (void)from;
    (void)arg;
}

static int count_element(weir_task *task, const void *in, void *out, void *arg)
{
    (void)in;
    (void)out;
    return count_items(task, (weir_range){0, 1}, arg);
}

static void assert_all_cancelled(weir_pool *pool, _Atomic int *runs)
{
    const weir_reduction reduction = {.size = 8, .fold = fold_count, .combine = combine_nothing};
    const weir_range range = {0, 100};
    weir_future *future = weir_pool_submit(pool, count_call, &runs, sizeof runs, NULL);
    double result;

    assert_int_equal(weir_future_wait(future, -1), -ECANCELED);
    weir_future_free(future);
    assert_int_equal(weir_pool_for(pool, range, count_items, runs, NULL), -ECANCELED);
    assert_message_has("0 of 64 chunks done");
    assert_int_equal(weir_pool_reduce(pool, range, &reduction, &result, runs, NULL), -ECANCELED);
    assert_int_equal(weir_pool_map(pool, count_element, NULL, 0, NULL, 0, 100, runs, NULL),
                     -ECANCELED);
    assert_null(weir_pool_map_reduce(pool, range, &counting, &runs, OPTIONS(.arg_size = 8)));
    assert_int_equal(weir_last_error()->code, -ECANCELED);
    assert_int_equal(*runs, 0);
}

static void calls_are_cancelled_before_they_start__when_interrupted_until_resumed(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *runs = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2), *other = new_pool(scope, 1);

    (void)state;
    for (int round = 0; round < 3; round++) {
        weir_pool_interrupt(pool);
        if (round == 2)
            weir_pool_interrupt(pool); /* twice is as once */
        assert_all_cancelled(pool, runs);
        assert_int_equal(weir_pool_for(other, (weir_range){0, 1}, count_items, runs, NULL), 0);
        weir_pool_resume(pool);
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, count_items, runs, NULL), 0);
        assert_int_equal(*runs, 2);
        *runs = 0;
    }
    weir_pool_interrupt(NULL);
    weir_pool_resume(NULL);
    weir_pool_free(other);
    weir_pool_interrupt(pool);
    weir_pool_free(pool); /* as ever */
    weir_scope_end(scope);
    munmap((void *)runs, 4096);
}

static void on_interrupt(int signal)
{
    (void)signal;
    weir_pool_interrupt(alarmed_pool);
}

/* A program that runs one short job after the other: whenever the signal comes, it ends. */
static void a_loop_of_jobs_ends__whenever_a_handler_interrupts_it(void **state)
{
    struct sigaction action = {.sa_handler = on_interrupt}, before;
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    alarmed_pool = pool;
    sigaction(SIGALRM, &action, &before);
    for (int round = 0; round < 100; round++) {
        double limit = now_ms() + 5000;
        int result;

        ualarm((useconds_t)(1000 + round * 37), 0);
        while ((result = weir_pool_for(pool, (weir_range){0, 2}, count_items, items, NULL)) == 0 &&
               now_ms() < limit)
            ;
        assert_int_equal(result, -ECANCELED);
        weir_pool_resume(pool);
    }
    sigaction(SIGALRM, &before, NULL);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap((void *)items, 4096);
}

/* ---- cancels that come late ------------------------------------------------------------------ */

/* A handler has read where the job is, and goes on when another job has its place. */
static void no_other_job_is_cancelled__when_its_place_is_used_again(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = shared_memory(sizeof *gate);
    weir_pool *pool = new_pool(scope, 1);
    weir_future *first, *second;
    uint64_t position;

    (void)state;
    gate->open = true;
    first = weir_pool_for_async(pool, (weir_range){0, 1}, wait_at_gate, (void *)&gate,
                                OPTIONS(.arg_size = sizeof gate));
    assert_non_null(first);
    position = first->position;
    assert_int_equal(weir_future_wait(first, -1), 0);
    gate->open = false;
    second = weir_pool_for_async(pool, (weir_range){0, 4}, wait_at_gate, (void *)&gate,
                                 OPTIONS(.grain = 1, .arg_size = sizeof gate));
    assert_non_null(second);
    assert_int_equal(second->position % WEIR__JOBS_MAX, position % WEIR__JOBS_MAX);
    weir__job_cancel(pool, position);
    gate->open = true;
    assert_int_equal(weir_future_wait(second, -1), 0);
    weir_future_free(first);
    weir_future_free(second);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
}

struct racer {
    weir_pool *pool;
    _Atomic int *items;
    bool cancels;
    int wrong;
};

/* One thread cancels its futures while the others, which need places, finish them. */
static void *race(void *arg)
{
    enum { EACH = 1500 };
    struct racer *racer = arg;
    weir_future **futures = calloc(EACH, sizeof(*futures));

    for (int round = 0; round < 6 && futures != NULL; round++) {
        for (int i = 0; i < EACH; i++)
            futures[i] = weir_pool_for_async(racer->pool, (weir_range){0, 1}, count_items,
                                             racer->items, NULL);
        for (int i = 0; i < EACH && racer->cancels; i++)
            weir_future_cancel(futures[i]);
        for (int i = 0; i < EACH; i++) {
            int result = weir_future_wait(futures[i], -1);

            racer->wrong += result != 0 && !(racer->cancels && result == -ECANCELED);
            weir_future_free(futures[i]);
        }
    }
    free(futures);
    return NULL;
}

static void no_job_of_others_is_cancelled__when_a_thread_cancels_its_own(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    struct racer racers[4];
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        racers[i] = (struct racer){.pool = pool, .items = items, .cancels = i < 2};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].wrong, 0);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_call_returns_and_the_pool_goes_on__when_cancelled_by_a_thread),
        UNIT(the_call_says_so__when_its_only_task_returns_early),
        UNIT(the_future_has_no_result__when_its_task_returns_early),
        UNIT(the_job_is_cancelled__when_its_future_is_freed_while_the_pool_is),
        UNIT(the_call_returns__when_cancelled_in_a_signal_handler),
        UNIT(a_call_is_cancelled__when_it_waits_for_a_place),
        UNIT(a_map_reduce_is_cancelled__when_it_is_between_its_two_jobs),
        UNIT(calls_are_cancelled_before_they_start__when_interrupted_until_resumed),
        UNIT(a_loop_of_jobs_ends__whenever_a_handler_interrupts_it),
        UNIT(no_other_job_is_cancelled__when_its_place_is_used_again),
        UNIT(no_job_of_others_is_cancelled__when_a_thread_cancels_its_own),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
