/* SPDX-License-Identifier: MIT
 *
 * cluster: a sum over all nodes of a cluster.
 *
 *   cc cluster.c $(pkg-config --cflags --libs weir-mpi) -o cluster
 *   mpirun --map-by ppr:1:node ./cluster
 */
#include <weir-mpi.h>
#include <weir.h>

#include <stdio.h>

static int add_up(weir_task *task, weir_range range, void *sum, void *arg)
{
    (void)task;
    (void)arg;
    WEIR_EACH (i, range)
        *(double *)sum += 1.0 / (double)((i + 1) * (i + 1));
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

/* Returns 0, or -1 with the last error set. */
static int run(weir_cluster *cluster)
{
    const weir_reduction sum = {.size = sizeof(double), .fold = add_up, .combine = combine};
    double total;

    if (weir_cluster_reduce(cluster, weir_range_of(6400000), &sum, &total, NULL, NULL, NULL) < 0)
        return -1;
    if (weir_cluster_node(cluster) == 0)
        printf("%d nodes, %d workers here\n%.17g\n", weir_cluster_nodes(cluster),
               weir_pool_workers(weir_cluster_pool(cluster)), total);
    return 0;
}

int main(void)
{
    int status = -1;

    WEIR_CLUSTER (cluster, NULL) {
        status = run(cluster);
    }
    if (status < 0)
        fprintf(stderr, "cluster: %s\n", weir_last_error()->message);
    return status < 0;
}
