/* SPDX-License-Identifier: MIT
 *
 * exit_guard.h: exit() in a process of a pool finishes what that process has made, and leaves alone
 * what belongs to the program.
 */
#ifndef WEIR_EXIT_GUARD_H
#define WEIR_EXIT_GUARD_H

#include <stdbool.h>

/* Host, right before it forks: what is registered with atexit() and its like by now is not run in
 * the forked process. `handle` is an address that no other fork uses meanwhile. False (errno is
 * set): there is no memory. */
bool weir__exit_guard_set(void *handle);

/* Host, after the fork. */
void weir__exit_guard_lift(void *handle);

/* The forked process, first: the guard holds in it and in all processes that it forks, and the
 * output that the program had buffered is dropped here, as the program is going to write it. */
void weir__exit_guard_arm(void);

/* Ends a process of a pool in order: the handlers that it has registered with atexit() are run,
 * then all that it has written is flushed. */
_Noreturn void weir__process_end(int status);

#endif
