/* SPDX-License-Identifier: MIT
 *
 * bench-cache.c: processes that share a cache: a key that is there is read, one that is not is
 * worked out and put in. weir's is a dictionary; the other one is what a program would write for
 * itself: a table of fixed size behind a robust mutex that processes share.
 *
 * Some keys are wanted far more often than others. Both start empty in each round. 1 MiB stands for
 * 32,768 requests.
 */
#include "kernel.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define KEYS  100000
#define SLOTS ((uint64_t)1 << 18)
#define STEPS 2000 /* of working a value out: some 6 us */

/* What a key has in the cache. */
struct entry {
    double value[8];
};

struct slot {
    uint64_t key; /* with 1 added; 0: empty */
    struct entry entry;
};

struct table {
    pthread_mutex_t mutex;
    struct slot slots[SLOTS];
};

/* A request is a key of which the small ones are frequent. */
struct job {
    uint64_t seed;
    int64_t requests; /* of each client */
    weir_dict *dict;
    struct table *table;
    double *sums; /* of each client */
};

static struct job job;
static double *shared_sums; /* that clients write */
static double weir_sums[KERNEL_WORKERS_MAX], peer_sums[KERNEL_WORKERS_MAX];

static int64_t key_of(int64_t client, int64_t request)
{
    const double x = random_real(job.seed + (uint64_t)client, (uint64_t)request);

    return (int64_t)(x * x * x * KEYS);
}

SHARED_LOOP struct entry work_out(int64_t key)
{
    double x = random_real(7, (uint64_t)key);
    struct entry entry;

    for (int k = 0; k < STEPS; k++)
        x = 3.75 * x * (1 - x);
    for (int k = 0; k < 8; k++)
        entry.value[k] = x * k;
    return entry;
}

static double sum_of(const struct entry *entry)
{
    return entry->value[1] + entry->value[7];
}

static void run_clients(const struct bench *bench, weir_task_fn client, double *sums)
{
    job.seed = bench->seed;
    job.requests = (bench->bytes >> 5) / bench->workers;
    job.sums = shared_sums;
    must(weir_pool_for(bench->pool, weir_range_of(bench->workers), client, &job,
                       &(weir_job_options){.grain = 1, .arg_size = sizeof job}) == 0,
         "weir_pool_for");
    memcpy(sums, shared_sums, sizeof weir_sums);
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int ask_dict(weir_task *task, weir_range range, void *arg)
{
    const struct job *mine = arg;
    double sum = 0;

    job = *mine;
    for (int64_t i = 0; i < mine->requests; i++) {
        const int64_t key = key_of(range.begin, i);
        struct entry entry;
        char bytes[sizeof entry + 1]; /* with the NUL that weir puts behind */
        weir_value value;
        int result = weir_dict_get(mine->dict, weir_int(key), &value, bytes, sizeof bytes);

        memcpy(&entry, bytes, sizeof entry);

        if (result == -ENOENT) {
            entry = work_out(key);
            result = weir_dict_set(mine->dict, weir_int(key), weir_bytes(&entry, sizeof entry));
        }
        if (result < 0)
            return weir_task_fail(task, result, "%s", weir_last_error()->message);
        sum += sum_of(&entry);
    }
    mine->sums[range.begin] = sum;
    return 0;
}

static void by_weir(const struct bench *bench)
{
    job.dict = weir_scope_dict(bench->scope, &(weir_dict_options){.max_size = (size_t)64 << 20});
    must(job.dict != NULL, "weir_scope_dict");
    run_clients(bench, ask_dict, weir_sums);
    must(weir_shm_unlink(weir_dict_shm(job.dict)) == 0, "weir_shm_unlink");
    weir_dict_close(job.dict);
}

/* ---- by hand -------------------------------------------------------------------------------- */

/* The key's slot, or the empty one where it is to be. The caller has the mutex. */
static struct slot *find(struct table *table, int64_t key)
{
    uint64_t at = random_of(0, (uint64_t)key) % SLOTS;

    while (table->slots[at].key != 0 && table->slots[at].key != (uint64_t)key + 1)
        at = (at + 1) % SLOTS;
    return &table->slots[at];
}

static void lock(struct table *table)
{
    if (pthread_mutex_lock(&table->mutex) == EOWNERDEAD)
        pthread_mutex_consistent(&table->mutex);
}

static int ask_table(weir_task *task, weir_range range, void *arg)
{
    const struct job *mine = arg;
    struct table *table = mine->table;
    double sum = 0;

    (void)task;
    job = *mine;
    for (int64_t i = 0; i < mine->requests; i++) {
        const int64_t key = key_of(range.begin, i);
        struct entry entry;
        struct slot *slot;
        bool found;

        lock(table);
        slot = find(table, key);
        found = slot->key != 0;
        if (found)
            entry = slot->entry;
        pthread_mutex_unlock(&table->mutex);
        if (!found) {
            entry = work_out(key);
            lock(table);
            slot = find(table, key);
            slot->entry = entry;
            slot->key = (uint64_t)key + 1;
            pthread_mutex_unlock(&table->mutex);
        }
        sum += sum_of(&entry);
    }
    mine->sums[range.begin] = sum;
    return 0;
}

static void by_hand(const struct bench *bench)
{
    weir_shm *block = weir_scope_shm(bench->scope, sizeof(struct table));
    pthread_mutexattr_t robust;

    must(block != NULL, "weir_scope_shm");
    job.table = weir_shm_buf(block);
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    must(pthread_mutex_init(&job.table->mutex, &robust) == 0, "pthread_mutex_init");
    pthread_mutexattr_destroy(&robust);
    run_clients(bench, ask_table, peer_sums);
    must(weir_shm_unlink(block) == 0, "weir_shm_unlink");
    weir_shm_close(block);
}

/* ---- both ----------------------------------------------------------------------------------- */

static double difference(void)
{
    return memcmp(weir_sums, peer_sums, sizeof weir_sums) == 0 && weir_sums[0] > 0 ? 0 : 1;
}

static void prepare(const struct bench *bench)
{
    weir_shm *block = weir_scope_shm(bench->scope, sizeof weir_sums);

    must(block != NULL, "weir_scope_shm");
    shared_sums = weir_shm_buf(block);
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "cache",
        .target = 1.05,
        .mib = 128, /* 4.2 million requests */
        .rounds = 11,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"robust mutex", by_hand, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
