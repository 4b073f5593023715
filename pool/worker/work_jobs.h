/* SPDX-License-Identifier: MIT
 *
 * work_jobs.h: how a worker works on a job.
 */
#ifndef WEIR_WORK_JOBS_H
#define WEIR_WORK_JOBS_H

#include "pool/worker/task.h"

/* Works on the job, which was found in the ready set, until no chunk of it is free. */
void weir__work_on_job(struct weir_task *task, unsigned index);

/* The steps of that, for a job that is found otherwise (work_each.c). Enters it; it may be closed,
 * or another one by now. */
void weir__work_enter(struct weir_task *task, unsigned index);
/* Claims the chunk. False: it is not free. */
bool weir__work_claim(struct weir_task *task, int64_t chunk);
/* Runs and settles the chunk that was claimed. */
void weir__work_run(struct weir_task *task);
/* Leaves it, and counts what was settled. */
void weir__work_leave(struct weir_task *task);

#endif
