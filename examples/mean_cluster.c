/* SPDX-License-Identifier: MIT
 *
 * mean_cluster: mean and variance of an array of doubles that is spread over a cluster's nodes.
 *
 * As mean.c on one machine, with these differences: the program begins a cluster in place of a
 * scope and a pool; each node has its own part of the values in its memory, so the job has the
 * option `stay`; and the moments are combined by weir_cluster_reduce(), whose result has the same
 * bits on every node, for any number of nodes and workers.
 *
 *   cc mean_cluster.c $(pkg-config --cflags --libs weir-mpi) -o mean_cluster
 *   mpirun --map-by ppr:1:node ./mean_cluster [COUNT]
 *
 * Node 0 prints the count, the mean and the variance of 0, 1, ..., COUNT - 1.
 */
#include <weir-mpi.h>
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNKS 4096

/* The moments of some of the values. */
struct moments {
    double count;
    double mean;
    double squares; /* sum of the squared deviations from the mean */
};

/* What the workers of a node share: its part of the values. It is copied to them. */
struct job {
    double *values;
    int64_t first; /* the number of the first one */
};

/* Stands for reading the data: 0, 1, 2, ..., whose moments are known. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct job *job = arg;

    (void)task;
    WEIR_EACH (i, range)
        job->values[i - job->first] = (double)i;
    return 0;
}

static int measure(weir_task *task, weir_range range, void *moments, void *arg)
{
    const struct job *job = arg;
    struct moments *m = moments;

    (void)task;
    WEIR_EACH (i, range) {
        double value = job->values[i - job->first];
        double delta = value - m->mean;

        m->count += 1;
        m->mean += delta / m->count;
        m->squares += delta * (value - m->mean);
    }
    return 0;
}

static void add_moments(void *into, const void *from, void *arg)
{
    struct moments *m = into;
    const struct moments *other = from;
    double count = m->count + other->count;
    double delta = other->mean - m->mean;

    (void)arg;
    if (other->count == 0)
        return;
    m->mean += delta * other->count / count;
    m->squares += other->squares + delta * delta * m->count * other->count / count;
    m->count = count;
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_cluster *cluster, int64_t count)
{
    const weir_job_options options = {.chunks = CHUNKS, .arg_size = sizeof(struct job)};
    const weir_cluster_job stay = {.stay = true};
    const weir_reduction reduction = {
        .size = sizeof(struct moments), .fold = measure, .combine = add_moments};
    const weir_range all = weir_range_of(count);
    struct moments total;
    struct job job;

    int node = weir_cluster_node(cluster);
    weir_range part = weir_cluster_part(cluster, all, &options, &stay, node);
    job.first = part.begin;
    job.values = weir_scope_doubles(weir_cluster_scope(cluster), (size_t)(part.end - part.begin));
    if (job.values == NULL)
        return 1;

    if (weir_pool_for(weir_cluster_pool(cluster), part, fill, &job, &options) < 0 ||
        weir_cluster_reduce(cluster, all, &reduction, &total, &job, &options, &stay) < 0)
        return 1;
    if (node != 0)
        return 0;
    printf("count    %" PRId64 "\n", count);
    printf("mean     %.17g\n", total.mean);
    printf("variance %.17g\n", total.squares / total.count);
    return 0;
}

/* A decimal number from 1 to max, or -1. */
static int64_t parse(const char *text, int64_t max)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    return *end || number < 1 || number > max ? -1 : number;
}

int main(int argc, char **argv)
{
    int64_t count = argc > 1 ? parse(argv[1], INT64_C(1) << 40) : 4000000;
    int status = 1;

    if (count < 0 || argc > 2) {
        fprintf(stderr, "usage: mean_cluster [COUNT (1 to 2^40)]\n");
        return 2;
    }
    WEIR_CLUSTER (cluster, NULL) {
        status = run(cluster, count);
    }
    if (status != 0)
        fprintf(stderr, "mean_cluster: %s\n", weir_last_error()->message);
    return status;
}
