/* SPDX-License-Identifier: MIT
 *
 * intermediate.c: a process between this one and what it starts.
 *
 * What an intermediate process starts is nobody's child of this program: its wait(NULL) does not
 * see it, and its SIGCHLD handler does not run. It is cloned without an exit signal, shares this
 * process's memory and suspends the calling thread, as vfork does: that costs the same whatever the
 * size of the program.
 *
 * Where the system refuses such a clone, a plain copy of the process does the same (qemu-user takes
 * no other exit signal than SIGCHLD; valgrind makes the copy by itself). So callers rely on neither:
 * they read results from shared memory, and write to memory that may or may not be the program's.
 *
 * Failure modes. A copy has an exit signal, which is taken back from a program of one thread; with
 * several threads a handler for SIGCHLD may run once, without a child to wait for.
 */
#include "manager/host/intermediate.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Without the program's fork handlers. Not instrumented, as run() is not. */
__attribute__((no_sanitize("address", "undefined"))) static pid_t copy(int (*run)(void *arg),
                                                                       void *arg)
{
    pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, 0UL, 0UL, 0UL, 0UL);

    if (pid == 0)
        _exit(run(arg));
    return pid;
}

/* Takes a SIGCHLD back. */
static void take_signal(void)
{
    const struct timespec none = {0};
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigtimedwait(&child, NULL, &none);
}

int weir__run_intermediate(int (*run)(void *arg), void *arg, void *stack_end)
{
    bool copied = false;
    sigset_t pending;
    pid_t pid;

    sigemptyset(&pending);
    sigpending(&pending);
    pid = clone(run, stack_end, CLONE_VM | CLONE_VFORK, arg);
    if (pid < 0 && (errno == EINVAL || errno == ENOSYS)) {
        pid = copy(run, arg);
        copied = true;
    }
    if (pid < 0)
        return errno;
    /* ECHILD: a thread of the program waits for everything (__WALL), and it has ended. */
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    if (copied && sigismember(&pending, SIGCHLD) == 0)
        take_signal();
    return 0;
}
