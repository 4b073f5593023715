/* SPDX-License-Identifier: MIT
 *
 * work_each.h: functions that each worker runs once (weir_pool_each()).
 */
#ifndef WEIR_WORK_EACH_H
#define WEIR_WORK_EACH_H

#include "pool/worker/task.h"

/* Runs all functions to which this worker has not come, in the order of their calls. One that was
 * kept for replacements and fails here ends the worker. */
void weir__work_each(struct weir_task *task);

#endif
