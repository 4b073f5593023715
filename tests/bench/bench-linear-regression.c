/* SPDX-License-Identifier: MIT
 *
 * bench-linear-regression.c: the line that fits the points of two large arrays best.
 *
 * weir reduces over the arrays of the scope; OpenMP adds up by its reduction clause. Both use the
 * same loop over the same memory. Sums are added up in another order, so results may differ in
 * their last bits.
 */
#include "kernel.h"

#include <stdio.h>

#define CHUNKS 64
#define LANES  4 /* sums of each kind, so that no addition waits for the one before it */

struct sums {
    double x, y, xx, xy, yy;
};

struct points {
    double *x, *y;
    int64_t count;
    uint64_t seed;
};

struct line {
    double slope, intercept;
};

static struct points points;
static struct line weir_found, openmp_found;

static void add_sums(struct sums *into, const struct sums *from)
{
    into->x += from->x;
    into->y += from->y;
    into->xx += from->xx;
    into->xy += from->xy;
    into->yy += from->yy;
}

SHARED_LOOP struct sums sum_points(const double *x, const double *y, int64_t begin, int64_t end)
{
    struct sums lanes[LANES] = {0}, sum = {0};
    int64_t i = begin;

    for (; i + LANES <= end; i += LANES) {
        for (int k = 0; k < LANES; k++) {
            const double a = x[i + k], b = y[i + k];

            lanes[k].x += a;
            lanes[k].y += b;
            lanes[k].xx += a * a;
            lanes[k].xy += a * b;
            lanes[k].yy += b * b;
        }
    }
    for (; i < end; i++)
        add_sums(&sum, &(struct sums){x[i], y[i], x[i] * x[i], x[i] * y[i], y[i] * y[i]});
    for (int k = 0; k < LANES; k++)
        add_sums(&sum, &lanes[k]);
    return sum;
}

static struct line fit(const struct sums *sum, int64_t count)
{
    const double n = (double)count;
    const double slope = (n * sum->xy - sum->x * sum->y) / (n * sum->xx - sum->x * sum->x);

    return (struct line){slope, (sum->y - slope * sum->x) / n};
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const struct points *all = arg;

    (void)task;
    *(struct sums *)accumulator = sum_points(all->x, all->y, range.begin, range.end);
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    add_sums(into, from);
}

static void by_weir(const struct bench *bench)
{
    const weir_reduction summing = {.size = sizeof(struct sums), .fold = fold, .combine = combine};
    struct sums sum;

    must(weir_pool_reduce(bench->pool, (weir_range){0, points.count}, &summing, &sum, &points,
                          &(weir_job_options){.arg_size = sizeof points}) == 0,
         "weir_pool_reduce");
    weir_found = fit(&sum, points.count);
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

static void by_openmp(const struct bench *bench)
{
    const struct points all = points;
    struct sums sum = {0};

#pragma omp declare reduction(add : struct sums : add_sums(&omp_out, &omp_in))
#pragma omp parallel for num_threads(bench->workers) schedule(dynamic, 1) reduction(add : sum)
    for (int i = 0; i < CHUNKS; i++) {
        struct sums part =
            sum_points(all.x, all.y, all.count * i / CHUNKS, all.count * (i + 1) / CHUNKS);

        add_sums(&sum, &part);
    }
    openmp_found = fit(&sum, all.count);
}

/* ---- both ----------------------------------------------------------------------------------- */

/* y = 3 - x / 2, and noise from -1 to 1. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct points *all = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++) {
        all->x[i] = 100 * random_real(all->seed, 2 * (uint64_t)i);
        all->y[i] = 3 - all->x[i] / 2 + 2 * random_real(all->seed, 2 * (uint64_t)i + 1) - 1;
    }
    return 0;
}

static void prepare(const struct bench *bench)
{
    const int64_t count = bench->bytes / (int64_t)(2 * sizeof(double));
    weir_array *x = weir_scope_array(bench->scope, WEIR_FLOAT64, 1, &count, 0);
    weir_array *y = weir_scope_array(bench->scope, WEIR_FLOAT64, 1, &count, 0);

    must(x != NULL && y != NULL, "weir_scope_array");
    points = (struct points){weir_array_data(x), weir_array_data(y), count, bench->seed};
    must(weir_pool_for(bench->pool, (weir_range){0, count}, fill, &points,
                       &(weir_job_options){.arg_size = sizeof points}) == 0,
         "weir_pool_for");
}

static double difference(void)
{
    const double slope = relative_difference(weir_found.slope, openmp_found.slope);
    const double intercept = relative_difference(weir_found.intercept, openmp_found.intercept);

    return slope > intercept ? slope : intercept;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "linear_regression",
        .target = 1.05,
        .bound = 1e-9,
        .mib = 400,
        .rounds = 21,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
