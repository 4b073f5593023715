/* SPDX-License-Identifier: MIT
 *
 * node.c: a program of a cluster, for the tests.
 *
 *   node [OPTION...] COMMAND
 *
 *   names        begins, and writes who it is; ends
 *   between MS   begins, writes who it is, does nothing for so long, and makes a call
 *   inside       begins, writes who it is, and makes calls for ever
 *   work         begins, writes who it is, and makes one call of 20 s
 *   sums         reduces, and writes the result's bits, and those of weir_pool_reduce()
 *   fail         makes a call in which one task fails, then one in which none does
 *   status N     begins, and exits with N without ending
 *
 *   --any-binding, --one-node-is-an-error, --workers N, --silence MS: options of the cluster
 *   --kill: workers are killed while they work; --stay: the option of the job
 *
 * "Who it is" is a line: node NUMBER of NUMBER on HOST: pid PID, WORKERS workers, CPUS cpus, FILES
 * files.
 */
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weir-mpi.h>
#include <weir.h>

#include "now.h"

#define ITEMS 300000

static const char *command;
static int number;
static bool kill_workers;
static weir_cluster_job job = {.block = 16};

static int cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -1;
}

static void introduce(weir_cluster *cluster)
{
    const int node = weir_cluster_node(cluster);
    struct rlimit files = {0};

    (void)getrlimit(RLIMIT_NOFILE, &files);
    printf("node %d of %d on %s: pid %d, %d workers, %d cpus, %ld files\n", node,
           weir_cluster_nodes(cluster), weir_cluster_host(cluster, node), (int)getpid(),
           weir_pool_workers(weir_cluster_pool(cluster)), cpus(), (long)files.rlim_cur);
    fflush(stdout);
}

static int work(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    sleep_us(20000);
    return 0;
}

/* Count, mean and sum of squared deviations: the bits depend on the order of all steps. */
static int fold(weir_task *task, weir_range range, void *moments, void *arg)
{
    double *m = moments;

    (void)arg;
    if (kill_workers && weir_worker_incarnation() <= 2 && weir_task_chunk(task) % 7 == 3)
        raise(SIGKILL);
    WEIR_EACH (i, range) {
        const double value = sin((double)i) * exp((double)(i % 50));
        const double delta = value - m[1];

        m[0] += 1;
        m[1] += delta / m[0];
        m[2] += delta * (value - m[1]);
    }
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    double *m = into;
    const double *other = from;
    const double count = m[0] + other[0], delta = other[1] - m[1];

    (void)arg;
    if (other[0] == 0)
        return;
    m[1] += delta * other[0] / count;
    m[2] += other[2] + delta * delta * m[0] * other[0] / count;
    m[0] = count;
}

static int sums(weir_cluster *cluster)
{
    const weir_reduction reduction = {.size = 3 * sizeof(double), .fold = fold, .combine = combine};
    const weir_job_options options = {.chunks = 1000, .retries = 20};
    weir_pool_stats stats = {0};
    double all[3] = {0}, here[3] = {0};
    int code =
        weir_cluster_reduce(cluster, weir_range_of(ITEMS), &reduction, all, NULL, &options, &job);

    if (code == 0 && weir_pool_get_stats(weir_cluster_pool(cluster), &stats) == 0)
        printf("%d workers died\n", (int)stats.workers_died);
    if (code == 0)
        code = weir_pool_reduce(weir_cluster_pool(cluster), weir_range_of(ITEMS), &reduction, here,
                                NULL, &options);
    if (code < 0)
        return code;
    printf("bits %a %a %a\n", all[0], all[1], all[2]);
    printf("here %a %a %a\n", here[0], here[1], here[2]);
    return 0;
}

static int fail_at_77(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    return range.begin == 77 ? weir_task_fail(task, 7, "no item %d", 77) : 0;
}

static int succeed(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

/* The same error on every node, which is written, and no harm to the next call. */
static int fail(weir_cluster *cluster)
{
    const weir_job_options options = {.chunks = 1000};
    int code = weir_cluster_for(cluster, weir_range_of(1000), fail_at_77, NULL, &options, &job);

    if (code == 0)
        return -1;
    printf("%s: task code %d, node %d: %s\n", weir_strerror(code), weir_last_error()->task_code,
           weir_cluster_last_error()->node, weir_last_error()->message);
    return weir_cluster_for(cluster, weir_range_of(1000), succeed, NULL, &options, &job);
}

static int run(weir_cluster *cluster)
{
    const weir_cluster_job small = {.block = 2};
    int code = 0;

    introduce(cluster);
    if (strcmp(command, "status") == 0)
        exit(number);
    if (strcmp(command, "sums") == 0)
        return sums(cluster);
    if (strcmp(command, "fail") == 0)
        return fail(cluster);
    if (strcmp(command, "work") == 0)
        return weir_cluster_for(cluster, weir_range_of(4000), work, NULL,
                                &(weir_job_options){.chunks = 4000}, &small);
    if (strcmp(command, "between") == 0) {
        sleep_us(number * 1000);
        return weir_cluster_barrier(cluster);
    }
    while (strcmp(command, "inside") == 0 && code == 0)
        code = weir_cluster_barrier(cluster);
    return code;
}

static int parse(int argc, char **argv, weir_cluster_options *options, weir_pool_options *pool)
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--any-binding") == 0)
            options->any_binding = true;
        else if (strcmp(argv[i], "--one-node-is-an-error") == 0)
            options->one_node_is_an_error = true;
        else if (strcmp(argv[i], "--kill") == 0)
            kill_workers = true;
        else if (strcmp(argv[i], "--stay") == 0)
            job.stay = true;
        else if (strcmp(argv[i], "--workers") == 0 && i + 1 < argc)
            pool->workers = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--silence") == 0 && i + 1 < argc)
            options->silence_ms = (int)strtol(argv[++i], NULL, 10);
        else
            return -1;
    }
    if (i == argc)
        return -1;
    command = argv[i];
    number = i + 1 < argc ? (int)strtol(argv[i + 1], NULL, 10) : 0;
    return 0;
}

int main(int argc, char **argv)
{
    weir_pool_options pool = {0};
    weir_cluster_options options = {.pool = &pool};
    int status = 1;

    if (parse(argc, argv, &options, &pool) < 0) {
        fprintf(stderr, "usage: see the head of node.c\n");
        return 2;
    }
    WEIR_CLUSTER (cluster, &options) {
        if (run(cluster) == 0)
            status = 0;
    }
    if (status != 0)
        fprintf(stderr, "node: %s: %s\n", weir_strerror(weir_last_error()->code),
                weir_last_error()->message);
    return status;
}
