/* SPDX-License-Identifier: MIT
 *
 * cluster_table.h: a table whose keys are spread over the nodes.
 */
#ifndef WEIR_CLUSTER_TABLE_H
#define WEIR_CLUSTER_TABLE_H

#include "pool/mpi/cluster.h"

struct weir_cluster_table {
    struct weir__owned owned;
    weir_cluster *cluster;
    int64_t number;      /* of the call that has made it: the same on all nodes */
    unsigned group_bits; /* each group of this node's is a partition of ... */
    weir_table *local;
    struct weir__counts counts[]; /* of each node */
};

/* What frees a table's record with its cluster. */
void weir__cluster_table_release(struct weir__owned *owned);

/* The bytes of a table's partitions that are used. */
uint64_t weir__cluster_table_bytes(const weir_table *table);

#endif
