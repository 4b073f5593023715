/* SPDX-License-Identifier: MIT
 *
 * bench-schedule.c: items that cost differently, shared out by weir as it always does, and by
 * OpenMP's schedules.
 *
 * weir cuts the range into 64 chunks; a worker takes those of its own part of the range, then what
 * others have not got to. Each item gives a number that depends on all its work, so what all ways
 * found is compared bit by bit. --size is the amount of work here, not of memory.
 */
#include "kernel.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS 4096

struct job {
    double (*item)(int64_t i, int64_t unit);
    int64_t unit; /* of work */
    double *found;
};

static struct job job;
static double weir_found[ITEMS], peer_found[ITEMS];

/* ---- items ---------------------------------------------------------------------------------- */

static double work(int64_t i, int64_t steps)
{
    double x = (double)i / ITEMS;

    for (int64_t k = 0; k < steps; k++)
        x = 3.75 * x * (1 - x);
    return x;
}

static double same_for_all(int64_t i, int64_t unit)
{
    return work(i, unit);
}

/* As the rows of a triangular matrix. */
static double more_and_more(int64_t i, int64_t unit)
{
    return work(i, 2 * unit * i / ITEMS);
}

/* The last sixteenth has half of the work. */
static double last_ones(int64_t i, int64_t unit)
{
    return work(i, i >= ITEMS - ITEMS / 16 ? 8 * unit : unit * 8 / 15);
}

/* A row of Mandelbrot's set: costly in the middle. */
static double mandelbrot(int64_t i, int64_t unit)
{
    const double y = 2.5 * (double)i / ITEMS - 1.25;
    int64_t sum = 0;

    for (int64_t column = 0; column < 32; column++) {
        const double x = 3 * (double)column / 32 - 2.25;
        double a = 0, b = 0;
        int64_t k;

        for (k = 0; k < unit / 8 && a * a + b * b < 4; k++) {
            const double next = a * a - b * b + x;

            b = 2 * a * b + y;
            a = next;
        }
        sum += k;
    }
    return (double)sum;
}

/* ---- ways ----------------------------------------------------------------------------------- */

static int run_items(weir_task *task, weir_range range, void *arg)
{
    const struct job *mine = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++)
        mine->found[i] = mine->item(i, mine->unit);
    return 0;
}

static void run_weir(const struct bench *bench, int64_t chunks, double *found)
{
    const weir_job_options options = {.chunks = chunks, .arg_size = sizeof job};

    must(weir_pool_for(bench->pool, (weir_range){0, ITEMS}, run_items, &job, &options) == 0,
         "weir_pool_for");
    memcpy(found, job.found, sizeof weir_found);
}

static void by_weir(const struct bench *bench)
{
    run_weir(bench, 0, weir_found);
}

static void by_weir_fine(const struct bench *bench)
{
    run_weir(bench, 1024, peer_found);
}

static void by_static(const struct bench *bench)
{
#pragma omp parallel for num_threads(bench->workers) schedule(static)
    for (int64_t i = 0; i < ITEMS; i++)
        peer_found[i] = job.item(i, job.unit);
}

static void by_dynamic(const struct bench *bench)
{
#pragma omp parallel for num_threads(bench->workers) schedule(dynamic)
    for (int64_t i = 0; i < ITEMS; i++)
        peer_found[i] = job.item(i, job.unit);
}

static void by_guided(const struct bench *bench)
{
#pragma omp parallel for num_threads(bench->workers) schedule(guided)
    for (int64_t i = 0; i < ITEMS; i++)
        peer_found[i] = job.item(i, job.unit);
}

/* ---- all ------------------------------------------------------------------------------------ */

static void prepare(const struct bench *bench, double (*item)(int64_t i, int64_t unit))
{
    job = (struct job){item, bench->bytes >> 16, weir_scope_alloc(bench->scope, sizeof weir_found)};
    must(job.found != NULL, "weir_scope_alloc");
}

static void prepare_same(const struct bench *bench)
{
    prepare(bench, same_for_all);
}

static void prepare_more(const struct bench *bench)
{
    prepare(bench, more_and_more);
}

static void prepare_last(const struct bench *bench)
{
    prepare(bench, last_ones);
}

static void prepare_mandelbrot(const struct bench *bench)
{
    prepare(bench, mandelbrot);
}

static double difference(void)
{
    return memcmp(weir_found, peer_found, sizeof weir_found) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct kernel_way ways[] = {
        {"weir", by_weir, NULL},
        {"openmp static", by_static, difference},
        {"openmp dynamic", by_dynamic, difference},
        {"openmp guided", by_guided, difference},
        {"weir, 1024 chunks", by_weir_fine, difference},
    };
    struct kernel kernels[] = {
        {.name = "schedule_same", .prepare = prepare_same},
        {.name = "schedule_more_and_more", .prepare = prepare_more},
        {.name = "schedule_last_ones", .prepare = prepare_last},
        {.name = "schedule_mandelbrot", .prepare = prepare_mandelbrot},
    };

    for (int i = 0; i < 4; i++) {
        kernels[i].mib = 64;
        kernels[i].rounds = 31;
        memcpy(kernels[i].ways, ways, sizeof ways);
    }
    return kernel_main(argc, argv, kernels, 4);
}
