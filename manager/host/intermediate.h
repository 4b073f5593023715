/* SPDX-License-Identifier: MIT
 *
 * intermediate.h: a process between this one and what it starts, gone before the call returns.
 */
#ifndef WEIR_MANAGER_INTERMEDIATE_H
#define WEIR_MANAGER_INTERMEDIATE_H

/* Runs run(arg) in an intermediate process and waits until that is gone. All signals must be
 * blocked in the calling thread. `stack_end`: of a stack for it; it grows downwards. run() may
 * write only to that stack, and to what this process may find written or not.
 * Returns: 0, or an errno. */
int weir__run_intermediate(int (*run)(void *arg), void *arg, void *stack_end);

#endif
