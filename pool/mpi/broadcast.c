/* SPDX-License-Identifier: MIT
 *
 * broadcast.c: calls of all nodes that run no tasks.
 */
#include <stdint.h>

#include "pool/mpi/drive.h"
#include "pool/mpi/request.h"

int weir_cluster_broadcast(weir_cluster *cluster, int from, void *data, size_t size)
{
    struct weir__collective_spec spec = weir__request(WEIR__CLUSTER_BROADCAST);
    int error = weir__cluster_use(cluster);

    if (error < 0)
        return error;
    if (from < 0 || from >= cluster->port->nodes)
        weir__request_refuse(&spec, "from is %d; there are %d nodes", from, cluster->port->nodes);
    if (data == NULL && size > 0)
        weir__request_refuse(&spec, "data is NULL, but size is %zu", size);
    if (size > PTRDIFF_MAX)
        weir__request_refuse(&spec, "size is %zu; it can be up to %td", size, PTRDIFF_MAX);
    spec.from = from;
    spec.data = data;
    spec.size = size;
    spec.print.value[WEIR__PRINT_FROM] = from;
    spec.print.value[WEIR__PRINT_SIZE] = (int64_t)size;
    return weir__drive(cluster, &spec, NULL, NULL);
}

int weir_cluster_barrier(weir_cluster *cluster)
{
    struct weir__collective_spec spec = weir__request(WEIR__CLUSTER_BARRIER);
    int error = weir__cluster_use(cluster);

    return error < 0 ? error : weir__drive(cluster, &spec, NULL, NULL);
}
