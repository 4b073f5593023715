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

    /* Of a call in which nodes send each other parts; exchange.c. */
    bool exchanges;
    int64_t parts; /* their numbers are [0, parts) */
    /* Where a part of so many bytes is to be put; NULL, with the last error: the call fails. */
    unsigned char *(*land)(void *owner, int64_t part, uint64_t size);
    void *owner;
};

struct weir__transfer; /* bytes that go to one node; transfer.c */
struct weir__arrival;  /* bytes that come from one node; arrival.c */

/* First in, first out. */
struct weir__transfers {
    struct weir__transfer *first, **end;
};

/* What has gone between this node and another one. */
struct weir__traffic {
    uint64_t parts_out, bytes_out, parts_in, bytes_in;
    bool ended; /* the other one sends no more */
};

/* The parts that nodes send each other. */
struct weir__exchange {
    struct weir__traffic *traffic; /* [nodes] */
    unsigned char *seen;           /* [parts]: it has come, or is coming */
    struct weir__arrival *arrivals;
    int ended;     /* nodes that send no more, this one not counted */
    bool go;       /* all have made the call */
    bool produced; /* all that this node sends is queued */
    bool said_end; /* it has told the others so */
    bool merged;   /* what came is used: node 0 has been told */
};

/* Bytes that all nodes get, by a binomial tree whose root is the node that has them. */
struct weir__spread {
    unsigned char *data;
    uint64_t total, available;
    int root;
    bool begun;
};

/* What node 0 knows of a node. */
struct weir__peer {
    bool entered, merged;
    int64_t given, blocks_done;
    uint64_t items_done;
    int64_t heard_ns;
};

/* Node 0's part. */
struct weir__lead {
    struct weir__share share;
    struct weir__peer *peers; /* [nodes] */
    int entered, merged;
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

    struct weir__transfers transfers;
    struct weir__exchange exchange;
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
