/* SPDX-License-Identifier: MIT
 *
 * table.c: writing parts and shards, and what a program does with a table.
 *
 * A table is an object of the scope: its address is the same in all processes, so a pointer to it
 * can be handed to tasks. What is read from parts and shards is checked against the
 * sizes of their blocks: one that a process has overwritten gives wrong pairs, or none, or is
 * reported, but leads nowhere else. The table's own block, which names the shards, is believed.
 *
 * Killed: a block that has its name but that nobody has noted yet stays until the scope ends.
 */
#include "pool/map_reduce/table.h"
#include "pool/map_reduce/key_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/error.h"

#define PAGE 4096

struct shard_of_table {
    weir_shm *block;
    uint64_t records;
};

struct weir_table {
    uint64_t magic;
    weir_shm *block; /* this one */
    uint64_t records;
    uint32_t shards; /* a power of two, or 0 */
    uint32_t shift;  /* partition >> shift is the shard */
    struct shard_of_table shard[WEIR__HASH_GROUPS];
};

/* ---- parts ---------------------------------------------------------------------------------- */

size_t weir__map_output_size(const struct weir__combiner *combiner)
{
    const uint64_t *bytes = weir__combiner_bytes(combiner);
    size_t size = sizeof(struct weir__map_output);

    for (int i = 0; i < WEIR__HASH_GROUPS; i++)
        size += bytes[i];
    return size;
}

static weir_shm *make_block(weir_scope *scope, size_t size)
{
    weir_shm *block = weir_scope_shm(scope, size);

    if (block != NULL)
        madvise(weir_shm_buf(block), size, MADV_HUGEPAGE); /* a wish */
    return block;
}

int weir__map_output_publish(weir_scope *scope, const struct weir__combiner *combiner,
                             struct weir__published *published)
{
    const uint64_t *bytes = weir__combiner_bytes(combiner);
    uint64_t at[WEIR__HASH_GROUPS], offset = 0;
    const struct weir__pair_record *record;
    struct weir__map_output *part;
    weir_shm *block;

    published->records = weir__combiner_count(combiner);
    if (published->records == 0)
        return 0;
    block = make_block(scope, weir__map_output_size(combiner));
    if (block == NULL)
        return weir_last_error()->code;
    /* Killed before the next line has run: the block stays until the scope ends. */
    atomic_store(&published->block, block);
    part = weir_shm_buf(block);
    part->magic = WEIR__MAP_OUTPUT_MAGIC;
    part->records = published->records;
    part->begin[0] = sizeof(*part);
    for (int i = 0; i < WEIR__HASH_GROUPS; i++) {
        at[i] = part->begin[i];
        part->begin[i + 1] = at[i] + bytes[i];
    }
    while ((record = weir__combiner_next(combiner, &offset)) != NULL) {
        unsigned partition = weir__hash_group_of(record->hash);

        weir__combiner_write(combiner, record, (unsigned char *)part + at[partition]);
        at[partition] += weir__combiner_published_size(combiner, record);
    }
    return 0;
}

bool weir__map_output_span(const weir_shm *block, unsigned first, unsigned last,
                           const unsigned char **begin, const unsigned char **end)
{
    const struct weir__map_output *part = weir_shm_buf(block);
    const size_t size = weir_shm_size(block);
    uint64_t from, to;

    if (size < sizeof(*part) || part->magic != WEIR__MAP_OUTPUT_MAGIC)
        return false;
    from = part->begin[first];
    to = part->begin[last];
    if (from < sizeof(*part) || from > to || to > size || ((from | to) & 7) != 0)
        return false;
    *begin = (const unsigned char *)part + from;
    *end = (const unsigned char *)part + to;
    return true;
}

const struct weir__pair_record *weir__pair_record_check(const unsigned char *at,
                                                        const unsigned char *end)
{
    const struct weir__pair_record *record = (const struct weir__pair_record *)at;
    const size_t left = (size_t)(end - at);

    if (left < sizeof(*record) || record->key_size > WEIR__PAIR_KEY_MAX ||
        record->value_size > WEIR__PAIR_VALUE_MAX ||
        weir__pair_record_size(record->key_size, record->value_size) > left)
        return NULL;
    return record;
}

/* ---- shards --------------------------------------------------------------------------------- */

size_t weir__partition_size(const struct weir__combiner *combiner)
{
    const size_t records = weir__map_output_size(combiner) - sizeof(struct weir__map_output);

    return sizeof(struct weir__partition) +
           weir__slots_for(weir__combiner_count(combiner)) * sizeof(uint64_t) + records;
}

static uint64_t *index_of(struct weir__partition *shard)
{
    return (uint64_t *)(shard + 1);
}

static void add_slot(struct weir__partition *shard, uint64_t hash, uint64_t offset)
{
    uint64_t *index = index_of(shard), mask = shard->slots - 1, i = hash & mask;

    while (index[i] != 0)
        i = (i + 1) & mask;
    index[i] = weir__slot(hash, offset);
}

static weir_pair pair_of(const struct weir__pair_record *record)
{
    return (weir_pair){
        .key = (const char *)weir__pair_record_key(record),
        .key_size = record->key_size,
        .value = weir__pair_record_value(record),
        .value_size = record->value_size,
    };
}

/* Lets the user's function look at a record that has just been written; a value that became smaller
 * moves the key up. */
static int reduce_record(struct weir__pair_record *record,
                         int (*keep)(void *context, weir_pair *pair), void *context)
{
    weir_pair pair = pair_of(record);
    unsigned char *key = weir__pair_record_key(record);
    int result = keep(context, &pair);

    if (result != 0 || pair.value_size == record->value_size)
        return result;
    record->value_size = (uint32_t)pair.value_size;
    if (pair.value_size % 8 != 0) /* the pad is zero, as of every value */
        memset(weir__pair_record_value(record) + pair.value_size, 0, 8 - pair.value_size % 8);
    memmove(weir__pair_record_key(record), key, weir__padded((size_t)record->key_size + 1));
    return 0;
}

/* Gives back whole pages behind the last record: keys may have been left out. */
static void give_back(struct weir__partition *shard, size_t size)
{
    uintptr_t from = ((uintptr_t)shard + shard->log_end + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    uintptr_t to = ((uintptr_t)shard + size) & ~(uintptr_t)(PAGE - 1);

    if (from < to)
        madvise((void *)from, to - from, MADV_REMOVE);
}

static int fill_shard(struct weir__partition *shard, const struct weir__combiner *combiner,
                      int (*keep)(void *context, weir_pair *pair), void *context)
{
    unsigned char *log = (unsigned char *)shard + shard->log_begin;
    const struct weir__pair_record *from;
    uint64_t offset = 0, at = 0;

    while ((from = weir__combiner_next(combiner, &offset)) != NULL) {
        struct weir__pair_record *record = (struct weir__pair_record *)(log + at);
        int result = 0;

        weir__combiner_write(combiner, from, (unsigned char *)record);
        if (keep != NULL)
            result = reduce_record(record, keep, context);
        if (result != 0 && result != WEIR_SKIP)
            return result;
        if (result == WEIR_SKIP)
            continue;
        add_slot(shard, record->hash, at);
        at += weir__pair_record_size(record->key_size, record->value_size);
        shard->records++;
    }
    shard->log_end = shard->log_begin + at;
    return 0;
}

int weir__partition_publish(weir_scope *scope, const struct weir__combiner *combiner,
                            int (*keep)(void *context, weir_pair *pair), void *context,
                            struct weir__published *published)
{
    const size_t size = weir__partition_size(combiner);
    struct weir__partition *shard;
    weir_shm *block;
    int result;

    published->records = 0;
    if (weir__combiner_count(combiner) == 0)
        return 0;
    block = make_block(scope, size);
    if (block == NULL)
        return weir_last_error()->code;
    atomic_store(&published->block, block);
    shard = weir_shm_buf(block);
    *shard = (struct weir__partition){
        .magic = WEIR__PARTITION_MAGIC,
        .slots = weir__slots_for(weir__combiner_count(combiner)),
    };
    shard->log_begin = sizeof(*shard) + shard->slots * sizeof(uint64_t);
    result = fill_shard(shard, combiner, keep, context);
    if (result != 0)
        return result;
    give_back(shard, size);
    published->records = shard->records;
    return 0;
}

void weir__published_drop(struct weir__published *published)
{
    weir_shm *block = atomic_exchange(&published->block, NULL);

    atomic_store(&published->size, 0);
    published->records = 0;
    if (block == NULL)
        return;
    weir_shm_unlink(block);
    weir_shm_close(block);
}

/* ---- tables --------------------------------------------------------------------------------- */

weir_table *weir__table_new(weir_scope *scope, struct weir__published *shards, unsigned count)
{
    weir_shm *block = weir_scope_shm(scope, sizeof(struct weir_table));
    weir_table *table;

    if (block == NULL)
        return NULL;
    table = weir_shm_buf(block);
    *table = (weir_table){.block = block, .shards = count};
    while (count > 0 && count << table->shift < WEIR__HASH_GROUPS)
        table->shift++;
    for (unsigned i = 0; i < count; i++) {
        table->shard[i] = (struct shard_of_table){
            atomic_exchange(&shards[i].block, NULL),
            shards[i].records,
        };
        table->records += shards[i].records;
    }
    table->magic = WEIR__TABLE_MAGIC;
    return table;
}

static int check_table(const weir_table *table)
{
    if (table == NULL)
        return weir__fail(-EINVAL, "the table is NULL");
    if (table->magic != WEIR__TABLE_MAGIC || table->shards > WEIR__HASH_GROUPS)
        return weir__fail(-EBADMSG, "the table at %p is damaged", (const void *)table);
    return 0;
}

void weir_table_free(weir_table *table)
{
    weir_shm *block;

    if (table == NULL || check_table(table) < 0)
        return;
    table->magic = 0;
    for (uint32_t i = 0; i < table->shards; i++) {
        if (table->shard[i].block == NULL)
            continue;
        weir_shm_unlink(table->shard[i].block);
        weir_shm_close(table->shard[i].block);
    }
    block = table->block;
    weir_shm_unlink(block);
    weir_shm_close(block);
}

int64_t weir_table_len(const weir_table *table)
{
    int error = check_table(table);

    return error < 0 ? error : (int64_t)table->records;
}

/* The shard, if it is sound; NULL without a message: it has no records; with one: it is damaged. */
static struct weir__partition *open_shard(const weir_table *table, uint32_t i, int *error)
{
    weir_shm *block = table->shard[i].block;
    struct weir__partition *shard;
    size_t size;

    *error = 0;
    if (block == NULL)
        return NULL;
    shard = weir_shm_buf(block);
    size = weir_shm_size(block);
    if (size >= sizeof(*shard) && shard->magic == WEIR__PARTITION_MAGIC && shard->slots > 0 &&
        (shard->slots & (shard->slots - 1)) == 0 && shard->slots <= size / sizeof(uint64_t) &&
        shard->log_begin == sizeof(*shard) + shard->slots * sizeof(uint64_t) &&
        shard->log_begin <= shard->log_end && shard->log_end <= size)
        return shard;
    *error = weir__fail(-EBADMSG, "shard %u of the table at %p is damaged", (unsigned)i,
                        (const void *)table);
    return NULL;
}

static const struct weir__pair_record *look_up(struct weir__partition *shard, uint64_t hash,
                                               const void *key, size_t key_size)
{
    const unsigned char *log = (const unsigned char *)shard + shard->log_begin;
    const unsigned char *end = (const unsigned char *)shard + shard->log_end;
    const uint64_t *index = index_of(shard), mask = shard->slots - 1;

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
    struct weir__partition *shard;
    uint64_t hash;
    int error = check_table(table);

    if (error < 0)
        return error;
    if ((key == NULL && key_size > 0) || pair == NULL)
        return weir__fail(-EINVAL, "the %s is NULL", pair == NULL ? "pair" : "key");
    hash = weir__hash(key, key_size);
    if (table->shards > 0) {
        shard = open_shard(table, weir__hash_group_of(hash) >> table->shift & (table->shards - 1),
                           &error);
        if (error < 0)
            return error;
        if (shard != NULL)
            record = look_up(shard, hash, key, key_size);
    }
    if (record == NULL)
        return -ENOENT; /* not a failure to speak of: no message, as for a dictionary */
    *pair = pair_of(record);
    return 0;
}

/* A position is the shard above 8-byte places in its log. */
#define POSITION_SHIFT 40
#define POSITION_PLACE ((UINT64_C(1) << POSITION_SHIFT) - 1)

int weir_table_next(const weir_table *table, weir_table_cursor *cursor, weir_pair *pair)
{
    uint64_t place;
    int error = check_table(table);

    if (error < 0)
        return error;
    if (cursor == NULL || pair == NULL)
        return weir__fail(-EINVAL, "the %s is NULL", cursor == NULL ? "cursor" : "pair");
    place = cursor->at & POSITION_PLACE;
    for (uint64_t i = cursor->at >> POSITION_SHIFT; i < table->shards; i++, place = 0) {
        struct weir__partition *shard = open_shard(table, (uint32_t)i, &error);
        const struct weir__pair_record *record;
        uint64_t at;

        if (error < 0)
            return error;
        if (shard == NULL)
            continue;
        at = shard->log_begin + place * 8;
        if (at >= shard->log_end)
            continue;
        record = weir__pair_record_check((const unsigned char *)shard + at,
                                         (const unsigned char *)shard + shard->log_end);
        if (record == NULL)
            return weir__fail(-EBADMSG, "a record of the table at %p is damaged",
                              (const void *)table);
        place += weir__pair_record_size(record->key_size, record->value_size) / 8;
        cursor->at = i << POSITION_SHIFT | place;
        *pair = pair_of(record);
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
    if ((x != x) != (y != y)) /* what is not a number comes last */
        return (x != x) - (y != y);
    return weir_pair_by_key(a, b);
}

/* A heap of the pairs that come first so far, the last of them on top. */
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

/* Takes the last one off, and again, which leaves them in order. */
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

/* 0, or weir_table_next()'s error. */
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
    if (compare == NULL || count == NULL) {
        weir__fail(-EINVAL, "%s is NULL", count == NULL ? "count" : "compare");
        return NULL;
    }
    if (most == 0 || most > table->records)
        most = table->records;
    pairs = most < PTRDIFF_MAX / sizeof(*pairs) ? malloc((most + 1) * sizeof(*pairs)) : NULL;
    if (pairs == NULL) {
        weir__fail(-ENOMEM, "no memory for %zu pairs of a table", most);
        return NULL;
    }
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
