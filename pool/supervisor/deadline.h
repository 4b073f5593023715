/* SPDX-License-Identifier: MIT
 *
 * deadline.h: jobs and chunks that take too long.
 */
#ifndef WEIR_DEADLINE_H
#define WEIR_DEADLINE_H

#include "pool/control/control.h"
#include "pool/supervisor/pauses.h"

/* The supervisor enters a job as a worker does, so that the host cannot reuse it meanwhile, and
 * leaves it. Returns whether the job is open. */
bool weir__supervisor_enter(struct weir__control *control, uint32_t index);
void weir__supervisor_leave(struct weir__control *control, uint32_t index);

/* Supervisor: stops open jobs that have passed their deadline, and calls kill_worker(context, slot)
 * for each worker whose chunk has, or whose job has, which is to be killed soon. slot.killed then
 * says why. Pauses do not count. Returns when there will be something to look for again; INT64_MAX:
 * never, so far. */
int64_t weir__deadlines_look(struct weir__control *control, const struct weir__pauses *pauses,
                             void (*kill_worker)(void *context, unsigned slot), void *context);

#endif
