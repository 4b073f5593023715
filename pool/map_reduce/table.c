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

/* *partitions: their number. Each field of a table is read once, checked, and used: other processes
 * can write to it meanwhile. */
static int check_table(const weir_table *table, uint32_t *partitions)
{
    if (table == NULL)
        return weir__fail(-EINVAL, "the table is NULL");
    *partitions = __atomic_load_n(&table->partitions, __ATOMIC_RELAXED);
    if (table->magic != WEIR__TABLE_MAGIC || *partitions > WEIR__GROUPS_MAX)
        return weir__fail(-EBADMSG, "the table at %p is damaged", (const void *)table);
    return 0;
}

void weir_table_free(weir_table *table)
{
    uint32_t partitions;

    if (table == NULL || check_table(table, &partitions) < 0)
        return;
    table->magic = 0;
    for (uint32_t i = 0; i < partitions; i++)
        weir__block_drop(table->partition[i]);
    weir__block_drop(table->block);
}

int64_t weir_table_len(const weir_table *table)
{
    uint32_t partitions;
    int error = check_table(table, &partitions);

    return error < 0 ? error : (int64_t)table->records;
}

/* What a partition says about itself, checked. */
struct opened {
    const uint64_t *index;
    uint64_t mask;
    const unsigned char *log, *end;
};

/* 1: it is sound; 0: it has no records; or it is damaged, and the last error is set. */
static int open_partition(const weir_table *table, uint32_t i, struct opened *out)
{
    weir_shm *block = table->partition[i];
    struct weir__partition *partition;
    uint64_t slots, begin, end;
    size_t size;

    if (block == NULL)
        return 0;
    partition = weir_shm_buf(block);
    size = weir_shm_size(block);
    if (size < sizeof(*partition) || partition->magic != WEIR__PARTITION_MAGIC)
        goto damaged;
    slots = __atomic_load_n(&partition->slots, __ATOMIC_RELAXED);
    begin = __atomic_load_n(&partition->log_begin, __ATOMIC_RELAXED);
    end = __atomic_load_n(&partition->log_end, __ATOMIC_RELAXED);
    if (slots == 0 || (slots & (slots - 1)) != 0 || slots > size / sizeof(uint64_t) ||
        begin != sizeof(*partition) + slots * sizeof(uint64_t) || begin > end || end > size)
        goto damaged;
    *out = (struct opened){
        .index = weir__partition_index(partition),
        .mask = slots - 1,
        .log = (const unsigned char *)partition + begin,
        .end = (const unsigned char *)partition + end,
    };
    return 1;
damaged:
    return weir__fail(-EBADMSG, "partition %u of the table at %p is damaged", (unsigned)i,
                      (const void *)table);
}

static bool table_look_up(const struct opened *opened, uint64_t hash, const void *key,
                          size_t key_size, weir_pair *pair)
{
    uint64_t i = hash & opened->mask;

    for (uint64_t looks = 0; looks <= opened->mask; i = (i + 1) & opened->mask, looks++) {
        const uint64_t slot = __atomic_load_n(&opened->index[i], __ATOMIC_RELAXED);
        const uint64_t offset = weir__slot_offset(slot);
        const unsigned char *at = opened->log + offset;
        struct weir__pair_record head;

        if (slot == 0)
            return false;
        if ((slot ^ hash) >> 32 != 0 || offset >= (uint64_t)(opened->end - opened->log))
            continue;
        if (!weir__pair_record_check(at, opened->end, &head) || head.hash != hash ||
            head.key_size != key_size)
            continue;
        *pair = weir__pair_of((const struct weir__pair_record *)at, &head);
        if (memcmp(pair->key, key, key_size) == 0)
            return true;
    }
    return false;
}

int weir_table_get(const weir_table *table, const void *key, size_t key_size, weir_pair *pair)
{
    struct opened opened;
    uint32_t partitions = 0;
    weir_pair found;
    uint64_t hash, number;
    int result = check_table(table, &partitions);

    if (result < 0)
        return result;
    if ((key == NULL && key_size > 0) || pair == NULL)
        return weir__fail(-EINVAL, "the %s is NULL", pair == NULL ? "pair" : "key");
    hash = weir__hash(key, key_size);
    number = weir__hash_group_of(hash, table->bits & 63) - table->first;
    if (number < partitions)
        result = open_partition(table, (uint32_t)number, &opened);
    if (result < 0)
        return result;
    /* without a message, as of a dictionary: a missing key is no failure */
    if (result == 0 || !table_look_up(&opened, hash, key, key_size, &found))
        return -ENOENT;
    *pair = found;
    return 0;
}

/* A cursor has the partition's number above the record's place in its log, in units of 8 bytes. */
#define CURSOR_SHIFT 40
#define CURSOR_PLACE ((UINT64_C(1) << CURSOR_SHIFT) - 1)

int weir_table_next(const weir_table *table, weir_table_cursor *cursor, weir_pair *pair)
{
    uint32_t partitions = 0;
    uint64_t place;
    int result = check_table(table, &partitions);

    if (result < 0)
        return result;
    if (cursor == NULL || pair == NULL)
        return weir__fail(-EINVAL, "the %s is NULL", cursor == NULL ? "cursor" : "pair");
    place = cursor->at & CURSOR_PLACE;
    for (uint64_t i = cursor->at >> CURSOR_SHIFT; i < partitions; i++, place = 0) {
        struct weir__pair_record head;
        struct opened opened;
        const unsigned char *at;

        result = open_partition(table, (uint32_t)i, &opened);
        if (result < 0)
            return result;
        if (result == 0 || place * 8 >= (uint64_t)(opened.end - opened.log))
            continue;
        at = opened.log + place * 8;
        if (!weir__pair_record_check(at, opened.end, &head))
            return weir__fail(-EBADMSG, "a record of the table at %p is damaged",
                              (const void *)table);
        place += weir__pair_record_size(head.key_size, head.value_size) / 8;
        cursor->at = i << CURSOR_SHIFT | place;
        *pair = weir__pair_of((const struct weir__pair_record *)at, &head);
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
    const int64_t records = weir_table_len(table);
    weir_pair *pairs;

    if (count != NULL)
        *count = 0;
    if (records < 0)
        return NULL;
    if (compare == NULL || count == NULL)
        return weir__fail_null(-EINVAL, "%s is NULL", count == NULL ? "count" : "compare");
    if (most == 0 || most > (uint64_t)records)
        most = (size_t)records;
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
