/* SPDX-License-Identifier: MIT
 *
 * table_build.h: the making of a table, from the map outputs of chunks to its partitions.
 */
#ifndef WEIR_TABLE_BUILD_H
#define WEIR_TABLE_BUILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <weir.h>

#include "pool/map_reduce/combiner.h"

/* What one chunk of a job has published. Written by the worker that has the chunk, before it
 * settles it; by the host when the job has ended. */
struct weir__published {
    weir_shm *_Atomic block; /* NULL: nothing */
    _Atomic uint64_t size;   /* bytes of shared memory that it has, or is about to have */
    uint64_t records;
};

/* Worker: writes the combiner's records as a map output of all groups, or nothing if it has no
 * records. 0 or a negative error. */
int weir__map_output_publish(weir_scope *scope, const struct weir__combiner *combiner,
                             struct weir__published *published);
size_t weir__map_output_size(const struct weir__combiner *combiner);

/* Checks a map output that another process has written, and gives the records of the hash groups
 * [first, last). False: it is damaged. */
WEIR_API bool weir__map_output_span(const weir_shm *block, uint64_t first, uint64_t last,
                                    const unsigned char **begin, const unsigned char **end);

/* Worker: writes the combiner's records as a partition. Their hashes have the highest `bits` bits
 * in common. `keep` is called for each; it may change the value and make it smaller: 0 keeps the
 * record, WEIR_SKIP leaves it out, anything else is an
 * error that is passed on. NULL: all are kept. */
int weir__partition_publish(weir_scope *scope, const struct weir__combiner *combiner, unsigned bits,
                            int (*keep)(void *context, weir_pair *pair), void *context,
                            struct weir__published *published);
size_t weir__partition_size(const struct weir__combiner *combiner);

/* Which partitions a table has: those from `first` on, of 2^bits. */
struct weir__partitions {
    uint64_t first;
    uint32_t count; /* up to WEIR__GROUPS_MAX */
    unsigned bits;
};

/* Host: a table of these partitions, which are the table's from then on. NULL with the last error
 * set: they are still the caller's. */
WEIR_API weir_table *weir__table_new(weir_scope *scope, struct weir__published *published,
                                     const struct weir__partitions *partitions);

/* Makes a block of `size` bytes and notes it. Returns its memory, or NULL with the last error
 * set. */
WEIR_API void *weir__published_make(weir_scope *scope, struct weir__published *published,
                                    size_t size);

/* Unlinks and closes what has been published, if anything. */
WEIR_API void weir__published_drop(struct weir__published *published);

#endif
