/* SPDX-License-Identifier: MIT
 *
 * here.h: running a job's tasks in the calling thread.
 */
#ifndef WEIR_HERE_H
#define WEIR_HERE_H

#include "pool/worker/task.h"

/* Runs chunks of the open job in their order, until none is free, the job is to be stopped, or
 * `limit_ns` of CLOCK_MONOTONIC has come (INT64_MAX: no limit). Runs one at least, if one is to be
 * run. For struct weir__job_kind. */
void weir__run_here(struct weir__control *control, weir_scope *scope, unsigned index,
                    int64_t limit_ns);

#endif
