/* SPDX-License-Identifier: MIT
 *
 * collective.h: a call that all nodes make together, on one of them.
 *
 * The record and its functions read no clock, wait for nothing and start nothing: time comes with
 * each call, messages go out by link and port, and blocks are run by the one that asks for them. So a
 * thousand of them run in one process (tests/mpi), and a real node is driven by drive.c.
 *
 *                       node 0                                   another node
 *   weir__..._begin()   makes the shares; `entered` = itself     HELLO
 *   a HELLO comes       compares, GIVEs; or STOPs all            -
 *   blocks              take, run, done; REPORT, GIVE            the same
 *   all are done        SPREADs WEIR__OWNERS (a reduction)       passes it on
 *                       sends SUBTREEs, combines                 the same
 *   root is made        (the node of block 0) SPREADs WEIR__RESULT, which ends the call everywhere
 *
 * Without a reduction node 0 SPREADs the result, of no bytes; a broadcast's result is SPREAD by
 * the node that has it. A failure is told to node 0 (FAILED), which STOPs all with the first one
 * that it learns of. From `decided` on it does so only if a node cannot go on: deadlines and
 * cancels come too late then.
 */
#ifndef WEIR_COLLECTIVE_H
#define WEIR_COLLECTIVE_H

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

/* Begins the call `link->call + 1`. The spec must stay until the end. */
void weir__collective_begin(struct weir__collective *call, struct weir__link *link,
                            const struct weir__collective_spec *spec, int64_t now_ns);

/* Gives it a message, of whatever call. */
void weir__collective_receive(struct weir__collective *call,
                              const struct weir__port_message *message, int64_t now_ns);

/* Lets it do what is due: to be called at least some times in a second. */
void weir__collective_tick(struct weir__collective *call, int64_t now_ns);

/* The next block to run; -1: none now. It is to be given back by one of the next two. */
int64_t weir__collective_take_block(struct weir__collective *call);

/* True if the next block is there already. */
bool weir__collective_has_block(const struct weir__collective *call);

/* A block is done: of a reduction, with its accumulator. */
void weir__collective_block_done(struct weir__collective *call, int64_t block,
                                 const void *accumulator);

/* A block has failed. After the call's end it may be given back by either. */
void weir__collective_block_failed(struct weir__collective *call, int64_t block,
                                   const weir_error *error);

/* This node can do its part no longer, or does not want to (-ECANCELED). */
void weir__collective_fail(struct weir__collective *call, const weir_error *error);

/* True if it has ended and all is sent: the caller still waits for blocks that run. */
bool weir__collective_is_over(const struct weir__collective *call);

/* Over all nodes, on node 0. */
uint64_t weir__collective_items_done(const struct weir__collective *call);

void weir__collective_free(struct weir__collective *call);

#endif
