/* SPDX-License-Identifier: MIT
 *
 * bench-sweep.c: a sweep of experiments, some of which crash and some of which never end, beside
 * the same by hand: a process for each, as many at once as there are workers, each killed when it
 * is late.
 *
 * Both put what an experiment has found into shared memory, and what became of it. 1 MiB stands for
 * 64 experiments.
 */
#include "kernel.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "now.h"

#define STEPS   20000 /* of an experiment: some 60 us */
#define LATE_MS 100

static int64_t count;
static double *weir_found, *peer_found; /* of each: what it gave; 0: it crashed or was late */

/* One of 100 crashes, one of 2,500 never ends. */
SHARED_LOOP double experiment(uint64_t seed, int64_t i)
{
    double x = random_real(seed, (uint64_t)i);

    for (int k = 0; k < STEPS; k++)
        x = 3.75 * x * (1 - x);
    if (i % 100 == 7)
        raise(SIGSEGV);
    while (i % 2500 == 200)
        pause();
    return 1 + x;
}

/* ---- weir ----------------------------------------------------------------------------------- */

struct sweep {
    double *found;
    uint64_t seed;
};

static int run_experiments(weir_task *task, weir_range range, void *arg)
{
    const struct sweep *sweep = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++)
        sweep->found[i] = experiment(sweep->seed, i);
    return 0;
}

static void by_weir(const struct bench *bench)
{
    struct sweep sweep = {weir_found, bench->seed};
    weir_job_report report = {0};
    const weir_job_options options = {
        .grain = 1,
        .arg_size = sizeof sweep,
        .chunk_timeout_ms = LATE_MS,
        .keep_going = true,
        .report = &report,
    };

    memset(weir_found, 0, (size_t)count * sizeof *weir_found);
    (void)!weir_pool_for(bench->pool, weir_range_of(count), run_experiments, &sweep, &options);
    must(report.done + report.failed == (uint64_t)count, "weir_pool_for");
}

/* ---- by hand -------------------------------------------------------------------------------- */

struct child {
    struct pollfd fd; /* of the process; -1: there is none */
    pid_t pid;
    int64_t item;
    double begin_ms;
};

static void start(struct child *child, int64_t item, uint64_t seed)
{
    child->item = item;
    child->begin_ms = now_ms();
    child->pid = fork();
    must(child->pid >= 0, "fork");
    if (child->pid == 0) {
        peer_found[item] = experiment(seed, item);
        _exit(0);
    }
    child->fd.fd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    child->fd.events = POLLIN;
    must(child->fd.fd >= 0, "pidfd_open");
}

static int left_ms(const struct child *child)
{
    return (int)(child->begin_ms + LATE_MS - now_ms());
}

/* Whether the child has ended by now, if need be because it is late. */
static bool has_ended(struct child *child, const struct pollfd *fd)
{
    if (child->fd.fd < 0 || (fd->revents == 0 && left_ms(child) > 0))
        return false;
    if (fd->revents == 0)
        kill(child->pid, SIGKILL);
    must(waitpid(child->pid, NULL, 0) == child->pid, "waitpid");
    close(child->fd.fd);
    child->fd.fd = -1;
    return true;
}

static void by_hand(const struct bench *bench)
{
    struct pollfd fds[KERNEL_WORKERS_MAX];
    struct child at[KERNEL_WORKERS_MAX];
    int64_t next = 0, ended = 0;

    memset(peer_found, 0, (size_t)count * sizeof *peer_found);
    for (int i = 0; i < bench->workers; i++)
        at[i].fd = (struct pollfd){.fd = -1};
    while (ended < count) {
        int first_ms = LATE_MS;

        for (int i = 0; i < bench->workers; i++) {
            if (at[i].fd.fd < 0 && next < count)
                start(&at[i], next++, bench->seed);
            fds[i] = at[i].fd;
            if (at[i].fd.fd >= 0 && left_ms(&at[i]) < first_ms)
                first_ms = left_ms(&at[i]);
        }
        poll(fds, (nfds_t)bench->workers, first_ms < 0 ? 0 : first_ms);
        for (int i = 0; i < bench->workers; i++)
            ended += has_ended(&at[i], &fds[i]);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

static double *new_outcomes(const struct bench *bench)
{
    weir_shm *block = weir_scope_shm(bench->scope, (size_t)count * sizeof(double));

    must(block != NULL, "weir_scope_shm");
    return weir_shm_buf(block);
}

static void prepare(const struct bench *bench)
{
    count = bench->bytes >> 14;
    weir_found = new_outcomes(bench);
    peer_found = new_outcomes(bench);
}

/* How many experiments have another value. */
static double difference(void)
{
    int64_t different = 0, failed = 0;

    for (int64_t i = 0; i < count; i++) {
        different += memcmp(&weir_found[i], &peer_found[i], sizeof weir_found[i]) != 0;
        failed += weir_found[i] == 0;
    }
    return different == 0 && failed > 0 && failed < count / 50 ? 0 : 1 + (double)different;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "sweep",
        .target = 1.05,
        .mib = 156, /* 9,984 experiments */
        .rounds = 7,
        .processes_end = true,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"fork", by_hand, difference}},
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return kernel_main(argc, argv, &kernel, 1);
}
