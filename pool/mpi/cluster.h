/* SPDX-License-Identifier: MIT
 *
 * cluster.h: the record of a cluster, on one node.
 *
 * The beginning fills what stands under "begin", calls weir__cluster_init(), and at the end
 * weir__cluster_goodbye() and weir__cluster_release(). All is of the thread that began the cluster,
 * but for `cancelled`.
 */
#ifndef WEIR_CLUSTER_H
#define WEIR_CLUSTER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "pool/mpi/node_link.h"
#include "pool/mpi/port.h"
#include "pool/mpi/weir-mpi.h"

/* What a cluster has made and its end frees: the first member of its record. */
struct weir__owned {
    struct weir__owned *next;
    void (*release)(struct weir__owned *owned);
};

struct weir_cluster {
    /* begin */
    weir_scope *scope;
    weir_pool *pool;
    struct weir__port *port;
    struct weir__place *places; /* port->nodes of them; NULL: hosts have no names */
    weir_job_options job;       /* weir_pool_options.job, which its calls inherit; zero: none */
    int silence_ms;             /* more than 0 */
    /* Called in each round of a loop that is about to sleep; NULL: nothing. It does not return
     * where the launcher has died. */
    void (*watch)(struct weir_cluster *);

    /* the calls; weir__cluster_init() */
    struct weir__link link;
    struct weir__owned *owned; /* what is freed with it */
    pid_t pid;                 /* the program that began it */
    bool in_call;              /* a callback that makes a call is refused */
    atomic_bool calling;       /* a cancel finds a call: set by the thread that calls */
    /* By any thread, in signal handlers; taken by the call. */
    atomic_bool cancelled;
};

/* After the members above are filled: 0, or -ENOMEM. The pid is noted here. */
int weir__cluster_init(struct weir_cluster *cluster);

/* Frees what weir__cluster_init() and the calls have made; not the cluster. */
void weir__cluster_release(struct weir_cluster *cluster);

void weir__cluster_own(struct weir_cluster *cluster, struct weir__owned *owned);
void weir__cluster_disown(struct weir_cluster *cluster, const struct weir__owned *owned);

/* May a call be made? 0, or its error, with the last error. */
int weir__cluster_use(struct weir_cluster *cluster);

/* Says goodbye, with this thread's last error if a call on the cluster had failed, and waits for
 * the other nodes' goodbyes for wait_ms at most.
 * Returns: 0: all nodes have said it; -EHOSTDOWN: all that are not lost have; -ETIMEDOUT; or the
 * transport's error. */
int weir__cluster_goodbye(struct weir_cluster *cluster, int wait_ms);

#endif
