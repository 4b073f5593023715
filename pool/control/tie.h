/* SPDX-License-Identifier: MIT
 *
 * tie.h: a worker ends with its supervisor, whatever user it has become.
 */
#ifndef WEIR_TIE_H
#define WEIR_TIE_H

#include "pool/control/control.h"

/* A worker's own. */
struct weir__tie {
    pid_t supervisor;
    bool changed; /* this process has changed its credentials: it looks for itself */
};

/* Ties this process to the supervisor, its parent, which has this pid. Does not return if that is
 * gone. */
void weir__tie_begin(struct weir__tie *tie, pid_t supervisor);

/* After functions of the program's, which may have untied it. Does not return if the supervisor is
 * gone, or this process is to be killed and perhaps nobody may do that. */
void weir__tie_keep(const struct weir__control *control, struct weir__tie *tie);

/* How long to sleep until weir__tie_keep() is to be called; -1: for ever. */
static inline int64_t weir__tie_sleep_ns(const struct weir__tie *tie)
{
    return tie->changed ? INT64_C(1000000000) : -1;
}

/* For a process that runs functions of the program's alone, and so never comes to
 * weir__tie_keep(): the kernel kills this process when the other end of the pipe is closed. */
void weir__tie_to_pipe(int pipe_end);

#endif
