/* SPDX-License-Identifier: MIT
 *
 * What a pool keeps: the memory of jobs is given back when they have ended, and when another object
 * of the scope needs it.
 */
#include "support.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "manager/host/state.h"
#include "pool/host/state.h"

#define MIB ((size_t)1 << 20)

static bool own_shm; /* a /dev/shm of this program's own */

/* Bytes of the memory in which a scope has what weir makes for itself. */
static size_t used_store(const weir_scope *scope)
{
    struct stat status;

    assert_int_equal(fstat(scope->space.store.fd, &status), 0);
    return (size_t)status.st_blocks * 512;
}

/* Bytes of the control heap that are in memory. */
static size_t resident_heap(const weir_pool *pool)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = pool->control->heap_size / page;
    unsigned char *is = malloc(pages), *heap = pool->control->heap;
    size_t count = 0;

    assert_non_null(is);
    heap += -(uintptr_t)heap % page;
    assert_int_equal(mincore(heap, (pages - 1) * page, is), 0);
    for (size_t i = 0; i + 1 < pages; i++)
        count += is[i] & 1;
    free(is);
    return count * page;
}

/* Leaves so much of the control heap that jobs need blocks of the scope; the rest is not used. */
static void shrink_heap(weir_pool *pool, size_t left)
{
    const size_t size = pool->jobs.heap.vacant[0].size - left;

    assert_non_null(weir__control_heap_alloc(&pool->jobs.heap, size));
}

static int check_argument(weir_task *task, void *arg)
{
    const unsigned char *bytes = arg;
    int64_t sum = bytes[0] + bytes[1];

    return weir_task_result(task, &sum, sizeof sum);
}

/* Submits `count` calls of so many bytes of argument. */
static void submit_large(weir_pool *pool, weir_future **futures, int count, size_t size)
{
    unsigned char *arg = calloc(1, size);

    assert_non_null(arg);
    for (int i = 0; i < count; i++) {
        arg[0] = (unsigned char)i;
        futures[i] = weir_pool_submit(pool, check_argument, arg, size, NULL);
        if (futures[i] == NULL)
            fail_msg("call %d: %s", i, weir_last_error()->message);
    }
    free(arg);
}

static void take_large(weir_future **futures, int count)
{
    for (int i = 0; i < count; i++) {
        const int64_t *sum = weir_future_result(futures[i], NULL);

        if (sum == NULL)
            fail_msg("call %d: %s", i, weir_last_error()->message);
        assert_int_equal(*sum, i & 255);
        weir_future_free(futures[i]);
    }
}

static void blocks_are_given_back__when_calls_with_large_arguments_have_ended(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *futures[8];
    size_t before;

    (void)state;
    shrink_heap(pool, MIB);
    before = used_store(scope);
    submit_large(pool, futures, 8, 2 * MIB);
    assert_true(used_store(scope) >= before + 16 * MIB);
    take_large(futures, 8);
    assert_true(used_store(scope) < before + MIB);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void the_heap_keeps_little__when_jobs_of_any_size_have_ended(void **state)
{
    const size_t sizes[] = {5000, 50000, 500000, 5000000};
    const int counts[] = {3000, 1000, 200, 20};
    static weir_future *futures[3000];
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int i = 0; i < 4; i++) {
        submit_large(pool, futures, counts[i], sizes[i]);
        take_large(futures, counts[i]);
        assert_true(resident_heap(pool) <= 4 * MIB);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

/* A worker that is stopped in a job that has ended reads its cells: they stay, and go when it is
 * out. */
static void cells_are_given_back__when_a_worker_has_left_late(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int i = 0; i < 30; i++)
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 200000}, do_nothing, NULL, OPTIONS(.grain = 1)), 0);
    for (int i = 0; i < 100 && resident_heap(pool) > 4 * MIB; i++) {
        usleep(20000); /* the workers may not have left the last one */
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, do_nothing, NULL, NULL), 0);
    }
    assert_true(resident_heap(pool) <= 4 * MIB);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* In a /dev/shm of 64 MiB: jobs that have ended, but at which no thread has looked, hold most. */
static void make_objects_in_little_memory(void)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const int64_t shape = (int64_t)4 << 30;
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY}, some = {44 * MIB, RLIM_INFINITY};
    weir_future *futures[6];
    weir_shm *block;

    /* No place in the scope's memory is below that limit any more: arguments go to /dev/shm. */
    assert_non_null(weir_scope_array(scope, WEIR_UINT8, 1, &shape, WEIR_ARRAY_LAZY));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &some), 0);
    shrink_heap(pool, MIB);
    submit_large(pool, futures, 6, 8 * MIB);
    for (int i = 0; i < 6; i++)
        WAIT_UNTIL(weir__cell_final(pool->control->jobs[futures[i]->index].cells[0]), 5000);
    block = weir_scope_shm(scope, 40 * MIB);
    if (block == NULL)
        fail_msg("%s", weir_last_error()->message);
    assert_int_equal(weir_last_error()->code, 0);
    take_large(futures, 6);
    weir_shm_unlink(block);
    weir_shm_close(block);

    submit_large(pool, futures, 6, 8 * MIB); /* another job's argument needs the memory */
    for (int i = 0; i < 6; i++)
        WAIT_UNTIL(weir__cell_final(pool->control->jobs[futures[i]->index].cells[0]), 5000);
    take_large(futures, 1);
    submit_large(pool, futures, 1, 40 * MIB);
    take_large(futures, 6);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* Six calls that have ended hold 48 MiB of the 64 that there are. */
struct crowded {
    weir_scope *scope;
    weir_pool *pool;
    weir_future *futures[6];
};

static void begin_crowded(struct crowded *crowded)
{
    if (!own_shm)
        skip();
    crowded->scope = begin();
    crowded->pool = new_pool(crowded->scope, 2);
}

static void hold_memory(struct crowded *crowded)
{
    const struct rlimit some = {MIB << 12, RLIM_INFINITY};
    const int64_t shape = (int64_t)1 << 40;
    struct weir__job *jobs = crowded->pool->control->jobs;

    assert_non_null(weir_scope_array(crowded->scope, WEIR_UINT8, 1, &shape, WEIR_ARRAY_LAZY));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &some), 0);
    shrink_heap(crowded->pool, MIB);
    submit_large(crowded->pool, crowded->futures, 6, 8 * MIB);
    for (int i = 0; i < 6; i++)
        WAIT_UNTIL(weir__cell_final(jobs[crowded->futures[i]->index].cells[0]), 5000);
    weir_clear_error();
}

static void end_crowded(struct crowded *crowded)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

    assert_int_equal(weir_last_error()->code, 0);
    take_large(crowded->futures, 6);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    weir_pool_free(crowded->pool);
    weir_scope_end(crowded->scope);
}

static void an_arena_grows__when_jobs_that_have_ended_hold_the_memory(void **state)
{
    struct crowded crowded;
    weir_arena *arena;

    (void)state;
    begin_crowded(&crowded);
    assert_non_null(arena = weir_scope_arena(crowded.scope, 60 * MIB));
    hold_memory(&crowded);
    for (int i = 0; i < 40; i++)
        if (weir_arena_alloc(arena, MIB) == NULL)
            fail_msg("%d: %s", i, weir_last_error()->message);
    end_crowded(&crowded);
}

static void a_dictionary_grows__when_jobs_that_have_ended_hold_the_memory(void **state)
{
    static char text[100000];
    struct crowded crowded;
    weir_dict *dict;

    (void)state;
    begin_crowded(&crowded);
    assert_non_null(dict = weir_scope_dict(crowded.scope, NULL));
    hold_memory(&crowded);
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 350; i++)
        if (weir_dict_set(dict, weir_int(i), weir_str(text)) != 0)
            fail_msg("%d: %s", i, weir_last_error()->message);
    end_crowded(&crowded);
}

static void an_array_gets_its_memory__when_jobs_that_have_ended_hold_it(void **state)
{
    const int64_t shape = 40 * MIB;
    struct crowded crowded;
    weir_array *array;

    (void)state;
    begin_crowded(&crowded);
    array = weir_scope_array(crowded.scope, WEIR_UINT8, 1, &shape, WEIR_ARRAY_LAZY);
    assert_non_null(array);
    hold_memory(&crowded);
    if (weir_array_populate(array, (weir_range){0, shape}) != 0)
        fail_msg("%s", weir_last_error()->message);
    end_crowded(&crowded);
}

static void an_object_is_made__when_jobs_that_have_ended_hold_the_memory(void **state)
{
    (void)state;
    if (!own_shm)
        skip();
    weir_clear_error();
    make_objects_in_little_memory();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(blocks_are_given_back__when_calls_with_large_arguments_have_ended),
        UNIT(the_heap_keeps_little__when_jobs_of_any_size_have_ended),
        UNIT(cells_are_given_back__when_a_worker_has_left_late),
        UNIT(an_arena_grows__when_jobs_that_have_ended_hold_the_memory),
        UNIT(a_dictionary_grows__when_jobs_that_have_ended_hold_the_memory),
        UNIT(an_array_gets_its_memory__when_jobs_that_have_ended_hold_it),
        UNIT(an_object_is_made__when_jobs_that_have_ended_hold_the_memory),
    };

    own_shm = leak_isolate() && leak_limit_shm(64 * MIB);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
