/* SPDX-License-Identifier: MIT
 *
 * bench-growth.c: what grows with the number of a pool's workers.
 *
 *     bench-growth WORKERS...             all costs of pools of so many, a JSON object each
 *     bench-growth WORKERS COST COUNT     only so many rounds of one cost; also for a count of
 *                                         system calls: perf stat -e raw_syscalls:sys_enter
 *
 * There are many more workers than CPUs here, which a machine that is made for them does not have:
 * a time tells what the waking of one process more costs, not what a job on so many CPUs takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "median.h"
#include "now.h"

#define ROUNDS     21
#define ROUNDS_MAX 2001
#define CHUNKS     1000000
#define CALLS      20000

static weir_scope *scope;
static weir_pool *pool;
static int workers;
static double supervisor_ns; /* of CPU time, for a job with deadlines of a second */

static int sleep_a_while(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    usleep(*(useconds_t *)arg);
    return 0;
}

static void run(weir_task_fn task, int64_t chunks, const weir_job_options *given, void *arg)
{
    weir_job_options options = given != NULL ? *given : (weir_job_options){0};

    options.chunks = chunks;
    must(weir_pool_for(pool, weir_range_of(chunks), task, arg, &options) == 0, "weir_pool_for");
}

static void empty_job(int factor)
{
    (void)factor;
    run(nothing, 16, NULL, NULL);
}

static void let_sleep(void)
{
    usleep(3000);
}

static void chunks(int factor)
{
    run(nothing, (int64_t)factor * CHUNKS, NULL, NULL);
}

static void calls(int factor)
{
    static weir_future *futures[2 * CALLS];

    for (int i = 0; i < factor * CALLS; i++) {
        futures[i] = weir_pool_submit(pool, call_nothing, NULL, 0, NULL);
        must(futures[i] != NULL, "weir_pool_submit");
    }
    for (int i = 0; i < factor * CALLS; i++) {
        must(weir_future_wait(futures[i], -1) == 0, "weir_future_wait");
        weir_future_free(futures[i]);
    }
}

/* Every worker sleeps in a chunk at the same time, so all have been woken. */
static void wake_all(int factor)
{
    useconds_t us = 20000;

    (void)factor;
    run(sleep_a_while, workers, &(weir_job_options){.arg_size = sizeof us}, &us);
}

static double cpu_ns_of(pid_t pid)
{
    char path[64];
    double ns = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%lf", &ns) != 1)
        ns = 0;
    if (file != NULL)
        fclose(file);
    return ns;
}

/* A second in which every chunk has a deadline, and none is late. */
static void watched_job(int factor)
{
    const pid_t supervisor = weir_pool_supervisor_pid(pool);
    const double before = cpu_ns_of(supervisor);
    useconds_t us = 1000000;

    (void)factor;
    run(sleep_a_while, workers,
        &(weir_job_options){.chunk_timeout_ms = 20000, .arg_size = sizeof us}, &us);
    supervisor_ns = cpu_ns_of(supervisor) - before;
}

/* With `more`: what the second half of twice as many takes, when all workers are awake. */
static const struct cost {
    const char *name;
    void (*before)(void);
    void (*operation)(int factor);
    int inner, rounds;
    bool more;
} costs[] = {
    {"job", NULL, empty_job, 1, ROUNDS_MAX, false},
    {"cold_job", let_sleep, empty_job, 1, 101, false},
    {"chunk", NULL, chunks, CHUNKS, ROUNDS, true},
    {"call", NULL, calls, CALLS, ROUNDS, true},
    {"wake_all", let_sleep, wake_all, 1, ROUNDS, false},
    {"deadlines", NULL, watched_job, 1, 1, false},
};

enum { COSTS = sizeof costs / sizeof costs[0] };

static double time_us(const struct cost *cost, int factor)
{
    double begin;

    if (cost->before != NULL)
        cost->before();
    begin = now_us();
    cost->operation(factor);
    return now_us() - begin;
}

static double round_us(const struct cost *cost)
{
    const double once = time_us(cost, 1);

    return (cost->more ? time_us(cost, 2) - once : once) / cost->inner;
}

static void print_cost(const struct cost *cost, int rounds)
{
    static double us[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++)
        us[i] = round_us(cost);
    printf(", \"%s_us\": %.3f", cost->name, median(us, rounds));
    printf(", \"%s_p90_us\": %.3f", cost->name, us[rounds * 9 / 10]);
}

static double begin_pool(void)
{
    const double begin = now_ms();

    scope = weir_scope_begin(NULL);
    must(scope != NULL, "weir_scope_begin");
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    must(pool != NULL, "weir_pool_new");
    return now_ms() - begin;
}

static void print_all(void)
{
    const double made = begin_pool();
    double begin;

    printf("{\"bench\": \"growth\", \"workers\": %d, \"made_ms_each\": %.3f", workers,
           made / workers);
    for (int i = 0; i < COSTS; i++)
        print_cost(&costs[i], costs[i].rounds);
    printf(", \"supervisor_us_a_second\": %.1f", supervisor_ns / 1000);
    begin = now_ms();
    weir_pool_free(pool);
    printf(", \"freed_ms_each\": %.3f}\n", (now_ms() - begin) / workers);
    fflush(stdout);
    must(weir_scope_end(scope) == 0, "weir_scope_end");
}

static void repeat(const struct cost *cost, int count)
{
    must(count > 0 && count <= ROUNDS_MAX, "a count of rounds");
    begin_pool();
    printf("{\"bench\": \"growth\", \"workers\": %d", workers);
    print_cost(cost, count);
    printf("}\n");
    weir_pool_free(pool);
    must(weir_scope_end(scope) == 0, "weir_scope_end");
}

int main(int argc, char **argv)
{
    for (int i = 0; argc == 4 && i < COSTS; i++) {
        workers = atoi(argv[1]);
        if (strcmp(argv[2], costs[i].name) == 0) {
            repeat(&costs[i], atoi(argv[3]));
            return 0;
        }
    }
    for (int i = 1; i < argc; i++) {
        workers = atoi(argv[i]);
        print_all();
    }
    return 0;
}
