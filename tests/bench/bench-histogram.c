/* SPDX-License-Identifier: MIT
 *
 * bench-histogram.c: how often each value of red, green and blue occurs in a picture's pixels.
 *
 * weir reduces over an array of the scope, each chunk with counts of its own; with OpenMP each
 * thread has counts of its own, which are added up at the end. Both count with the same loop.
 */
#include "kernel.h"

#include <string.h>

#define CHUNKS 64

struct counts {
    int64_t of[3][256];
};

struct pixels {
    unsigned char *data; /* three bytes each */
    int64_t count;
    uint64_t seed;
};

static struct pixels pixels;
static struct counts weir_found, openmp_found;

SHARED_LOOP void count_pixels(const unsigned char *restrict data, int64_t begin, int64_t end,
                              struct counts *restrict counts)
{
    for (int64_t i = begin; i < end; i++) {
        counts->of[0][data[3 * i]]++;
        counts->of[1][data[3 * i + 1]]++;
        counts->of[2][data[3 * i + 2]]++;
    }
}

static void add_counts(struct counts *into, const struct counts *from)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            into->of[c][i] += from->of[c][i];
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const struct pixels *all = arg;

    (void)task;
    count_pixels(all->data, range.begin, range.end, accumulator);
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    add_counts(into, from);
}

static void by_weir(const struct bench *bench)
{
    const weir_reduction counting = {
        .size = sizeof(struct counts), .fold = fold, .combine = combine};

    must(weir_pool_reduce(bench->pool, (weir_range){0, pixels.count}, &counting, &weir_found,
                          &pixels, &(weir_job_options){.arg_size = sizeof pixels}) == 0,
         "weir_pool_reduce");
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

static void by_openmp(const struct bench *bench)
{
    const struct pixels all = pixels;
    struct counts sum = {0};

#pragma omp parallel num_threads(bench->workers)
    {
        struct counts mine = {0};

#pragma omp for schedule(dynamic, 1) nowait
        for (int i = 0; i < CHUNKS; i++)
            count_pixels(all.data, all.count * i / CHUNKS, all.count * (i + 1) / CHUNKS, &mine);
#pragma omp critical
        add_counts(&sum, &mine);
    }
    openmp_found = sum;
}

/* ---- both ----------------------------------------------------------------------------------- */

/* Darker values are more frequent, as in a picture. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct pixels *all = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++) {
        uint64_t random = random_of(all->seed, (uint64_t)i);

        for (int c = 0; c < 3; c++, random >>= 16)
            all->data[3 * i + c] = (unsigned char)((random & 255) * (random >> 8 & 255) >> 8);
    }
    return 0;
}

static void prepare(const struct bench *bench)
{
    const int64_t shape[] = {bench->bytes / 3, 3};
    weir_array *array = weir_scope_array(bench->scope, WEIR_UINT8, 2, shape, 0);

    must(array != NULL, "weir_scope_array");
    pixels = (struct pixels){weir_array_data(array), shape[0], bench->seed};
    must(weir_pool_for(bench->pool, (weir_range){0, pixels.count}, fill, &pixels,
                       &(weir_job_options){.arg_size = sizeof pixels}) == 0,
         "weir_pool_for");
}

static double difference(void)
{
    return memcmp(&weir_found, &openmp_found, sizeof weir_found) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "histogram",
        .target = 1.05,
        .mib = 384,
        .rounds = 11,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
