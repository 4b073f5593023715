/* SPDX-License-Identifier: MIT
 *
 * drive.h: a call on a real node: its port, its pool, its clock.
 */
#ifndef WEIR_DRIVE_H
#define WEIR_DRIVE_H

#include "pool/mpi/cluster.h"
#include "pool/mpi/exchanger.h"

/* What a block runs: one of the three. */
struct weir__work {
    weir_task_fn function;
    const weir_reduction *reduction;
    struct weir__exchanger *exchanger; /* of a call that exchanges parts, with blocks or without */
    void *arg;
    const weir_job_options *options; /* the caller's; never NULL */
};

/* Makes the call and waits for its end: 0, or its error, with the last error. `work` may be NULL if
 * the spec has no blocks; `result` gets what a reduction gives, and the counts of an exchange. */
int weir__drive(struct weir_cluster *cluster, const struct weir__collective_spec *spec,
                const struct weir__work *work, void *result);

/* Waits as the loop of a call does: spins, then sleeps in steps that grow. */
struct weir__wait {
    int64_t since_ns; /* nothing has happened since; 0: something has */
    int64_t sleep_ns;
};

/* Nothing has happened: waits for what the pool's descriptor `fd` says (-1: none), most_ns at
 * most. */
void weir__wait_more(struct weir__wait *wait, int fd, int64_t most_ns);

#endif
