/* SPDX-License-Identifier: MIT
 *
 * ops.h: the families, and what their files share.
 */
#ifndef RANDOM_OPS_H
#define RANDOM_OPS_H

#include "values.h"
#include "world.h"

extern const struct family scope_family, list_family, dict_family, array_family, arena_family,
    job_family, future_family, stream_family, map_reduce_family, process_family, fork_family,
    connect_family, fault_family, crowd_family, ending_family;

/* A number for the name of a stand-alone block, which no other has. */
static inline const char *block_name(struct lane *lane, char *buf, size_t size)
{
    snprintf(buf, size, "rt-%d-%zu", (int)getpid(), op_number(lane));
    return buf;
}

#endif
