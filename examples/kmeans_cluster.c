/* SPDX-License-Identifier: MIT
 *
 * kmeans_cluster: finds the centres of CLUSTERS clouds of points that are spread over a cluster's
 * nodes.
 *
 * As kmeans.c on one machine, with these differences: the program begins a cluster in place of a
 * scope and a pool; each node has its own part of the points in its memory, so the job has the
 * option `stay`; and a round is a weir_cluster_reduce(). Its result has the same bits on every
 * node, so each node moves its own copy of the centres in the same way, and all of them end after
 * the same round. It prints what kmeans.c prints, to the last bit.
 *
 *   cc kmeans_cluster.c $(pkg-config --cflags --libs weir-mpi) -o kmeans_cluster
 *   mpirun --map-by ppr:1:node ./kmeans_cluster [COUNT]
 *
 * Node 0 prints the number of rounds, and the centres.
 */
#include <weir-mpi.h>
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CLUSTERS   8
#define CHUNKS     4096 /* for many workers */
#define ROUNDS_MAX 100

struct point {
    double x, y;
};

/* What the workers of a node share: its part of the points, and the centres. It is copied to
 * them. */
struct job {
    struct point *points;
    int8_t *nearest;       /* a centre for each point */
    int64_t first;         /* the number of the first one */
    struct point *centres; /* CLUSTERS */
};

struct sums {
    struct point sum[CLUSTERS];
    int64_t count[CLUSTERS];
    int64_t moved; /* points that have another centre than in the round before */
};

/* 0 to 1, and looks random. */
static double random_of(uint64_t number)
{
    number = (number + 1) * 0x9e3779b97f4a7c15;
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
    number = (number ^ number >> 27) * 0x94d049bb133111eb;
    return (double)(number >> 11) / 0x1p53;
}

/* Stands for reading the data: squares of side 10 around (0, 0), (10, 10), (20, 0), ... */
static struct point read_point(int64_t i)
{
    int64_t cloud = i % CLUSTERS;

    return (struct point){(double)(cloud * 10) + 10 * random_of(2 * (uint64_t)i) - 5,
                          (double)(cloud % 2 * 10) + 10 * random_of(2 * (uint64_t)i + 1) - 5};
}

static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct job *job = arg;

    (void)task;
    WEIR_EACH (i, range) {
        job->points[i - job->first] = read_point(i);
        job->nearest[i - job->first] = -1;
    }
    return 0;
}

static int find_nearest(const struct point *point, const struct point *centres)
{
    double best = 0;
    int nearest = -1;

    for (int c = 0; c < CLUSTERS; c++) {
        double dx = point->x - centres[c].x, dy = point->y - centres[c].y;
        double distance = dx * dx + dy * dy;

        if (nearest < 0 || distance < best) {
            best = distance;
            nearest = c;
        }
    }
    return nearest;
}

static int assign(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const struct job *job = arg;
    struct sums *sums = accumulator;

    (void)task;
    WEIR_EACH (i, range) {
        const struct point *point = &job->points[i - job->first];
        int8_t *nearest = &job->nearest[i - job->first];
        int c = find_nearest(point, job->centres);

        sums->sum[c].x += point->x;
        sums->sum[c].y += point->y;
        sums->count[c]++;
        sums->moved += *nearest != c;
        *nearest = (int8_t)c;
    }
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    struct sums *a = into;
    const struct sums *b = from;

    (void)arg;
    for (int c = 0; c < CLUSTERS; c++) {
        a->sum[c].x += b->sum[c].x;
        a->sum[c].y += b->sum[c].y;
        a->count[c] += b->count[c];
    }
    a->moved += b->moved;
}

static const weir_cluster_job stay = {.stay = true};

/* Returns the number of rounds, or -1 with the last error set. */
static int iterate(weir_cluster *cluster, struct job *job, int64_t count)
{
    const weir_reduction step = {.size = sizeof(struct sums), .fold = assign, .combine = combine};
    /* A chunk that was killed has written some of `nearest`, so it must not be run again. */
    const weir_job_options options = {
        .chunks = CHUNKS, .arg_size = sizeof(*job), .retries = WEIR_RETRIES_NONE};
    const weir_range all = weir_range_of(count);
    struct sums sums;

    for (int c = 0; c < CLUSTERS; c++)
        job->centres[c] = read_point(c); /* one of each cloud, as it happens */
    for (int round = 1; round <= ROUNDS_MAX; round++) {
        if (weir_cluster_reduce(cluster, all, &step, &sums, job, &options, &stay) < 0)
            return -1;
        if (sums.moved == 0)
            return round;
        for (int c = 0; c < CLUSTERS; c++) {
            if (sums.count[c] > 0)
                job->centres[c] = (struct point){sums.sum[c].x / (double)sums.count[c],
                                                 sums.sum[c].y / (double)sums.count[c]};
        }
    }
    return ROUNDS_MAX;
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_cluster *cluster, int64_t count)
{
    const weir_job_options options = {.chunks = CHUNKS, .arg_size = sizeof(struct job)};
    const int node = weir_cluster_node(cluster);
    weir_scope *scope = weir_cluster_scope(cluster);
    weir_range part = weir_cluster_part(cluster, weir_range_of(count), &options, &stay, node);
    size_t length = (size_t)(part.end - part.begin) + 1; /* a block cannot be empty */
    struct job job;
    int rounds;

    weir_shm *points = weir_scope_shm(scope, length * sizeof(struct point));
    if (points == NULL)
        return 1;
    weir_shm *nearest = weir_scope_shm(scope, length);
    if (nearest == NULL)
        return 1;
    weir_shm *centres = weir_scope_shm(scope, CLUSTERS * sizeof(struct point));
    if (centres == NULL)
        return 1;

    job = (struct job){weir_shm_buf(points), weir_shm_buf(nearest), part.begin,
                       weir_shm_buf(centres)};
    if (weir_pool_for(weir_cluster_pool(cluster), part, fill, &job, &options) < 0)
        return 1;
    rounds = iterate(cluster, &job, count);
    if (rounds < 0)
        return 1;
    if (node != 0)
        return 0;
    printf("%d rounds\n", rounds);
    for (int c = 0; c < CLUSTERS; c++)
        printf("%.17g %.17g\n", job.centres[c].x, job.centres[c].y);
    return 0;
}

/* A decimal number from min to max, or -1. */
static int64_t parse(const char *text, int64_t min, int64_t max)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    return *end || number < min || number > max ? -1 : number;
}

int main(int argc, char **argv)
{
    int64_t count = argc > 1 ? parse(argv[1], CLUSTERS, INT64_C(1) << 36) : 1000000;
    int status = 1;

    if (count < 0 || argc > 2) {
        fprintf(stderr, "usage: kmeans_cluster [COUNT (%d to 2^36)]\n", CLUSTERS);
        return 2;
    }
    WEIR_CLUSTER (cluster, NULL) {
        status = run(cluster, count);
    }
    if (status != 0)
        fprintf(stderr, "kmeans_cluster: %s\n", weir_last_error()->message);
    return status;
}
