/* SPDX-License-Identifier: MIT
 *
 * chunk.c: how a job's range is cut into chunks.
 *
 * The cut depends on range, count and grain alone, so host, supervisor and workers all compute the
 * same ranges. Nothing here can fail, and nothing is written but by weir__job_cut().
 */
#include "pool/control/chunk.h"

#include "pool/control/division.h"

#include "pool/control/no_malloc.h"

void weir__job_cut(struct weir__job *job, int64_t grain)
{
    job->grain = weir__division_grain(job->range, job->count, grain);
    job->longer = weir__division_longer(job->range, job->count, grain);
}

weir_range weir__job_chunk(const struct weir__job *job, int64_t chunk)
{
    return weir__division_chunk(job->range, job->grain, job->longer, chunk);
}
