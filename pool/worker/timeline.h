/* SPDX-License-Identifier: MIT
 *
 * timeline.h: what a worker of a traced pool notes of its chunks. The spans and counts of tasks,
 * which are public, are in timeline.c too.
 */
#ifndef WEIR_TIMELINE_H
#define WEIR_TIMELINE_H

#include "pool/control/ring.h"
#include "pool/worker/task.h"
#include "shm/clock.h"

/* A chunk or call begins: when; 0: the pool is not traced. One that follows another begins as that
 * ends: the clock is read once for each, as that takes longer than all else here. The slot says it
 * for the case of a death. */
static inline int64_t weir__timeline_begin(const struct weir_task *task)
{
    int64_t now;

    if (!weir__is_traced(task->control))
        return 0;
    now = task->ended_ns != 0 ? task->ended_ns : weir__now_ns();
    atomic_store_explicit(&task->control->slots[task->slot].started_ns, now, memory_order_relaxed);
    return now;
}

/* What comes next does not follow at once. */
static inline void weir__timeline_pause(struct weir_task *task)
{
    task->ended_ns = 0;
}

/* It has been settled. */
void weir__timeline_end(struct weir_task *task, int64_t begin_ns, bool failed);

#endif
