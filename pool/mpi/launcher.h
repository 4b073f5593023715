/* SPDX-License-Identifier: MIT
 *
 * launcher.h: the program that has started this one on several nodes.
 *
 * Launchers tell their processes by variables of the environment how many there are. On each node a
 * daemon of the launcher has started this process: it has the CPUs of the whole allocation, where a
 * process that it starts may have been bound to one of them.
 */
#ifndef WEIR_LAUNCHER_H
#define WEIR_LAUNCHER_H

#include <stdbool.h>
#include <sys/types.h>

enum weir__launcher_kind {
    WEIR__LAUNCHER_NONE, /* the program was started by hand */
    WEIR__LAUNCHER_OPENMPI,
    WEIR__LAUNCHER_HYDRA, /* MPICH's, and that of MPIs that derive from it */
    WEIR__LAUNCHER_SRUN,
};

struct weir__launcher {
    enum weir__launcher_kind kind;
    const char *name;     /* for messages */
    const char *variable; /* which tells `ranks` */
    int ranks;            /* processes that it has started; 0: not known */
    int local_ranks;      /* of them on this host; 0: not known */
    bool no_pmi;          /* srun has told none of MPI's ways to find each other */
    pid_t parent;         /* of this process, when it was looked for */
    pid_t daemon;         /* of the launcher on this node, mostly the parent; 0: not known */
    int daemon_fd;        /* its pidfd; -1: nothing is watched */
};

/* Looks in the environment and in /proc. */
void weir__launcher_find(struct weir__launcher *launcher);

/* Prepares weir__launcher_is_gone(), and has this process killed if its parent dies and nobody
 * else would end it. */
void weir__launcher_watch(struct weir__launcher *launcher);

/* Whether the daemon has ended, so that nobody would end this process any more. */
bool weir__launcher_is_gone(const struct weir__launcher *launcher);

void weir__launcher_unwatch(struct weir__launcher *launcher);

#endif
