/* SPDX-License-Identifier: MIT
 *
 * The queue of submitted calls: many at once, its places used again and again, and what goes wrong
 * with one of them.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "pool/control/calls.h"
#include "pool/worker/task.h"

#define PLACES WEIR__QUEUE_CALLS
#define MANY   (3 * PLACES)

struct board {
    _Atomic int open, entered; /* for block() */
    _Atomic int ran[MANY];
};

struct item {
    struct board *board;
    int number;
};

static struct board *new_board(void)
{
    return shared_memory(sizeof(struct board));
}

static void free_board(struct board *board)
{
    munmap(board, sizeof(*board));
}

static int count(weir_task *task, void *arg)
{
    struct item *item = arg;

    (void)task;
    atomic_fetch_add(&item->board->ran[item->number], 1);
    return 0;
}

static int block(weir_task *task, void *arg)
{
    struct item *item = arg;

    atomic_fetch_add(&item->board->entered, 1);
    while (atomic_load(&item->board->open) <= item->number)
        usleep(100);
    return count(task, arg);
}

/* Each third fails, with its number. */
static int fail_each_third(weir_task *task, void *arg)
{
    struct item *item = arg;

    if (item->number % 3 == 0)
        return weir_task_fail(task, item->number + 1, "it is number %d", item->number);
    return count(task, arg);
}

/* Nothing, something small, something large, in turn. */
static int give_in_turn(weir_task *task, void *arg)
{
    struct item *item = arg;
    char bytes[300];

    memset(bytes, item->number % 100, sizeof(bytes));
    switch (item->number % 7) {
    case 1:
        return weir_task_result(task, bytes, 5);
    case 2:
        return weir_task_result(task, bytes, sizeof(bytes));
    case 3:
        return weir_task_result(task, bytes, sizeof(bytes)) == 0 &&
                       weir_task_result(task, NULL, 0) == 0
                   ? 0
                   : 1;
    case 4: /* it counts for nothing */
        return weir_task_result(task, bytes, sizeof(bytes)) == 0 ? 1 : 2;
    default:
        return 0;
    }
}

static int die_now_and_then(weir_task *task, void *arg)
{
    struct item *item = arg;

    count(task, arg);
    if (item->number % 500 == 250)
        raise(SIGSEGV);
    return 0;
}

static weir_future *submit(weir_pool *pool, weir_call_fn function, struct board *board, int number)
{
    weir_future *future =
        weir_pool_submit(pool, function, &(struct item){board, number}, sizeof(struct item), NULL);

    if (future == NULL)
        fail_msg("weir_pool_submit: %s", weir_last_error()->message);
    return future;
}

static weir_future **submit_all(weir_pool *pool, weir_call_fn function, struct board *board, int n)
{
    weir_future **futures = calloc((size_t)n, sizeof(*futures));

    assert_non_null(futures);
    for (int i = 0; i < n; i++)
        futures[i] = submit(pool, function, board, i);
    return futures;
}

/* ---- many ----------------------------------------------------------------------------------- */

static void every_call_runs_once__when_places_are_used_again(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 2);
    weir_future **futures = submit_all(pool, count, board, MANY);

    (void)state;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(weir_future_wait(futures[i], -1), 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(board->ran[i], 1);
    for (int i = MANY - 1; i >= 0; i--)
        weir_future_free(futures[i]);
    free(futures);
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

static void short_calls_go_on__while_one_takes_long(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *longest = submit(pool, block, board, 0);

    (void)state;
    for (int i = 1; i < MANY; i++) {
        weir_future *future = submit(pool, count, board, i);

        assert_int_equal(weir_future_wait(future, 10000), 0);
        assert_false(weir_future_done(longest));
        weir_future_free(future);
    }
    assert_int_equal(board->ran[0], 0);
    board->open = 1;
    assert_int_equal(weir_future_wait(longest, 10000), 0);
    weir_future_free(longest);
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

struct submitter {
    weir_pool *pool;
    struct board *board;
    weir_future **futures;
    _Atomic int submitted;
    pthread_t thread;
};

static void *submit_in_thread(void *arg)
{
    struct submitter *submitter = arg;

    for (int i = 1; i < MANY; i++) {
        submitter->futures[i] = weir_pool_submit(
            submitter->pool, count, &(struct item){submitter->board, i}, sizeof(struct item), NULL);
        atomic_store(&submitter->submitted, i);
    }
    return NULL;
}

/* One worker, that is kept busy, and a thread that submits more than there is place for. */
static void fill_queue(struct submitter *submitter, weir_scope *scope)
{
    submitter->board = new_board();
    submitter->pool = new_pool(scope, 1);
    submitter->futures = calloc(MANY, sizeof(*submitter->futures));
    submitter->futures[0] = submit(submitter->pool, block, submitter->board, 0);
    WAIT_UNTIL(submitter->board->entered == 1, 10000);
    assert_int_equal(pthread_create(&submitter->thread, NULL, submit_in_thread, submitter), 0);
    WAIT_UNTIL(submitter->submitted >= PLACES - 1, 10000);
    usleep(20000);
    assert_int_equal(submitter->submitted, PLACES - 1);
}

static void free_queue(struct submitter *submitter)
{
    weir_pool_free(submitter->pool);
    for (int i = 0; i < MANY; i++)
        weir_future_free(submitter->futures[i]);
    free(submitter->futures);
    free_board(submitter->board);
}

static void submitting_waits__when_the_queue_is_full(void **state)
{
    weir_scope *scope = begin();
    struct submitter submitter = {0};

    (void)state;
    fill_queue(&submitter, scope);
    submitter.board->open = 1;
    pthread_join(submitter.thread, NULL);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(weir_future_wait(submitter.futures[i], 10000), 0);
        assert_int_equal(submitter.board->ran[i], 1);
    }
    free_queue(&submitter);
    weir_scope_end(scope);
}

static void submitting_goes_on__when_a_full_queue_is_cancelled(void **state)
{
    weir_scope *scope = begin();
    struct submitter submitter = {0};
    int cancelled = 0;

    (void)state;
    fill_queue(&submitter, scope);
    weir_pool_cancel(submitter.pool);
    WAIT_UNTIL(submitter.submitted > PLACES, 10000);
    submitter.board->open = 1;
    pthread_join(submitter.thread, NULL);
    for (int i = 0; i < MANY; i++) {
        int code = weir_future_wait(submitter.futures[i], 10000);

        cancelled += code == -ECANCELED;
        assert_int_equal(submitter.board->ran[i], code == 0);
    }
    /* all that had been there but the one that was running */
    assert_in_range(cancelled, PLACES - 1, PLACES);
    free_queue(&submitter);
    weir_scope_end(scope);
}

static void submitting_goes_on__when_the_supervisor_is_killed(void **state)
{
    weir_scope *scope = begin();
    struct submitter submitter = {0};

    (void)state;
    fill_queue(&submitter, scope);
    kill(weir_pool_supervisor_pid(submitter.pool), SIGKILL);
    pthread_join(submitter.thread, NULL);
    for (int i = 0; i < MANY; i++) {
        if (submitter.futures[i] != NULL)
            assert_int_equal(weir_future_wait(submitter.futures[i], 10000), WEIR_EDIED);
    }
    free_queue(&submitter);
    weir_scope_end(scope);
}

/* ---- what a call leaves --------------------------------------------------------------------- */

static void each_failure_is_its_own__when_places_are_used_again(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 2);
    weir_future **futures;
    char expected[96];

    (void)state;
    weir_clear_error();
    futures = submit_all(pool, fail_each_third, board, MANY);
    assert_int_equal(weir_last_error()->code, 0); /* though it took over failures of others */
    for (int i = 0; i < MANY; i++) {
        int code = weir_future_wait(futures[i], -1);
        const weir_error *error = weir_future_error(futures[i]);

        assert_int_equal(code, i % 3 == 0 ? WEIR_EFAILED : 0);
        assert_int_equal(board->ran[i], i % 3 != 0);
        if (i % 3 != 0) {
            assert_null(error);
        } else {
            assert_int_equal(error->task_code, i + 1);
            assert_int_equal(error->range.begin, 0);
            assert_int_equal(error->range.end, 1);
            snprintf(expected, sizeof expected,
                     "task failed on [0, 1) with code %d: it is number %d", i + 1, i);
            assert_string_equal(error->message, expected);
        }
        weir_future_free(futures[i]);
    }
    free(futures);
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

static void each_result_is_its_own__when_places_are_used_again(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 2);
    const size_t sizes[] = {0, 5, 300, 0, 0, 0, 0};

    (void)state;
    for (int round = 0; round < 2; round++) {
        weir_future **futures = submit_all(pool, give_in_turn, board, PLACES + 100);

        for (int i = 0; i < PLACES + 100; i++) {
            size_t size;
            const unsigned char *bytes = weir_future_result(futures[i], &size);

            assert_int_equal(size, sizes[i % 7]);
            assert_int_equal(bytes != NULL, size > 0);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(bytes[k], i % 100);
            assert_int_equal((uintptr_t)bytes % 16, 0);
            assert_int_equal(weir_future_wait(futures[i], 0), i % 7 == 4 ? WEIR_EFAILED : 0);
            weir_future_free(futures[i]);
        }
        free(futures);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

static void futures_outlive_the_pool__in_any_order(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 2);
    weir_future **futures = submit_all(pool, count, board, MANY);

    (void)state;
    for (int i = 0; i < MANY; i += 5)
        weir_future_free(futures[i]); /* cancelled, or done */
    weir_pool_free(pool);
    for (int i = 0; i < MANY; i++) {
        int k = (int)((int64_t)i * 5003 % MANY);

        if (k % 5 == 0)
            continue;
        assert_true(weir_future_done(futures[k]));
        assert_int_equal(weir_future_wait(futures[k], 0), 0);
        assert_int_equal(board->ran[k], 1);
        weir_future_free(futures[k]);
    }
    free(futures);
    weir_scope_end(scope);
    free_board(board);
}

/* ---- cancelling ----------------------------------------------------------------------------- */

static void one_call_is_cancelled__and_no_other(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 1);
    weir_future *futures[10];

    (void)state;
    futures[0] = submit(pool, block, board, 0);
    for (int i = 1; i < 10; i++)
        futures[i] = submit(pool, count, board, i);
    weir_future_cancel(futures[4]);
    assert_int_equal(weir_future_wait(futures[4], 10000), -ECANCELED); /* behind one that runs */
    weir_future_cancel(futures[4]);
    weir_future_cancel(futures[7]);
    board->open = 1;
    for (int i = 0; i < 10; i++) {
        bool cancelled = i == 4 || i == 7;

        assert_int_equal(weir_future_wait(futures[i], 10000), cancelled ? -ECANCELED : 0);
        assert_int_equal(board->ran[i], !cancelled);
        weir_future_free(futures[i]);
    }
    /* The places are used again; nothing of it is left. */
    for (int i = 10; i < PLACES + 20; i++) {
        futures[0] = submit(pool, count, board, i);
        assert_int_equal(weir_future_wait(futures[0], 10000), 0);
        weir_future_free(futures[0]);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

static void calls_submitted_later_run__when_a_pool_was_cancelled(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 1);
    weir_future *futures[30];

    (void)state;
    futures[0] = submit(pool, block, board, 0);
    WAIT_UNTIL(board->entered == 1, 10000);
    for (int i = 1; i < 15; i++)
        futures[i] = submit(pool, count, board, i);
    weir_pool_cancel(pool);
    for (int i = 15; i < 30; i++)
        futures[i] = submit(pool, count, board, i);
    board->open = 1;
    for (int i = 0; i < 30; i++) {
        bool cancelled = i > 0 && i < 15;

        assert_int_equal(weir_future_wait(futures[i], 10000), cancelled ? -ECANCELED : 0);
        assert_int_equal(board->ran[i], !cancelled);
        weir_future_free(futures[i]);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

/* ---- deaths --------------------------------------------------------------------------------- */

static void a_death_names_the_call__and_no_other_is_lost(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 2);
    weir_future **futures = submit_all(pool, die_now_and_then, board, MANY);

    (void)state;
    for (int i = 0; i < MANY; i++) {
        bool dies = i % 500 == 250;

        assert_int_equal(weir_future_wait(futures[i], 30000), dies ? WEIR_EDIED : 0);
        assert_int_equal(board->ran[i], 1);
        if (dies) {
            assert_int_equal(weir_future_error(futures[i])->signal, SIGSEGV);
            assert_int_equal(weir_future_error(futures[i])->range.begin, 0);
            assert_int_equal(weir_future_error(futures[i])->range.end, 1);
            assert_message_has("on [0, 1), attempt 1 of 1");
        }
        weir_future_free(futures[i]);
    }
    free(futures);
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

static void every_call_ends__while_workers_are_killed(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 2);
    struct killer killer = {.pool = pool, .pause_us = 500};
    int died = 0;

    (void)state;
    start_killer(&killer);
    for (double until = now_ms() + 3000; now_ms() < until;) {
        weir_future **futures = submit_all(pool, count, board, 500);

        for (int i = 0; i < 500; i++) {
            int code = weir_future_wait(futures[i], 30000);

            assert_true(code == 0 || code == WEIR_EDIED);
            died += code != 0;
            assert_in_range(atomic_exchange(&board->ran[i], 0), code == 0, 1);
            weir_future_free(futures[i]);
        }
        free(futures);
    }
    stop_killer(&killer);
    print_message("%d calls died with their workers\n", died);
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

static int count_to_a_hundred(weir_task *task, void *arg)
{
    static int calls; /* in this worker */

    return count(task, arg) != 0 || ++calls > 100;
}

static void calls_go_on__when_workers_wear_out(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .chunks_per_worker = 100});
    weir_future **futures = submit_all(pool, count_to_a_hundred, board, 3000);

    (void)state;
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(weir_future_wait(futures[i], 30000), 0);
        assert_int_equal(board->ran[i], 1);
        weir_future_free(futures[i]);
    }
    free(futures);
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

/* ---- beside other jobs ---------------------------------------------------------------------- */

static int note_entered(weir_task *task, weir_range range, void *arg)
{
    struct board *board = *(void **)arg;

    (void)task;
    (void)range;
    board->ran[MANY - 1] = board->entered;
    return 0;
}

static int count_entered(weir_task *task, void *arg)
{
    struct item *item = arg;

    atomic_fetch_add(&item->board->entered, 1);
    return count(task, arg);
}

static void other_jobs_have_their_turn__when_many_calls_are_there(void **state)
{
    weir_scope *scope = begin();
    struct board *board = new_board();
    weir_pool *pool = new_pool(scope, 1);
    weir_future *blocked[2], *job, **futures;

    (void)state;
    for (int i = 0; i < 2; i++)
        blocked[i] = submit(pool, block, board, i);
    WAIT_UNTIL(board->entered == 1, 10000);
    futures = submit_all(pool, count_entered, board, 3000);
    /* The worker is on the second of those that wait, and has seen the calls after it. */
    board->open = 1;
    WAIT_UNTIL(board->entered == 2, 10000);
    job = weir_pool_for_async(pool, (weir_range){0, 1}, note_entered, &board,
                              OPTIONS(.arg_size = sizeof board));
    board->open = 2;
    assert_int_equal(weir_future_wait(job, 10000), 0);
    assert_in_range(board->ran[MANY - 1], 1, 100);
    weir_future_free(job);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir_future_wait(blocked[i], 10000), 0);
        weir_future_free(blocked[i]);
    }
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(weir_future_wait(futures[i], 10000), 0);
        weir_future_free(futures[i]);
    }
    free(futures);
    weir_pool_free(pool);
    weir_scope_end(scope);
    free_board(board);
}

/* Gives a result of so many bytes, and then says that it is longer. */
static int lie_about_size(weir_task *task, void *arg)
{
    static const char bytes[4096];
    const size_t size = *(const size_t *)arg;
    struct weir__result *result = task->call != NULL ? &task->call->result : &task->job->result;

    if (weir_task_result(task, bytes, size) < 0)
        return 1;
    result->size = size <= WEIR__RESULT_INLINE ? WEIR__RESULT_INLINE + 1 : SIZE_MAX / 4;
    return 0;
}

static void no_byte_is_read_outside_of_a_result__when_its_record_was_overwritten(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (int i = 0; i < 4; i++) {
        const size_t size = i / 2 == 0 ? 10 : 4096;
        weir_future *future = weir_pool_submit(pool, lie_about_size, &size, sizeof size,
                                               OPTIONS(.retries = i % 2)); /* a job of its own */

        assert_int_equal(weir_future_wait(future, -1), -EBADMSG);
        assert_null(weir_future_result(future, NULL));
        weir_future_free(future);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(every_call_runs_once__when_places_are_used_again),
        UNIT(short_calls_go_on__while_one_takes_long),
        UNIT(submitting_waits__when_the_queue_is_full),
        UNIT(submitting_goes_on__when_a_full_queue_is_cancelled),
        UNIT(submitting_goes_on__when_the_supervisor_is_killed),
        UNIT(each_failure_is_its_own__when_places_are_used_again),
        UNIT(each_result_is_its_own__when_places_are_used_again),
        UNIT(no_byte_is_read_outside_of_a_result__when_its_record_was_overwritten),
        UNIT(futures_outlive_the_pool__in_any_order),
        UNIT(one_call_is_cancelled__and_no_other),
        UNIT(calls_submitted_later_run__when_a_pool_was_cancelled),
        UNIT(a_death_names_the_call__and_no_other_is_lost),
        UNIT(every_call_ends__while_workers_are_killed),
        UNIT(calls_go_on__when_workers_wear_out),
        UNIT(other_jobs_have_their_turn__when_many_calls_are_there),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
