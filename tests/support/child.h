/* SPDX-License-Identifier: MIT
 *
 * child.h: what a forked child of a test program does first.
 */
#ifndef TEST_CHILD_H
#define TEST_CHILD_H

#include <signal.h>
#include <unistd.h>

/* Signals as at the start of a program: cmocka has handlers for the signals of a crash, which would
 * report from the child. */
static inline void child_reset(void)
{
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
}

/* A child that leads a process group, and exits with what program() returns. -1: errno. */
static inline pid_t start_group(int (*program)(void))
{
    pid_t child = fork();

    if (child == 0) {
        setpgid(0, 0);
        child_reset();
        _exit(program());
    }
    if (child > 0)
        setpgid(child, child);
    return child;
}

#endif
