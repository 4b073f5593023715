/* SPDX-License-Identifier: MIT
 *
 * The pool's calls: what each sentence of weir-pool.h promises while nobody dies.
 */
#include "scopes.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "pool/control/control.h"

/* ---- making --------------------------------------------------------------------------------- */

static void a_pool_is_refused__when_its_options_are_wrong(void **state)
{
    weir_scope *scope = begin();
    weir_pool_options reserved = {.reserved = {[7] = 1}};

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

/* ---- a job's arguments ---------------------------------------------------------------------- */

static void assert_refused(weir_pool *pool, weir_range range, weir_task_fn function, void *arg,
                           const weir_job_options *options, int code, const char *part,
                           const char *other)
{
    weir_clear_error();
    assert_int_equal(weir_pool_for(pool, range, function, arg, options), code);
    assert_int_equal(weir_last_error()->code, code);
    assert_message_has(part);
    assert_message_has(other);
}

static void a_job_is_refused__when_its_arguments_are_wrong(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    weir_range range = {0, 100};

    (void)state;
    assert_refused(NULL, range, count_items, items, NULL, -EINVAL, "pool", "NULL");
    assert_refused(pool, range, NULL, items, NULL, -EINVAL, "function", "NULL");
    assert_refused(pool, (weir_range){5, 4}, count_items, items, NULL, -EINVAL, "5", "4");
    assert_refused(pool, range, count_items, items, OPTIONS(.chunks = -1), -EINVAL, "-1", "chunks");
    assert_refused(pool, range, count_items, items, OPTIONS(.grain = -2), -EINVAL, "-2", "grain");
    assert_refused(pool, range, count_items, items, OPTIONS(.chunks = 3, .grain = 7), -EINVAL, "3",
                   "7");
    assert_refused(pool, range, count_items, items, OPTIONS(.retries = -2), -EINVAL, "-1", "30");
    assert_refused(pool, range, count_items, items, OPTIONS(.retries = 31), -EINVAL, "31", "30");
    assert_refused(pool, range, count_items, NULL, OPTIONS(.arg_size = 9), -EINVAL, "NULL", "9");
    assert_refused(pool, range, count_items, items, OPTIONS(.reserved = {1}), -EINVAL, "reserved",
                   "zero");
    assert_refused(pool, (weir_range){0, INT64_MAX}, count_items, items, OPTIONS(.grain = 1),
                   -E2BIG, "9223372036854775807", "16777216");
    assert_refused(pool, (weir_range){0, 20000000}, count_items, items, OPTIONS(.chunks = 16777217),
                   -E2BIG, "16777217", "16777216");
    if (!scopes_are_anonymous()) /* their memory has no size that refuses it */
        assert_refused(pool, range, count_items, items, OPTIONS(.arg_size = (size_t)1 << 40),
                       -ENOSPC, "1099511627776", "/dev/shm");
    for (int i = 0; i < 100; i++)
        assert_int_equal(items[i], 0);
    /* and all memory is there again */
    assert_int_equal(weir_pool_for(pool, range, count_items, items, NULL), 0);
    assert_int_equal(items[99], 1);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 4096);
}

static void an_empty_range_succeeds__when_options_are_right(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){7, 7}, count_items, NULL, NULL), 0);
    assert_int_equal(
        weir_pool_for(pool, (weir_range){INT64_MIN, INT64_MIN}, count_items, NULL, NULL), 0);
    assert_int_equal(weir_pool_for(pool, (weir_range){7, 7}, NULL, NULL, NULL), -EINVAL);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void every_item_is_worked_on_once__whatever_chunks_and_grain(void **state)
{
    static const weir_job_options options[] = {
        {0},
        {.chunks = 1},
        {.chunks = 7},
        {.chunks = 5000},
        {.chunks = 9999999},
        {.grain = 1},
        {.grain = 16},
        {.grain = 17},
        {.grain = 4999},
        {.grain = INT64_MAX},
        {.retries = 30},
        {.keep_going = true},
    };
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(5000 * sizeof(int));
    weir_pool *pool = new_pool(scope, 3);
    int jobs = 0;

    (void)state;
    for (size_t o = 0; o < sizeof options / sizeof options[0]; o++) {
        for (int length = 1; length <= 5000; length += length < 70 ? 23 : 1643) {
            assert_int_equal(
                weir_pool_for(pool, (weir_range){0, length}, count_items, items, &options[o]), 0);
            for (int i = 0; i < 5000; i++)
                assert_int_equal(items[i], i < length ? 1 : 0);
            for (int i = 0; i < 5000; i++)
                items[i] = 0;
            jobs++;
        }
    }
    assert_true(jobs > 50);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 5000 * sizeof(int));
}

struct note {
    _Atomic int64_t begin[64], end[64];
};

static int note_chunk(weir_task *task, weir_range range, void *arg)
{
    struct note *note = *(struct note **)arg;

    note->begin[weir_task_chunk(task)] = range.begin;
    note->end[weir_task_chunk(task)] = range.end;
    return weir_task_worker(task) < 0 || weir_task_attempt(task) != 1 || weir_task_cancelled(task);
}

static void a_range_is_cut_alike__whatever_the_number_of_workers(void **state)
{
    struct note *notes[3];
    weir_scope *scope = begin();

    (void)state;
    for (int i = 0; i < 3; i++) {
        weir_pool *pool;

        notes[i] = shared_memory(sizeof(struct note));
        pool = new_pool(scope, i == 0 ? 1 : i == 1 ? 2 : 5);
        assert_int_equal(weir_pool_for(pool, (weir_range){INT64_MIN, INT64_MAX}, note_chunk,
                                       &notes[i], OPTIONS(.arg_size = sizeof(void *))),
                         0);
        weir_pool_free(pool);
    }
    assert_true(notes[0]->begin[0] == INT64_MIN && notes[0]->end[63] == INT64_MAX);
    assert_memory_equal(notes[0], notes[1], sizeof(struct note));
    assert_memory_equal(notes[0], notes[2], sizeof(struct note));
    for (int i = 0; i < 3; i++)
        munmap(notes[i], sizeof(struct note));
    weir_scope_end(scope);
}

/* The argument's bytes are 0, 1, 2, ...: the size is in front. */
static int check_argument(weir_task *task, weir_range range, void *arg)
{
    const unsigned char *bytes = arg;
    size_t size;

    (void)range;
    memcpy(&size, bytes, sizeof size);
    for (size_t i = sizeof size; i < size; i++) {
        if (bytes[i] != (unsigned char)i)
            return weir_task_fail(task, 1, "byte %zu of %zu is %d", i, size, bytes[i]);
    }
    return 0;
}

static void the_argument_is_copied__when_it_has_a_size(void **state)
{
    static const size_t sizes[] = {9, 63, 64, 65, 4096, 100001, 3 << 20};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    unsigned char *bytes = malloc(3 << 20); /* after the fork: not in the workers */

    (void)state;
    for (size_t i = 0; i < (size_t)3 << 20; i++)
        bytes[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memcpy(bytes, &sizes[i], sizeof sizes[i]);
        if (weir_pool_for(pool, (weir_range){0, 100}, check_argument, bytes,
                          OPTIONS(.arg_size = sizes[i])) != 0)
            fail_msg("size %zu: %s", sizes[i], weir_last_error()->message);
    }
    free(bytes);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- objects of the scope ------------------------------------------------------------------- */

static int square(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    for (int64_t i = range.begin; i < range.end; i++) {
        if (weir_list_set(arg, i, weir_int(i * i)) != 0)
            return 1;
    }
    return 0;
}

static void a_list_is_valid_in_the_workers__when_made_after_the_pool(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int round = 0; round < 20; round++) {
        weir_list *list = weir_scope_list_range(scope, 0, 500, 1);

        assert_non_null(list);
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 500}, square, list, NULL), 0);
        for (int64_t i = 0; i < 500; i++) {
            weir_value value;

            assert_int_equal(weir_list_get(list, i, &value), 0);
            assert_int_equal(value.integer, i * i);
        }
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

struct made {
    weir_scope *scope;
    weir_shm *_Atomic block[8];
};

static int make_block(weir_task *task, weir_range range, void *arg)
{
    struct made *made = *(struct made **)arg;
    weir_shm *block = weir_scope_shm(made->scope, 10000);

    if (block == NULL)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    memset(weir_shm_buf(block), (int)range.begin + 1, 10000);
    made->block[range.begin] = block;
    return 0;
}

static void a_block_is_valid_in_the_program__when_made_in_a_worker(void **state)
{
    weir_scope *scope = begin();
    struct made *made = shared_memory(sizeof *made);
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    made->scope = scope;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 8}, make_block, &made,
                                   OPTIONS(.arg_size = sizeof(void *))),
                     0);
    for (int i = 0; i < 8; i++) {
        const unsigned char *bytes = weir_shm_buf(made->block[i]);

        assert_int_equal(weir_shm_size(made->block[i]), 10000);
        for (int b = 0; b < 10000; b++)
            assert_int_equal(bytes[b], i + 1);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(made, sizeof *made);
}

/* ---- failure -------------------------------------------------------------------------------- */

static int fail_on_60(weir_task *task, weir_range range, void *arg)
{
    _Atomic int *items = arg;

    if (range.begin <= 60 && 60 < range.end)
        return weir_task_fail(task, 17, "no such row: %d", 60);
    return count_items(task, range, items);
}

static void the_call_says_what_failed__when_a_task_fails(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    const weir_error *error;

    (void)state;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 100}, fail_on_60, items, OPTIONS(.grain = 10)),
        WEIR_EFAILED);
    error = weir_last_error();
    assert_int_equal(error->code, WEIR_EFAILED);
    assert_int_equal(error->task_code, 17);
    assert_true(error->range.begin == 60 && error->range.end == 70);
    assert_true(error->worker >= 0 && error->worker < 2);
    assert_int_equal(error->pid, weir_pool_worker_pid(pool, error->worker));
    assert_int_equal(error->attempt, 1);
    assert_int_equal(error->signal, 0);
    assert_int_equal(error->exit_status, -1);
    assert_message_has("no such row: 60");
    assert_message_has("[60, 70)");
    assert_message_has("17");
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 50}, fail_on_60, items, NULL), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 4096);
}

static int return_minus_4(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    return range.begin == 3 ? -4 : 0;
}

static int fail_with_0_and_return_0(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    weir_task_fail(task, 7, "the first call");
    return weir_task_fail(task, 0, "%0300d", 1) == 1 ? 0 : 99;
}

static void a_task_has_failed__when_it_returned_or_said_so(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 5}, return_minus_4, NULL, OPTIONS(.grain = 1)),
        WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, -4);
    assert_message_has("[3, 4)");
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, fail_with_0_and_return_0, NULL, NULL),
                     WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, 1);
    {
        const char *zeros = strstr(weir_last_error()->message, "0000");

        assert_non_null(zeros);
        assert_int_equal(strlen(zeros), 255);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int fail_always(weir_task *task, weir_range range, void *arg)
{
    count_items(task, range, arg);
    return weir_task_fail(task, 1, "always");
}

static void few_chunks_are_started__when_one_has_failed(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(100000 * sizeof(int));
    weir_pool *pool = new_pool(scope, 2);
    int started = 0;

    (void)state;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 100000}, fail_always, items, OPTIONS(.grain = 10)),
        WEIR_EFAILED);
    for (int i = 0; i < 100000; i++)
        started += items[i];
    assert_true(started >= 10 && started <= 20); /* a chunk a worker */
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 100000 * sizeof(int));
}

static void all_chunks_are_run__when_a_job_keeps_going(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, fail_always, items,
                                   OPTIONS(.grain = 10, .keep_going = true)),
                     WEIR_EFAILED);
    assert_message_has("10 of 10 chunks failed");
    for (int i = 0; i < 100; i++)
        assert_int_equal(items[i], 1);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 4096);
}

/* ---- several threads ------------------------------------------------------------------------ */

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

/* ---- who may call --------------------------------------------------------------------------- */

struct refusal {
    weir_scope *scope;
    weir_pool *pool;
    _Atomic int new_pool, pool_for, workers, process;
};

static int try_all(struct refusal *refusal)
{
    refusal->new_pool = weir_pool_new(refusal->scope, NULL) == NULL ? weir_last_error()->code : 1;
    refusal->pool_for =
        weir_pool_for(refusal->pool, (weir_range){0, 1}, return_minus_4, NULL, NULL);
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

/* ---- the workers' surroundings -------------------------------------------------------------- */

static int look_around(weir_task *task, weir_range range, void *arg)
{
    struct sigaction action;
    sigset_t mask;

    (void)range;
    (void)arg;
    for (int i = 0; i < 3; i++) {
        static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP};

        sigaction(ignored[i], NULL, &action);
        if (action.sa_handler != SIG_IGN)
            return weir_task_fail(task, 1, "signal %d is not ignored", ignored[i]);
    }
    sigaction(SIGUSR1, NULL, &action);
    if (action.sa_handler != SIG_DFL)
        return weir_task_fail(task, 1, "SIGUSR1 still has the program's handler");
    sigaction(SIGUSR2, NULL, &action);
    if (action.sa_handler != SIG_IGN)
        return weir_task_fail(task, 1, "SIGUSR2 is not ignored any more");
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 32; i++) {
        if (sigismember(&mask, i))
            return weir_task_fail(task, 1, "signal %d is blocked", i);
    }
    return 0;
}

static void handle_nothing(int signal)
{
    (void)signal;
}

static void workers_have_default_signals__whatever_the_program_has(void **state)
{
    weir_scope *scope = begin();
    struct sigaction handler = {.sa_handler = handle_nothing}, ignore = {.sa_handler = SIG_IGN};
    struct sigaction usr1, usr2;
    sigset_t block, mask;
    weir_pool *pool;

    (void)state;
    sigaction(SIGUSR1, &handler, &usr1);
    sigaction(SIGUSR2, &ignore, &usr2);
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &mask);
    pool = new_pool(scope, 1);
    if (weir_pool_for(pool, (weir_range){0, 4}, look_around, NULL, NULL) != 0)
        fail_msg("%s", weir_last_error()->message);
    sigaction(SIGUSR1, &usr1, NULL);
    sigaction(SIGUSR2, &usr2, NULL);
    sigprocmask(SIG_SETMASK, &mask, &block);
    assert_true(sigismember(&block, SIGTERM)); /* left as it was */
    weir_pool_free(pool);
    weir_scope_end(scope);
}

#define SAYINGS 400

static int say(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    printf("%s ", "saying");
    printf("%lld", (long long)range.begin);
    printf(" and no more\n");
    return 0;
}

/* Runs in a child: stdout is a file there, and so fully buffered. */
static int say_all(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool;
    int result;

    printf("before\n");
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    result = weir_pool_for(pool, (weir_range){0, SAYINGS}, say, NULL, OPTIONS(.grain = 1));
    weir_pool_free(pool);
    weir_scope_end(scope);
    printf("after\n");
    return result;
}

static void *hold(void *arg)
{
    flockfile(stdout);
    pthread_barrier_wait(arg);
    pthread_barrier_wait(arg);
    funlockfile(stdout);
    return NULL;
}

/* With another thread that holds stdout while the pool is made: weir cannot flush it then. */
static int say_all_while_held(void)
{
    pthread_barrier_t barrier;
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool;
    pthread_t thread;
    int result;

    printf("before\n");
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, hold, &barrier);
    pthread_barrier_wait(&barrier);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    result = weir_pool_for(pool, (weir_range){0, SAYINGS}, say, NULL, OPTIONS(.grain = 1));
    weir_pool_free(pool);
    weir_scope_end(scope);
    printf("after\n");
    return result;
}

static void assert_said_once(bool held)
{
    FILE *file = tmpfile();
    int seen[SAYINGS] = {0}, before = 0, after = 0, number, status;
    char line[200], tail[200];
    pid_t child;

    assert_non_null(file);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        for (int i = 1; i < NSIG; i++)
            signal(i, SIG_DFL);
        dup2(fileno(file), 1);
        status = held ? say_all_while_held() : say_all();
        fflush(stdout);
        _exit(status == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strcmp(line, "before\n") == 0)
            before++;
        else if (strcmp(line, "after\n") == 0)
            after++;
        else if (sscanf(line, "saying %d %199[^\n]", &number, tail) == 2 && number >= 0 &&
                 number < SAYINGS && strcmp(tail, "and no more") == 0)
            seen[number]++;
        else
            fail_msg("not a whole line: %s", line);
    }
    fclose(file);
    assert_int_equal(before, 1);
    assert_int_equal(after, 1);
    for (int i = 0; i < SAYINGS; i++)
        assert_int_equal(seen[i], 1);
}

static void output_appears_once_in_whole_lines__when_workers_print(void **state)
{
    (void)state;
    assert_said_once(false);
}

static void output_appears_once__when_another_thread_held_stdout_at_the_fork(void **state)
{
    (void)state;
    assert_said_once(true);
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
        UNIT(a_job_is_refused__when_its_arguments_are_wrong),
        UNIT(an_empty_range_succeeds__when_options_are_right),
        UNIT(every_item_is_worked_on_once__whatever_chunks_and_grain),
        UNIT(a_range_is_cut_alike__whatever_the_number_of_workers),
        UNIT(the_argument_is_copied__when_it_has_a_size),
        UNIT(a_list_is_valid_in_the_workers__when_made_after_the_pool),
        UNIT(a_block_is_valid_in_the_program__when_made_in_a_worker),
        UNIT(the_call_says_what_failed__when_a_task_fails),
        UNIT(a_task_has_failed__when_it_returned_or_said_so),
        UNIT(few_chunks_are_started__when_one_has_failed),
        UNIT(all_chunks_are_run__when_a_job_keeps_going),
        UNIT(jobs_do_not_disturb_each_other__when_many_threads_call),
        UNIT(jobs_in_flight_are_finished__when_the_pool_is_freed),
        UNIT(jobs_in_flight_report_a_death__when_the_pool_is_killed),
        UNIT(jobs_in_flight_report_a_death__when_the_scope_ends),
        UNIT(pool_calls_are_refused__in_a_worker_and_in_a_forked_child),
        UNIT(workers_have_default_signals__whatever_the_program_has),
        UNIT(output_appears_once_in_whole_lines__when_workers_print),
        UNIT(output_appears_once__when_another_thread_held_stdout_at_the_fork),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
