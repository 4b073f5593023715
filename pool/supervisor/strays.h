/* SPDX-License-Identifier: MIT
 *
 * strays.h: the processes that workers have started and left behind.
 */
#ifndef WEIR_STRAYS_H
#define WEIR_STRAYS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Of a supervisor, which is the parent of all processes that its workers leave behind. */
struct weir__strays {
    bool left;         /* the program wants them to live on: nothing is done here */
    bool marks;        /* each worker, and what descends from it, has a mark */
    uint64_t base;     /* of all marks of this supervisor */
    uint32_t given;    /* marks */
    struct rlimit own; /* of the supervisor, which has no mark */
    /* Whether a child of this process is a worker. */
    bool (*is_worker)(void *context, pid_t pid);
    /* Whether the worker with this mark has died, and what it has left is to be killed. */
    bool (*has_died)(void *context, uint64_t mark);
    void *context;
};

/* Supervisor, at its start, with is_worker, context and left filled in. */
void weir__strays_begin(struct weir__strays *strays);

/* Around the fork of a worker: gives it a mark, which it is known by here. */
uint64_t weir__strays_mark(struct weir__strays *strays);
void weir__strays_unmark(const struct weir__strays *strays);

/* Kills what workers have left that have died, which have been reaped, and all that descends from
 * it, and waits until that is gone, but not for ever. */
void weir__strays_kill(const struct weir__strays *strays);

/* The same for all workers of this supervisor, which are gone. `asked`: with SIGTERM first. */
void weir__strays_end(const struct weir__strays *strays, bool asked);

#endif
