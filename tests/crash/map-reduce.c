/* SPDX-License-Identifier: MIT
 *
 * map-reduce: workers are killed all the time while keyed map-reduces run.
 *
 *     map-reduce [SECONDS [SEED]]
 *
 * Every 5 ms some worker gets SIGKILL. The pairs are doubles whose sums would differ in another
 * order, under keys short and long, and texts that are appended. Each job must end with the very
 * bytes of a quiet run, the order of the keys included, or with a reported death (a chunk that was
 * killed 31 times over). At the end no block is left in the scope beyond those that killed workers
 * had just made and not noted yet, of which there must be few, and none after the scope.
 */
#include "leak.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <weir.h>

#define ITEMS    60000
#define CHUNKS   48
#define KILL_US  5000
#define SHARE_MS 300 /* a job takes at most about so long, storm and all */

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int blocks(void)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    int count = 0;

    while (directory != NULL && (entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.' && strstr(entry->d_name, ".scope") == NULL;
    if (directory != NULL)
        closedir(directory);
    return count;
}

/* ---- the jobs ------------------------------------------------------------------------------- */

static int make_key(int64_t i, char *key)
{
    return i % 11 == 0 ? sprintf(key, "a key that is too long for the queue: %d", (int)(i % 3001))
                       : sprintf(key, "k%d", (int)(i % 19997));
}

static int emit_doubles(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        double value = 1.0 / (double)(i + 1) * (i % 3 ? 1e8 : 1e-8);
        char key[80];
        int size = make_key(i * 7919 % ITEMS, key);

        weir_emit(task, key, (size_t)size, &value, sizeof value);
    }
    return 0;
}

static int emit_texts(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        char key[32], value[32];
        int size = snprintf(key, sizeof key, "t%d", (int)(i * 7919 % 997));

        weir_emit(task, key, (size_t)size, value,
                  (size_t)snprintf(value, sizeof value, "%d,", (int)i));
    }
    return 0;
}

static int halve(weir_task *task, weir_pair *pair, void *arg)
{
    double *value = pair->value;

    (void)task;
    (void)arg;
    *value /= 2;
    return pair->key[pair->key_size - 1] == '7' ? WEIR_LEAVE_OUT : 0;
}

static const weir_map_reduction kinds[] = {
    {.map = emit_doubles,
     .value_size = sizeof(double),
     .combine = weir_sum_double,
     .reduce = halve},
    {.map = emit_texts},
};

static uint64_t fingerprint(const weir_table *table)
{
    uint64_t hash = 14695981039346656037u, position = 0;
    weir_pair pair;

    while (weir_table_next(table, &position, &pair)) {
        for (size_t i = 0; i < pair.key_size; i++)
            hash = (hash ^ (unsigned char)pair.key[i]) * 1099511628211u;
        for (size_t i = 0; i < pair.value_size; i++)
            hash = (hash ^ ((const unsigned char *)pair.value)[i]) * 1099511628211u;
    }
    return hash;
}

/* 0: the job failed, last error set. */
static uint64_t run_job(weir_pool *pool, int kind)
{
    weir_table *table = weir_pool_map_reduce(pool, (weir_range){0, ITEMS}, &kinds[kind], NULL,
                                             &(weir_job_options){.chunks = CHUNKS, .retries = 30});
    uint64_t result = table != NULL ? fingerprint(table) : 0;

    weir_table_free(table);
    return result;
}

/* ---- the storm ------------------------------------------------------------------------------ */

struct killer {
    weir_pool *pool;
    unsigned seed;
    int kills;
    _Atomic bool stop;
};

static void *kill_workers(void *arg)
{
    struct killer *killer = arg;

    while (!killer->stop) {
        pid_t pid = weir_pool_worker_pid(
            killer->pool, (int)(rand_r(&killer->seed) % (unsigned)weir_pool_workers(killer->pool)));

        if (pid > 0 && kill(pid, SIGKILL) == 0)
            killer->kills++;
        usleep(KILL_US);
    }
    return NULL;
}

struct count {
    int jobs, wrong, reported;
};

static void run_storm(weir_pool *pool, const uint64_t *quiet, double until, struct count *count)
{
    while (now_ms() < until) {
        int kind = count->jobs++ % 2;
        uint64_t result = run_job(pool, kind);

        if (result == 0 && weir_last_error()->code == WEIR_EDIED) {
            count->reported++;
        } else if (result != quiet[kind]) {
            count->wrong++;
            fprintf(stderr, "job %d: %s\n", count->jobs,
                    result == 0 ? weir_last_error()->message : "not the bytes of a quiet run");
        }
    }
}

static int storm(int seconds, unsigned seed)
{
    weir_manager *scope = weir_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    struct killer killer = {.pool = pool, .seed = seed};
    const double until = now_ms() + seconds * 1e3;
    struct count count = {0};
    uint64_t quiet[2];
    pthread_t thread;
    int left, failed;

    if (pool == NULL) {
        fprintf(stderr, "%s\n", weir_last_error()->message);
        return 1;
    }
    quiet[0] = run_job(pool, 0);
    quiet[1] = run_job(pool, 1);
    pthread_create(&thread, NULL, kill_workers, &killer);
    run_storm(pool, quiet, until, &count);
    killer.stop = true;
    pthread_join(thread, NULL);
    if (run_job(pool, 0) != quiet[0] || run_job(pool, 1) != quiet[1] || quiet[0] == 0)
        count.wrong++;
    weir_pool_free(pool);
    left = blocks();
    failed = weir_end(scope) != 0 || blocks() != 0;
    printf("{\"case\":\"map-reduce\",\"seed\":%u,\"jobs\":%d,\"kills\":%d,\"wrong\":%d,"
           "\"reported\":%d,\"blocks_until_end\":%d}\n",
           seed, count.jobs, killer.kills, count.wrong, count.reported, left);
    return failed || count.wrong > 0 || count.jobs < seconds * 1000 / SHARE_MS / 4 ||
           killer.kills < seconds * 30 || left > killer.kills / 20 ||
           count.reported > count.jobs / 20;
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 10;
    unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : (unsigned)time(NULL);

    if (seconds <= 0)
        return 2;
    if (!leak_isolate() || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        printf("skipped: no mount namespace (needs root or user namespaces)\n");
        return 77;
    }
    return storm(seconds, seed);
}
