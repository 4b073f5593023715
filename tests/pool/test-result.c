/* SPDX-License-Identifier: MIT
 *
 * Results of calls, of any size: where they are, that they are whole, and that nothing of them
 * stays, whenever a worker is killed.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "child.h"
#include "pool/control/calls.h"
#include "pool/control/piece.h"
#include "pool/host/state.h"
#include "pool/worker/piece.h"
#include "pool/worker/task.h"

#define MIB       ((size_t)1 << 20)
#define WORD_SIZE ((size_t)WEIR__WORD_UNITS * WEIR__UNIT)

struct order {
    size_t size;
    uint32_t seed;
    int give_first; /* another result before this one */
};

static unsigned char byte_at(uint32_t seed, size_t i)
{
    return (unsigned char)((seed * 2654435761u >> 8) + i * 7 + (i >> 8));
}

static void fill(unsigned char *bytes, const struct order *order)
{
    for (size_t i = 0; i < order->size; i++)
        bytes[i] = byte_at(order->seed, i);
}

static int give(weir_task *task, void *arg)
{
    const struct order *order = arg;
    unsigned char *bytes = malloc(order->size + 1);
    int result;

    fill(bytes, order);
    if (order->give_first > 0)
        weir_task_result(task, bytes, order->size / (size_t)order->give_first);
    result = weir_task_result(task, bytes, order->size);
    free(bytes);
    return result == 0 ? 0 : 1;
}

static void check_bytes(const unsigned char *bytes, size_t size, const struct order *order)
{
    assert_int_equal(size, order->size);
    if (order->size == 0) {
        assert_null(bytes);
        return;
    }
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte_at(order->seed, i))
            fail_msg("byte %zu of %zu is %u, not %u", i, size, bytes[i], byte_at(order->seed, i));
    }
}

static weir_future *submit(weir_pool *pool, weir_call_fn function, const struct order *order,
                           int retries)
{
    weir_future *future =
        weir_pool_submit(pool, function, order, sizeof *order, OPTIONS(.retries = retries));

    if (future == NULL)
        fail_msg("weir_pool_submit: %s", weir_last_error()->message);
    return future;
}

static void take(weir_future *future, const struct order *order)
{
    size_t size;
    const void *bytes;

    if (weir_future_wait(future, 60000) < 0)
        fail_msg("a result of %zu bytes: %s", order->size, weir_last_error()->message);
    bytes = weir_future_result(future, &size);
    check_bytes(bytes, size, order);
    weir_future_free(future);
}

/* Units of all regions that are taken. */
static int64_t taken_units(const weir_pool *pool)
{
    const struct weir__control *control = pool->control;
    int64_t units = 0;

    for (uint32_t i = 0; i < (uint32_t)control->workers * control->region_words; i++)
        units += __builtin_popcountll(control->region_maps[i]);
    return units;
}

/* Nothing names a piece, and no unit is taken; of a pool all of whose calls have ended. */
static void check_empty(const weir_pool *pool)
{
    assert_int_equal(taken_units(pool), 0);
    for (int i = 0; i < pool->control->workers; i++)
        WAIT_UNTIL(pool->control->slots[i].piece == 0, 10000);
}

/* Whether the result of a settled call, at whose future no thread has looked, is a block. */
static bool is_block(const weir_pool *pool, const weir_future *future, bool queued)
{
    const struct weir__result *result =
        queued ? &pool->control->queue->calls[weir__queue_place(future->position)].result
               : &pool->control->jobs[future->index].result;

    return weir__result_block(result->place) != NULL;
}

static bool is_settled(const weir_pool *pool, const weir_future *future, bool queued)
{
    return weir__cell_final(queued
                                ? pool->control->queue->cells[weir__queue_place(future->position)]
                                : pool->control->jobs[future->index].cells[0]);
}

/* Before the first result: so little, that it is soon full. */
static void shrink_regions(weir_pool *pool, uint32_t words)
{
    assert_true(words < pool->control->region_words);
    pool->control->region_words = words;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static const size_t sizes[] = {
    0,     1,     63,    64,    65,     200,    255,    256,    257,     4095, 4096,    4097,
    16383, 16384, 16385, 32768, 131071, 131072, 131073, 900000, MIB - 1, MIB,  MIB + 1, 3 * MIB,
};

#define SIZES (sizeof sizes / sizeof *sizes)

static void a_result_is_whole__of_whatever_size(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *futures[2 * SIZES];
    struct order orders[2 * SIZES];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 2 * SIZES; i++) {
            orders[i] = (struct order){sizes[i / 2], (uint32_t)i, round};
            /* in the queue, and as a job of its own */
            futures[i] = submit(pool, give, &orders[i], (int)(i % 2));
        }
        for (size_t i = 0; i < 2 * SIZES; i++)
            take(futures[i], &orders[i]);
        check_empty(pool);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_stream_has_its_results__of_whatever_size(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int unordered = 0; unordered < 2; unordered++) {
        weir_stream *stream =
            weir_stream_new(pool, give, &(weir_stream_options){.unordered = unordered});
        bool seen[2 * SIZES] = {false};
        weir_item item;

        assert_non_null(stream);
        for (size_t i = 0; i < 2 * SIZES; i++) {
            const struct order order = {sizes[i % SIZES], (uint32_t)i, 0};

            assert_int_equal(weir_stream_put(stream, &order, sizeof order), 0);
        }
        for (size_t i = 0; i < 2 * SIZES; i++) {
            assert_int_equal(weir_stream_next(stream, &item, 60000), 1);
            assert_int_equal(item.code, 0);
            assert_in_range(item.index, 0, 2 * SIZES - 1);
            assert_false(seen[item.index]);
            seen[item.index] = true;
            assert_true(unordered || item.index == (int64_t)i);
            check_bytes(
                item.data, item.size,
                &(struct order){sizes[(size_t)item.index % SIZES], (uint32_t)item.index, 0});
        }
        assert_int_equal(weir_stream_next(stream, &item, 60000), 0);
        weir_stream_free(stream);
        check_empty(pool);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void no_block_is_made__for_a_result_below_a_mebibyte(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (size_t i = 0; i < 2 * SIZES; i++) {
        const struct order order = {sizes[i / 2], 7, 0};
        weir_future *future = submit(pool, give, &order, (int)(i % 2));

        WAIT_UNTIL(is_settled(pool, future, i % 2 == 0), 60000);
        assert_int_equal(is_block(pool, future, i % 2 == 0), order.size >= MIB);
        take(future, &order);
    }
    check_empty(pool);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- memory --------------------------------------------------------------------------------- */

#define UNREAD 400

static void results_are_blocks__when_a_region_is_full_or_there_is_none(void **state)
{
    static const uint32_t words[] = {0, 1, 12};
    weir_scope *scope = begin();

    (void)state;
    for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
        weir_pool *pool = new_pool(scope, 2);
        weir_future *futures[UNREAD];
        struct order orders[UNREAD];
        int blocks = 0;

        shrink_regions(pool, words[k]);
        for (uint32_t i = 0; i < UNREAD; i++) {
            orders[i] = (struct order){65 + i * 977 % 9000 + (i % 20 == 0 ? 100000 : 0), i, 0};
            futures[i] = submit(pool, give, &orders[i], 0);
        }
        for (int i = 0; i < UNREAD; i++) {
            WAIT_UNTIL(is_settled(pool, futures[i], true), 60000);
            blocks += is_block(pool, futures[i], true);
        }
        assert_in_range(blocks, 1, words[k] == 0 ? UNREAD : UNREAD - 1);
        assert_true(words[k] == 0 || taken_units(pool) > 0);
        for (int i = UNREAD - 1; i >= 0; i--)
            take(futures[i], &orders[i]);
        check_empty(pool);
        weir_pool_free(pool);
    }
    weir_scope_end(scope);
}

static void units_are_free__when_futures_are_freed_unread(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *futures[UNREAD];

    (void)state;
    for (uint32_t i = 0; i < UNREAD; i++)
        futures[i] = submit(pool, give, &(struct order){i % 50 == 0 ? 2 * MIB : 100 * i, i, 0},
                            (int)(i % 2));
    for (int i = 0; i < UNREAD; i++) {
        if (i % 3 == 0)
            assert_int_equal(weir_future_wait(futures[i], 60000), 0);
        weir_future_free(futures[i]); /* it may run, or not have begun */
    }
    check_empty(pool);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* Bytes of the regions that have pages. */
static size_t resident(const weir_pool *pool)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *begin = pool->control->regions;
    const size_t pages = (size_t)pool->control->workers * weir__region_size(pool->control) / page;
    unsigned char *is = malloc(pages);
    size_t count = 0;

    assert_non_null(is);
    begin -= (uintptr_t)begin % page;
    assert_int_equal(mincore(begin, pages * page, is), 0);
    for (size_t i = 0; i < pages; i++)
        count += is[i] & 1;
    free(is);
    return count * page;
}

static void memory_is_given_back__when_many_results_were_taken(void **state)
{
    enum { COUNT = 400 };
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    static weir_future *futures[COUNT];
    const struct order order = {150000, 3, 0};

    (void)state;
    for (int order_of_taking = 0; order_of_taking < 3; order_of_taking++) {
        for (int i = 0; i < COUNT; i++)
            futures[i] = submit(pool, give, &order, 0);
        for (int i = 0; i < COUNT; i++)
            WAIT_UNTIL(is_settled(pool, futures[i], true), 60000);
        assert_true(resident(pool) > 55 * MIB);
        for (int i = 0; i < COUNT; i++) {
            const int which = order_of_taking == 0   ? i
                              : order_of_taking == 1 ? COUNT - 1 - i
                                                     : i * 7 % COUNT;

            take(futures[which], &order);
        }
        check_empty(pool);
        assert_true(resident(pool) <= 2 * weir__region_size(pool->control) / 8 + MIB);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_worker_goes_on__when_its_region_stays_closed(void **state)
{
    const struct order order = {5000, 9, 0};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_future *future;

    (void)state;
    take(submit(pool, give, &order, 0), &order);
    WAIT_UNTIL(pool->control->slots[0].piece == 0, 10000);
    atomic_store(&pool->control->slots[0].piece, PIECE_CLOSED);
    future = submit(pool, give, &order, 0);
    WAIT_UNTIL(is_settled(pool, future, true), 60000);
    assert_true(is_block(pool, future, true));
    take(future, &order);
    assert_int_equal(pool->control->slots[0].piece, PIECE_CLOSED);
    atomic_store(&pool->control->slots[0].piece, 0);
    take(submit(pool, give, &order, 0), &order);
    check_empty(pool);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- deaths --------------------------------------------------------------------------------- */

enum point {
    NAMED,   /* the slot names the piece, and no bit is set */
    SET,     /* the bits are set */
    WRITTEN, /* the record names it too */
    UNNAMED, /* it is given back: the record does not name it, ... */
    CLEARED, /* ... nor are its bits set */
    SETTLED, /* the chunk counts; the slot still names it */
    TAKEN,   /* the same, and the host has taken it over */
    POINTS,
};

struct dying {
    struct order order;
    enum point at;
    _Atomic int *taken; /* the host has, or not: for TAKEN */
};

/* What a worker does up to that point, then it is killed there; the next attempt gives. */
static int die_at_a_point(weir_task *task, void *arg)
{
    struct dying *dying = arg;
    struct weir__control *control = task->control;
    struct weir__slot *slot = &control->slots[task->slot];
    unsigned char byte = 1;
    uint64_t piece;

    if (weir_task_attempt(task) > 1)
        return give(task, &dying->order);
    if (dying->at >= WRITTEN) {
        if (give(task, &dying->order) != 0)
            return 1;
        piece = slot->piece;
    } else {
        if (task->call != NULL)
            task->call->gave = 1;
        piece = weir__piece_take(control, task->slot, dying->order.size);
        memset(weir__piece_memory(control, piece), 0xee, weir__piece_size(piece));
    }
    switch (dying->at) {
    case NAMED:
        weir__piece_clear(control, piece);
        atomic_store(&slot->piece, piece | PIECE_TAKING);
        break;
    case UNNAMED:
    case CLEARED:
        weir_task_result(task, &byte, 1);
        atomic_store(&slot->piece, piece);
        if (dying->at == UNNAMED)
            control->region_maps[task->slot * control->region_words +
                                 weir__piece_first(piece) / WEIR__WORD_UNITS] |=
                UINT64_C(1) << weir__piece_first(piece) % WEIR__WORD_UNITS;
        break;
    case SETTLED:
    case TAKEN:
        weir__cell_settle(task->cell, CELL_DONE);
        weir__queue_ring(control, (unsigned)task->chunk);
        while (dying->at == TAKEN && atomic_load(dying->taken) == 0)
            usleep(100);
        break;
    default:
        break;
    }
    raise(SIGKILL);
    return 1;
}

static uint64_t workers_died(const weir_pool *pool)
{
    weir_pool_stats stats;

    assert_int_equal(weir_pool_get_stats(pool, &stats), 0);
    return stats.workers_died;
}

static void nothing_stays_and_the_retry_counts__when_a_worker_is_killed_at_any_step(void **state)
{
    static const size_t some[] = {200, 4096, 100000};
    _Atomic int *taken = shared_memory(sizeof *taken);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (int at = 0; at < POINTS; at++) {
        for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
            for (int queued = 0; queued < 2; queued++) {
                struct dying dying = {
                    {some[i], (uint32_t)(at + 10 * (int)i), 0}, (enum point)at, taken};
                weir_future *future;
                uint64_t died;
                int code;

                if (at >= SETTLED && !queued)
                    continue; /* the host learns of it by the queue's bell */
                /* of one unit, as one bit is put back */
                if (at == UNNAMED)
                    dying.order.size = 200;
                atomic_store(taken, 0);
                died = workers_died(pool);
                future = weir_pool_submit(pool, die_at_a_point, &dying, sizeof dying,
                                          OPTIONS(.retries = queued ? 0 : 1));
                if (at == SETTLED) /* the worker is looked after before the host looks */
                    WAIT_UNTIL(workers_died(pool) > died, 60000);
                code = weir_future_wait(future, 60000);
                atomic_store(taken, 1);
                assert_int_equal(code, queued && at < SETTLED ? WEIR_EDIED : 0);
                if (code == 0)
                    take(future, &dying.order);
                else
                    weir_future_free(future);
                /* by the next result the worker has been looked after */
                take(submit(pool, give, &dying.order, 0), &dying.order);
                check_empty(pool);
            }
        }
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(taken, sizeof *taken);
}

static void results_are_whole_and_nothing_stays__while_workers_are_killed(void **state)
{
    enum { COUNT = 200 };
    static weir_future *futures[COUNT];
    static struct order orders[COUNT];
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    struct killer killer = {.pool = pool, .pause_us = 1000};
    uint32_t seed = 0;

    (void)state;
    start_killer(&killer);
    for (double until = now_ms() + 3000; now_ms() < until;) {
        for (int i = 0; i < COUNT; i++, seed++) {
            orders[i] = (struct order){seed * 7919 % (seed % 10 == 0 ? 300000 : 6000), seed, 2};
            futures[i] = submit(pool, give, &orders[i], seed % 2 == 0 ? 0 : 30);
        }
        for (int i = 0; i < COUNT; i++) {
            const int code = weir_future_wait(futures[i], 60000);

            /* with 30 retries a call may still be unlucky, in theory */
            assert_true(code == 0 || code == WEIR_EDIED);
            if (code == 0)
                take(futures[i], &orders[i]);
            else
                weir_future_free(futures[i]);
        }
    }
    stop_killer(&killer);
    print_message("%u calls, %llu workers died\n", seed, (unsigned long long)workers_died(pool));
    assert_true(workers_died(pool) > 0);
    check_empty(pool);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int exit_or_fail(weir_task *task, void *arg)
{
    const struct order *order = arg;

    if (give(task, arg) != 0)
        return 0;
    if (order->seed == 0)
        exit(3);
    if (order->seed == 1)
        return 7;
    for (;;)
        pause();
}

static void units_are_free__when_a_task_exits_or_fails_or_is_killed_for_time(void **state)
{
    static const int codes[] = {WEIR_EDIED, WEIR_EFAILED, -ETIMEDOUT};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        const struct order order = {4096, i, 0};
        weir_future *future = weir_pool_submit(pool, exit_or_fail, &order, sizeof order,
                                               i < 2 ? NULL : OPTIONS(.chunk_timeout_ms = 100));

        assert_int_equal(weir_future_wait(future, 60000), codes[i]);
        assert_null(weir_future_result(future, NULL));
        weir_future_free(future);
        take(submit(pool, give, &order, 0), &order);
        check_empty(pool);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- others --------------------------------------------------------------------------------- */

static void a_result_stays_as_it_was__in_a_forked_child_of_the_program(void **state)
{
    const struct order order = {4096, 5, 0}, other = {4096, 6, 0};
    int go[2], status;
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_future *future = submit(pool, give, &order, 0), *open = submit(pool, give, &other, 0);
    const unsigned char *bytes;
    size_t size;
    pid_t child;

    (void)state;
    bytes = weir_future_result(future, &size);
    check_bytes(bytes, size, &order);
    assert_int_equal(pipe(go), 0);
    child = fork();
    if (child == 0) {
        bool good = weir_future_result(open, NULL) == NULL && weir_last_error()->code == -EDEADLK;
        char byte;

        child_reset();
        good = good && read(go[0], &byte, 1) == 1; /* the program has used the memory again */
        weir_future_free(open);
        for (size_t i = 0; i < size; i++)
            good = good && bytes[i] == byte_at(order.seed, i);
        _exit(good ? 0 : 1);
    }
    weir_future_free(future);
    take(open, &other);
    for (int i = 0; i < 20; i++)
        take(submit(pool, give, &other, 0), &other);
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(go[0]);
    close(go[1]);
    check_empty(pool);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

struct lie {
    uint64_t place;
    size_t size;
};

static int lie_about_place(weir_task *task, void *arg)
{
    const struct lie *lie = arg;
    struct weir__result *result = task->call != NULL ? &task->call->result : &task->job->result;

    if (task->call != NULL)
        task->call->gave = 1;
    result->place = lie->place;
    result->size = lie->size;
    return 0;
}

static void no_byte_is_read_outside_of_a_region__when_a_record_was_overwritten(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const uint32_t units = pool->control->region_words * WEIR__WORD_UNITS;
    const struct lie lies[] = {
        {weir__piece_make(0, 0, 0), 1},
        {weir__piece_make(2, 0, 1), 100},
        {weir__piece_make(0, units, 1), 100},
        {weir__piece_make(1, units - 1, 2), 100},
        {weir__piece_make(1, 0xffffff, 0xffffff), 100},
        {weir__piece_make(0, 0, 1) | PIECE_TAKING, 100},
        {UINT64_MAX, 100},
        {weir__piece_make(1, units - 1, 1), WEIR__UNIT + 1},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof lies / sizeof *lies; i++) {
        weir_future *future = weir_pool_submit(pool, lie_about_place, &lies[i / 2], sizeof *lies,
                                               OPTIONS(.retries = (int)(i % 2)));

        assert_int_equal(weir_future_wait(future, 60000), -EBADMSG);
        weir_future_free(future);
    }
    check_empty(pool);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void results_outlive_their_pool__of_whatever_size(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *futures[SIZES];
    struct order orders[SIZES];

    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        orders[i] = (struct order){sizes[i], (uint32_t)i, 0};
        futures[i] = submit(pool, give, &orders[i], 0);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    for (size_t i = 0; i < SIZES; i++)
        take(futures[i], &orders[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_result_is_whole__of_whatever_size),
        UNIT(a_stream_has_its_results__of_whatever_size),
        UNIT(no_block_is_made__for_a_result_below_a_mebibyte),
        UNIT(results_are_blocks__when_a_region_is_full_or_there_is_none),
        UNIT(units_are_free__when_futures_are_freed_unread),
        UNIT(memory_is_given_back__when_many_results_were_taken),
        UNIT(a_worker_goes_on__when_its_region_stays_closed),
        UNIT(nothing_stays_and_the_retry_counts__when_a_worker_is_killed_at_any_step),
        UNIT(results_are_whole_and_nothing_stays__while_workers_are_killed),
        UNIT(units_are_free__when_a_task_exits_or_fails_or_is_killed_for_time),
        UNIT(a_result_stays_as_it_was__in_a_forked_child_of_the_program),
        UNIT(no_byte_is_read_outside_of_a_region__when_a_record_was_overwritten),
        UNIT(results_outlive_their_pool__of_whatever_size),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
