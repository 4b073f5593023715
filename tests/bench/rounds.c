/* SPDX-License-Identifier: MIT
 *
 * rounds.c: weir's side of the benchmarks that beside.py runs: one round for each line on stdin.
 *
 * Each case does what the case of the same name in peers.py or rounds-openmp.c does. A round is a
 * number of operations, timed together; where something has to happen in between, only the
 * operations are timed.
 *
 *     rounds CASE                 the pool is as any
 *     rounds CASE traced          it has a timeline written
 *     rounds CASE watched WEIR    `weir top` looks at it ten times a second
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "now.h"

#define LIST_COUNT 1000
#define TASKS      10000
#define CHUNKS     100000

struct bench {
    weir_scope *scope;
    weir_pool *pool;
    weir_list *list;
    weir_future *futures[TASKS];
};

struct bench_case {
    const char *name;
    int count; /* calls a round */
    int inner; /* operations a call */
    int pause_us;
    void (*operation)(struct bench *bench, int i);
};

static void pool_map(struct bench *bench, int i)
{
    (void)i;
    must(weir_pool_for(bench->pool, (weir_range){0, 16}, nothing, NULL,
                       &(weir_job_options){.grain = 1}) == 0,
         "weir_pool_for");
}

static void chunks(struct bench *bench, int i)
{
    (void)i;
    must(weir_pool_for(bench->pool, weir_range_of(CHUNKS), nothing, NULL,
                       &(weir_job_options){.chunks = CHUNKS}) == 0,
         "weir_pool_for");
}

static int call_chunks(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    chunks(arg, 0);
    return 0;
}

/* The chunks of a job that a task makes, which its worker runs in place. */
static void nested(struct bench *bench, int i)
{
    (void)i;
    must(weir_pool_for(bench->pool, weir_range_of(1), call_chunks, bench, NULL) == 0,
         "weir_pool_for");
}

/* As many calls of the same function, without a pool. */
static void bare(struct bench *bench, int i)
{
    weir_task_fn volatile function = nothing;

    (void)i;
    for (int k = 0; k < CHUNKS; k++)
        must(function(NULL, (weir_range){k, k + 1}, bench) == 0, "a function");
}

/* All are submitted before the first one is awaited. */
static void submit(struct bench *bench, int i)
{
    (void)i;
    for (int k = 0; k < TASKS; k++) {
        bench->futures[k] = weir_pool_submit(bench->pool, call_nothing, NULL, 0, NULL);
        must(bench->futures[k] != NULL, "weir_pool_submit");
    }
    for (int k = 0; k < TASKS; k++) {
        must(weir_future_wait(bench->futures[k], -1) == 0, "weir_future_wait");
        weir_future_free(bench->futures[k]);
    }
}

static void manager(struct bench *bench, int i)
{
    weir_scope *scope = weir_scope_begin(NULL);

    (void)bench;
    (void)i;
    must(scope && weir_scope_end(scope) == 0, "begin and end");
}

static void make_pool_and_run(bool each)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});

    must(pool != NULL, "weir_pool_new");
    must(!each || weir_pool_each(pool, call_nothing, NULL, NULL) == 0, "weir_pool_each");
    must(weir_pool_for(pool, (weir_range){0, 2}, nothing, NULL, NULL) == 0, "weir_pool_for");
    weir_pool_free(pool);
    must(weir_scope_end(scope) == 0, "weir_scope_end");
}

static void pool_job(struct bench *bench, int i)
{
    (void)bench;
    (void)i;
    make_pool_and_run(false);
}

static void pool_each(struct bench *bench, int i)
{
    (void)bench;
    (void)i;
    make_pool_and_run(true);
}

static void shm(struct bench *bench, int i)
{
    weir_shm *block = weir_shm_create(NULL, 4096, 0);

    (void)bench;
    (void)i;
    must(block && weir_shm_unlink(block) == 0, "a block");
    weir_shm_close(block);
}

static void manager_shm(struct bench *bench, int i)
{
    weir_shm *block = weir_scope_shm(bench->scope, 4096);

    (void)i;
    must(block && weir_shm_unlink(block) == 0, "a scope's block");
    weir_shm_close(block);
}

static void list_get(struct bench *bench, int i)
{
    weir_value value;

    (void)i;
    for (int k = 0; k < LIST_COUNT; k++)
        must(weir_list_get(bench->list, k, &value) == 0, "weir_list_get");
}

static void list_set(struct bench *bench, int i)
{
    for (int k = 0; k < LIST_COUNT; k++)
        must(weir_list_set(bench->list, k, weir_int(i)) == 0, "weir_list_set");
}

static const struct bench_case cases[] = {
    {"pool_map", 2000, 1, 0, pool_map},
    {"pool_map_cold", 20, 1, 3000, pool_map},
    {"pool_map_cool", 100, 1, 200, pool_map},
    {"chunks", 1, CHUNKS, 0, chunks},
    {"nested", 1, CHUNKS, 0, nested},
    {"bare", 1, CHUNKS, 0, bare},
    {"submit", 1, TASKS, 0, submit},
    {"manager", 5, 1, 0, manager},
    {"pool_job", 5, 1, 0, pool_job},
    {"pool_each", 5, 1, 0, pool_each},
    {"shm", 200, 1, 0, shm},
    {"manager_shm", 200, 1, 0, manager_shm},
    {"list_get", 1000, LIST_COUNT, 0, list_get},
    {"list_set", 1000, LIST_COUNT, 0, list_set},
};

static double run_round(const struct bench_case *which, struct bench *bench)
{
    double begin = now_us(), sum = 0;

    for (int i = 0; i < which->count; i++) {
        if (which->pause_us > 0) {
            usleep((useconds_t)which->pause_us);
            begin = now_us();
        }
        which->operation(bench, i);
        if (which->pause_us > 0)
            sum += now_us() - begin;
    }
    return (which->pause_us > 0 ? sum : now_us() - begin) / which->count / which->inner;
}

static weir_pool *new_pool(weir_scope *scope, const char *trace)
{
    weir_pool *pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = 2, .trace = trace, .nested = WEIR_NESTED_SERIAL});

    must(pool != NULL, "weir_pool_new");
    return pool;
}

static pid_t watch(const weir_pool *pool, const char *tool)
{
    char number[16];
    pid_t watcher;

    snprintf(number, sizeof number, "%d", (int)weir_pool_supervisor_pid(pool));
    watcher = fork();
    if (watcher == 0) {
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execl(tool, "weir", "top", "-d", "0.1", "-J", "-p", number, (char *)NULL);
        _exit(1);
    }
    return watcher;
}

static void run(const struct bench_case *which, bool traced, const char *tool)
{
    static struct bench bench;
    char line[64], trace[] = "/tmp/weir-bench-XXXXXX";
    pid_t watcher = 0;
    int file = -1;

    bench.scope = weir_scope_begin(NULL);
    must(bench.scope != NULL, "weir_scope_begin");
    if (traced) {
        file = mkstemp(trace);
        must(file >= 0, "a file for the trace");
    }
    if (which->operation == pool_map || which->operation == submit || which->operation == chunks ||
        which->operation == nested)
        bench.pool = new_pool(bench.scope, traced ? trace : NULL);
    if (tool != NULL)
        watcher = watch(bench.pool, tool);
    bench.list = weir_scope_list_range(bench.scope, 0, LIST_COUNT, 1);
    must(bench.list != NULL, "a list");
    run_round(which, &bench); /* what is done only once is done now */
    while (fgets(line, sizeof line, stdin)) {
        printf("%.5f\n", run_round(which, &bench));
        fflush(stdout);
    }
    if (watcher > 0 && (kill(watcher, SIGTERM) < 0 || waitpid(watcher, NULL, 0) != watcher))
        must(false, "the watcher has ended");
    must(weir_scope_end(bench.scope) == 0, "weir_scope_end");
    if (file >= 0) {
        close(file);
        unlink(trace);
    }
}

int main(int argc, char **argv)
{
    const bool traced = argc == 3 && strcmp(argv[2], "traced") == 0;
    const char *tool = argc == 4 && strcmp(argv[2], "watched") == 0 ? argv[3] : NULL;

    for (size_t i = 0; argc == 2 + traced + 2 * (tool != NULL) && i < sizeof cases / sizeof *cases;
         i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            run(&cases[i], traced, tool);
            return 0;
        }
    }
    fprintf(stderr, "usage: rounds CASE [traced | watched WEIR]; then a line for each round\n");
    return 2;
}
