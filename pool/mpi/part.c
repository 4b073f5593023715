/* SPDX-License-Identifier: MIT
 *
 * part.c: which part of a range is a node's own.
 */
#include <errno.h>

#include "pool/mpi/cluster.h"
#include "pool/mpi/cut.h"
#include "pool/mpi/last_error.h"

weir_range weir_cluster_part(const weir_cluster *cluster, weir_range range,
                             const weir_job_options *options, const weir_cluster_job *job, int node)
{
    const weir_range none = {range.begin, range.begin};
    struct weir__cut cut;
    int64_t first, end;

    if (weir_cluster_host(cluster, node) == NULL)
        return none;
    if (weir__cut_init(&cut, range, options != NULL ? options->chunks : 0,
                       options != NULL ? options->grain : 0, job != NULL ? job->block : 0,
                       cluster->port->nodes) < 0)
        return none;
    first = weir__cut_region(&cut, node, cluster->port->nodes);
    end = weir__cut_region(&cut, node + 1, cluster->port->nodes);
    if (first == end)
        return none;
    return (weir_range){weir__cut_items_of(&cut, first).begin,
                        weir__cut_items_of(&cut, end - 1).end};
}
