/* SPDX-License-Identifier: MIT
 *
 * cluster: a sum over all nodes of an MPI job, with one pool of weir on each.
 *
 *   mpicc cluster.c $(pkg-config --cflags --libs weir) -o cluster
 *   mpirun --map-by ppr:1:node --bind-to none ./cluster
 */
#include <mpi.h>
#include <weir.h>

#include <stdio.h>

#define BLOCKS 64      /* of the whole range; fixed, whatever the number of nodes */
#define SIZE   100000L /* items of a block */

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

/* The blocks of this node; those of others stay 0. Returns 0, or -1. */
static int sum_blocks(weir_pool *pool, int rank, int nodes, double *sums)
{
    const weir_reduction sum = {.size = sizeof(double), .fold = add_up, .combine = combine};

    for (int64_t block = rank; block < BLOCKS; block += nodes) {
        const weir_range range = {block * SIZE, (block + 1) * SIZE};

        if (weir_pool_reduce(pool, range, &sum, &sums[block], NULL, NULL) < 0)
            return -1;
    }
    return 0;
}

static int run(weir_scope *scope, int *argc, char ***argv)
{
    double mine[BLOCKS] = {0}, all[BLOCKS], total = 0;
    int rank, nodes;

    weir_pool *pool = weir_pool_new(scope, NULL); /* forks: before MPI_Init() */
    if (pool == NULL)
        return -1;
    MPI_Init(argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &nodes);
    if (rank == 0)
        fprintf(stderr, "%d nodes, %d workers here\n", nodes, weir_pool_workers(pool));
    if (sum_blocks(pool, rank, nodes, mine) < 0) {
        fprintf(stderr, "cluster: rank %d: %s\n", rank, weir_last_error()->message);
        MPI_Abort(MPI_COMM_WORLD, 1); /* the other ranks would wait for this one */
    }
    MPI_Reduce(mine, all, BLOCKS, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        for (int block = 0; block < BLOCKS; block++)
            total += all[block];
        printf("%.17g\n", total);
    }
    weir_pool_free(pool);
    MPI_Finalize();
    return 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    WEIR_SCOPE (scope, &(weir_scope_options){.anonymous = true}) {
        status = run(scope, &argc, &argv);
    }
    if (status < 0)
        fprintf(stderr, "cluster: %s\n", weir_last_error()->message);
    return status < 0;
}
