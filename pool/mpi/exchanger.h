/* SPDX-License-Identifier: MIT
 *
 * exchanger.h: what a node does in a call in which parts are exchanged; drive.c calls it.
 *
 * The first member of a record of the call's own.
 */
#ifndef WEIR_EXCHANGER_H
#define WEIR_EXCHANGER_H

#include "pool/mpi/cluster.h"
#include "pool/mpi/collective.h"

struct weir__exchanger {
    const struct weir__exchanger_functions *functions;
    struct weir_cluster *cluster;
    weir_future *future; /* of a job of this node's pool beside blocks; NULL: none */
    bool future_ended;
};

struct weir__exchanger_functions {
    /* Runs a block's range; NULL: the last error. NULL where there are no blocks. */
    weir_future *(*run)(struct weir__exchanger *exchanger, weir_range range,
                        const weir_job_options *options);
    /* Takes what the block has given: 0, or an error with the last error. */
    int (*take)(struct weir__exchanger *exchanger, struct weir__collective *call, int64_t block,
                weir_future *future);
    /* All that this node sends can be known now: sends it. Called until it has ended, by
     * weir__collective_produced(). 0, or an error with the last error. */
    int (*produce)(struct weir__exchanger *exchanger, struct weir__collective *call);
    /* All that comes has come: uses it. Called until weir__collective_merged(). The same. */
    int (*merge)(struct weir__exchanger *exchanger, struct weir__collective *call);
};

/* Runs a block's range; NULL: the last error. */
weir_future *weir__exchanger_run(struct weir__exchanger *exchanger, weir_range range,
                                 const weir_job_options *options);

/* Does what is due; true if something has happened. */
bool weir__exchanger_step(struct weir__exchanger *exchanger, struct weir__collective *call);

/* Waits for the future in a later call: 0, or the error of weir_future_then(). NULL: the last
 * error. */
int weir__exchanger_wait_for(struct weir__exchanger *exchanger, weir_future *future);

/* Frees the future, if any. */
void weir__exchanger_end(struct weir__exchanger *exchanger);

#endif
