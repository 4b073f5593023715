/* SPDX-License-Identifier: MIT
 *
 * crash-points.c: kills at named points, which are the first calls of each system call. strace does
 * it.
 */
#include "crash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* strace counts for each process, so host, supervisor, workers and manager all meet the point, and
 * replaced workers meet it again. */
static const char *const calls[] = {
    "openat",         "mmap",         "munmap",    "madvise",
    "socketpair",     "clone",        "clone3",    "prctl",
    "pidfd_open",     "sendto",       "sendmsg",   "recvfrom",
    "recvmsg",        "poll",         "ppoll",     "futex",
    "linkat",         "unlink",       "unlinkat",  "flock",
    "fcntl",          "fallocate",    "write",     "pwrite64",
    "read",           "close",        "epoll_ctl", "epoll_wait",
    "epoll_pwait",    "wait4",        "kill",      "pidfd_send_signal",
    "rt_sigprocmask", "rt_sigaction", "getppid",   "shutdown",
    "execve",         "exit_group",   "setsid",    "fstat",
};

static pid_t start_strace(const char *self, const char *call, int n)
{
    char trace[64], inject[96];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    snprintf(trace, sizeof trace, "trace=%s", call);
    snprintf(inject, sizeof inject, "inject=%s:signal=SIGKILL:when=%d", call, n);
    /* leak checking does not work under a tracer */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    if (freopen("/dev/null", "w", stderr) == NULL)
        _exit(99);
    execlp("strace", "strace", "-f", "-o", "/dev/null", "-e", trace, "-e", inject, self, "life",
           NULL);
    _exit(99);
}

static bool can_trace(const char *self)
{
    int status = -1;
    pid_t pid = start_strace(self, "setdomainname", 1); /* never called */

    return wait_clean(pid, &status, HANG_MS, true) >= 0 && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* The time is from the start to when all is clean, under strace. */
int crash_points(struct sample *sample, int count, const char *self)
{
    int points = 0, host_killed = 0, reported = 0;

    if (!can_trace(self)) {
        printf("skipped: strace cannot trace here\n");
        return 77;
    }
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
        for (int n = 1; n <= count; n++) {
            int status = -1;
            pid_t pid = start_strace(self, calls[c], n);
            double ms = wait_clean(pid, &status, HANG_MS, false);
            bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

            points++;
            host_killed += killed;
            reported += code == 11 || code == 13;
            if (!killed && code != 0 && code != 11 && code != 13)
                wrong(sample, n, calls[c], status);
            if (killed) /* perhaps all were: then the next scope cleans */
                weir_scope_end(weir_scope_begin(NULL));
            if (ms < 0 || wait_clean(pid, &status, CLEAN_MS, true) < 0) {
                wrong(sample, n, calls[c], -1);
                print_files();
                return 1;
            }
            note(sample, ms);
        }
    }
    printf("{\"case\":\"points\",\"points\":%d,\"host_killed\":%d,\"reported\":%d}\n", points,
           host_killed, reported);
    return 0;
}
