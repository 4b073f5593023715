/* SPDX-License-Identifier: MIT
 *
 * bench-blur.c: a picture is blurred, and its brightness spread evenly.
 *
 * Four passes over square pictures of floats: along the rows, along the columns, a histogram, and
 * each pixel's new value by it. A pass is a job of weir's and a parallel loop of OpenMP's; both use
 * the same loops over the same memory, so the pictures are the same to the last bit.
 */
#include "kernel.h"

#include <math.h>
#include <string.h>

#define RADIUS 4
#define LEVELS 256

struct levels {
    int64_t count[LEVELS];
};

struct picture {
    const float *from;
    float *rows; /* blurred along the rows alone */
    float *blurred, *out;
    int64_t side;
    uint64_t seed;
};

/* What a pass is given. */
struct pass {
    struct picture picture;
    float level[LEVELS]; /* the new value of each; of the last pass */
};

static struct picture weir_picture, openmp_picture;

SHARED_LOOP void blur_rows(const struct picture *picture, int64_t begin, int64_t end)
{
    const int64_t side = picture->side;

    for (int64_t row = begin; row < end; row++) {
        const float *restrict from = picture->from + row * side;
        float *restrict to = picture->rows + row * side;

        for (int64_t i = 0; i < side; i++) {
            const int64_t first = i < RADIUS ? 0 : i - RADIUS;
            const int64_t last = i + RADIUS < side ? i + RADIUS : side - 1;
            float sum = 0;

            for (int64_t k = first; k <= last; k++)
                sum += from[k];
            to[i] = sum / (float)(last - first + 1);
        }
    }
}

SHARED_LOOP void blur_columns(const struct picture *picture, int64_t begin, int64_t end)
{
    const int64_t side = picture->side;

    for (int64_t row = begin; row < end; row++) {
        const int64_t first = row < RADIUS ? 0 : row - RADIUS;
        const int64_t last = row + RADIUS < side ? row + RADIUS : side - 1;
        const float part = 1.0F / (float)(last - first + 1);
        float *restrict to = picture->blurred + row * side;

        memset(to, 0, (size_t)side * sizeof *to);
        for (int64_t k = first; k <= last; k++) {
            const float *restrict from = picture->rows + k * side;

            for (int64_t i = 0; i < side; i++)
                to[i] += from[i];
        }
        for (int64_t i = 0; i < side; i++)
            to[i] *= part;
    }
}

static int level_of(float value)
{
    const int level = (int)(value * LEVELS);

    return level < 0 ? 0 : level < LEVELS ? level : LEVELS - 1;
}

SHARED_LOOP void count_levels(const struct picture *picture, int64_t begin, int64_t end,
                              struct levels *restrict levels)
{
    const float *restrict from = picture->blurred;

    for (int64_t i = begin * picture->side; i < end * picture->side; i++)
        levels->count[level_of(from[i])]++;
}

SHARED_LOOP void spread(const struct pass *pass, int64_t begin, int64_t end)
{
    const float *restrict from = pass->picture.blurred;
    float *restrict to = pass->picture.out;

    for (int64_t i = begin * pass->picture.side; i < end * pass->picture.side; i++)
        to[i] = pass->level[level_of(from[i])];
}

static void add_levels(struct levels *into, const struct levels *from)
{
    for (int i = 0; i < LEVELS; i++)
        into->count[i] += from->count[i];
}

/* Each level becomes the part of the pixels that are not brighter. */
static void fill_levels(struct pass *pass, const struct levels *levels)
{
    const double all = (double)(pass->picture.side * pass->picture.side);
    int64_t sum = 0;

    for (int i = 0; i < LEVELS; i++) {
        sum += levels->count[i];
        pass->level[i] = (float)((double)sum / all);
    }
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int run_rows(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    blur_rows(arg, range.begin, range.end);
    return 0;
}

static int run_columns(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    blur_columns(arg, range.begin, range.end);
    return 0;
}

static int run_spread(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    spread(arg, range.begin, range.end);
    return 0;
}

static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)task;
    count_levels(arg, range.begin, range.end, accumulator);
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    add_levels(into, from);
}

static void by_weir(const struct bench *bench)
{
    static const weir_reduction counting = {
        .size = sizeof(struct levels), .fold = fold, .combine = combine};
    const weir_range rows = {0, weir_picture.side};
    const weir_job_options options = {.arg_size = sizeof weir_picture};
    struct pass pass = {.picture = weir_picture};
    struct levels levels;

    must(weir_pool_for(bench->pool, rows, run_rows, &weir_picture, &options) == 0, "rows");
    must(weir_pool_for(bench->pool, rows, run_columns, &weir_picture, &options) == 0, "columns");
    must(weir_pool_reduce(bench->pool, rows, &counting, &levels, &weir_picture, &options) == 0,
         "levels");
    fill_levels(&pass, &levels);
    must(weir_pool_for(bench->pool, rows, run_spread, &pass,
                       &(weir_job_options){.arg_size = sizeof pass}) == 0,
         "spread");
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

static void by_openmp(const struct bench *bench)
{
    const int64_t side = openmp_picture.side;
    struct pass pass = {.picture = openmp_picture};
    struct levels levels = {0};

#pragma omp parallel num_threads(bench->workers)
    {
        struct levels mine = {0};

#pragma omp for schedule(static)
        for (int64_t row = 0; row < side; row++)
            blur_rows(&openmp_picture, row, row + 1);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < side; row++)
            blur_columns(&openmp_picture, row, row + 1);
#pragma omp for schedule(static) nowait
        for (int64_t row = 0; row < side; row++)
            count_levels(&openmp_picture, row, row + 1, &mine);
#pragma omp critical
        add_levels(&levels, &mine);
#pragma omp barrier
#pragma omp single
        fill_levels(&pass, &levels);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < side; row++)
            spread(&pass, row, row + 1);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

/* Spots of some width, and noise. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct picture *picture = arg;
    float *from = (float *)(uintptr_t)picture->from;

    (void)task;
    for (int64_t row = range.begin; row < range.end; row++) {
        for (int64_t i = 0; i < picture->side; i++) {
            const uint64_t at = (uint64_t)(row * picture->side + i);

            from[at] = (float)(0.25 * (1 + sin((double)row / 97) * sin((double)i / 61)) +
                               0.25 * random_real(picture->seed, at));
        }
    }
    return 0;
}

static float *make(const struct bench *bench, int64_t side)
{
    weir_array *array = weir_scope_array(bench->scope, WEIR_FLOAT32, 2, (int64_t[]){side, side}, 0);

    must(array != NULL, "weir_scope_array");
    return weir_array_data(array);
}

static void prepare(const struct bench *bench)
{
    const int64_t side = (int64_t)sqrt((double)bench->bytes / sizeof(float) / 7);

    weir_picture = (struct picture){
        make(bench, side), make(bench, side), make(bench, side), make(bench, side), side,
        bench->seed};
    openmp_picture = weir_picture;
    openmp_picture.rows = make(bench, side);
    openmp_picture.blurred = make(bench, side);
    openmp_picture.out = make(bench, side);
    must(weir_pool_for(bench->pool, (weir_range){0, side}, fill, &weir_picture,
                       &(weir_job_options){.arg_size = sizeof weir_picture}) == 0,
         "weir_pool_for");
}

/* The part of the pixels that differ. */
static double difference(void)
{
    const int64_t count = weir_picture.side * weir_picture.side;
    int64_t different = 0;

    for (int64_t i = 0; i < count; i++)
        different += !(weir_picture.out[i] == openmp_picture.out[i]);
    return (double)different / (double)count;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "blur",
        .target = 1.05,
        .mib = 448, /* pictures of 4,096 by 4,096 pixels */
        .rounds = 7,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
