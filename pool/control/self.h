/* SPDX-License-Identifier: MIT
 *
 * self.h: the worker that this process is, and tasks that run in the calling thread.
 *
 * Tasks run in the thread that calls the pool if the pool has no processes, or if the call is
 * nested: one that a task makes, in its worker (worker/here.c).
 */
#ifndef WEIR_SELF_H
#define WEIR_SELF_H

#include <stdbool.h>
#include <stdint.h>

struct weir__control;
struct weir_task;

/* Set once in a worker, before any function of the user's; processes that tasks fork have a copy.
 * All zero in the program. */
struct weir__self {
    struct weir__control *control;
    unsigned index;
    uint32_t incarnation; /* 0: it is none of a pool */
    uint32_t mine;        /* its number (mine.h) */
};
extern struct weir__self weir__self;

/* Of the calling thread. */
struct weir__here {
    struct weir_task *task; /* the innermost one that it runs; NULL: none */
    int depth;              /* of functions of pools without processes that it is in */
};
extern _Thread_local struct weir__here weir__here;

/* Whether this process is a worker of a pool whose calls may be nested, and not a copy of one. */
bool weir__may_nest(void);

#endif
