/* SPDX-License-Identifier: MIT
 *
 * argument.h: looking at a task's argument before and after the task (WEIR_DEBUG).
 */
#ifndef WEIR_WORKER_ARGUMENT_H
#define WEIR_WORKER_ARGUMENT_H

#include "pool/worker/task.h"

/* Runs a chunk of a job that is checked, unless its argument is private memory that is another one
 * here than in the program: then the task is refused, and does not run. If the task writes to
 * private memory through its argument, a line on stderr says so, once in a worker. Returns what the
 * task does. */
int weir__argument_run(struct weir_task *task, weir_range range);

#endif
