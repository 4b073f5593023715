/* SPDX-License-Identifier: MIT
 *
 * map_reduce.h: the two jobs of a map-reduce, one by one.
 *
 * Between them a cluster takes map outputs from one node to another (pool/mpi). On one machine
 * weir_pool_map_reduce_async() does both.
 */
#ifndef WEIR_MAP_REDUCE_JOBS_H
#define WEIR_MAP_REDUCE_JOBS_H

#include "pool/map_reduce/table_build.h"

#define WEIR__MAP_CHUNKS_MAX 4096

#define WEIR__RECORDS_PER_PARTITION 8192

/* How many partitions so many records are merged into: a power of two, up to 64. */
static inline uint32_t weir__partitions_for(uint64_t records)
{
    uint32_t partitions = 1;

    while (partitions < 1U << WEIR__GROUP_BITS &&
           records / partitions > WEIR__RECORDS_PER_PARTITION)
        partitions *= 2;
    return partitions;
}

/* 0, or -EINVAL with the last error set. */
WEIR_API int weir__check_map_reduction(const weir_map_reduction *reduction);

/* Runs the first job alone, whose map outputs have 2^group_bits groups. Arguments and returned are
 * weir_pool_map_reduce_async()'s. */
WEIR_API weir_future *weir__map_async(weir_pool *pool, weir_range range,
                                      const weir_map_reduction *reduction, void *arg,
                                      const weir_job_options *options, unsigned group_bits);

/* What the second job merges, and into what. */
struct weir__merge {
    const struct weir__published *outputs; /* in this order; they stay the caller's */
    int64_t count;
    unsigned group_bits; /* of the outputs */
    uint64_t first;      /* the groups from this one on, */
    uint32_t partitions; /* in so many partitions ... */
    uint32_t width;      /* ... of so many groups */
    bool as_outputs;     /* the partitions are to be map outputs: nothing is reduced, and no table
                            made */
};

/* Runs the second job alone. `outputs` must stay as they are until it has ended. */
WEIR_API weir_future *weir__merge_async(weir_pool *pool, const weir_map_reduction *reduction,
                                        void *arg, const weir_job_options *options,
                                        const struct weir__merge *merge);

/* What a job of the two has published, as an array that is the caller's from then on: to be freed,
 * after weir__published_drop() of each. The job has ended well. NULL: the last error. */
WEIR_API struct weir__published *weir__future_outputs(weir_future *future, int64_t *count);

#endif
