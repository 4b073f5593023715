/* SPDX-License-Identifier: MIT
 *
 * division.h: where the chunks of a range lie, for a pool's jobs and for a cluster's.
 *
 * It depends on range, count and grain alone, so whoever computes it finds the same chunks.
 */
#ifndef WEIR_DIVISION_H
#define WEIR_DIVISION_H

#include "weir-shm.h"

/* Items of a chunk; `grain`: the caller's, or 0: the range is cut evenly into `count` chunks. */
static inline uint64_t weir__division_grain(weir_range range, int64_t count, int64_t grain)
{
    const uint64_t length = (uint64_t)range.end - (uint64_t)range.begin;

    return grain > 0 ? (uint64_t)grain : length / (uint64_t)count;
}

/* How many chunks, the first ones, have one item more. */
static inline int64_t weir__division_longer(weir_range range, int64_t count, int64_t grain)
{
    const uint64_t length = (uint64_t)range.end - (uint64_t)range.begin;

    return grain > 0 ? 0 : (int64_t)(length % (uint64_t)count);
}

/* The range of one chunk; `grain` and `longer` are those of above. */
static inline weir_range weir__division_chunk(weir_range range, uint64_t grain, int64_t longer,
                                              int64_t chunk)
{
    /* unsigned: a range may be longer than INT64_MAX, but its ends never leave [begin, end] */
    const uint64_t begin = (uint64_t)range.begin, length = (uint64_t)range.end - begin;
    const uint64_t from = (uint64_t)chunk * grain + (uint64_t)(chunk < longer ? chunk : longer);
    uint64_t size = grain + (chunk < longer);

    if (size > length - from)
        size = length - from;
    return (weir_range){(int64_t)(begin + from), (int64_t)(begin + from + size)};
}

#endif
