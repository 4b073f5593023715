/* SPDX-License-Identifier: MIT
 *
 * runner.h: one sequence in a process of its own, looked at from outside.
 */
#ifndef RANDOM_RUNNER_H
#define RANDOM_RUNNER_H

#include "world.h"

/* How a sequence ended; `key` is the same for what is likely the same fault. */
struct outcome {
    bool failed;
    char key[80];
};

/* Once, before the first sequence, in a process with one thread. False: files in /dev/shm cannot be
 * told from those of other programs, and are not looked at. */
bool runner_begin(void);

/* The counts of all sequences so far. */
const struct count *runner_counts(void);

/* Runs the sequence. `told`: gets what went wrong, in lines; NULL: nothing is told. `tracing`: the
 * sequence says on stderr what it does. */
struct outcome runner_run(const struct sequence *sequence, FILE *told, bool tracing);

/* Gives back what runner_begin() made. */
void runner_end(void);

#endif
