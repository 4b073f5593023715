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
 *   jobs N       begins, writes who it is, and makes N calls of some 0.1 s, or so many until one
 *                fails; writes how many there were, or the error
 *   sums         reduces and map-reduces twice, in the second calls with the option `stay`; writes
 *                the results' bits, hashes of the tables, and those of one machine
 *   fail         makes a call in which one task fails, then one in which none does
 *   status N     begins, and exits with N without ending
 *
 *   --any-binding, --one-node-is-an-error, --workers N, --silence MS: options of the cluster
 *   --kill SEED: workers are killed on random items
 *
 * "Who it is" is a line: node NUMBER of NUMBER on HOST: pid PID, WORKERS workers, CPUS cpus, FILES
 * files.
 */
#include <inttypes.h>
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

#define ITEMS  300000
#define CHUNKS 1000

static const char *command;
static int number;
static uint64_t kill_seed; /* 0: no worker is killed */

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

/* The item of a chunk on which its worker dies; -1: on none. One of ten attempts ends so. */
static int64_t last_item(const weir_task *task, weir_range range)
{
    uint64_t chance =
        kill_seed + (uint64_t)weir_task_chunk(task) * 64 + (uint64_t)weir_task_attempt(task);

    chance = (chance ^ chance >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    chance = (chance ^ chance >> 32) * UINT64_C(0x94d049bb133111eb);
    if (kill_seed == 0 || (chance >> 32) % 10 != 0)
        return -1;
    return range.begin + (int64_t)((chance & 0xffffffff) % (uint64_t)(range.end - range.begin));
}

/* Count, mean, sum of squared deviations, and the sum: their bits depend on the order of all
 * steps. */
static int fold(weir_task *task, weir_range range, void *moments, void *arg)
{
    const int64_t last = last_item(task, range);
    double *m = moments;

    (void)arg;
    WEIR_EACH (i, range) {
        const double value = sin((double)i) * exp((double)(i % 50));
        const double delta = value - m[1];

        if (i == last)
            raise(SIGKILL);
        m[0] += 1;
        m[1] += delta / m[0];
        m[2] += delta * (value - m[1]);
        m[3] += value;
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
    m[3] += other[3];
    m[0] = count;
}

/* Sums of doubles, and what is largest, for each of some keys. */
static int emit(weir_task *task, weir_range range, void *arg)
{
    const int64_t last = last_item(task, range);

    (void)arg;
    WEIR_EACH (i, range) {
        const double value = sin((double)i);
        char key[32];

        if (i == last)
            raise(SIGKILL);
        if (i % 20 == 0)
            weir_emit(task, key, (size_t)snprintf(key, sizeof key, "key %d", (int)(i % 7919)),
                      &value, sizeof value);
    }
    return 0;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

static void keep_largest(void *into, const void *from, void *arg)
{
    (void)arg;
    if (*(const double *)from > *(double *)into)
        *(double *)into = *(const double *)from;
}

static const weir_map_reduction tables[] = {
    {.map = emit, .value_size = sizeof(double), .combine = add},
    {.map = emit, .value_size = sizeof(double), .combine = keep_largest, .any_order = true}};

/* All bytes of it, in its order. */
static uint64_t hash_of(const weir_table *table)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    weir_table_cursor cursor = {0};
    weir_pair pair;

    while (weir_table_next(table, &cursor, &pair) == 1) {
        for (size_t i = 0; i <= pair.key_size; i++)
            hash = (hash ^ (unsigned char)pair.key[i]) * UINT64_C(0x100000001b3);
        for (size_t i = 0; i < pair.value_size; i++)
            hash = (hash ^ ((const unsigned char *)pair.value)[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Of all nodes' keys, and of those of one machine: 0, or the error. */
static int hash_tables(weir_cluster *cluster, const weir_job_options *options,
                       const weir_cluster_job *job, uint64_t all[2], uint64_t here[2])
{
    for (int i = 0; i < 2; i++) {
        weir_cluster_table *table =
            weir_cluster_map_reduce(cluster, weir_range_of(ITEMS), &tables[i], NULL, options, job);
        weir_table *whole = table != NULL ? weir_cluster_table_gather(table, -1) : NULL;
        weir_table *alone =
            whole != NULL ? weir_pool_map_reduce(weir_cluster_pool(cluster), weir_range_of(ITEMS),
                                                 &tables[i], NULL, options)
                          : NULL;

        if (alone == NULL)
            return weir_last_error()->code;
        all[i] = hash_of(whole) ^ (uint64_t)weir_cluster_table_len(table);
        here[i] = hash_of(alone) ^ (uint64_t)weir_table_len(alone);
        weir_table_free(alone);
        weir_table_free(whole);
        weir_cluster_table_free(table);
    }
    return 0;
}

static void write_bits(const char *what, const double moments[4], const uint64_t hashes[2])
{
    printf("%s %a %a %a %a %016" PRIx64 " %016" PRIx64 "\n", what, moments[0], moments[1],
           moments[2], moments[3], hashes[0], hashes[1]);
}

static int sum(weir_cluster *cluster, bool stay)
{
    const weir_reduction reduction = {.size = 4 * sizeof(double), .fold = fold, .combine = combine};
    const weir_job_options options = {.chunks = CHUNKS, .retries = 20};
    const weir_cluster_job job = {.block = 16, .stay = stay};
    weir_pool *pool = weir_cluster_pool(cluster);
    weir_pool_stats stats = {0};
    uint64_t all_keys[2] = {0}, keys_here[2] = {0};
    double all[4] = {0}, here[4] = {0};
    int code =
        weir_cluster_reduce(cluster, weir_range_of(ITEMS), &reduction, all, NULL, &options, &job);

    if (code == 0)
        code = weir_pool_get_stats(pool, &stats);
    if (code == 0)
        code = weir_pool_reduce(pool, weir_range_of(ITEMS), &reduction, here, NULL, &options);
    if (code == 0)
        code = hash_tables(cluster, &options, &job, all_keys, keys_here);
    if (code < 0)
        return code;
    printf("%d workers died\n", (int)stats.workers_died);
    write_bits("bits", all, all_keys);
    write_bits("here", here, keys_here);
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
    const weir_job_options options = {.chunks = CHUNKS};
    const weir_cluster_job job = {.block = 16};
    int code = weir_cluster_for(cluster, weir_range_of(1000), fail_at_77, NULL, &options, &job);

    if (code == 0)
        return -1;
    printf("%s: task code %d, node %d: %s\n", weir_strerror(code), weir_last_error()->task_code,
           weir_cluster_last_error()->node, weir_last_error()->message);
    return weir_cluster_for(cluster, weir_range_of(1000), succeed, NULL, &options, &job);
}

/* Calls of so many chunks of 20 ms, one of them or more. */
static int do_work(weir_cluster *cluster, int chunks, int calls)
{
    const weir_job_options options = {.chunks = chunks};
    const weir_cluster_job job = {.block = 2};
    int code = 0, made = 0;

    while (code == 0 && (calls == 0 || made < calls)) {
        code = weir_cluster_for(cluster, weir_range_of(chunks), work, NULL, &options, &job);
        made++;
    }
    if (code == 0)
        printf("%d calls\n", made);
    else
        printf("error of call %d: %s: %s\n", made, weir_strerror(code), weir_last_error()->message);
    fflush(stdout);
    return code;
}

static int run(weir_cluster *cluster)
{
    int code = 0;

    introduce(cluster);
    if (strcmp(command, "status") == 0)
        exit(number);
    if (strcmp(command, "sums") == 0)
        return sum(cluster, false) == 0 ? sum(cluster, true) : -1;
    if (strcmp(command, "fail") == 0)
        return fail(cluster);
    if (strcmp(command, "work") == 0)
        return do_work(cluster, 4000, 1);
    if (strcmp(command, "jobs") == 0)
        return do_work(cluster, 20, number);
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
        else if (strcmp(argv[i], "--kill") == 0 && i + 1 < argc)
            kill_seed = strtoull(argv[++i], NULL, 10);
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
