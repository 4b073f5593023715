/* SPDX-License-Identifier: MIT
 *
 * The order of the keys in a table: by hash, then by key.
 */
#include "support.h"

#include "pool/map_reduce/hash_order.h"

#define KEY 24

static struct weir__combiner *combiner;

/* Published records, as add_record() wants them to stay. */
static struct weir__pair_record *records[5000];
static size_t count;

/* Adds a pair as another process would have published it: with any hash. */
static void add(uint64_t hash, const char *key)
{
    const size_t size = strlen(key);
    struct weir__pair_record *record = calloc(1, weir__pair_record_size(size, 8));

    assert_non_null(record);
    assert_true(count < sizeof records / sizeof *records);
    *record = (struct weir__pair_record){hash, (uint32_t)size, 8};
    memcpy(weir__pair_record_key(record), key, size);
    assert_int_equal(weir__combiner_add_record(combiner, record, record), 0);
    records[count++] = record;
}

static void begin_adding(void)
{
    combiner = weir__combiner_new();
    assert_non_null(combiner);
    weir__combiner_begin(combiner, &(struct weir__combine_rule){8, weir_sum_int64, NULL, 0},
                         SIZE_MAX);
    count = 0;
}

static void assert_before(const struct weir__ordered *a, const struct weir__ordered *b)
{
    assert_true(a->hash <= b->hash);
    if (a->hash == b->hash)
        assert_true(strcmp((const char *)weir__pair_record_key(a->record),
                           (const char *)weir__pair_record_key(b->record)) < 0);
}

/* All that was added is there once, in order. `bits`: that all hashes have in common. */
static void assert_order(unsigned bits)
{
    struct weir__hash_order order;
    size_t shown = 0;

    assert_int_equal(weir__combiner_end(combiner), 0);
    assert_true(weir__hash_order_init(&order, combiner, bits));
    assert_int_equal(order.count, count);
    for (size_t i = 0; i < order.count; i++) {
        assert_int_equal(order.entries[i].hash, order.entries[i].record->hash);
        if (i > 0)
            assert_before(&order.entries[i - 1], &order.entries[i]);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < order.count; k++)
            shown += order.entries[k].hash == records[i]->hash &&
                     strcmp((const char *)weir__pair_record_key(order.entries[k].record),
                            (const char *)weir__pair_record_key(records[i])) == 0;
    assert_int_equal(shown, count);
    weir__hash_order_free(&order);
    for (size_t i = 0; i < count; i++)
        free(records[i]);
    weir__combiner_free(combiner);
}

static void records_come_by_hash__whatever_bits_they_have_in_common(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 12; bits += 4) {
        uint64_t hash = 12345;

        begin_adding();
        for (int i = 0; i < 1500; i++) {
            char key[KEY];

            hash = hash * UINT64_C(0x5851f42d4c957f2d) + 1;
            snprintf(key, sizeof key, "key %d", i);
            add(bits > 0 ? hash >> bits | UINT64_C(5) << (64 - bits) : hash, key);
        }
        assert_order(bits);
    }
}

static void records_come_by_key__where_somebody_has_made_hashes_alike(void **state)
{
    (void)state;
    begin_adding();
    for (int i = 0; i < 1000; i++) {
        char key[KEY];

        snprintf(key, sizeof key, "%d", i * 7919 % 1000);
        add(i % 3 == 0 ? 77 : 77 + (uint64_t)(i % 5), key);
    }
    assert_order(0);
    begin_adding();
    for (int i = 0; i < 9; i++) /* few */
        add(UINT64_MAX, (char[]){(char)('i' - i), '\0'});
    assert_order(12);
}

static void nothing_is_in_order__and_one_record_too(void **state)
{
    (void)state;
    begin_adding();
    assert_order(0);
    begin_adding();
    add(0, "");
    assert_order(6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_by_hash__whatever_bits_they_have_in_common),
        cmocka_unit_test(records_come_by_key__where_somebody_has_made_hashes_alike),
        cmocka_unit_test(nothing_is_in_order__and_one_record_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
