/* SPDX-License-Identifier: MIT
 *
 * state.h: the record of a call that all nodes make together, on one of them.
 *
 * Its parts are of the files that are named; collective.c calls them.
 */
#ifndef WEIR_MPI_STATE_H
#define WEIR_MPI_STATE_H

#include "pool/mpi/cut.h"
#include "pool/mpi/node_link.h"
#include "pool/mpi/share.h"
#include "pool/mpi/tree.h"

/* What a call is. */
struct weir__collective_spec {
    struct weir__fingerprint print;
    struct weir__cut cut; /* blocks 0: there is nothing to run */
    bool stay, keep_going;
    int64_t timeout_ns; /* 0: none */
    size_t size;        /* of an accumulator, or of what is broadcast */
    void *data;         /* of a broadcast, in and out */
    int from;           /* of a broadcast */
    void (*combine)(void *into, const void *from, void *arg);
    void *arg;
    weir_error refused; /* code not 0: this node's arguments are not valid */
};

struct weir__transfer; /* bytes that go to one node; transfer.c */
struct weir__arrival;  /* bytes of an accumulator that come; gather.c */

/* Bytes that all nodes get, by a binomial tree whose root is the node that has them. */
struct weir__spread {
    unsigned char *data;
    uint64_t total, available;
    int root;
    bool begun;
};

/* What node 0 knows of a node. */
struct weir__peer {
    bool entered;
    int64_t given, blocks_done;
    uint64_t items_done;
    int64_t heard_ns;
};

/* Node 0's part. */
struct weir__lead {
    struct weir__share share;
    struct weir__peer *peers; /* [nodes] */
    int entered;
    int64_t blocks_done;
    bool decided;               /* all is done, or the call has failed */
    weir_cluster_error failure; /* the first one, with keep_going; code 0: none */
};

struct weir__collective {
    struct weir__link *link;
    const struct weir__collective_spec *spec;
    int64_t begin_ns, looked_ns, said_ns, heard_ns; /* heard_ns: of node 0; 0: not yet */

    /* blocks: of blocks.c */
    struct weir__run *runs; /* given and not started */
    size_t runs_count, runs_room;
    int64_t blocks_running, blocks_done;
    uint64_t items_done;
    int64_t blocks_told;         /* to node 0 */
    bool asked, no_more, halted; /* halted: starts no more blocks */

    struct weir__transfer *transfers;
    struct weir__spread owners, result;
    struct weir__tree tree;
    struct weir__arrival *arrivals;
    uint16_t *owner; /* of each block, when `owners` is complete */

    struct weir__lead lead;

    bool ended;
    weir_cluster_error outcome; /* code 0: success */
    bool shows_progress;        /* items_done of all has changed; the driver clears it */
};

#endif
