/* SPDX-License-Identifier: MIT
 *
 * chunk.h: how a job's range is cut into chunks.
 */
#ifndef WEIR_CHUNK_H
#define WEIR_CHUNK_H

#include "pool/control/control.h"

/* Host, before the job is open: sets grain and longer from range and count. `grain` items a chunk,
 * or with 0 the range cut evenly. */
void weir__job_cut(struct weir__job *job, int64_t grain);

/* The range of one chunk. */
weir_range weir__job_chunk(const struct weir__job *job, int64_t chunk);

#endif
