/* SPDX-License-Identifier: MIT
 *
 * sim.h: nodes of a cluster in one process, in virtual time.
 *
 * Each node has the core's records (pool/mpi/collective.h) and makes the same list of calls. What
 * differs from run to run comes from a seed: how long messages and blocks take. Messages between
 * two nodes keep their order.
 */
#ifndef TEST_MPI_SIM_H
#define TEST_MPI_SIM_H

#include "pool/mpi/collective.h"

#define SIM_MS INT64_C(1000000)

struct sim_accumulator {
    double sum;
    uint64_t order; /* a hash: differs if anything is combined otherwise */
};

/* A call of all nodes. */
struct sim_call {
    enum weir__collective_kind kind;
    int64_t length, chunks, grain, block;
    bool stay, keep_going;
    int timeout_ms;
    int from;    /* of a broadcast; of a gathering, who gets it */
    size_t size; /* of a broadcast; of a reduction, 0: one sim_accumulator, else so many bytes */
    int64_t fail_block; /* this block fails, and so do those behind it; 0: none */
    int late_node;      /* makes the call late_ms later; 0: none */
    int64_t late_ms;
    bool damaged;    /* what is broadcast may be, and parts */
    int every;       /* of an exchange: only one part in so many is sent, and small; 0: most are */
    int refuse_part; /* the part that comes as this one, from 1, has no room ... */
    int refuse_node; /* ... on this node; 0: all have */
    int odd_node;    /* makes another call; see odd(); 0: none */
    void (*odd)(struct weir__collective_spec *spec);
};

/* How far a node is in an exchange: it has made the call, sent its parts, got all that come to it,
 * used them. */
enum sim_phase { SIM_ANY_TIME, SIM_MAPS, SIM_EXCHANGES, SIM_MERGES, SIM_HAS_MERGED };

struct sim_config {
    int nodes;
    unsigned seed;
    int64_t block_ns;            /* a block costs so much, ... */
    double ramp;                 /* ... block i of n, (1 + ramp * i / n) times as much, ... */
    double tail;                 /* ... and the last 16th, so many times; 0: as the others */
    int64_t delay_ns, jitter_ns; /* of a message */
    int64_t merge_ns;            /* a node needs so long for the parts that have come */
    int64_t serve_ns;            /* node 0 needs so long for a message that comes */
    double refuse;               /* send() has no memory, that often */
    double corrupt;              /* a bit of a message is another one, that often */
    bool late_messages;          /* messages of earlier calls come again */
    int dead_node;               /* dies, at dead_ns; 0: none */
    int64_t dead_ns;
    int64_t silence_ns;
    struct weir_cluster_error *say_goodbye; /* of leaving_node, which makes no call but the first */
    int leaving_node;
    void (*cancel)(struct weir__collective *call); /* called for node `cancel_node` at cancel_ns */
    int cancel_node;
    int64_t cancel_ns;
    /* Not SIM_ANY_TIME: dead_ns or cancel_ns is counted from where the node comes into this phase
     * of its call phase_call, from 1. */
    enum sim_phase phase;
    int phase_call;
};

struct sim_result {
    int code;
    weir_cluster_error error;
    struct sim_accumulator value;
    bool returned, dead;
    int64_t at_ns;
};

struct sim_outcome {
    struct sim_result *results; /* [nodes] of the latest call, */
    int calls;                  /* which has this number, from 1 */
    int *ran;                   /* how often each of its blocks was run to its end */
    int64_t blocks;
    int64_t begin_ns, end_ns; /* of it: the first begin, the last return */
    double ideal_ns;
    uint64_t messages, bytes;
    int64_t lead_busy_ns;
    size_t most_kept; /* bytes that a node has got for a call that it has not made, at most */
    size_t left;      /* messages that are kept or wait somewhere after the last call */
};

/* Runs the calls; `look` is called after each one. */
void sim_run(const struct sim_config *config, const struct sim_call *calls, int count,
             void (*look)(const struct sim_outcome *outcome, const struct sim_call *call,
                          void *arg),
             void *arg);

/* What the tree of the pool gives for the call. */
struct sim_accumulator sim_expected(const struct sim_call *call, int nodes);

#endif
