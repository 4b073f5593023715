/* SPDX-License-Identifier: MIT
 *
 * kmeans: finds the centres of CLUSTERS clouds of points, iterating over one pool.
 *
 * Each round is a reduce: workers assign points to the nearest centre and add them up, the host
 * moves the centres. The centres lie in a block of the scope that the host writes between rounds
 * and the workers read in them. Points and assignments stay where they are. It ends when no point
 * changes its centre; the result has the same bits for any number of workers.
 *
 *   cc kmeans.c $(pkg-config --cflags --libs weir) -o kmeans && ./kmeans [COUNT [WORKERS]]
 *
 * Prints the number of rounds, and the centres.
 */
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

/* What the workers share. It is copied to them; the pointers are good everywhere. */
struct job {
    struct point *points;
    int8_t *nearest;       /* a centre for each point */
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
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct job *job = arg;

    (void)task;
    WEIR_EACH (i, range) {
        int64_t cloud = i % CLUSTERS;

        job->points[i].x = (double)(cloud * 10) + 10 * random_of(2 * (uint64_t)i) - 5;
        job->points[i].y = (double)(cloud % 2 * 10) + 10 * random_of(2 * (uint64_t)i + 1) - 5;
        job->nearest[i] = -1;
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
        int c = find_nearest(&job->points[i], job->centres);

        sums->sum[c].x += job->points[i].x;
        sums->sum[c].y += job->points[i].y;
        sums->count[c]++;
        sums->moved += job->nearest[i] != c;
        job->nearest[i] = (int8_t)c;
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

/* Returns the number of rounds, or -1 with the last error set. */
static int iterate(weir_pool *pool, struct job *job, int64_t count)
{
    const weir_reduction step = {.size = sizeof(struct sums), .fold = assign, .combine = combine};
    /* A chunk that was killed has written some of `nearest`, so it must not be run again. */
    const weir_job_options options = {
        .chunks = CHUNKS, .arg_size = sizeof(*job), .retries = WEIR_RETRIES_NONE};
    const weir_range all = weir_range_of(count);
    struct sums sums;

    for (int c = 0; c < CLUSTERS; c++)
        job->centres[c] = job->points[c]; /* one of each cloud, as it happens */
    for (int round = 1; round <= ROUNDS_MAX; round++) {
        if (weir_pool_reduce(pool, all, &step, &sums, job, &options) < 0)
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
static int run(weir_scope *scope, int64_t count, int workers)
{
    const weir_job_options options = {.arg_size = sizeof(struct job)};
    struct job job;
    int rounds;

    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    if (pool == NULL)
        return 1;
    weir_shm *points = weir_scope_shm(scope, (size_t)count * sizeof(struct point));
    if (points == NULL)
        return 1;
    weir_shm *nearest = weir_scope_shm(scope, (size_t)count);
    if (nearest == NULL)
        return 1;
    weir_shm *centres = weir_scope_shm(scope, CLUSTERS * sizeof(struct point));
    if (centres == NULL)
        return 1;

    job = (struct job){weir_shm_buf(points), weir_shm_buf(nearest), weir_shm_buf(centres)};
    if (weir_pool_for(pool, weir_range_of(count), fill, &job, &options) < 0)
        return 1;
    rounds = iterate(pool, &job, count);
    if (rounds < 0)
        return 1;
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
    int64_t workers = argc > 2 ? parse(argv[2], 1, WEIR_WORKERS_MAX) : weir_cpu_count();
    int status = 1;

    if (count < 0 || workers < 0 || argc > 3) {
        fprintf(stderr, "usage: kmeans [COUNT (%d to 2^36) [WORKERS (1 to %d)]]\n", CLUSTERS,
                WEIR_WORKERS_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, count, (int)workers);
    }
    if (status != 0)
        fprintf(stderr, "kmeans: %s\n", weir_last_error()->message);
    return status;
}
