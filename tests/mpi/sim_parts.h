/* SPDX-License-Identifier: MIT
 *
 * sim_parts.h: what simulated nodes send each other in an exchange, and what comes.
 *
 * How large a part is, what it has, and how it is cut into front and data come from a hash of the
 * call, the part and the node that gets it, so that any node knows what it must get.
 */
#ifndef TEST_MPI_SIM_PARTS_H
#define TEST_MPI_SIM_PARTS_H

#include "sim.h"

struct sim_part;

/* Of a node, in a call. */
struct sim_parts {
    const struct sim_call *call;
    int number, node, nodes; /* number: of the call */
    int64_t count;
    struct sim_part *parts; /* [count] */
    void **sent;            /* data that stays until the end of the call */
    size_t sent_count, sent_room;
    int landed;   /* so many parts have come, or have begun to come */
    bool refused; /* one of them */
    bool merging, merged;
};

void sim_parts_begin(struct sim_parts *parts, const struct sim_call *call, int number, int node,
                     int nodes, int64_t count);
void sim_parts_end(struct sim_parts *parts);

/* A block has been run; some of what comes of it is sent at once, the rest by the next one. */
void sim_parts_of_block(struct sim_parts *parts, struct weir__collective *call, int64_t block);

/* All that has not been sent, before weir__collective_produced(). */
void sim_parts_rest(struct sim_parts *parts, struct weir__collective *call);

/* As weir__collective_spec.land; `owner` is a struct sim_parts. */
unsigned char *sim_parts_land(void *owner, int64_t part, uint64_t size);

/* All is there that must have come, and nothing else. ran: how often each block was run; NULL: the
 * call has no blocks. */
void sim_parts_check(const struct sim_parts *parts, const int *ran);

/* What a node says when it has used what came. */
struct weir__counts sim_parts_counts(int number, int node);

static inline bool sim_exchanges(enum weir__collective_kind kind)
{
    return kind == WEIR__CLUSTER_MAP_REDUCE || kind == WEIR__CLUSTER_SORTED ||
           kind == WEIR__CLUSTER_GATHER;
}

#endif
