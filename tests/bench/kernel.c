/* SPDX-License-Identifier: MIT
 *
 * kernel.c: rounds of weir and of its peers, in one program.
 *
 * One round of each way comes first and is not counted: it maps the pages of the input into the
 * process of each worker, and into this one, and starts OpenMP's threads. Then rounds alternate, A
 * B A B, so that a machine that slows down slows all.
 *
 * Processor time is taken beside the time that passes: of this process and of the workers. Where
 * processors are shared with other programs it says more.
 */
#include "kernel.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "median.h"

#define ROUNDS_MAX 1001

struct options {
    int mib, rounds, workers; /* 0: the kernel's own; the CPUs */
    uint64_t seed;
};

struct times {
    double ms[ROUNDS_MAX], cpu_ms[ROUNDS_MAX];
};

void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, weir_last_error()->message);
    exit(1);
}

static double clock_ms(clockid_t clock)
{
    struct timespec ts = {0};

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static double cpu_ms(const struct bench *bench)
{
    double sum = clock_ms(CLOCK_PROCESS_CPUTIME_ID);

    for (int i = 0; i < bench->workers; i++) {
        pid_t pid = weir_pool_worker_pid(bench->pool, i);
        clockid_t clock;

        if (pid > 0 && clock_getcpuclockid(pid, &clock) == 0)
            sum += clock_ms(clock);
    }
    return sum;
}

static bool check(const struct kernel *kernel, const struct kernel_way *way, double *worst)
{
    double difference = way->difference != NULL ? way->difference() : 0;

    if (!(difference <= *worst))
        *worst = difference;
    if (difference <= kernel->bound)
        return true;
    fprintf(stderr, "%s: what %s found differs from weir's by %g; the bound is %g\n", kernel->name,
            way->name, difference, kernel->bound);
    return false;
}

static void print(const struct kernel *kernel, const struct bench *bench, int way, int rounds,
                  struct times *times, double worst)
{
    struct times *weir = &times[0], *peer = &times[way];
    const double weir_ms = median(weir->ms, rounds), peer_ms = median(peer->ms, rounds);
    const double weir_p90 = p90(weir->ms, rounds), peer_p90 = p90(peer->ms, rounds);
    const double weir_cpu = median(weir->cpu_ms, rounds), peer_cpu = median(peer->cpu_ms, rounds);

    printf("{\"bench\": \"%s\", \"mib\": %lld, \"workers\": %d, \"rounds\": %d, \"weir_ms\": %.3f, "
           "\"peer\": \"%s\", \"peer_ms\": %.3f, \"ratio\": %.4f, ",
           kernel->name, (long long)(bench->bytes >> 20), bench->workers, rounds, weir_ms,
           kernel->ways[way].name, peer_ms, weir_ms / peer_ms);
    if (kernel->target > 0)
        printf("\"target\": %g, ", kernel->target);
    printf("\"weir_p90_ms\": %.3f, \"peer_p90_ms\": %.3f, \"p90_ratio\": %.4f, ", weir_p90,
           peer_p90, weir_p90 / peer_p90);
    printf("\"weir_min_ms\": %.3f, \"peer_min_ms\": %.3f, \"min_ratio\": %.4f, ", weir->ms[0],
           peer->ms[0], weir->ms[0] / peer->ms[0]);
    if (!kernel->processes_end)
        printf("\"weir_cpu_ms\": %.3f, \"peer_cpu_ms\": %.3f, \"cpu_ratio\": %.4f, ", weir_cpu,
               peer_cpu, weir_cpu / peer_cpu);
    printf("\"difference\": %.3g}\n", worst);
    fflush(stdout);
}

static bool run_kernel(const struct kernel *kernel, const struct bench *bench, int rounds)
{
    static struct times times[KERNEL_WAYS_MAX];
    double worst[KERNEL_WAYS_MAX] = {0};
    bool right = true;
    int ways = 0;

    while (ways < KERNEL_WAYS_MAX && kernel->ways[ways].name != NULL)
        ways++;
    kernel->prepare(bench);
    for (int round = -1; round < rounds && right; round++) {
        for (int i = 0; i < ways; i++) {
            double begin = clock_ms(CLOCK_MONOTONIC), cpu_begin = cpu_ms(bench);

            kernel->ways[i].run(bench);
            if (round >= 0) {
                times[i].ms[round] = clock_ms(CLOCK_MONOTONIC) - begin;
                times[i].cpu_ms[round] = cpu_ms(bench) - cpu_begin;
            }
            right &= check(kernel, &kernel->ways[i], &worst[i]);
        }
        if (kernel->clear != NULL)
            kernel->clear();
    }
    for (int i = 1; i < ways && right; i++)
        print(kernel, bench, i, rounds, times, worst[i]);
    return right;
}

static bool is_wanted(const struct kernel *kernel, char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], kernel->name) == 0)
            return true;
    }
    return names[0] == NULL;
}

/* All kernels with one pool, which is made before OpenMP's threads are: LLVM's OpenMP gives each
 * process that is forked later a file in /dev/shm, which stays when that does not return from main.
 */
static int run(const struct kernel *kernels, int count, const struct options *options,
               char *const *names)
{
    const int cpus = weir_cpu_count();
    struct bench bench = {
        .workers = options->workers > 0        ? options->workers
                   : cpus > KERNEL_WORKERS_MAX ? KERNEL_WORKERS_MAX
                                               : cpus,
        .seed = options->seed,
    };
    int status = 0;

    WEIR_SCOPE (scope, NULL) {
        bench.scope = scope;
        bench.pool = weir_pool_new(scope, &(weir_pool_options){.workers = bench.workers});
        must(bench.pool != NULL, "weir_pool_new");
        for (int i = 0; i < count; i++) {
            const struct kernel *kernel = &kernels[i];

            if (!is_wanted(kernel, names))
                continue;
            bench.bytes = (int64_t)(options->mib > 0 ? options->mib : kernel->mib) << 20;
            if (!run_kernel(kernel, &bench, options->rounds > 0 ? options->rounds : kernel->rounds))
                status = 1;
        }
        return status;
    }
    must(false, "weir_scope_begin");
    return 1;
}

/* Threads that have nothing to do sleep, instead of spinning through weir's rounds. OpenMP reads
 * this before main(). */
static void set_passive_waiting(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") != NULL)
        return;
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv("/proc/self/exe", argv);
    perror("execv");
    exit(1);
}

/* A whole number from 1 to max, or 0. */
static int parse(const char *text, long max)
{
    char *end;
    long number = strtol(text, &end, 10);

    return end == text || *end || number < 1 || number > max ? 0 : (int)number;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {{"size", required_argument, NULL, 's'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"seed", required_argument, NULL, 'e'},
                                          {0}};
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name == 's' && (options->mib = parse(optarg, 1 << 16)) > 0)
            continue;
        if (name == 'r' && (options->rounds = parse(optarg, ROUNDS_MAX)) > 0)
            continue;
        if (name == 'w' && (options->workers = parse(optarg, KERNEL_WORKERS_MAX)) > 0)
            continue;
        if (name == 'e' && (options->seed = (uint64_t)parse(optarg, INT32_MAX)) > 0)
            continue;
        return false;
    }
    return true;
}

static bool names_are_known(const struct kernel *kernels, int count, char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        bool known = false;

        for (int k = 0; k < count; k++)
            known |= strcmp(names[i], kernels[k].name) == 0;
        if (!known)
            return false;
    }
    return true;
}

int kernel_main(int argc, char **argv, const struct kernel *kernels, int count)
{
    struct options options = {.seed = 42};

    set_passive_waiting(argv);
    if (parse_options(argc, argv, &options) && names_are_known(kernels, count, argv + optind))
        return run(kernels, count, &options, argv + optind);
    fprintf(stderr, "usage: %s [--size MIB] [--rounds N] [--workers N] [--seed N] [NAME...]\n",
            argv[0]);
    for (int i = 0; i < count; i++)
        fprintf(stderr, "%s%s", i == 0 ? "names: " : " ", kernels[i].name);
    fprintf(stderr, "\n");
    return 2;
}
