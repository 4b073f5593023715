/* SPDX-License-Identifier: MIT
 *
 * table.c: reading a table: looking up a key, going through the pairs, sorting them.
 *
 * A table is an object of the scope: its address is the same in all processes, so a pointer to it
 * can be handed to tasks.
 *
 * Invariants: a function here writes to a table only to free it. Whatever a partition says about
 * itself is checked against the size of its block. The table's own block, which names the
 * partitions, is not checked further.
 *
 * Failure modes: a table or a partition that a process has overwritten is reported as damaged
 * (-EBADMSG) or gives wrong pairs, but no address outside the partition's block is read. There may
 * be no memory for sorted pairs.
 */
#include "pool/map_reduce/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/result.h"
#include "pool/map_reduce/key_hash.h"
#include "shm/error.h"

static int check_table(const weir_table *table)
{
    if (table == NULL)
        return weir__fail(-EINVAL, "the table is NULL");
    if (table->magic != WEIR__TABLE_MAGIC || table->partitions > WEIR__HASH_GROUPS)
        return weir__fail(-EBADMSG, "the table at %p is damaged", (const void *)table);
    return 0;
}

void weir_table_free(weir_table *table)
{
    if (table == NULL || check_table(table) < 0)
        return;
    table->magic = 0;
    for (uint32_t i = 0; i < table->partitions; i++)
        weir__block_drop(table->partition[i]);
    weir__block_drop(table->block);
}

int64_t weir_table_len(const weir_table *table)
{
    int error = check_table(table);

    return error < 0 ? error : (int64_t)table->records;
}

/* The partition, if it is sound. NULL: it has no records, or, with *error set, it is damaged. */
static struct weir__partition *open_partition(const weir_table *table, uint32_t i, int *error)
{
    weir_shm *block = table->partition[i];
    struct weir__partition *partition;
    size_t size;

    *error = 0;
    if (block == NULL)
        return NULL;
    partition = weir_shm_buf(block);
    size = weir_shm_size(block);
    if (size >= sizeof(*partition) && partition->magic == WEIR__PARTITION_MAGIC &&
        partition->slots > 0 && (partition->slots & (partition->slots - 1)) == 0 &&
        partition->slots <= size / sizeof(uint64_t) &&
        partition->log_begin == sizeof(*partition) + partition->slots * sizeof(uint64_t) &&
        partition->log_begin <= partition->log_end && partition->log_end <= size)
        return partition;
    *error = weir__fail(-EBADMSG, "partition %u of the table at %p is damaged", (unsigned)i,
                        (const void *)table);
    return NULL;
}

static const struct weir__pair_record *
table_look_up(struct weir__partition *partition, uint64_t hash, const void *key, size_t key_size)
{
    const unsigned char *log = (const unsigned char *)partition + partition->log_begin;
    const unsigned char *end = (const unsigned char *)partition + partition->log_end;
    const uint64_t *index = weir__partition_index(partition), mask = partition->slots - 1;

    for (uint64_t i = hash & mask, looks = 0; index[i] != 0 && looks <= mask;
         i = (i + 1) & mask, looks++) {
        uint64_t offset = weir__slot_offset(index[i]);
        const struct weir__pair_record *record;

        if ((index[i] ^ hash) >> 32 != 0 || offset >= (uint64_t)(end - log))
            continue;
        record = weir__pair_record_check(log + offset, end);
        if (record != NULL && record->hash == hash && record->key_size == key_size &&
            memcmp(weir__pair_record_key(record), key, key_size) == 0)
            return record;
    }
    return NULL;
}

int weir_table_get(const weir_table *table, const void *key, size_t key_size, weir_pair *pair)
{
    const struct weir__pair_record *record = NULL;
    struct weir__partition *partition;
    uint64_t hash;
    int error = check_table(table);

    if (error < 0)
        return error;
    if ((key == NULL && key_size > 0) || pair == NULL)
        return weir__fail(-EINVAL, "the %s is NULL", pair == NULL ? "pair" : "key");
    hash = weir__hash(key, key_size);
    if (table->partitions > 0) {
        partition = open_partition(
            table, weir__hash_group_of(hash) >> table->shift & (table->partitions - 1), &error);
        if (error < 0)
            return error;
        if (partition != NULL)
            record = table_look_up(partition, hash, key, key_size);
    }
    if (record == NULL)
        return -ENOENT; /* without a message, as of a dictionary: a missing key is no failure */
    *pair = weir__pair_of(record);
    return 0;
}

/* A cursor has the partition's number above the record's place in its log, in units of 8 bytes. */
#define CURSOR_SHIFT 40
#define CURSOR_PLACE ((UINT64_C(1) << CURSOR_SHIFT) - 1)

int weir_table_next(const weir_table *table, weir_table_cursor *cursor, weir_pair *pair)
{
    uint64_t place;
    int error = check_table(table);

    if (error < 0)
        return error;
    if (cursor == NULL || pair == NULL)
        return weir__fail(-EINVAL, "the %s is NULL", cursor == NULL ? "cursor" : "pair");
    place = cursor->at & CURSOR_PLACE;
    for (uint64_t i = cursor->at >> CURSOR_SHIFT; i < table->partitions; i++, place = 0) {
        struct weir__partition *partition = open_partition(table, (uint32_t)i, &error);
        const struct weir__pair_record *record;
        uint64_t at;

        if (error < 0)
            return error;
        if (partition == NULL)
            continue;
        at = partition->log_begin + place * 8;
        if (at >= partition->log_end)
            continue;
        record = weir__pair_record_check((const unsigned char *)partition + at,
                                         (const unsigned char *)partition + partition->log_end);
        if (record == NULL)
            return weir__fail(-EBADMSG, "a record of the table at %p is damaged",
                              (const void *)table);
        place += weir__pair_record_size(record->key_size, record->value_size) / 8;
        cursor->at = i << CURSOR_SHIFT | place;
        *pair = weir__pair_of(record);
        return 1;
    }
    return 0;
}

/* ---- sorting -------------------------------------------------------------------------------- */

int weir_pair_by_key(const weir_pair *a, const weir_pair *b)
{
    size_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(a->key, b->key, size);

    return order != 0 ? order : (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

int weir_pair_by_int64(const weir_pair *a, const weir_pair *b)
{
    int64_t x = 0, y = 0;

    memcpy(&x, a->value, a->value_size < sizeof(x) ? a->value_size : sizeof(x));
    memcpy(&y, b->value, b->value_size < sizeof(y) ? b->value_size : sizeof(y));
    return x != y ? (x < y) - (x > y) : weir_pair_by_key(a, b);
}

int weir_pair_by_double(const weir_pair *a, const weir_pair *b)
{
    double x = 0, y = 0;

    memcpy(&x, a->value, a->value_size < sizeof(x) ? a->value_size : sizeof(x));
    memcpy(&y, b->value, b->value_size < sizeof(y) ? b->value_size : sizeof(y));
    if (x != y && x == x && y == y)
        return (x < y) - (x > y);
    if ((x != x) != (y != y)) /* NaNs come last */
        return (x != x) - (y != y);
    return weir_pair_by_key(a, b);
}

/* A heap of pairs; the one that comes last in the order is on top. */
static void sift_down(weir_pair *heap, size_t count, size_t i,
                      int (*compare)(const weir_pair *, const weir_pair *))
{
    for (;;) {
        size_t child = 2 * i + 1;
        weir_pair swap;

        if (child >= count)
            return;
        if (child + 1 < count && compare(&heap[child + 1], &heap[child]) > 0)
            child++;
        if (compare(&heap[child], &heap[i]) <= 0)
            return;
        swap = heap[i];
        heap[i] = heap[child];
        heap[child] = swap;
        i = child;
    }
}

static void make_heap(weir_pair *heap, size_t count,
                      int (*compare)(const weir_pair *, const weir_pair *))
{
    for (size_t i = count / 2; i-- > 0;)
        sift_down(heap, count, i, compare);
}

/* Moves the pair on top behind the heap until the heap is empty: the pairs are then in order. */
static void sort_heap(weir_pair *heap, size_t count,
                      int (*compare)(const weir_pair *, const weir_pair *))
{
    while (count > 1) {
        weir_pair last = heap[0];

        heap[0] = heap[--count];
        heap[count] = last;
        sift_down(heap, count, 0, compare);
    }
}

/* Leaves the first `most` pairs of the order in `heap`. 0, or weir_table_next()'s error. */
static int select_first(const weir_table *table,
                        int (*compare)(const weir_pair *, const weir_pair *), weir_pair *heap,
                        size_t most, size_t *selected)
{
    weir_table_cursor cursor = {0};
    size_t count = 0;
    weir_pair pair;
    int result;

    while ((result = weir_table_next(table, &cursor, &pair)) == 1) {
        if (count < most) {
            heap[count++] = pair;
            if (count == most)
                make_heap(heap, count, compare);
        } else if (compare(&pair, &heap[0]) < 0) {
            heap[0] = pair;
            sift_down(heap, count, 0, compare);
        }
    }
    if (count < most)
        make_heap(heap, count, compare);
    *selected = count;
    return result;
}

weir_pair *weir_table_sorted(const weir_table *table,
                             int (*compare)(const weir_pair *, const weir_pair *), size_t most,
                             size_t *count)
{
    weir_pair *pairs;

    if (count != NULL)
        *count = 0;
    if (check_table(table) < 0)
        return NULL;
    if (compare == NULL || count == NULL)
        return weir__fail_null(-EINVAL, "%s is NULL", count == NULL ? "count" : "compare");
    if (most == 0 || most > table->records)
        most = table->records;
    pairs = most < PTRDIFF_MAX / sizeof(*pairs) ? malloc((most + 1) * sizeof(*pairs)) : NULL;
    if (pairs == NULL)
        return weir__fail_null(-ENOMEM, "no memory for %zu pairs of a table", most);
    if (most == 0)
        return pairs;
    if (select_first(table, compare, pairs, most, count) < 0) {
        free(pairs);
        *count = 0;
        return NULL;
    }
    sort_heap(pairs, *count, compare);
    return pairs;
}
