/* SPDX-License-Identifier: MIT
 *
 * intermediate.h: a process between this one and what it starts, gone before the call returns.
 */
#ifndef WEIR_MANAGER_INTERMEDIATE_H
#define WEIR_MANAGER_INTERMEDIATE_H

#include <stdbool.h>
#include <sys/types.h>

struct weir__intermediate {
    /* What runs in it. `is_copy`: its memory is a copy of this process's, and it runs on a copy of
     * the calling thread's stack; else it shares the memory, and runs on `stack_end`. */
    void (*run)(void *arg, bool is_copy);
    void *arg;
    void *stack_end;     /* of a stack for it; it grows downwards */
    pid_t (*copy)(void); /* makes a copy: fork, or _Fork if run() needs nothing of fork handlers */
};

/* Runs it, and waits until the process is gone. All signals must be blocked in the calling thread.
 * run() may write only to its stack, and to what this process may find written or not.
 * Returns: 0, or an errno. */
int weir__run_intermediate(const struct weir__intermediate *intermediate);

#endif
