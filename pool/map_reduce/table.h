/* SPDX-License-Identifier: MIT
 *
 * table.h: tables as they are published, in blocks of the scope.
 *
 * A *part* is what one chunk gave: its records, grouped by partition. A *shard* is a run of
 * partitions of the result, with an index. A *table* is a block that names the shards. All are
 * written before anybody else knows of them, and never changed after (but for values that the
 * program itself changes).
 */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include <stdatomic.h>
#include <weir-pool.h>

#include "pool/map_reduce/combiner.h"

#define WEIR__MAP_OUTPUT_MAGIC UINT64_C(0x7472617072696577) /* "weirpart" */
#define WEIR__PARTITION_MAGIC  UINT64_C(0x6472617368736577)
#define WEIR__TABLE_MAGIC      UINT64_C(0x656c626174726577)

struct weir__map_output {
    uint64_t magic;
    uint64_t records;
    uint64_t begin[WEIR__HASH_GROUPS + 1]; /* of each partition's records, from the block's begin */
};

_Static_assert(sizeof(struct weir__map_output) == 16 + 8 * (WEIR__HASH_GROUPS + 1), "fixed width");

struct weir__partition {
    uint64_t magic;
    uint64_t records;
    uint64_t slots;     /* of the index behind this; a power of two */
    uint64_t log_begin; /* from the block's begin; a slot's offset counts from here */
    uint64_t log_end;
};

_Static_assert(sizeof(struct weir__partition) == 40, "fixed width");

/* What one chunk of a job has published. Written by the worker that has the chunk, before it
 * settles it; by the host when the job has ended. */
struct weir__published {
    weir_shm *_Atomic block; /* NULL: nothing */
    _Atomic uint64_t size;   /* bytes of shared memory that it has, or is about to have */
    uint64_t records;
};

/* Worker: writes the gathered records as a part, or nothing if there are none. 0 or a negative
 * error. */
int weir__map_output_publish(weir_scope *scope, const struct weir__combiner *combiner,
                             struct weir__published *published);
size_t weir__map_output_size(const struct weir__combiner *combiner);

/* Checks a part that another process has written, and gives the records of partitions [first,
 * last). False: it is damaged. */
bool weir__map_output_span(const weir_shm *block, unsigned first, unsigned last,
                           const unsigned char **begin, const unsigned char **end);

/* The record at `at`, if all of it lies before `end`; NULL: it is damaged. */
const struct weir__pair_record *weir__pair_record_check(const unsigned char *at,
                                                        const unsigned char *end);

/* Worker: writes the gathered records as a shard. `keep` is called for each; it may change the
 * value and make it smaller: 0 keeps the record, 1 leaves it out, anything else is an error that is
 * passed on. NULL: all are kept. */
int weir__partition_publish(weir_scope *scope, const struct weir__combiner *combiner,
                            int (*keep)(void *context, weir_pair *pair), void *context,
                            struct weir__published *published);
size_t weir__partition_size(const struct weir__combiner *combiner);

/* Host: a table of these shards, which are the table's from then on. `count` is a power of two up
 * to WEIR__HASH_GROUPS, or 0. NULL with the last error set: the shards are still the caller's. */
weir_table *weir__table_new(weir_scope *scope, struct weir__published *shards, unsigned count);

/* Unlinks and closes what has been published, if anything. */
void weir__published_drop(struct weir__published *published);

#endif
