/* SPDX-License-Identifier: MIT
 *
 * nodes.h: nodes of a cluster as processes of one machine, joined by sockets.
 *
 * Each has a scope and a pool of its own, as a real one has; there is no MPI. A node does not
 * assert: it notes what it sees in memory that the test program shares.
 */
#ifndef TEST_MPI_NODES_H
#define TEST_MPI_NODES_H

#include "pool/mpi/cluster.h"

#include <stdatomic.h>

#define NODES_MAX  4
#define NODES_SEEN 16

/* What a node has seen. */
struct nodes_seen {
    int calls;             /* entries below */
    int codes[NODES_SEEN]; /* of its calls */
    weir_cluster_error errors[NODES_SEEN];
    char messages[NODES_SEEN][WEIR_ERROR_MESSAGE_SIZE]; /* weir_last_error()'s */
    double values[NODES_SEEN];
    int64_t ms[NODES_SEEN]; /* how long they took */
    int goodbye;
    atomic_bool begun; /* it has a pool */
    bool ended;        /* in order */
};

typedef void nodes_program(weir_cluster *cluster, struct nodes_seen *seen);

struct nodes_config {
    int nodes;
    const int *workers; /* [nodes]; NULL: 2 each */
    int silence_ms;     /* 0: 10,000 */
    int goodbye_ms;     /* 0: 10,000 */
    nodes_program *program;
    int killed_node; /* is killed kill_ms after all have begun, if that is not 0 */
    int kill_ms;
};

/* Runs the program on each node, and returns what they have seen: shared memory, to be given to
 * nodes_free(). Kills them, and fails the test, if they do not end in time. */
struct nodes_seen *nodes_run(const struct nodes_config *config);
void nodes_free(struct nodes_seen *seen);

/* Notes a call's code, and its errors. */
void nodes_note(struct nodes_seen *seen, int code, double value);

#endif
