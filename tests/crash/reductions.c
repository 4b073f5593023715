/* SPDX-License-Identifier: MIT
 *
 * reductions: workers are killed all the time while reductions run, plain ones and keyed ones.
 *
 *     reductions reduce|map-reduce [SECONDS [SEED]]
 *
 * Every 5 ms some worker gets SIGKILL. What is reduced are doubles whose sums would differ in
 * another order: into an accumulator, or under keys short and long; and texts that are appended.
 * Each job must end with the very bytes of a quiet run, the order of the keys included, or with a
 * reported death (a chunk that was killed 31 times over). At the end no block is left in the scope
 * beyond those that killed workers had just made and not noted yet, of which there must be few, and
 * none after the scope.
 */
#include "leak.h"
#include "now.h"

#include "reductions.h"

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
        double value = awkward_double(i);
        char key[80];
        /* some keys come often in each chunk: their sums' bits show the cut */
        int size = make_key(i % 2 == 0 ? i % 307 : i * 7919 % ITEMS, key);

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
    return pair->key[pair->key_size - 1] == '7' ? WEIR_SKIP : 0;
}

static const weir_map_reduction kinds[] = {
    {.map = emit_doubles,
     .value_size = sizeof(double),
     .combine = weir_sum_double,
     .reduce = halve},
    {.map = emit_texts},
};

/* 0: the job failed, last error set. */
static uint64_t run_map_reduce(weir_pool *pool, int kind, int chunks)
{
    weir_table *table = weir_pool_map_reduce(pool, (weir_range){0, ITEMS}, &kinds[kind], NULL,
                                             &(weir_job_options){.chunks = chunks, .retries = 30});
    uint64_t result = table != NULL ? fingerprint(table) : 0;

    weir_table_free(table);
    return result;
}

/* An accumulator that a chunk writes to all the time, larger than what one store writes. */
struct sums {
    double sum[9];
    int64_t items;
};

static int fold_sums(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    struct sums *sums = accumulator;

    (void)task;
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        for (int k = 0; k < 9 * 40; k++)
            sums->sum[k % 9] += awkward_double(i * 7919 % ITEMS + k);
        sums->items++;
    }
    return 0;
}

static void combine_sums(void *into, const void *from, void *arg)
{
    struct sums *sums = into;
    const struct sums *more = from;

    (void)arg;
    for (int k = 0; k < 9; k++)
        sums->sum[k] += more->sum[k];
    sums->items += more->items;
}

/* Kind 1 is that of a future. */
static uint64_t run_reduce(weir_pool *pool, int kind, int chunks)
{
    const weir_reduction reduction = {
        .size = sizeof(struct sums), .fold = fold_sums, .combine = combine_sums};
    const weir_job_options options = {.chunks = chunks, .retries = 30};
    const weir_range range = {0, ITEMS};
    struct sums sums = {0};
    int result;

    if (kind == 0) {
        result = weir_pool_reduce(pool, range, &reduction, &sums, NULL, &options);
    } else {
        weir_future *future = weir_pool_reduce_async(pool, range, &reduction, NULL, &options);

        result = weir_future_wait(future, -1);
        if (result == 0)
            memcpy(&sums, weir_future_result(future, NULL), sizeof sums);
        weir_future_free(future);
    }
    if (result == 0 && sums.items != ITEMS)
        return 1;
    return result == 0 ? mix_bytes(NO_BYTES, &sums, sizeof sums) : 0;
}

static uint64_t (*run_job)(weir_pool *pool, int kind, int chunks);

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
        uint64_t result = run_job(pool, kind, CHUNKS);

        if (result == 0 && weir_last_error()->code == WEIR_EDIED) {
            count->reported++;
        } else if (result != quiet[kind]) {
            count->wrong++;
            fprintf(stderr, "job %d: %s\n", count->jobs,
                    result == 0 ? weir_last_error()->message : "not the bytes of a quiet run");
        }
    }
}

/* Fills in what a quiet pool gives. False when that is nothing, or another cut gives it too: then
 * the same bytes would say nothing. */
static bool run_quietly(weir_pool *pool, uint64_t quiet[2])
{
    for (int kind = 0; kind < 2; kind++)
        quiet[kind] = run_job(pool, kind, CHUNKS);
    if (quiet[0] == 0 || quiet[1] == 0)
        fprintf(stderr, "a quiet job fails: %s\n", weir_last_error()->message);
    return quiet[0] != 0 && quiet[1] != 0 && run_job(pool, 0, CHUNKS - 1) != quiet[0];
}

static int storm(const char *name, int seconds, unsigned seed)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    struct killer killer = {.pool = pool, .seed = seed};
    const double until = now_ms() + seconds * 1e3;
    struct count count = {0};
    uint64_t quiet[2];
    pthread_t thread;
    int left, failed;

    if (pool == NULL || !run_quietly(pool, quiet)) {
        fprintf(stderr, "no quiet run (%s)\n", weir_last_error()->message);
        return 1;
    }
    pthread_create(&thread, NULL, kill_workers, &killer);
    run_storm(pool, quiet, until, &count);
    killer.stop = true;
    pthread_join(thread, NULL);
    if (run_job(pool, 0, CHUNKS) != quiet[0] || run_job(pool, 1, CHUNKS) != quiet[1])
        count.wrong++;
    weir_pool_free(pool);
    left = blocks();
    failed = weir_scope_end(scope) != 0 || blocks() != 0;
    printf("{\"case\":\"%s\",\"seed\":%u,\"jobs\":%d,\"kills\":%d,\"wrong\":%d,"
           "\"reported\":%d,\"blocks_until_end\":%d}\n",
           name, seed, count.jobs, killer.kills, count.wrong, count.reported, left);
    return failed || count.wrong > 0 || count.jobs < seconds * 1000 / SHARE_MS / 4 ||
           killer.kills < seconds * 30 || left > killer.kills / 20 ||
           count.reported > count.jobs / 20;
}

int main(int argc, char **argv)
{
    int seconds = argc > 2 ? atoi(argv[2]) : 10;
    unsigned seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : (unsigned)time(NULL);

    if (argc > 1 && strcmp(argv[1], "reduce") == 0)
        run_job = run_reduce;
    else if (argc > 1 && strcmp(argv[1], "map-reduce") == 0)
        run_job = run_map_reduce;
    if (run_job == NULL || seconds <= 0) {
        fprintf(stderr, "reductions reduce|map-reduce [SECONDS [SEED]]\n");
        return 2;
    }
    if (!leak_isolate() || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        printf("skipped: no mount namespace (needs root or user namespaces)\n");
        return 77;
    }
    return storm(argv[1], seconds, seed);
}
