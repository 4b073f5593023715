/* SPDX-License-Identifier: MIT
 *
 * pair_record.h: a pair as it lies in memory, and the slots of an index that leads to pairs.
 *
 * A worker's combiner and the published tables have the same records and the same slots.
 */
#ifndef WEIR_PAIR_RECORD_H
#define WEIR_PAIR_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A pair. Behind it the value, padded to 8 bytes, and the key with a NUL behind it, padded with
 * NULs to 8 bytes. A combiner has a chain of links in place of a value of variable size. */
struct weir__pair_record {
    uint64_t hash;
    uint32_t key_size;
    uint32_t value_size; /* of a combiner's records of variable size: of the chain */
};

_Static_assert(sizeof(struct weir__pair_record) == 16, "a record's head is 16 bytes");

#define WEIR__PAIR_KEY_MAX   ((size_t)1 << 30)
#define WEIR__PAIR_VALUE_MAX ((size_t)1 << 31)

static inline size_t weir__padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static inline size_t weir__pair_record_size(size_t key_size, size_t value_size)
{
    return sizeof(struct weir__pair_record) + weir__padded(value_size) + weir__padded(key_size + 1);
}

static inline unsigned char *weir__pair_record_value(const struct weir__pair_record *record)
{
    return (unsigned char *)(record + 1);
}

/* Where the key is, behind a value of this size. */
static inline unsigned char *weir__key_behind(const struct weir__pair_record *record,
                                              size_t value_size)
{
    return (unsigned char *)(record + 1) + weir__padded(value_size);
}

static inline unsigned char *weir__pair_record_key(const struct weir__pair_record *record)
{
    return weir__key_behind(record, record->value_size);
}

/* A copy of the head of the record at `at`, if all of the record lies before `end`. Other processes
 * can write there at any time: what was checked is the copy, and no field is read again. False: the
 * record is damaged. */
static inline bool weir__pair_record_check(const unsigned char *at, const unsigned char *end,
                                           struct weir__pair_record *head)
{
    const struct weir__pair_record *record = (const struct weir__pair_record *)at;
    const size_t size = (size_t)(end - at);

    if (size < sizeof(*record))
        return false;
    head->hash = __atomic_load_n(&record->hash, __ATOMIC_RELAXED);
    head->key_size = __atomic_load_n(&record->key_size, __ATOMIC_RELAXED);
    head->value_size = __atomic_load_n(&record->value_size, __ATOMIC_RELAXED);
    return head->key_size <= WEIR__PAIR_KEY_MAX && head->value_size <= WEIR__PAIR_VALUE_MAX &&
           weir__pair_record_size(head->key_size, head->value_size) <= size;
}

/* The hash groups are made by the highest bits of the hash: a map output lists its records group by
 * group, and a partition of a table has a run of groups. How many bits is a matter of the job. */
#define WEIR__GROUP_BITS     6 /* of a job of one machine */
#define WEIR__GROUP_BITS_MAX 12
#define WEIR__GROUPS_MAX     (1 << WEIR__GROUP_BITS_MAX)

static inline unsigned weir__hash_group_of(uint64_t hash, unsigned bits)
{
    return bits > 0 ? (unsigned)(hash >> (64 - bits)) : 0;
}

/* A slot of an index has the upper half of the hash above the record's offset in 8 bytes, plus one;
 * 0 is a free slot. */
#define WEIR__SLOT_RECORD UINT32_MAX

static inline uint64_t weir__slot(uint64_t hash, uint64_t offset)
{
    return (hash & ~(uint64_t)WEIR__SLOT_RECORD) | (offset / 8 + 1);
}

static inline uint64_t weir__slot_offset(uint64_t slot)
{
    return ((slot & WEIR__SLOT_RECORD) - 1) * 8;
}

/* Adds a record to an index of `slots` slots, a power of two, one of which is free at least. */
static inline void weir__index_add(uint64_t *index, size_t slots, uint64_t hash, uint64_t offset)
{
    size_t i = hash & (slots - 1);

    /* once round at most: another process may have written to a partition's index */
    for (size_t looks = 0; index[i] != 0 && looks < slots; looks++)
        i = (i + 1) & (slots - 1);
    index[i] = weir__slot(hash, offset);
}

#endif
