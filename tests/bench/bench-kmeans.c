/* SPDX-License-Identifier: MIT
 *
 * bench-kmeans.c: the centres of CLUSTERS clouds of points, after some steps.
 *
 * Each step assigns every point to the nearest centre and adds up the points of each. weir does it
 * by a reduction over one pool, with the centres in a block that the host writes between the steps;
 * OpenMP by a parallel loop with sums of each thread. Both use the same loop over the same memory.
 * Sums are added up in another order, so results may differ in their last bits.
 */
#include "kernel.h"

#include <string.h>

#define CHUNKS   64
#define CLUSTERS 16
#define AXES     8
#define STEPS    4

struct point {
    double at[AXES];
};

struct centres {
    struct point point[CLUSTERS];
};

struct sums {
    struct point sum[CLUSTERS];
    int64_t count[CLUSTERS];
};

struct points {
    struct point *data;
    int8_t *nearest; /* a centre for each */
    struct centres *centres;
    int64_t count;
    uint64_t seed;
};

static struct points points;
static struct centres weir_found, openmp_found;

static int find_nearest(const struct point *point, const struct centres *centres)
{
    double best = 0;
    int nearest = -1;

    for (int c = 0; c < CLUSTERS; c++) {
        double distance = 0;

        for (int k = 0; k < AXES; k++) {
            const double d = point->at[k] - centres->point[c].at[k];

            distance += d * d;
        }
        if (nearest < 0 || distance < best) {
            best = distance;
            nearest = c;
        }
    }
    return nearest;
}

SHARED_LOOP void assign(const struct points *all, int64_t begin, int64_t end,
                        struct sums *restrict sums)
{
    const struct point *restrict data = all->data;
    const struct centres centres = *all->centres;
    int8_t *restrict nearest = all->nearest;

    for (int64_t i = begin; i < end; i++) {
        const int c = find_nearest(&data[i], &centres);

        for (int k = 0; k < AXES; k++)
            sums->sum[c].at[k] += data[i].at[k];
        sums->count[c]++;
        nearest[i] = (int8_t)c;
    }
}

static void add_sums(struct sums *into, const struct sums *from)
{
    for (int c = 0; c < CLUSTERS; c++) {
        for (int k = 0; k < AXES; k++)
            into->sum[c].at[k] += from->sum[c].at[k];
        into->count[c] += from->count[c];
    }
}

static void begin_steps(void)
{
    for (int c = 0; c < CLUSTERS; c++)
        points.centres->point[c] = points.data[points.count / CLUSTERS * c];
}

static void move_centres(const struct sums *sums)
{
    for (int c = 0; c < CLUSTERS; c++) {
        for (int k = 0; k < AXES && sums->count[c] > 0; k++)
            points.centres->point[c].at[k] = sums->sum[c].at[k] / (double)sums->count[c];
    }
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)task;
    assign(arg, range.begin, range.end, accumulator);
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    add_sums(into, from);
}

static void by_weir(const struct bench *bench)
{
    const weir_reduction step = {.size = sizeof(struct sums), .fold = fold, .combine = combine};
    struct sums sums;

    begin_steps();
    for (int i = 0; i < STEPS; i++) {
        must(weir_pool_reduce(bench->pool, (weir_range){0, points.count}, &step, &sums, &points,
                              &(weir_job_options){.arg_size = sizeof points}) == 0,
             "weir_pool_reduce");
        move_centres(&sums);
    }
    weir_found = *points.centres;
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

static void by_openmp(const struct bench *bench)
{
    const struct points all = points;

    begin_steps();
    for (int step = 0; step < STEPS; step++) {
        struct sums sums = {0};

#pragma omp parallel num_threads(bench->workers)
        {
            struct sums mine = {0};

#pragma omp for schedule(dynamic, 1) nowait
            for (int i = 0; i < CHUNKS; i++)
                assign(&all, all.count * i / CHUNKS, all.count * (i + 1) / CHUNKS, &mine);
#pragma omp critical
            add_sums(&sums, &mine);
        }
        move_centres(&sums);
    }
    openmp_found = *points.centres;
}

/* ---- both ----------------------------------------------------------------------------------- */

/* Cubes around CLUSTERS places, which overlap a little. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct points *all = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++) {
        const uint64_t cloud = random_of(all->seed, (uint64_t)i) % CLUSTERS;

        for (int k = 0; k < AXES; k++)
            all->data[i].at[k] = 2 * random_real(all->seed + 1, cloud * AXES + (uint64_t)k) +
                                 random_real(all->seed + 2, (uint64_t)i * AXES + (uint64_t)k);
    }
    return 0;
}

static void prepare(const struct bench *bench)
{
    const int64_t count = bench->bytes / (int64_t)sizeof(struct point);
    weir_shm *data = weir_scope_shm(bench->scope, (size_t)count * sizeof(struct point));
    weir_shm *nearest = weir_scope_shm(bench->scope, (size_t)count);

    must(data != NULL && nearest != NULL, "weir_scope_shm");
    points =
        (struct points){weir_shm_buf(data), weir_shm_buf(nearest),
                        weir_scope_alloc(bench->scope, sizeof(struct centres)), count, bench->seed};
    must(points.centres != NULL, "weir_scope_alloc");
    must(weir_pool_for(bench->pool, (weir_range){0, count}, fill, &points,
                       &(weir_job_options){.arg_size = sizeof points}) == 0,
         "weir_pool_for");
}

static double difference(void)
{
    double most = 0;

    for (int c = 0; c < CLUSTERS; c++) {
        for (int k = 0; k < AXES; k++) {
            const double one =
                relative_difference(weir_found.point[c].at[k], openmp_found.point[c].at[k]);

            most = one > most ? one : most;
        }
    }
    return most;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "kmeans",
        .target = 1.05,
        .bound = 1e-9,
        .mib = 256,
        .rounds = 7,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
