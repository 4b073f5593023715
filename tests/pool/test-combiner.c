/* SPDX-License-Identifier: MIT
 *
 * The private table in which a worker combines pairs.
 */
#include "support.h"

#include "pool/map_reduce/combiner.h"
#include "pool/map_reduce/key_hash.h"

#define LENGTHS 41 /* of keys: 0 to 40 */

static struct weir__combiner *new_combiner(const struct weir__combine_rule *rule)
{
    struct weir__combiner *combiner = weir__combiner_new();

    assert_non_null(combiner);
    weir__combiner_begin(combiner, rule, SIZE_MAX);
    return combiner;
}

/* A published record in its own memory, with a key of `size` times a byte, but for one. */
static struct weir__pair_record *make_record(int byte, size_t size, size_t place, int64_t value)
{
    struct weir__pair_record *record = calloc(1, weir__pair_record_size(size, sizeof value));

    assert_non_null(record);
    *record = (struct weir__pair_record){0x0123456789abcdef, (uint32_t)size, sizeof value};
    memcpy(weir__pair_record_value(record), &value, sizeof value);
    memset(weir__pair_record_key(record), byte, size);
    if (place < size)
        weir__pair_record_key(record)[place] = 'x';
    return record;
}

static void keys_stay_apart__when_their_hashes_are_equal(void **state)
{
    static struct weir__pair_record *records[LENGTHS * (LENGTHS + 1)];
    struct weir__combiner *combiner =
        new_combiner(&(struct weir__combine_rule){8, weir_sum_int64, NULL});
    const struct weir__pair_record *record;
    uint64_t offset = 0;
    int count = 0;

    (void)state;
    for (size_t size = 0; size < LENGTHS; size++)
        for (size_t place = 0; place <= size; place++, count++)
            records[count] = make_record('k', size, place, count);
    for (size_t size = 1; size < LENGTHS; size++, count++) /* padded they are the same */
        records[count] = make_record('\0', size, size, count);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < count; i++)
            assert_int_equal(weir__combiner_add_record(combiner, records[i], records[i]), 0);
    assert_int_equal(weir__combiner_end(combiner), 0);
    assert_int_equal(weir__combiner_count(combiner), count);
    for (int i = 0; i < count; i++, free(records[i - 1])) {
        record = weir__combiner_next(combiner, &offset); /* in the order in which they came */
        assert_non_null(record);
        assert_int_equal(record->key_size, records[i]->key_size);
        assert_memory_equal(weir__pair_record_key(record), weir__pair_record_key(records[i]),
                            record->key_size + 1);
        assert_int_equal(*(int64_t *)weir__pair_record_value(record), 2 * i);
    }
    assert_null(weir__combiner_next(combiner, &offset));
    weir__combiner_free(combiner);
}

/* ---- order ---------------------------------------------------------------------------------- */

#define KEYS  300
#define PAIRS 50000

struct value {
    uint64_t number;
    unsigned char rest[24];
};

/* Another order gives another number. */
static void chain(void *into, const void *from, void *arg)
{
    uint64_t *a = into;
    const uint64_t *b = from;

    (void)arg;
    *a = *a * 31 + *b;
}

static void assert_order(size_t value_size)
{
    struct weir__combiner *combiner =
        new_combiner(&(struct weir__combine_rule){value_size, chain, NULL});
    const struct weir__pair_record *record;
    uint64_t expected[KEYS] = {0}, offset = 0, random = 1;
    int first[KEYS], found = 0;

    for (int i = 0; i < PAIRS; i++) {
        struct value value = {.number = (uint64_t)i + 1};
        unsigned char key[LENGTHS];
        size_t which, size;

        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        which = random >> 33 & (i % 1000 < 500 ? 3 : 255); /* the same ones in short succession */
        size = 2 + which % (LENGTHS - 2);
        memset(key, 'a', sizeof key);
        memcpy(key + size - 2, &(uint16_t){(uint16_t)which}, 2);
        if (expected[which] == 0)
            first[found++] = (int)which;
        expected[which] = expected[which] == 0 ? value.number : expected[which] * 31 + value.number;
        assert_int_equal(weir__combiner_add(combiner, key, size, &value, value_size), 0);
    }
    assert_int_equal(weir__combiner_end(combiner), 0);
    assert_int_equal(weir__combiner_count(combiner), found);
    for (int i = 0; i < found; i++) {
        uint16_t which;

        record = weir__combiner_next(combiner, &offset);
        assert_non_null(record);
        memcpy(&which, weir__pair_record_key(record) + record->key_size - 2, 2);
        assert_int_equal(which, first[i]);
        assert_int_equal(weir__pair_record_key(record)[record->key_size], 0);
        assert_int_equal(record->hash, weir__hash(weir__pair_record_key(record), record->key_size));
        assert_int_equal(*(uint64_t *)weir__pair_record_value(record), expected[which]);
    }
    weir__combiner_free(combiner);
}

static void pairs_are_combined_as_they_came__when_short_and_long_ones_mix(void **state)
{
    (void)state;
    assert_order(8);
    assert_order(12);
    assert_order(sizeof(struct value));
}

/* ---- the index ------------------------------------------------------------------------------- */

static void add_keys(struct weir__combiner *combiner, int64_t count)
{
    const int64_t one = 1;

    for (int64_t key = 0; key < count; key++)
        assert_int_equal(weir__combiner_add(combiner, &key, sizeof key, &one, sizeof one), 0);
    assert_int_equal(weir__combiner_end(combiner), 0);
    assert_int_equal(weir__combiner_count(combiner), count);
}

static size_t mapped(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* What a chunk clears is what the one before it had, and not what the largest has ever had. */
static void the_index_is_small_again__when_a_chunk_of_few_keys_follows_one_of_many(void **state)
{
    const struct weir__combine_rule rule = {8, weir_sum_int64, NULL};
    struct weir__combiner *combiner = new_combiner(&rule);
    size_t before;

    (void)state;
    add_keys(combiner, 1000000);
    before = mapped();
    for (int chunk = 0; chunk < 2; chunk++) { /* which has 16 MiB of slots, then few */
        weir__combiner_begin(combiner, &rule, SIZE_MAX);
        add_keys(combiner, 10);
    }
    assert_in_range(mapped(), 1, before - (8U << 20));
    weir__combiner_begin(combiner, &rule, SIZE_MAX);
    add_keys(combiner, 100000); /* and grows again */
    weir__combiner_free(combiner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(keys_stay_apart__when_their_hashes_are_equal),
        UNIT(pairs_are_combined_as_they_came__when_short_and_long_ones_mix),
        UNIT(the_index_is_small_again__when_a_chunk_of_few_keys_follows_one_of_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
