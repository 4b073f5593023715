/* SPDX-License-Identifier: MIT
 *
 * fork.h: a process forked from the host that is not the host's child.
 */
#ifndef WEIR_FORK_H
#define WEIR_FORK_H

#include <stdatomic.h>
#include <stdint.h>
#include <weir-scope.h>

struct weir__control;

struct weir__detached {
    struct weir__control *control;
    pid_t pid;
    int pidfd;    /* of the process */
    int lifeline; /* connected to it and to what it forks: end of file when all of them are gone */
    _Atomic int64_t asked_ns; /* look.c: when a thread that waits asked it to look */
};

#define WEIR__DETACHED_NONE ((struct weir__detached){.pidfd = -1, .lifeline = -1})

/* Forks a process that runs weir__supervisor_main(), waits until it has said hello, and reports
 * what it said. Buffered output is flushed first. In the new process all signals are blocked,
 * dispositions are reset, and the scope is prepared (weir__scope_after_fork_child). */
int weir__fork_supervisor(struct weir__control *control, weir_scope *scope,
                          struct weir__detached *out);

/* Has the process look at its words in the control block. If that is not possible it is ended
 * instead: it sees the end of its lifeline, so no thread waits for what was never seen. Does not
 * block, whatever the process does. */
void weir__detached_ring(const struct weir__detached *detached);

/* Has it go on if it is stopped (SIGSTOP). A debugger or a frozen cgroup hold it all the same. */
void weir__detached_continue(const struct weir__detached *detached);

/* Gives it an order (supervision.h) and has it go on if it is stopped. Does not block. */
void weir__detached_order(const struct weir__detached *detached, uint32_t order);

/* Waits until the process and all it forked are gone, at most `timeout_ms`; false: not yet. */
bool weir__detached_wait(const struct weir__detached *detached, int timeout_ms);

/* Has it kill its workers and end. If that takes too long it is killed, and the kernel kills the
 * workers with it; returns when they are gone, or after 3 s. */
void weir__detached_kill(const struct weir__detached *detached);

/* Kills it if it lives, waits for the end, collects it if this process is its
 * reaper, and closes. */
void weir__detached_end(struct weir__detached *detached);

#endif
