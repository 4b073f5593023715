/* SPDX-License-Identifier: MIT
 *
 * combiner.h: a worker's private table, in which pairs of one key become one.
 *
 * Records lie in a log in the order in which their keys came first; an index of slots leads to
 * them. Both are memory of this process alone: a worker that is killed takes them with it.
 */
#ifndef WEIR_GATHER_H
#define WEIR_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A pair. Behind it the value, padded to 8 bytes, and the key with a NUL behind it, padded with
 * NULs to 8 bytes. The same in the log and in the published tables, but for values of variable
 * size, in whose place the log has a struct weir__chain. */
struct weir__pair_record {
    uint64_t hash;
    uint32_t key_size;
    uint32_t value_size; /* of the log's records of variable size: of the chain */
};

_Static_assert(sizeof(struct weir__pair_record) == 16, "a record's head is 16 bytes");

/* A value of variable size in the log: links, each with the offset of the next one. */
struct weir__chain {
    uint64_t first, last; /* offsets in the log; 0: none */
    uint64_t size;        /* of all its bytes */
};

#define WEIR__PAIR_KEY_MAX   ((size_t)1 << 30)
#define WEIR__PAIR_VALUE_MAX ((size_t)1 << 31)

/* Partitions are made by the highest bits of the hash. */
#define WEIR__HASH_GROUP_BITS 6
#define WEIR__HASH_GROUPS     (1 << WEIR__HASH_GROUP_BITS)

static inline unsigned weir__hash_group_of(uint64_t hash)
{
    return (unsigned)(hash >> (64 - WEIR__HASH_GROUP_BITS));
}

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

static inline unsigned char *weir__pair_record_key(const struct weir__pair_record *record)
{
    return (unsigned char *)(record + 1) + weir__padded(record->value_size);
}

/* Slots of an index: the upper half of the hash above the record's place in 8 bytes, plus one; 0 is
 * a free slot. */
#define WEIR__SLOT_RECORD UINT32_MAX

static inline uint64_t weir__slot(uint64_t hash, uint64_t offset)
{
    return (hash & ~(uint64_t)WEIR__SLOT_RECORD) | (offset / 8 + 1);
}

static inline uint64_t weir__slot_offset(uint64_t slot)
{
    return ((slot & WEIR__SLOT_RECORD) - 1) * 8;
}

/* The number of slots for `count` keys: a power of two, at most three quarters of them used. */
size_t weir__slots_for(size_t count);

struct weir__combiner;

/* What pairs are gathered by. */
struct weir__combine_rule {
    size_t value_size; /* 0: variable, values of a key are appended */
    void (*combine)(void *into, const void *from, void *arg);
    void *arg;
};

/* NULL: no memory. */
struct weir__combiner *weir__combiner_new(void);
void weir__combiner_free(struct weir__combiner *combiner);

/* Empties it, but keeps its memory. `limit`: bytes that its log may have. */
void weir__combiner_begin(struct weir__combiner *combiner, const struct weir__combine_rule *rule,
                          size_t limit);

/* Adds a pair: copies the key (at most WEIR__PAIR_KEY_MAX bytes) and the value. Pairs are combined in
 * the order in which they are added, though some time after; what goes wrong shows in later calls
 * and in weir__combiner_end(). 0, -ENOMEM (the system's or the limit), or -E2BIG (a value too long).
 */
int weir__combiner_add(struct weir__combiner *combiner, const void *key, size_t key_size,
                       const void *value, size_t value_size);

/* The same for a record of a published table, which stays as it is until the end. */
int weir__combiner_add_record(struct weir__combiner *combiner,
                              const struct weir__pair_record *record);

/* Combines what is pending. 0 or the error. */
int weir__combiner_end(struct weir__combiner *combiner);

/* After the end. */
size_t weir__combiner_count(const struct weir__combiner *combiner);
/* Bytes that the records of each partition have when they are published. */
const uint64_t *weir__combiner_bytes(const struct weir__combiner *combiner);
/* The record at *offset of the log (0 at first), which is moved on; NULL: that was the last. */
const struct weir__pair_record *weir__combiner_next(const struct weir__combiner *combiner,
                                                    uint64_t *offset);
/* The size that the record has when it is published. */
size_t weir__combiner_published_size(const struct weir__combiner *combiner,
                                     const struct weir__pair_record *record);
/* Writes it as it is published. */
void weir__combiner_write(const struct weir__combiner *combiner,
                          const struct weir__pair_record *record, unsigned char *to);

#endif
