/* SPDX-License-Identifier: MIT
 *
 * map-reduce.h: what the tests of map-reduce have in common: pairs to emit, and what becomes of
 * them.
 */
#ifndef TEST_POOL_MAP_REDUCE_H
#define TEST_POOL_MAP_REDUCE_H

#include "support.h"

#define ITEMS 20000

#define COUNTING(...)                                                                              \
    (&(weir_map_reduction){.value_size = sizeof(int64_t), .combine = weir_sum_int64, __VA_ARGS__})

/* Item i has key "key<i % 997>" and counts i. */
static inline int emit_items(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        char key[32];
        int size = snprintf(key, sizeof key, "key%d", (int)(i % 997));

        weir_emit_int64(task, key, (size_t)size, i);
    }
    return 0;
}

static inline weir_table *must(weir_table *table)
{
    if (table == NULL)
        fail_msg("no table: %s", weir_last_error()->message);
    return table;
}

/* Key number i: i % 70 bytes that depend on i, with NULs among them. */
static inline size_t make_key(int64_t i, unsigned char *key)
{
    size_t size = (size_t)(i % 70);

    for (size_t k = 0; k < size; k++)
        key[k] = (unsigned char)((uint64_t)i >> (8 * (k % 8)) ^ (k / 8 * 7));
    return size;
}

static inline int emit_lengths(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        unsigned char key[80];
        size_t size = make_key(i / 2, key);

        weir_emit_int64(task, key, size, i / 2 + 1);
    }
    return 0;
}

static inline void assert_lengths(const weir_table *table, int64_t count)
{
    weir_table_cursor cursor = {0};
    int64_t pairs = 0, sum = 0, expected = 0;
    weir_pair pair;

    for (int64_t i = 0; i < count; i++) {
        unsigned char key[80];
        size_t size = make_key(i, key);

        expected += 2 * (i + 1);
        assert_int_equal(weir_table_get(table, key, size, &pair), 0);
        assert_int_equal(pair.key_size, size);
        assert_memory_equal(pair.key, key, size);
        assert_int_equal(pair.key[size], 0);
        assert_int_equal((uintptr_t)pair.value % 8, 0);
        if (size >= 8)
            assert_int_equal(*(const int64_t *)pair.value, 2 * (i + 1));
    }
    while (weir_table_next(table, &cursor, &pair) == 1) {
        pairs++;
        sum += *(const int64_t *)pair.value;
    }
    assert_int_equal(pairs, weir_table_len(table));
    assert_int_equal(sum, expected);
}

#endif
