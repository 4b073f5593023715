/* SPDX-License-Identifier: MIT
 *
 * chunk.c: how a job's range is cut into chunks.
 *
 * The cut depends on range, count and grain alone, so host, supervisor and workers all compute the
 * same ranges. Nothing here can fail, and nothing is written but by weir__job_cut().
 */
#include "pool/control/chunk.h"

#include "pool/control/no_malloc.h"

void weir__job_cut(struct weir__job *job, int64_t grain)
{
    uint64_t length = (uint64_t)job->range.end - (uint64_t)job->range.begin;

    job->grain = grain > 0 ? (uint64_t)grain : length / (uint64_t)job->count;
    job->longer = grain > 0 ? 0 : (int64_t)(length % (uint64_t)job->count);
}

weir_range weir__job_chunk(const struct weir__job *job, int64_t chunk)
{
    /* unsigned: a range may be longer than INT64_MAX, but its ends never leave [begin, end] */
    uint64_t begin = (uint64_t)job->range.begin, length = (uint64_t)job->range.end - begin;
    uint64_t from =
        (uint64_t)chunk * job->grain + (uint64_t)(chunk < job->longer ? chunk : job->longer);
    uint64_t size = job->grain + (chunk < job->longer);

    if (size > length - from)
        size = length - from;
    return (weir_range){(int64_t)(begin + from), (int64_t)(begin + from + size)};
}
