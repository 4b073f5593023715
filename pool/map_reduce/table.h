/* SPDX-License-Identifier: MIT
 *
 * table.h: tables as they lie in blocks of the scope.
 *
 * A *map output* is the table of one chunk: its records, hash group by hash group. A *partition* is
 * a run of hash groups of the result, with an index; its records are in the order of their hashes.
 * A *table* is a block that names its partitions: so the order of its keys does not depend on how
 * many there are. Each is written before another process knows of it, and never changed after that
 * (but for values that the program itself changes).
 */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include <weir.h>

#include "pool/map_reduce/pair_record.h"

#define WEIR__MAP_OUTPUT_MAGIC UINT64_C(0x6f70616d72696577) /* "weirmapo" */
#define WEIR__PARTITION_MAGIC  UINT64_C(0x7472617072696577) /* "weirpart" */
#define WEIR__TABLE_MAGIC      UINT64_C(0x656c626174726577)

struct weir__map_output {
    uint64_t magic;
    uint64_t first, groups; /* it has these hash groups' records */
    uint64_t begin[];       /* [groups + 1], of each group's records, from the block's begin */
};

_Static_assert(sizeof(struct weir__map_output) == 24, "fixed width");

/* Bytes in front of the records. */
static inline size_t weir__map_output_head(uint64_t groups)
{
    return sizeof(struct weir__map_output) + (size_t)(groups + 1) * sizeof(uint64_t);
}

struct weir__partition {
    uint64_t magic;
    uint64_t records;
    uint64_t slots;     /* of the index behind this; a power of two */
    uint64_t log_begin; /* from the block's begin; a slot's offset counts from here */
    uint64_t log_end;
};

_Static_assert(sizeof(struct weir__partition) == 40, "fixed width");

struct weir_table {
    uint64_t magic;
    weir_shm *block; /* this one */
    uint64_t records;
    uint32_t partitions;   /* up to WEIR__GROUPS_MAX */
    uint32_t bits;         /* so many of a hash's highest are the number of its partition, ... */
    uint64_t first;        /* ... the first of which is this one */
    weir_shm *partition[]; /* NULL: it has no records */
};

static inline uint64_t *weir__partition_index(const struct weir__partition *partition)
{
    return (uint64_t *)(partition + 1);
}

/* `head`: a copy of the record's. */
static inline weir_pair weir__pair_of(const struct weir__pair_record *record,
                                      const struct weir__pair_record *head)
{
    return (weir_pair){
        .key = (const char *)weir__key_behind(record, head->value_size),
        .key_size = head->key_size,
        .value = weir__pair_record_value(record),
        .value_size = head->value_size,
    };
}

#endif
