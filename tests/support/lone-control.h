/* SPDX-License-Identifier: MIT
 *
 * lone-control.h: a pool's records that no process has, for tests and counts of what workers do
 * with them.
 */
#ifndef TEST_LONE_CONTROL_H
#define TEST_LONE_CONTROL_H

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/control/control.h"
#include "pool/control/tie.h"
#include "pool/worker/task.h"

static inline void *map_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        abort();
    return memory;
}

static inline size_t lone_control_size(unsigned workers)
{
    return sizeof(struct weir__control) + (workers + 1) * sizeof(struct weir__slot);
}

/* Of so many workers, and jobs up to the one with the number `last_job`. */
static inline struct weir__control *lone_control_new(unsigned workers, unsigned last_job)
{
    struct weir__control *control = map_memory(lone_control_size(workers));

    control->workers = workers;
    control->host_cpu = -1;
    control->jobs_used = last_job + 1;
    control->jobs = map_memory((last_job + 1) * sizeof *control->jobs);
    return control;
}

static inline void lone_control_free(struct weir__control *control)
{
    munmap(control->jobs, control->jobs_used * sizeof *control->jobs);
    munmap(control, lone_control_size(control->workers));
}

/* A worker's record, in the thread that calls. `tie`: memory for it. */
static inline struct weir_task lone_worker(struct weir__control *control, unsigned slot,
                                           struct weir__tie *tie)
{
    static const _Atomic uint64_t generation;

    *tie = (struct weir__tie){.supervisor = getppid()};
    return (struct weir_task){
        .control = control,
        .tie = tie,
        .mine = weir__mine(),
        .generation = &generation,
        .slot = slot,
        .incarnation = 1,
    };
}

#endif
