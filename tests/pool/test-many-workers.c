/* SPDX-License-Identifier: MIT
 *
 * Pools of many workers: what one of them costs does not grow with the number of the others. What
 * is counted is work, as a time says little on a machine that others use too.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>

#include "pool/host/state.h"

#define WORKERS 200

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int parked(const weir_pool *pool)
{
    int count = 0;

    for (int w = 0; w * 64 < pool->control->workers; w++)
        count += __builtin_popcountll(atomic_load(&pool->control->meeting[w].parked));
    return count;
}

/* Workers that are ready and have another pid than before. */
static int replaced(const weir_pool *pool, const pid_t *before)
{
    int count = 0;

    for (int i = 0; i < pool->control->workers; i++) {
        const struct weir__slot *slot = &pool->control->slots[i];

        count += atomic_load(&slot->state) == SLOT_READY && atomic_load(&slot->pid) > 0 &&
                 atomic_load(&slot->pid) != before[i];
    }
    return count;
}

static unsigned long rings(const weir_pool *pool)
{
    unsigned long sum = 0;

    for (int i = 0; i < pool->control->workers; i++)
        sum += atomic_load(&pool->control->slots[i].bell);
    return sum;
}

/* A pool of which all workers sleep. */
struct many {
    weir_scope *scope;
    weir_pool *pool;
    pid_t before[WORKERS];
    unsigned long rung;
};

static void begin_asleep(struct many *many)
{
    many->scope = begin();
    many->pool = new_pool(many->scope, WORKERS);
    WAIT_UNTIL(parked(many->pool) == WORKERS, 60000);
    for (int i = 0; i < WORKERS; i++)
        many->before[i] = weir_pool_worker_pid(many->pool, i);
    many->rung = rings(many->pool);
}

static void sleeping_workers_are_left_asleep__when_one_of_many_dies(void **state)
{
    struct many many;

    (void)state;
    begin_asleep(&many);
    kill(many.before[7], SIGKILL);
    WAIT_UNTIL(replaced(many.pool, many.before) == 1 && parked(many.pool) == WORKERS, 60000);
    /* one is woken, and looks at what is ready */
    assert_in_range(rings(many.pool) - many.rung, 1, 8);
    weir_pool_kill(many.pool);
    assert_int_equal(weir_scope_end(many.scope), 0);
}

static void workers_are_woken_a_few_times__when_all_of_many_die(void **state)
{
    struct many many;

    (void)state;
    begin_asleep(&many);
    for (int i = 0; i < WORKERS; i++)
        kill(many.before[i], SIGKILL);
    WAIT_UNTIL(replaced(many.pool, many.before) == WORKERS, 60000);
    /* If each death woke all workers it would be their square. */
    assert_true(rings(many.pool) - many.rung < 20UL * WORKERS);
    assert_int_equal(weir_pool_for(many.pool, (weir_range){0, WORKERS}, do_nothing, NULL, NULL), 0);
    weir_pool_free(many.pool);
    assert_int_equal(weir_scope_end(many.scope), 0);
}

static int sleep_then_count(weir_task *task, weir_range range, void *arg)
{
    _Atomic int *runs = arg;

    (void)task;
    usleep(20000);
    for (int64_t i = range.begin; i < range.end; i++)
        runs[i]++;
    return 0;
}

static void every_chunk_is_run__when_half_of_many_workers_die(void **state)
{
    _Atomic int *runs = shared_memory(4 * WORKERS * sizeof *runs);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, WORKERS);
    weir_future *future = weir_pool_for_async(pool, (weir_range){0, 4 * WORKERS}, sleep_then_count,
                                              (void *)runs, OPTIONS(.grain = 1, .retries = 20));

    (void)state;
    assert_non_null(future);
    for (int i = 0; i < WORKERS; i += 2) {
        const pid_t pid = weir_pool_worker_pid(pool, i);

        if (pid > 0)
            kill(pid, SIGKILL);
    }
    assert_int_equal(weir_future_wait(future, 60000), 0);
    weir_future_free(future);
    for (int i = 0; i < 4 * WORKERS; i++)
        assert_true(runs[i] >= 1);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
    munmap((void *)runs, 4 * WORKERS * sizeof *runs);
}

static int descriptors_of(pid_t pid)
{
    char path[64];
    DIR *folder;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void a_worker_costs_the_others_no_descriptor(void **state)
{
    weir_scope *scope = begin();
    weir_pool *few = new_pool(scope, 1), *many = new_pool(scope, WORKERS);

    (void)state;
    /* a worker that has begun has closed what is the supervisor's */
    WAIT_UNTIL(atomic_load(&few->control->slots[0].state) == SLOT_READY &&
                   atomic_load(&many->control->slots[WORKERS - 1].state) == SLOT_READY,
               60000);
    assert_int_equal(descriptors_of(weir_pool_supervisor_pid(many)),
                     descriptors_of(weir_pool_supervisor_pid(few)));
    assert_int_equal(descriptors_of(weir_pool_worker_pid(many, WORKERS - 1)),
                     descriptors_of(weir_pool_worker_pid(few, 0)));
    weir_pool_kill(few);
    weir_pool_kill(many);
    assert_int_equal(weir_scope_end(scope), 0);
}

static _Atomic int *finalized;

/* Longer than a single worker may take. */
static void finalize_slowly(void *arg)
{
    (void)arg;
    usleep(5300000);
    ++*finalized;
}

static void workers_have_more_time_to_end__when_they_are_many(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    finalized = shared_memory(4096);
    pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = 2 * WORKERS, .finalizer = finalize_slowly});
    assert_non_null(pool);
    weir_pool_free(pool);
    assert_int_equal(*finalized, 2 * WORKERS);
    assert_int_equal(weir_scope_end(scope), 0);
    munmap((void *)finalized, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(sleeping_workers_are_left_asleep__when_one_of_many_dies),
        UNIT(workers_are_woken_a_few_times__when_all_of_many_die),
        UNIT(every_chunk_is_run__when_half_of_many_workers_die),
        UNIT(a_worker_costs_the_others_no_descriptor),
        UNIT(workers_have_more_time_to_end__when_they_are_many),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
