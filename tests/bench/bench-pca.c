/* SPDX-License-Identifier: MIT
 *
 * bench-pca.c: principal component analysis: in which direction many points of AXES coordinates
 * spread most.
 *
 * Two passes over the points, the means and the covariances, each a reduction with weir and a
 * parallel loop with OpenMP, over the same memory; both use the same loops. The direction is then
 * found by the power method from a small matrix. Sums are added up in another order, so results may
 * differ in their last bits.
 */
#include "kernel.h"

#include <math.h>

#define CHUNKS 64
#define AXES   32
#define STEPS  200 /* of the power method */

struct row {
    double at[AXES];
};

struct matrix {
    struct row row[AXES]; /* only at and above the diagonal */
};

struct points {
    struct row *data;
    int64_t count;
    uint64_t seed;
    struct row mean;
};

struct found {
    struct matrix covariance;
    struct row direction;
    double variance; /* in that direction */
};

static struct points points;
static struct found weir_found, openmp_found;

SHARED_LOOP void sum_rows(const struct points *restrict all, int64_t begin, int64_t end,
                          struct row *restrict sum)
{
    for (int64_t i = begin; i < end; i++)
        for (int k = 0; k < AXES; k++)
            sum->at[k] += all->data[i].at[k];
}

SHARED_LOOP void sum_products(const struct points *restrict all, int64_t begin, int64_t end,
                              struct matrix *restrict sum)
{
    for (int64_t i = begin; i < end; i++) {
        struct row d;

        for (int k = 0; k < AXES; k++)
            d.at[k] = all->data[i].at[k] - all->mean.at[k];
        for (int j = 0; j < AXES; j++)
            for (int k = j & ~1; k < AXES; k++) /* by pairs, as vectors go */
                sum->row[j].at[k] += d.at[j] * d.at[k];
    }
}

static void add_row(struct row *into, const struct row *from)
{
    for (int k = 0; k < AXES; k++)
        into->at[k] += from->at[k];
}

static void add_matrix(struct matrix *into, const struct matrix *from)
{
    for (int j = 0; j < AXES; j++)
        add_row(&into->row[j], &from->row[j]);
}

static void find_mean(struct points *all, const struct row *sum)
{
    for (int k = 0; k < AXES; k++)
        all->mean.at[k] = sum->at[k] / (double)all->count;
}

static void find_direction(const struct points *all, const struct matrix *sum, struct found *found)
{
    struct row v = {{1}};

    found->covariance = *sum;
    for (int j = 0; j < AXES; j++)
        for (int k = j; k < AXES; k++)
            found->covariance.row[j].at[k] = found->covariance.row[k].at[j] =
                sum->row[j].at[k] / (double)(all->count - 1);
    for (int step = 0; step < STEPS; step++) {
        struct row next = {{0}};
        double length = 0;

        for (int j = 0; j < AXES; j++) {
            for (int k = 0; k < AXES; k++)
                next.at[j] += found->covariance.row[j].at[k] * v.at[k];
            length += next.at[j] * next.at[j];
        }
        found->variance = sqrt(length);
        for (int j = 0; j < AXES; j++)
            v.at[j] = next.at[j] / found->variance;
    }
    found->direction = v;
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int fold_rows(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)task;
    sum_rows(arg, range.begin, range.end, accumulator);
    return 0;
}

static void combine_rows(void *into, const void *from, void *arg)
{
    (void)arg;
    add_row(into, from);
}

static int fold_products(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)task;
    sum_products(arg, range.begin, range.end, accumulator);
    return 0;
}

static void combine_products(void *into, const void *from, void *arg)
{
    (void)arg;
    add_matrix(into, from);
}

static void by_weir(const struct bench *bench)
{
    const weir_reduction rows = {
        .size = sizeof(struct row), .fold = fold_rows, .combine = combine_rows};
    const weir_reduction products = {
        .size = sizeof(struct matrix), .fold = fold_products, .combine = combine_products};
    const weir_job_options options = {.arg_size = sizeof points};
    const weir_range all = {0, points.count};
    struct points mine = points;
    struct matrix product;
    struct row sum;

    must(weir_pool_reduce(bench->pool, all, &rows, &sum, &mine, &options) == 0, "the means");
    find_mean(&mine, &sum);
    must(weir_pool_reduce(bench->pool, all, &products, &product, &mine, &options) == 0,
         "the covariances");
    find_direction(&mine, &product, &weir_found);
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

static void by_openmp(const struct bench *bench)
{
    struct points all = points;
    struct matrix product = {0};
    struct row sum = {0};

#pragma omp parallel num_threads(bench->workers)
    {
        struct row mine = {0};

#pragma omp for schedule(dynamic, 1) nowait
        for (int i = 0; i < CHUNKS; i++)
            sum_rows(&all, all.count * i / CHUNKS, all.count * (i + 1) / CHUNKS, &mine);
#pragma omp critical
        add_row(&sum, &mine);
    }
    find_mean(&all, &sum);
#pragma omp parallel num_threads(bench->workers)
    {
        struct matrix mine = {0};

#pragma omp for schedule(dynamic, 1) nowait
        for (int i = 0; i < CHUNKS; i++)
            sum_products(&all, all.count * i / CHUNKS, all.count * (i + 1) / CHUNKS, &mine);
#pragma omp critical
        add_matrix(&product, &mine);
    }
    find_direction(&all, &product, &openmp_found);
}

/* ---- both ----------------------------------------------------------------------------------- */

/* A line in AXES dimensions, with noise. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct points *all = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++) {
        const double along = 10 * random_real(all->seed, (uint64_t)i);

        for (int k = 0; k < AXES; k++)
            all->data[i].at[k] = along * random_real(all->seed + 1, (uint64_t)k) +
                                 random_real(all->seed + 2, (uint64_t)(i * AXES + k));
    }
    return 0;
}

static void prepare(const struct bench *bench)
{
    const int64_t shape[] = {bench->bytes / (int64_t)sizeof(struct row), AXES};
    weir_array *array = weir_scope_array(bench->scope, WEIR_FLOAT64, 2, shape, 0);

    must(array != NULL, "weir_scope_array");
    points = (struct points){weir_array_data(array), shape[0], bench->seed, {{0}}};
    must(weir_pool_for(bench->pool, (weir_range){0, points.count}, fill, &points,
                       &(weir_job_options){.arg_size = sizeof points}) == 0,
         "weir_pool_for");
}

static double difference(void)
{
    double most = relative_difference(weir_found.variance, openmp_found.variance);

    for (int j = 0; j < AXES; j++) {
        most = fmax(most,
                    relative_difference(weir_found.direction.at[j], openmp_found.direction.at[j]));
        for (int k = 0; k < AXES; k++)
            most = fmax(most, relative_difference(weir_found.covariance.row[j].at[k],
                                                  openmp_found.covariance.row[j].at[k]));
    }
    return most;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "pca",
        .target = 1.05,
        .bound = 1e-9,
        .mib = 256,
        .rounds = 11,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
