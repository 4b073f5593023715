/* SPDX-License-Identifier: MIT
 *
 * intermediate.c: a process between this one and what it starts.
 *
 * What an intermediate process starts is nobody's child of this program: its wait(NULL) does not
 * see it, and its SIGCHLD handler does not run. It is cloned without an exit signal, shares this
 * process's memory and suspends the calling thread, as vfork does: that costs the same whatever the
 * size of the program.
 *
 * Where the system refuses such a clone, a copy of the process does the same: qemu-user takes no
 * other exit signal than SIGCHLD, a sandbox may let only what fork() does pass. Valgrind makes a
 * copy by itself, and does not tell. So run() relies on neither: what it finds out is read from
 * shared memory.
 *
 * A copy is made by fork() where run() forks again: in a program with threads, fork() leaves malloc
 * and what the program guards with its handlers usable, but only if it is called where these
 * threads are. A second fork() in a copy would wait for locks that no thread there will release.
 *
 * Failure modes. A copy has an exit signal, which is taken back from a program of one thread. With
 * several threads a handler for SIGCHLD may run once without a child to wait for, and a thread that
 * waits for any child may be told of the copy.
 */
#include "manager/host/intermediate.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Not instrumented, as run() is not: the sanitizer does not know the stack that this runs on. */
__attribute__((no_sanitize("address", "undefined"))) static int main_of_clone(void *arg)
{
    const struct weir__intermediate *intermediate = arg;

    intermediate->run(intermediate->arg, false);
    return 0;
}

static bool is_refused(int error)
{
    return error == EINVAL || error == ENOSYS || error == EPERM;
}

/* ECHILD: a thread of the program waits for everything (__WALL), or the program ignores SIGCHLD. */
static void wait_until_gone(pid_t pid)
{
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
}

/* 0 or an errno. */
static int run_in_copy(const struct weir__intermediate *intermediate)
{
    const struct timespec none = {0};
    sigset_t pending, child;
    pid_t pid;

    sigemptyset(&pending);
    sigpending(&pending);
    pid = intermediate->copy();
    if (pid == 0) {
        intermediate->run(intermediate->arg, true);
        _exit(0);
    }
    if (pid < 0)
        return errno;
    wait_until_gone(pid);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (sigismember(&pending, SIGCHLD) == 0)
        sigtimedwait(&child, NULL, &none);
    return 0;
}

int weir__run_intermediate(const struct weir__intermediate *intermediate)
{
    pid_t pid =
        clone(main_of_clone, intermediate->stack_end, CLONE_VM | CLONE_VFORK, (void *)intermediate);

    if (pid < 0)
        return is_refused(errno) ? run_in_copy(intermediate) : errno;
    wait_until_gone(pid);
    return 0;
}
