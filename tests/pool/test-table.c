/* SPDX-License-Identifier: MIT
 *
 * The tables of a map-reduce: in order by values that are doubles, overwritten by a process, and
 * the memory that all of a job's tables have together.
 */
#include "support.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>

#include "pool/map_reduce/table.h"

/* ---- by doubles ------------------------------------------------------------------------------ */

/* In the order in which they are to come; the first of two that are alike has the lower key. */
static const struct {
    const char *key;
    double value;
} ordered[] = {
    {"huge", INFINITY},
    {"large", 1e300},
    {"b", 2.5},
    {"c", 2.5},
    {"c2", 2.5},
    {"tiny", 5e-324},
    {"minus-zero", -0.0},
    {"zero", 0.0},
    {"minus-tiny", -1e-9},
    {"low", -7},
    {"lowest", -INFINITY},
    {"not-a-number", NAN},
    {"not-another", -NAN},
};

#define PAIRS ((int64_t)(sizeof ordered / sizeof *ordered))

/* Item i is the pair that comes last but i. */
static int emit_ordered(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++)
        weir_emit_str(task, ordered[PAIRS - 1 - i].key, &ordered[PAIRS - 1 - i].value,
                      sizeof(double));
    return 0;
}

static void pairs_come_largest_first_and_no_numbers_last__when_sorted_by_doubles(void **state)
{
    const weir_map_reduction reduction = {
        .map = emit_ordered, .value_size = sizeof(double), .combine = weir_sum_double};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_table *table = weir_pool_map_reduce(pool, (weir_range){0, PAIRS}, &reduction, NULL, NULL);

    (void)state;
    assert_int_equal(weir_table_len(table), PAIRS);
    for (size_t most = 0; most <= (size_t)PAIRS + 1; most++) {
        size_t count = 0;
        weir_pair *sorted = weir_table_sorted(table, weir_pair_by_double, most, &count);

        assert_non_null(sorted);
        assert_int_equal(count, most == 0 || most > (size_t)PAIRS ? (size_t)PAIRS : most);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(sorted[i].key, ordered[i].key);
            assert_memory_equal(sorted[i].value, &ordered[i].value, sizeof(double));
        }
        free(sorted);
    }
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void the_order_is_one__whichever_two_doubles_are_compared(void **state)
{
    (void)state;
    for (int64_t i = 0; i < PAIRS; i++) {
        for (int64_t k = 0; k < PAIRS; k++) {
            double values[] = {ordered[i].value, ordered[k].value};
            weir_pair a = {ordered[i].key, strlen(ordered[i].key), &values[0], sizeof(double)};
            weir_pair b = {ordered[k].key, strlen(ordered[k].key), &values[1], sizeof(double)};
            int order = weir_pair_by_double(&a, &b);

            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
}

/* ---- the limit ------------------------------------------------------------------------------- */

#define CHUNK  16384 /* so that the partitions of the result, too, are smaller than that */
#define CHUNKS 16

static int emit_keys(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        char key[40];

        weir_emit_int64(task, key,
                        (size_t)snprintf(key, sizeof key, "a key of its own: %d", (int)i), i);
    }
    return 0;
}

/* 0, or the error. Chunks of CHUNK items. */
static int reduce_within(weir_pool *pool, weir_range range, size_t memory)
{
    const weir_map_reduction reduction = {.map = emit_keys,
                                          .value_size = sizeof(int64_t),
                                          .combine = weir_sum_int64,
                                          .memory = memory};
    weir_table *table =
        weir_pool_map_reduce(pool, range, &reduction, NULL, OPTIONS(.grain = CHUNK));

    if (table == NULL)
        return weir_last_error()->code;
    assert_int_equal(weir_table_len(table), range.end - range.begin);
    weir_table_free(table);
    return 0;
}

/* The least that is enough, about. */
static size_t least_memory(weir_pool *pool, weir_range range)
{
    size_t low = 0, high = (size_t)256 << 20;

    assert_int_equal(reduce_within(pool, range, high), 0);
    while (high - low > high / 50) {
        size_t middle = (low + high) / 2;
        int code = reduce_within(pool, range, middle);

        assert_true(code == 0 || code == -ENOMEM);
        *(code == 0 ? &high : &low) = middle;
    }
    return high;
}

/* The limit is enough for each chunk alone, with its worker's table and its partition of the
 * result. The chunks' tables together pass it, or these and the partitions do. */
static void the_limit_is_of_all_tables_together__when_each_of_them_fits(void **state)
{
    const weir_range all = {0, (int64_t)CHUNKS * CHUNK}, last = {all.end - CHUNK, all.end};
    weir_scope *scope = begin();
    weir_pool *pools[] = {new_pool(scope, 1), new_pool(scope, 2), new_pool(scope, 5)};
    const size_t enough = least_memory(pools[1], all), one = least_memory(pools[0], last);

    (void)state;
    assert_true(2 * one < enough / 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(reduce_within(pools[i], all, 2 * one), -ENOMEM);
        assert_message_has("memory limit of");
        assert_true(weir_last_error()->range.end % CHUNK == 0); /* while it is mapped, ... */
        assert_int_equal(reduce_within(pools[i], all, enough - enough / 8), -ENOMEM);
        assert_message_has("memory limit of");
        assert_in_range(weir_last_error()->range.end, 1, 64); /* ... and while it is merged */
        /* what is enough is so for any number of workers, in any order */
        assert_int_equal(reduce_within(pools[i], all, enough), 0);
        weir_pool_free(pools[i]);
    }
    weir_scope_end(scope);
}

/* ---- damage ---------------------------------------------------------------------------------- */

#define PARTITIONS 4 /* of a table of CHUNK + 1 keys or more, up to twice that */
#define KEYS       (CHUNK + 1000)

/* Pairs that come before the error; -1: there was no error. */
static int64_t pairs_before_damage(const weir_table *table)
{
    weir_table_cursor cursor = {0};
    int64_t count = 0;
    weir_pair pair;
    int result;

    while ((result = weir_table_next(table, &cursor, &pair)) == 1)
        count++;
    if (result == 0)
        return -1;
    assert_int_equal(result, -EBADMSG);
    assert_int_equal(weir_last_error()->code, -EBADMSG);
    return count;
}

static void assert_not_sorted(const weir_table *table, size_t most)
{
    size_t count = 1;

    assert_null(weir_table_sorted(table, weir_pair_by_key, most, &count));
    assert_int_equal(weir_last_error()->code, -EBADMSG);
    assert_int_equal(count, 0);
}

static void assert_sound(const weir_table *table)
{
    size_t count = 0;
    weir_pair *sorted = weir_table_sorted(table, weir_pair_by_key, 0, &count);

    assert_int_equal(pairs_before_damage(table), -1);
    assert_non_null(sorted);
    assert_int_equal(count, KEYS);
    free(sorted);
}

static weir_table *new_table(weir_pool *pool)
{
    const weir_map_reduction reduction = {
        .map = emit_keys, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    weir_table *table = weir_pool_map_reduce(pool, (weir_range){0, KEYS}, &reduction, NULL, NULL);

    assert_non_null(table);
    assert_int_equal(table->partitions, PARTITIONS);
    return table;
}

static void iteration_and_sorting_fail__when_a_partition_is_damaged(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_table *table = new_table(pool);
    struct weir__partition *partition = weir_shm_buf(table->partition[PARTITIONS - 1]);
    const struct weir__partition sound = *partition;
    const uint64_t size = weir_shm_size(table->partition[PARTITIONS - 1]);
    struct weir__partition damaged[7];

    (void)state;
    for (int i = 0; i < 7; i++)
        damaged[i] = sound;
    damaged[0].magic = 0;
    damaged[1].slots = 0;
    damaged[2].slots--;
    damaged[3].slots *= 2;
    damaged[4].log_begin += 8;
    damaged[5].log_end = size + 8;
    damaged[6].log_end = sound.log_begin - 8;
    for (int i = 0; i < 7; i++) {
        *partition = damaged[i];
        assert_int_equal(pairs_before_damage(table), KEYS - sound.records);
        assert_message_has("partition 3 of the table");
        assert_not_sorted(table, 0);
        assert_message_has("partition 3 of the table");
        assert_not_sorted(table, 1);
    }
    *partition = sound;
    assert_sound(table);
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

struct scribbler {
    struct weir__partition *partition;
    uint64_t log_begin, log_end, slots;
    _Atomic bool stopped;
};

/* Another process's writes: each field is wrong and right in turn, as fast as can be. */
static void *scribble(void *arg)
{
    struct scribbler *scribbler = arg;
    volatile struct weir__partition *partition = scribbler->partition;
    volatile struct weir__pair_record *first =
        (struct weir__pair_record *)((unsigned char *)scribbler->partition + scribbler->log_begin);
    const uint32_t key_size = first->key_size, value_size = first->value_size;

    while (!scribbler->stopped) {
        partition->slots = scribbler->slots << 20;
        partition->slots = scribbler->slots;
        partition->log_end = scribbler->log_end << 16;
        partition->log_end = scribbler->log_end;
        first->key_size = 1 << 29;
        first->key_size = key_size;
        first->value_size = UINT32_MAX / 2;
        first->value_size = value_size;
    }
    return NULL;
}

static void no_byte_outside_is_given__while_a_process_writes_to_a_table(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_table *table = new_table(pool);
    struct weir__partition *partition = weir_shm_buf(table->partition[0]);
    const char *begin_at = (const char *)partition;
    const char *end_at = begin_at + weir_shm_size(table->partition[0]);
    struct scribbler scribbler = {partition, partition->log_begin, partition->log_end,
                                  partition->slots, false};
    weir_table_cursor first = {0};
    weir_pair wanted, pair;
    const double until = now_ms() + 400;
    pthread_t thread;
    char key[64];

    (void)state;
    assert_int_equal(weir_table_next(table, &first, &wanted), 1);
    assert_true(wanted.key_size < sizeof key);
    memcpy(key, wanted.key, wanted.key_size);
    assert_int_equal(pthread_create(&thread, NULL, scribble, &scribbler), 0);
    while (now_ms() < until) {
        weir_table_cursor cursor = {0};

        (void)!weir_table_get(table, key, wanted.key_size, &pair);
        if (weir_table_next(table, &cursor, &pair) == 1) {
            assert_true(pair.key >= begin_at && pair.key + pair.key_size <= end_at);
            assert_true((const char *)pair.value + pair.value_size <= end_at);
        }
    }
    scribbler.stopped = true;
    pthread_join(thread, NULL);
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void iteration_and_sorting_fail__when_a_record_is_damaged(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_table *table = new_table(pool);
    struct weir__partition *partition = weir_shm_buf(table->partition[0]);
    const uint64_t log_end = partition->log_end;
    struct weir__pair_record *first =
        (struct weir__pair_record *)((unsigned char *)partition + partition->log_begin);
    struct weir__pair_record *second =
        (struct weir__pair_record *)((unsigned char *)first +
                                     weir__pair_record_size(first->key_size, first->value_size));
    const struct weir__pair_record sound = *second;
    struct weir__pair_record damaged[] = {sound, sound, sound, sound};

    (void)state;
    damaged[0].key_size = UINT32_MAX;
    damaged[1].value_size = UINT32_MAX;
    damaged[2].key_size = (uint32_t)log_end; /* not too long for a key, but for the partition */
    damaged[3].value_size = (uint32_t)log_end;
    for (int i = 0; i < 4; i++) {
        *second = damaged[i];
        assert_int_equal(pairs_before_damage(table), 1);
        assert_message_has("a record of the table");
        assert_not_sorted(table, 0);
        assert_message_has("a record of the table");
        assert_not_sorted(table, 1);
    }
    *second = sound;
    partition->log_end = partition->log_begin + 8; /* in the midst of the first record */
    assert_int_equal(pairs_before_damage(table), 0);
    assert_not_sorted(table, 0);
    partition->log_end = log_end;
    assert_sound(table);
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(pairs_come_largest_first_and_no_numbers_last__when_sorted_by_doubles),
        UNIT(the_order_is_one__whichever_two_doubles_are_compared),
        UNIT(iteration_and_sorting_fail__when_a_partition_is_damaged),
        UNIT(no_byte_outside_is_given__while_a_process_writes_to_a_table),
        UNIT(iteration_and_sorting_fail__when_a_record_is_damaged),
        UNIT(the_limit_is_of_all_tables_together__when_each_of_them_fits),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
