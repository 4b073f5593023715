/* SPDX-License-Identifier: MIT
 *
 * ear.h: what a pool's processes write to stderr.
 */
#ifndef TESTS_POOL_EAR_H
#define TESTS_POOL_EAR_H

#include "support.h"

#include <fcntl.h>
#include <unistd.h>

struct ear {
    int before, from;
    char text[1 << 16];
};

/* From now on stderr is a pipe, ... */
static inline void ear_open(struct ear *ear)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    ear->before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    ear->from = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
}

/* ... and here what it was again: only processes that were made meanwhile have the pipe. */
static inline void ear_close(struct ear *ear)
{
    dup2(ear->before, STDERR_FILENO);
    close(ear->before);
}

/* All that they have written, when they have ended. */
static inline const char *ear_read(struct ear *ear)
{
    size_t used = 0;
    ssize_t got;

    while ((got = read(ear->from, ear->text + used, sizeof ear->text - 1 - used)) > 0)
        used += (size_t)got;
    ear->text[used] = '\0';
    close(ear->from);
    return ear->text;
}

#endif
