/* SPDX-License-Identifier: MIT
 *
 * bench-arrays.c: how long it takes until a large array is made and each of its items has been
 * written, by the ways there are: whole, lazy, and with huge pages; written by the program alone or
 * by two workers; populated by the workers first.
 *
 *     bench-arrays [MIB [ROUNDS]]
 *
 * The ways take turns. Prints a JSON object a way: medians and 90th percentiles, and the median as
 * a multiple of the first way's, which is what a program does that knows nothing of all this.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "median.h"
#include "now.h"

#define ROUNDS_MAX 1000
#define WORKERS    2

struct way {
    const char *name;
    unsigned flags;
    bool populated, by_workers;
    double ms[ROUNDS_MAX];
};

static struct way ways[] = {
    {.name = "program writes"},
    {.name = "workers write", .by_workers = true},
    {.name = "lazy, program writes", .flags = WEIR_ARRAY_LAZY},
    {.name = "lazy, workers write", .flags = WEIR_ARRAY_LAZY, .by_workers = true},
    {.name = "lazy, populated, workers write",
     .flags = WEIR_ARRAY_LAZY,
     .populated = true,
     .by_workers = true},
    {.name = "huge, program writes", .flags = WEIR_ARRAY_HUGE},
    {.name = "huge, workers write", .flags = WEIR_ARRAY_HUGE, .by_workers = true},
    {.name = "huge and lazy, workers write",
     .flags = WEIR_ARRAY_HUGE | WEIR_ARRAY_LAZY,
     .by_workers = true},
};

enum { WAYS = sizeof ways / sizeof ways[0] };

static int populate(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    return weir_array_populate(arg, range);
}

static int write_items(weir_task *task, weir_range range, void *arg)
{
    double *items = weir_array_data(arg);

    (void)task;
    memset(items + range.begin, 1, (size_t)(range.end - range.begin) * sizeof *items);
    return 0;
}

static double run(weir_scope *scope, weir_pool *pool, const struct way *way, int64_t length)
{
    const weir_range all = weir_range_of(length);
    const double begin = now_ms();
    double took;
    weir_array *array = weir_scope_array(scope, WEIR_FLOAT64, 1, &length, way->flags);

    must(array != NULL, "weir_scope_array");
    if (way->populated)
        must(weir_pool_for(pool, all, populate, array, NULL) == 0, "populate");
    if (way->by_workers)
        must(weir_pool_for(pool, all, write_items, array, NULL) == 0, "write");
    else
        memset(weir_array_data(array), 1, (size_t)length * sizeof(double));
    took = now_ms() - begin;
    must(weir_shm_unlink(weir_array_shm(array)) == 0, "weir_shm_unlink");
    weir_array_close(array);
    return took;
}

int main(int argc, char **argv)
{
    const int64_t mib = argc > 1 ? atoll(argv[1]) : 256;
    const int rounds = argc > 2 ? atoi(argv[2]) : 11;
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = WORKERS});
    double plain;

    must(pool != NULL && mib > 0 && rounds > 0 && rounds <= ROUNDS_MAX, "weir_pool_new");
    for (int i = 0; i < rounds; i++)
        for (int w = 0; w < WAYS; w++)
            ways[w].ms[i] = run(scope, pool, &ways[w], mib * (1 << 20) / (int64_t)sizeof(double));
    plain = median(ways[0].ms, rounds);
    for (int w = 0; w < WAYS; w++) {
        const double ms = median(ways[w].ms, rounds);

        printf("{\"bench\": \"array %s\", \"mib\": %lld, \"workers\": %d, \"rounds\": %d, "
               "\"ms\": %.2f, \"p90_ms\": %.2f, \"ratio\": %.3f}\n",
               ways[w].name, (long long)mib, WORKERS, rounds, ms, ways[w].ms[rounds * 9 / 10],
               ms / plain);
    }
    weir_pool_free(pool);
    must(weir_scope_end(scope) == 0, "weir_scope_end");
    return 0;
}
