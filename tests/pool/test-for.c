/* SPDX-License-Identifier: MIT
 *
 * weir_pool_for(): its arguments, how a range is cut, the objects of the scope in a task, and tasks
 * that fail.
 */
#include "support.h"

#include <errno.h>
#include <stdatomic.h>

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
    assert_refused(pool, range, count_items, items, OPTIONS(.arg_size = (size_t)1 << 40), -ENOMEM,
                   "1099511627776", "bytes left");
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

static void chunks_have_the_numbers_that_the_caller_wants(void **state)
{
    struct note *whole = shared_memory(sizeof(struct note)),
                *parts = shared_memory(sizeof(struct note));
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *future;

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, note_chunk, &whole,
                                   OPTIONS(.grain = 5, .arg_size = sizeof(void *))),
                     0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            weir_pool_for(pool, (weir_range){25 * i, 25 * i + 25}, note_chunk, &parts,
                          OPTIONS(.grain = 5, .arg_size = sizeof(void *), .first_chunk = 5 * i)),
            0);
    assert_memory_equal(whole, parts, sizeof(struct note));
    future = weir_pool_for_async(pool, (weir_range){0, 1}, note_chunk, &parts,
                                 OPTIONS(.arg_size = sizeof(void *), .first_chunk = -1));
    assert_null(future);
    assert_message_has("first_chunk is -1");
    munmap(whole, sizeof(struct note));
    munmap(parts, sizeof(struct note));
    weir_pool_free(pool);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_job_is_refused__when_its_arguments_are_wrong),
        UNIT(an_empty_range_succeeds__when_options_are_right),
        UNIT(every_item_is_worked_on_once__whatever_chunks_and_grain),
        UNIT(a_range_is_cut_alike__whatever_the_number_of_workers),
        UNIT(chunks_have_the_numbers_that_the_caller_wants),
        UNIT(the_argument_is_copied__when_it_has_a_size),
        UNIT(a_list_is_valid_in_the_workers__when_made_after_the_pool),
        UNIT(a_block_is_valid_in_the_program__when_made_in_a_worker),
        UNIT(the_call_says_what_failed__when_a_task_fails),
        UNIT(a_task_has_failed__when_it_returned_or_said_so),
        UNIT(few_chunks_are_started__when_one_has_failed),
        UNIT(all_chunks_are_run__when_a_job_keeps_going),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
