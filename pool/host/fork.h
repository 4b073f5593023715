/* SPDX-License-Identifier: MIT
 *
 * fork.h: a process forked from the host that is not the host's child.
 */
#ifndef WEIR_FORK_H
#define WEIR_FORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <weir-scope.h>

#include "manager/space/descriptor.h"

struct weir__control;

struct weir__detached {
    struct weir__control *control;
    pid_t pid;
    struct weir__descriptor pidfd; /* of the process */
    /* Connected to it and to what it forks: end of file when all of them are gone. */
    struct weir__descriptor lifeline;
    _Atomic int64_t asked_ns; /* look.c: when a thread that waits asked it to look */
};

#define WEIR__DETACHED_NONE                                                                        \
    ((struct weir__detached){.pidfd = {.fd = -1, .closed = -1},                                    \
                             .lifeline = {.fd = -1, .closed = -1}})

/* What the workers have of the program's descriptors. */
struct weir__inherited {
    bool keep_stdin;
    bool close; /* all but the standard streams, weir's own, and ... */
    const int *pass;
    size_t pass_count;
};

/* What the supervisor keeps of what weir has open in the program alone, beside its end of the
 * lifeline. */
struct weir__keeps {
    struct weir__descriptor *event_end; /* and the workers; NULL: of a weir_process */
    struct weir__descriptor *watch;     /* the program's is closed, on failure too */
    struct weir__descriptor *trace;     /* NULL: of a weir_process */
};

/* Public options, for weir_pool_new() and weir_process_start_with(): 0 or -EINVAL. */
int weir__inherited_check(const struct weir__inherited *inherited);

/* Forks a process that runs weir__supervisor_main(), waits until it has said hello, and reports
 * what it said. Buffered output is flushed first. In the new process all signals are blocked,
 * dispositions are reset, and the scope is prepared (weir__scope_after_fork_child). Of what weir
 * has open in the program alone (descriptor.h) it keeps its end of the lifeline and `kept`.
 * `meanwhile` is called between the fork and the hello; NULL: nothing is to do. */
int weir__fork_supervisor(struct weir__control *control, weir_scope *scope,
                          const struct weir__inherited *inherited, const struct weir__keeps *kept,
                          void (*meanwhile)(struct weir__control *), struct weir__detached *out);

/* Has the process look at its words in the control block. If that is not possible it is ended
 * instead: it sees the end of its lifeline, so no thread waits for what was never seen. Does not
 * block, whatever the process does. */
void weir__detached_ring(const struct weir__detached *detached);

/* Has it go on if it is stopped (SIGSTOP). A debugger or a frozen cgroup hold it all the same. */
void weir__detached_continue(const struct weir__detached *detached);

/* Gives it an order (supervision.h) and has it go on if it is stopped. Does not block. */
void weir__detached_order(const struct weir__detached *detached, uint32_t order);

/* Waits until the process and all it forked are gone, at most `timeout_ms`; false: not yet. If the
 * program has closed the lifeline the process ends by itself, and this sees it all the same. */
bool weir__detached_wait(struct weir__detached *detached, int timeout_ms);

/* The pidfd, opened again if the program has closed it; -1: there is none. */
int weir__detached_pidfd(struct weir__detached *detached);

/* Whether the program has closed the lifeline: the process has ended, or is about to. */
bool weir__detached_is_lost(const struct weir__detached *detached);

/* Has it kill its workers and end. If that takes too long it is killed, and the kernel kills the
 * workers with it; returns when they are gone, or after 3 s. */
void weir__detached_kill(struct weir__detached *detached);

/* Kills it if it lives, waits for the end, collects it if this process is its
 * reaper, and closes. What the program has closed before is left alone, and the scope's end says
 * so. */
void weir__detached_end(struct weir__detached *detached, weir_scope *scope);

#endif
