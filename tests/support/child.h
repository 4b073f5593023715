/* SPDX-License-Identifier: MIT
 *
 * child.h: what a forked child of a test program does first.
 */
#ifndef TEST_CHILD_H
#define TEST_CHILD_H

#include <signal.h>

/* Signals as at the start of a program: cmocka has handlers for the signals of a crash, which would
 * report from the child. */
static inline void child_reset(void)
{
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
}

#endif
