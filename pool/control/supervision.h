/* SPDX-License-Identifier: MIT
 *
 * supervision.h: the begin of a supervisor and of a worker, and what the host orders.
 *
 * The host forks the supervisor, and that the workers. Neither needs anything of the next one but
 * its main function, which is passed on or declared here; so no file of host/, supervisor/ and
 * worker/ includes one of another of these folders.
 */
#ifndef WEIR_SUPERVISION_H
#define WEIR_SUPERVISION_H

#include "pool/control/control.h"

/* Exit status of a worker whose initializer failed. */
#define WEIR__EXIT_INITIALIZER 111

/* One byte on the lifeline, from the host. End of file there means the host is gone. */
enum {
    SUPERVISOR_FINISH = 'f', /* the pool drains: do not replace workers, end when all have ended */
    SUPERVISOR_WATCH = 'w',  /* a job with a deadline was opened, and none was before */
    SUPERVISOR_KILL = 'k',   /* kill all workers and end */
    /* With a signal's number: the one process of this supervisor gets that signal. */
    SUPERVISOR_SIGNAL = 0x80,
};

/* supervisor/supervisor.c. Runs in the process that host/fork.c forks. Does not return. */
_Noreturn void weir__supervisor_main(struct weir__control *control, weir_scope *scope,
                                     int lifeline);

/* worker/worker.c. Runs worker `slot` until the pool ends, or, for a weir_process, its target.
 * Signals are blocked when it is called. Does not return. */
_Noreturn void weir__worker_main(struct weir__control *control, weir_scope *scope, unsigned slot);

#endif
