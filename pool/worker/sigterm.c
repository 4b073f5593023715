/* SPDX-License-Identifier: MIT
 *
 * sigterm.c: a SIGTERM that is sent to all processes at once is the program's to answer.
 *
 * A service manager, timeout(1) or a batch system sends SIGTERM to the whole process group. A
 * program that has a handler for it may want to finish its work, for which it needs its workers; a
 * program that has none dies, and its workers with it. So workers pass the signal over, as that of
 * Ctrl-C; the kernel does not say whether a signal was sent to one process or to a group, but it
 * says by which process. Three senders mean this process:
 *
 *   itself          raise() in a task or a library
 *   the supervisor  ends what tasks have started, and has forked from a worker (strays.c)
 *   the program     ends a process of its own: weir_process_kill(), or kill()
 *
 * It is a handler and not SIG_IGN, because what is ignored stays so through exec.
 *
 * Failure modes. A sender in another pid namespace has the number 0, and is passed over. In a
 * process that a task has forked into a namespace of its own that is the supervisor, too: SIGKILL
 * comes 0.5 s later.
 */
#include "pool/worker/sigterm.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static pid_t heard_supervisor, heard_program;

static void on_sigterm(int number, siginfo_t *info, void *context)
{
    const pid_t sender = info->si_pid;

    (void)context;
    if (info->si_code > 0 || sender <= 0 ||
        (sender != heard_supervisor && sender != heard_program && sender != getpid()))
        return;
    signal(number, SIG_DFL);
    raise(number); /* is blocked until this returns */
}

void weir__sigterm_settle(pid_t supervisor, pid_t program)
{
    struct sigaction action = {.sa_sigaction = on_sigterm, .sa_flags = SA_RESTART | SA_SIGINFO};

    heard_supervisor = supervisor;
    heard_program = program;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
}
