/* SPDX-License-Identifier: MIT
 *
 * array-sum.c: the sum of a large array of doubles by a pool's workers, beside OpenMP's threads on
 * the same array: array-sum [MIB [ROUNDS]]. Prints one JSON object.
 *
 * Rounds alternate; both run the same loop over the same memory, and what is measured is what the
 * machine's memory gives to either. OMP_WAIT_POLICY=passive keeps the threads of one round from
 * spinning through the next.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "median.h"
#include "now.h"

#define CHUNKS     64
#define WORKERS    2
#define ROUNDS_MAX 1001

struct job {
    const double *items;
    double *parts; /* one a chunk */
};

/* Eight sums, so that no addition waits for the one before it. */
static double sum_items(const double *items, int64_t begin, int64_t end)
{
    double sums[8] = {0};
    int64_t i = begin;

    for (; i + 8 <= end; i += 8)
        for (int j = 0; j < 8; j++)
            sums[j] += items[i + j];
    for (; i < end; i++)
        sums[0] += items[i];
    return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

static int fill(weir_task *task, weir_range range, void *arg)
{
    weir_array *array = arg;
    double *items = weir_array_data(array);

    if (weir_array_populate(array, range) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    for (int64_t i = range.begin; i < range.end; i++)
        items[i] = (double)(i % 1000);
    return 0;
}

static int add_up(weir_task *task, weir_range range, void *arg)
{
    const struct job *job = arg;

    job->parts[weir_task_chunk(task)] = sum_items(job->items, range.begin, range.end);
    return 0;
}

static double sum_by_weir(weir_pool *pool, const struct job *job, int64_t count)
{
    const weir_job_options options = {.chunks = CHUNKS, .arg_size = sizeof *job};
    double sum = 0;

    must(weir_pool_for(pool, (weir_range){0, count}, add_up, (void *)job, &options) == 0, "sum");
    for (int i = 0; i < CHUNKS; i++)
        sum += job->parts[i];
    return sum;
}

static double sum_by_openmp(const double *items, int64_t count)
{
    double sum = 0;

#pragma omp parallel for schedule(dynamic, 1) num_threads(WORKERS) reduction(+ : sum)
    for (int i = 0; i < CHUNKS; i++)
        sum += sum_items(items, count / CHUNKS * i,
                         i == CHUNKS - 1 ? count : count / CHUNKS * (i + 1));
    return sum;
}

static void run(weir_scope *scope, int64_t count, int rounds)
{
    static double weir_ms[ROUNDS_MAX], openmp_ms[ROUNDS_MAX];
    weir_array *array = weir_scope_array(scope, WEIR_FLOAT64, 1, &count, WEIR_ARRAY_LAZY);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = WORKERS});
    struct job job = {weir_array_data(array), weir_scope_alloc(scope, CHUNKS * sizeof(double))};
    double wanted;

    must(array && pool && job.parts, "array, pool and parts");
    must(weir_pool_for(pool, (weir_range){0, count}, fill, array, NULL) == 0, "fill");
    wanted = sum_by_openmp(job.items, count); /* both also map the pages now */
    must(sum_by_weir(pool, &job, count) == wanted, "the sums differ"); /* integers: exact */
    for (int i = 0; i < rounds; i++) {
        double begin = now_ms(), middle;
        double sum = sum_by_weir(pool, &job, count);

        middle = now_ms();
        must(sum == wanted && sum_by_openmp(job.items, count) == wanted, "the sums differ");
        weir_ms[i] = middle - begin;
        openmp_ms[i] = now_ms() - middle;
    }
    {
        double a = median(weir_ms, rounds), b = median(openmp_ms, rounds);

        printf("{\"bench\": \"array_sum\", \"mib\": %lld, \"workers\": %d, \"rounds\": %d, "
               "\"weir_ms\": %.3f, \"peer\": \"openmp\", \"peer_ms\": %.3f, \"throughput\": %.4f, "
               "\"target\": 0.97, \"gb_per_s\": %.2f}\n",
               (long long)(count >> 17), WORKERS, rounds, a, b, b / a, (double)count * 8 / a / 1e6);
    }
}

int main(int argc, char **argv)
{
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : 1024;
    long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 31;

    if (mib < 1 || mib > 1 << 20 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: array-sum [MIB [ROUNDS (to %d)]]\n", ROUNDS_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        run(scope, (int64_t)mib << 17, (int)rounds);
        return 0;
    }
    must(false, "weir_scope_begin");
    return 1;
}
