/* SPDX-License-Identifier: MIT
 *
 * work_jobs.h: how a worker works on a job.
 */
#ifndef WEIR_WORK_JOBS_H
#define WEIR_WORK_JOBS_H

#include "pool/worker/task.h"

/* Works on the job, which was found in the ready set, until no chunk of it is free. */
void weir__work_on_job(struct weir_task *task, unsigned index);

#endif
