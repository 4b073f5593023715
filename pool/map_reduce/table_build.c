/* SPDX-License-Identifier: MIT
 *
 * table_build.c: the making of a table: map outputs, partitions, and the block that names them.
 *
 * Invariants: a block is noted in its chunk's record before anything is written to it; a reader
 * learns of a block when it is complete. A partition has each key once.
 *
 * Failure modes: there is no memory for a block; the user's function fails; a map output has been
 * overwritten, which weir__map_output_span() and weir__pair_record_check() find. A worker that is
 * killed between the making of a block and its being noted leaves it until the scope ends.
 */
#include "pool/map_reduce/table_build.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "manager/internal.h"
#include "pool/control/mapping.h"
#include "pool/control/result.h"
#include "pool/map_reduce/hash_order.h"
#include "pool/map_reduce/table.h"
#include "shm/error.h"

#define AHEAD 8 /* records that are fetched into the cache before they are copied */

/* ---- map outputs ----------------------------------------------------------------------------- */

/* Bytes of the records alone. */
static size_t records_size(const struct weir__combiner *combiner)
{
    const uint64_t *bytes = weir__combiner_bytes(combiner);
    size_t size = 0;

    for (uint64_t i = 0; i < UINT64_C(1) << weir__combiner_group_bits(combiner); i++)
        size += bytes[i];
    return size;
}

size_t weir__map_output_size(const struct weir__combiner *combiner)
{
    return weir__map_output_head(UINT64_C(1) << weir__combiner_group_bits(combiner)) +
           records_size(combiner);
}

void *weir__published_make(weir_scope *scope, struct weir__published *published, size_t size)
{
    weir_shm *block = weir__scope_block(scope, size, 0);

    if (block == NULL)
        return NULL;
    /* If the worker is killed before the next line runs, the block stays until the scope ends. */
    atomic_store(&published->block, block);
    madvise(weir_shm_buf(block), size, MADV_HUGEPAGE); /* it may fail */
    return weir_shm_buf(block);
}

/* The head of a map output of all groups; at[]: where the records of each begin. */
static void write_head(struct weir__map_output *output, const uint64_t *bytes, uint64_t groups,
                       uint64_t *at)
{
    uint64_t begin = weir__map_output_head(groups);

    output->magic = WEIR__MAP_OUTPUT_MAGIC;
    output->first = 0;
    output->groups = groups;
    for (uint64_t i = 0; i < groups; i++) {
        at[i] = begin;
        output->begin[i] = begin;
        begin += bytes[i];
    }
    output->begin[groups] = begin;
}

int weir__map_output_publish(weir_scope *scope, const struct weir__combiner *combiner,
                             struct weir__published *published)
{
    const unsigned bits = weir__combiner_group_bits(combiner);
    uint64_t at[WEIR__GROUPS_MAX], offset = 0;
    const struct weir__pair_record *record;
    struct weir__map_output *output;

    published->records = weir__combiner_count(combiner);
    if (published->records == 0)
        return 0;
    output = weir__published_make(scope, published, weir__map_output_size(combiner));
    if (output == NULL)
        return weir_last_error()->code;
    write_head(output, weir__combiner_bytes(combiner), UINT64_C(1) << bits, at);
    while ((record = weir__combiner_next(combiner, &offset)) != NULL) {
        const unsigned group = weir__hash_group_of(record->hash, bits);

        weir__combiner_write(combiner, record, (unsigned char *)output + at[group]);
        at[group] += weir__combiner_published_size(combiner, record);
    }
    return 0;
}

bool weir__map_output_span(const weir_shm *block, uint64_t first, uint64_t last,
                           const unsigned char **begin, const unsigned char **end)
{
    const struct weir__map_output *output = weir_shm_buf(block);
    const size_t size = weir_shm_size(block);
    uint64_t own, groups, head, from, to;

    if (size < sizeof(*output) || output->magic != WEIR__MAP_OUTPUT_MAGIC)
        return false;
    own = __atomic_load_n(&output->first, __ATOMIC_RELAXED);
    groups = __atomic_load_n(&output->groups, __ATOMIC_RELAXED);
    if (groups > WEIR__GROUPS_MAX || first < own || last < first || last - own > groups ||
        size < weir__map_output_head(groups))
        return false;
    head = weir__map_output_head(groups);
    from = __atomic_load_n(&output->begin[first - own], __ATOMIC_RELAXED);
    to = __atomic_load_n(&output->begin[last - own], __ATOMIC_RELAXED);
    if (from < head || from > to || to > size || ((from | to) & 7) != 0)
        return false;
    *begin = (const unsigned char *)output + from;
    *end = (const unsigned char *)output + to;
    return true;
}

/* ---- partitions ------------------------------------------------------------------------------ */

/* The number of slots for `count` keys: a power of two, at most three quarters of them used. */
static size_t slots_for(size_t count)
{
    size_t slots = 8;

    while (slots / 4 * 3 < count)
        slots *= 2;
    return slots;
}

size_t weir__partition_size(const struct weir__combiner *combiner)
{
    return sizeof(struct weir__partition) +
           slots_for(weir__combiner_count(combiner)) * sizeof(uint64_t) + records_size(combiner);
}

/* What is written to a partition is counted here: other processes can write to its block too. */
struct filling {
    struct weir__partition *partition;
    size_t slots;
    uint64_t log_begin, at; /* in the block; in the log */
    uint64_t records;
};

/* Calls the user's function with a record that has just been written, and then writes the key
 * (again) behind the value, which may have become smaller. The key that the function is given is
 * the combiner's: so what it writes past the value hits nothing that is read later, nor, behind the
 * last record, another block, as a guard page lies between. */
static int reduce_record(struct weir__pair_record *record, const struct weir__pair_record *from,
                         size_t *value_size, int (*keep)(void *context, weir_pair *pair),
                         void *context)
{
    const unsigned char *key = weir__pair_record_key(from);
    weir_pair pair = {(const char *)key, from->key_size, weir__pair_record_value(record),
                      *value_size};
    int result;

    result = keep(context, &pair);
    if (result != 0)
        return result;
    *value_size = pair.value_size;
    record->value_size = (uint32_t)pair.value_size;
    if (pair.value_size % 8 != 0) /* the pad is zero, as of every value */
        memset(weir__pair_record_value(record) + pair.value_size, 0, 8 - pair.value_size % 8);
    memcpy(weir__key_behind(record, pair.value_size), key,
           weir__padded((size_t)from->key_size + 1));
    return 0;
}

static int fill_partition(struct filling *filling, const struct weir__combiner *combiner,
                          const struct weir__hash_order *order,
                          int (*keep)(void *context, weir_pair *pair), void *context)
{
    unsigned char *log = (unsigned char *)filling->partition + filling->log_begin;
    uint64_t *index = weir__partition_index(filling->partition);

    for (size_t i = 0; i < order->count; i++) {
        struct weir__pair_record *record = (struct weir__pair_record *)(log + filling->at);
        const struct weir__pair_record *from = order->entries[i].record;
        size_t value_size = weir__combiner_value_size(combiner, from);
        int result = 0;

        if (i + AHEAD < order->count)
            __builtin_prefetch(order->entries[i + AHEAD].record);
        weir__combiner_write(combiner, from, (unsigned char *)record);
        if (keep != NULL)
            result = reduce_record(record, from, &value_size, keep, context);
        if (result != 0 && result != WEIR_SKIP)
            return result;
        if (result == WEIR_SKIP)
            continue;
        weir__index_add(index, filling->slots, from->hash, filling->at);
        filling->at += weir__pair_record_size(from->key_size, value_size);
        filling->records++;
    }
    return 0;
}

static int fill_in_order(struct filling *filling, const struct weir__combiner *combiner,
                         unsigned bits, int (*keep)(void *context, weir_pair *pair), void *context)
{
    struct weir__hash_order order __attribute__((cleanup(weir__hash_order_free))) = {0};

    if (!weir__hash_order_init(&order, combiner, bits))
        return weir__fail(-ENOMEM, "no memory to sort %zu keys", weir__combiner_count(combiner));
    return fill_partition(filling, combiner, &order, keep, context);
}

int weir__partition_publish(weir_scope *scope, const struct weir__combiner *combiner, unsigned bits,
                            int (*keep)(void *context, weir_pair *pair), void *context,
                            struct weir__published *published)
{
    const size_t size = weir__partition_size(combiner);
    struct filling filling = {.slots = slots_for(weir__combiner_count(combiner))};
    uint64_t end;
    int result;

    published->records = 0;
    if (weir__combiner_count(combiner) == 0)
        return 0;
    filling.partition = weir__published_make(scope, published, size);
    if (filling.partition == NULL)
        return weir_last_error()->code;
    filling.log_begin = sizeof(*filling.partition) + filling.slots * sizeof(uint64_t);
    result = fill_in_order(&filling, combiner, bits, keep, context);
    if (result != 0)
        return result;
    end = filling.log_begin + filling.at;
    *filling.partition = (struct weir__partition){
        .magic = WEIR__PARTITION_MAGIC,
        .records = filling.records,
        .slots = filling.slots,
        .log_begin = filling.log_begin,
        .log_end = end,
    };
    /* the whole pages behind the last record, which are there if keys were left out */
    weir__give_back_pages((unsigned char *)filling.partition + end, size - end);
    published->records = filling.records;
    return 0;
}

void weir__published_drop(struct weir__published *published)
{
    weir_shm *block = atomic_exchange(&published->block, NULL);

    atomic_store(&published->size, 0);
    published->records = 0;
    weir__block_drop(block);
}

/* ---- tables --------------------------------------------------------------------------------- */

weir_table *weir__table_new(weir_scope *scope, struct weir__published *published,
                            const struct weir__partitions *partitions)
{
    const size_t size = sizeof(struct weir_table) + partitions->count * sizeof(weir_shm *);
    weir_shm *block = weir__scope_block(scope, size, 0);
    struct weir_table *table;

    if (block == NULL)
        return NULL;
    table = weir_shm_buf(block);
    *table = (struct weir_table){.magic = WEIR__TABLE_MAGIC,
                                 .block = block,
                                 .partitions = partitions->count,
                                 .bits = partitions->bits,
                                 .first = partitions->first};
    for (uint32_t i = 0; i < partitions->count; i++) {
        table->partition[i] = atomic_exchange(&published[i].block, NULL);
        table->records += published[i].records;
    }
    return table;
}
