/* SPDX-License-Identifier: MIT
 *
 * work_calls.h: how a worker runs the calls of the queue.
 */
#ifndef WEIR_WORK_CALLS_H
#define WEIR_WORK_CALLS_H

#include "pool/worker/task.h"

/* Runs calls until none is free, or other jobs have their turn. */
void weir__work_calls(struct weir_task *task);

#endif
