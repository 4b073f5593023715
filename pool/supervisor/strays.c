/* SPDX-License-Identifier: MIT
 *
 * strays.c: the processes that workers have started and left behind.
 *
 * A tool that a task runs would go on when its worker is killed, and write the same file as the
 * tool of the chunk's next attempt. So the supervisor is the reaper of its workers' descendants
 * (PR_SET_CHILD_SUBREAPER): what a worker leaves when it dies is the supervisor's child by the time
 * the worker can be reaped. Those are killed, then their children, which are the supervisor's then,
 * and so on, until none is left. While a worker lives its own children are left to it.
 *
 * A task may also leave a process while its worker lives, by forking twice. That is the
 * supervisor's child too, but must not be killed for the death of another worker. So each worker
 * has a mark that all its descendants inherit, also through exec, a new session, and a change of
 * the user: the soft limit RLIMIT_LOCKS, at which no kernel since Linux 2.4.25 looks. A process
 * that takes the mark off is left alone; the manager of a scope and a supervisor do, as both end
 * with their program and clean up after it.
 *
 * The children come from /proc, and are compared with what waitid() says: a /proc of another pid
 * namespace can hurt no process.
 *
 * Failure modes. Without /proc nothing is found, and strays live on. Where the limit cannot be set,
 * every stray counts as that of a worker that died. A process that cannot be killed (it belongs to
 * another user, or hangs in the kernel) is left after a second. If the supervisor itself is killed,
 * strays live on.
 */
#include "pool/supervisor/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/clock.h"

#include "pool/control/no_malloc.h"

#define MARK_TAG     (UINT64_C(0x57) << 56)
#define MARK_NUMBERS UINT64_C(0xffffff) /* of one supervisor */
#define ASKED_NS     INT64_C(500000000) /* from SIGTERM to SIGKILL */
#define KILLED_NS    INT64_C(1000000000)
#define STEP_NS      INT64_C(100000) /* between two looks, at first */
#define STEP_MAX_NS  INT64_C(5000000)

void weir__strays_begin(struct weir__strays *strays)
{
    if (strays->left)
        return;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    strays->base = MARK_TAG | (uint64_t)(getpid() & 0x3fffff) << 32 |
                   ((uint64_t)weir__now_ns() / 1000 & 0xff) << 24;
    if (getrlimit(RLIMIT_LOCKS, &strays->own) != 0)
        return;
    strays->own.rlim_cur = strays->own.rlim_max;
    strays->marks = setrlimit(RLIMIT_LOCKS, &strays->own) == 0;
}

uint64_t weir__strays_mark(struct weir__strays *strays)
{
    struct rlimit marked = strays->own;

    if (!strays->marks)
        return 0;
    marked.rlim_cur = strays->base | (++strays->given & MARK_NUMBERS);
    if (setrlimit(RLIMIT_LOCKS, &marked) != 0)
        strays->marks = false;
    return marked.rlim_cur;
}

void weir__strays_unmark(const struct weir__strays *strays)
{
    if (strays->marks)
        setrlimit(RLIMIT_LOCKS, &strays->own);
}

/* One look at all children of this process. */
struct look {
    const struct weir__strays *strays;
    bool all;   /* of this supervisor's workers are meant, not those alone that have died */
    int number; /* the signal for them */
    bool found; /* there was one, so there may be more by now */
};

static bool is_meant(const struct look *look, pid_t pid)
{
    const struct weir__strays *strays = look->strays;
    struct rlimit limit;

    if (!strays->marks)
        return true;
    if (prlimit(pid, RLIMIT_LOCKS, NULL, &limit) != 0)
        return look->all; /* not for us to see: another user's */
    return (limit.rlim_cur & ~MARK_NUMBERS) == strays->base &&
           (look->all || strays->has_died(strays->context, limit.rlim_cur));
}

static void look_at(struct look *look, pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    if (pid <= 0 || look->strays->is_worker(look->strays->context, pid) ||
        waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
        return;
    if (info.si_pid == pid) {
        waitpid(pid, NULL, WNOHANG | __WALL);
        look->found = true; /* its children are this process's now */
    } else if (is_meant(look, pid) && kill(pid, look->number) == 0) {
        if (look->number != SIGKILL)
            kill(pid, SIGCONT);
        look->found = true;
    }
}

static void look_at_children(struct look *look)
{
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    char text[1024];
    ssize_t got;
    pid_t pid = 0;

    while (fd >= 0 && (got = read(fd, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else {
                look_at(look, pid);
                pid = 0;
            }
        }
    }
    if (fd >= 0)
        close(fd);
}

static void end_children(const struct weir__strays *strays, bool all, int64_t ask_ns)
{
    const int64_t asked = weir__now_ns() + ask_ns, limit = asked + KILLED_NS;
    int64_t now = weir__now_ns(), step = STEP_NS;
    struct look look = {.strays = strays, .all = all};

    if (strays->left)
        return;
    do {
        look.found = false;
        look.number = now < asked ? SIGTERM : SIGKILL;
        look_at_children(&look);
        if (look.found)
            nanosleep(&(struct timespec){.tv_nsec = step}, NULL);
        step = 2 * step < STEP_MAX_NS ? 2 * step : STEP_MAX_NS;
        now = weir__now_ns();
    } while (look.found && now < limit);
}

void weir__strays_kill(const struct weir__strays *strays)
{
    end_children(strays, false, 0);
}

void weir__strays_end(const struct weir__strays *strays, bool asked)
{
    end_children(strays, true, asked ? ASKED_NS : 0);
}
