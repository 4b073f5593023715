/* SPDX-License-Identifier: MIT
 *
 * tie.c: a worker ends with its supervisor, whatever user it has become.
 *
 * The kernel kills a worker when its supervisor dies (PR_SET_PDEATHSIG). But a process that changes
 * its user, its group or its capabilities loses that, and also a process that executes a
 * set-user-id program. And the supervisor may lack the right to kill a process of another user. So
 * after functions of the program's, and before it sleeps, a worker looks whether it is still tied.
 * One that was not is tied again; from then on it looks for itself as well, between chunks and once
 * a second while it sleeps, whether the supervisor is its parent, and whether the pool is to be
 * killed.
 *
 * A process of its own (weir_process) runs nothing but functions of the program's. The supervisor
 * holds one end of a pipe, and the process the other, whose SIGIO is SIGKILL: the kernel sends it
 * by the rights that the process had when it asked for it.
 *
 * Failure modes. A worker that has changed its user, and whose supervisor is killed while it runs a
 * chunk, ends after the chunk. A process that closes descriptors that are not its own is tied by
 * PR_SET_PDEATHSIG alone.
 */
#include "pool/control/tie.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "pool/control/supervision.h"

#include "pool/control/no_malloc.h"

void weir__tie_begin(struct weir__tie *tie, pid_t supervisor)
{
    *tie = (struct weir__tie){.supervisor = supervisor};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(1);
}

void weir__tie_keep(const struct weir__control *control, struct weir__tie *tie)
{
    int number = 0;

    if (prctl(PR_GET_PDEATHSIG, &number) == 0 && number != SIGKILL) {
        tie->changed = true;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    /* after the prctl: a supervisor that died before it has sent nothing */
    if (tie->changed &&
        (getppid() != tie->supervisor ||
         (atomic_load_explicit(&control->orders, memory_order_relaxed) & ORDER_KILL)))
        _exit(1);
}

void weir__tie_to_pipe(int pipe_end)
{
    if (fcntl(pipe_end, F_SETOWN, getpid()) == 0 && fcntl(pipe_end, F_SETSIG, SIGKILL) == 0)
        (void)fcntl(pipe_end, F_SETFL, O_ASYNC | O_NONBLOCK);
}
