/* SPDX-License-Identifier: MIT
 *
 * hash_order.c: the records of a combiner in the order of their hashes.
 *
 * Hashes are spread evenly, so a place is guessed from a hash's highest bits: about one record a
 * bucket. What is in one bucket is then put in order; where somebody has made keys whose hashes are
 * alike, by qsort().
 */
#include "pool/map_reduce/hash_order.h"

#include <stdlib.h>

#include "pool/map_reduce/table.h"

#define BUCKET_BITS_MAX 20
#define FEW             16

static int by_hash_and_key(const void *one, const void *other)
{
    const struct weir__ordered *a = one, *b = other;
    weir_pair x, y;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    x = weir__pair_of(a->record, a->record);
    y = weir__pair_of(b->record, b->record);
    return weir_pair_by_key(&x, &y);
}

static void sort_few(struct weir__ordered *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct weir__ordered moved = entries[i];
        size_t at = i;

        for (; at > 0 && by_hash_and_key(&moved, &entries[at - 1]) < 0; at--)
            entries[at] = entries[at - 1];
        entries[at] = moved;
    }
}

static void sort_bucket(struct weir__ordered *entries, size_t count)
{
    if (count > FEW)
        qsort(entries, count, sizeof(*entries), by_hash_and_key);
    else
        sort_few(entries, count);
}

static size_t bucket_of(uint64_t hash, unsigned common, unsigned bits)
{
    return bits > 0 ? (size_t)(hash << common >> (64 - bits)) : 0;
}

/* begin[i]: where bucket i begins, and after place_all(): where it ends. */
static void count_all(const struct weir__combiner *combiner, size_t *begin, unsigned common,
                      unsigned bits)
{
    const struct weir__pair_record *record;
    uint64_t offset = 0;
    size_t sum = 0;

    while ((record = weir__combiner_next(combiner, &offset)) != NULL)
        begin[bucket_of(record->hash, common, bits)]++;
    for (size_t i = 0; i < (size_t)1 << bits; i++) {
        const size_t count = begin[i];

        begin[i] = sum;
        sum += count;
    }
}

static void place_all(const struct weir__combiner *combiner, struct weir__ordered *entries,
                      size_t *begin, unsigned common, unsigned bits)
{
    const struct weir__pair_record *record;
    uint64_t offset = 0;

    while ((record = weir__combiner_next(combiner, &offset)) != NULL)
        entries[begin[bucket_of(record->hash, common, bits)]++] =
            (struct weir__ordered){record->hash, record};
}

static void sort_all(struct weir__ordered *entries, const size_t *end, unsigned bits)
{
    for (size_t i = 0, begin = 0; i < (size_t)1 << bits; begin = end[i++])
        if (end[i] - begin > 1)
            sort_bucket(entries + begin, end[i] - begin);
}

bool weir__hash_order_init(struct weir__hash_order *order, const struct weir__combiner *combiner,
                           unsigned bits)
{
    const size_t count = weir__combiner_count(combiner);
    unsigned buckets = 0;
    size_t *begin;

    while (buckets < BUCKET_BITS_MAX && count >> (buckets + 1) > 0)
        buckets++;
    *order = (struct weir__hash_order){malloc(count * sizeof(*order->entries) + 1), count};
    begin = calloc((size_t)1 << buckets, sizeof(*begin));
    if (order->entries == NULL || begin == NULL) {
        free(begin);
        return false;
    }
    count_all(combiner, begin, bits, buckets);
    place_all(combiner, order->entries, begin, bits, buckets);
    sort_all(order->entries, begin, buckets);
    free(begin);
    return true;
}

void weir__hash_order_free(struct weir__hash_order *order)
{
    free(order->entries);
}
