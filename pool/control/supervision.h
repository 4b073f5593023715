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

struct weir__tie;

/* Exit status of a worker whose initializer failed. */
#define WEIR__EXIT_INITIALIZER 111
/* Likewise, of a function of weir_pool_each(). */
#define WEIR__EXIT_EACH 112

/* How long workers have to end when there is no more work. */
#define WEIR__FINISH_MS 5000

/* A limit of an end, for all workers: a thousand take their time to die, on a machine that is busy
 * with other things too. */
static inline int weir__end_ms(const struct weir__control *control, int ms)
{
    return ms + 5 * control->workers;
}

/* control.orders: what the host wants for good. A byte on the lifeline only makes the supervisor
 * look at its words in the control block, so a byte that does not fit behind unread ones is not
 * needed. End of file there means the host is gone. */
enum {
    ORDER_FINISH = 1, /* the pool drains: do not replace workers, end when all have ended */
    ORDER_KILL = 2,   /* kill all workers and end; the supervisor says it too, to workers */
};

/* supervisor/supervisor.c. Runs in the process that host/fork.c forks. Does not return. */
_Noreturn void weir__supervisor_main(struct weir__control *control, weir_scope *scope,
                                     int lifeline);

/* worker/worker.c. Runs worker `slot` until the pool ends, or, for a weir_process, its target.
 * It is tied to the supervisor, and signals are blocked, when it is called. Does not return. */
_Noreturn void weir__worker_main(struct weir__control *control, weir_scope *scope, unsigned slot,
                                 struct weir__tie *tie);

#endif
