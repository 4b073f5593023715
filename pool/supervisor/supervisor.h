/* SPDX-License-Identifier: MIT
 *
 * supervisor.h: the process that forks, reaps and replaces a pool's workers.
 */
#ifndef WEIR_SUPERVISOR_H
#define WEIR_SUPERVISOR_H

#include "pool/control/control.h"

struct weir__supervision {
    struct weir__control *control;
    weir_scope *scope;
};

/* One byte on the lifeline, from the host. End of file there means the host is gone. */
enum {
    SUPERVISOR_FINISH = 'f', /* the pool drains: do not replace workers, end when all have ended */
    SUPERVISOR_WATCH = 'w',  /* a job with a deadline was opened, and none was before */
    SUPERVISOR_KILL = 'k',   /* kill all workers and end */
};

/* For weir__fork_detached(); context is a struct weir__supervision. Does not return. */
void weir__supervisor_main(void *context, int lifeline);

#endif
