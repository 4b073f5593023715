/* SPDX-License-Identifier: MIT
 *
 * ops_job.c: calls that run a job and wait for it; what meddles with them.
 */
#include <signal.h>

#include "job.h"
#include "ops.h"

static void run_job(struct lane *lane, const struct op *op, enum form form)
{
    static const char *const calls[] = {"for", "map", "reduce"};
    struct pool_place *pool = pool_of(op->n[0]);
    struct job job;
    int code;

    if (pool == NULL)
        return;
    job_draw(&job, lane, pool, form, &world.record->tallies[lane->number][TALLIES - 1]);
    job_say(lane, calls[form], &job);
    job_begin(&job);
    if (form == FOR)
        code = weir_pool_for(pool->pool, job.range, job_for, &job.work, &job.options);
    else if (form == MAP)
        code = weir_pool_map(pool->pool, job_map, job.in, sizeof *job.in, job.out, sizeof *job.out,
                             (size_t)job.work.length, &job.work, &job.options);
    else
        code = weir_pool_reduce(pool->pool, job.range, &stretches, &job.result, &job.work,
                                &job.options);
    job_end(&job, code);
    job_forget(&job);
}

static void run_for(struct lane *lane, const struct op *op)
{
    run_job(lane, op, FOR);
}

static void run_map(struct lane *lane, const struct op *op)
{
    run_job(lane, op, MAP);
}

static void run_reduce(struct lane *lane, const struct op *op)
{
    run_job(lane, op, REDUCE);
}

/* ---- meddling -------------------------------------------------------------------------------- */

static void cancel_pool(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);

    (void)lane;
    if (pool == NULL)
        return;
    COUNT(cancels);
    atomic_fetch_add(&pool->cancels.begun, 1);
    weir_pool_cancel(pool->pool);
    atomic_fetch_add(&pool->cancels.over, 1);
}

static int nothing(weir_task *task, weir_range range, void *arg)
{
    struct tally *tally = arg;

    (void)task;
    atomic_fetch_add(&tally->running, (int)(range.end - range.begin));
    return 0;
}

/* Until it is resumed, no call gets through. */
static void interrupt_pool(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    struct tally *tally = &world.record->tallies[lane->number][TALLIES - 1];

    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    COUNT(cancels);
    memset(tally, 0, sizeof *tally);
    atomic_fetch_add(&pool->cancels.begun, 1);
    weir_pool_interrupt(pool->pool);
    for (int i = 0; i < 3; i++)
        REFUSED("weir_pool_for", weir_pool_for(pool->pool, weir_range_of(9), nothing, tally, NULL),
                -ECANCELED);
    MUST(atomic_load(&tally->running) == 0, "a chunk was started");
    weir_pool_resume(pool->pool);
    atomic_fetch_add(&pool->cancels.over, 1);
    SUCCEEDS(weir_pool_for(pool->pool, weir_range_of(9), nothing, tally, NULL));
    MUST(atomic_load(&tally->running) == 9, "%d items", atomic_load(&tally->running));
    memset(tally, 0, sizeof *tally);
}

/* A worker dies, wherever it is; the pool replaces it. */
static void kill_worker(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    int worker;
    pid_t pid;

    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    worker = (int)pick(op, 1, (unsigned)pool->workers);
    pid = weir_pool_worker_pid(pool->pool, worker);
    if (pid < 0) {
        ALLOW("weir_pool_worker_pid", pid, -ESRCH);
        return;
    }
    say(lane, "kills worker %d of pool %td, process %d", worker, pool - world.pools, (int)pid);
    COUNT(deaths);
    atomic_fetch_add(&pool->kills.begun, 1);
    kill(pid, SIGKILL);
    for (double end_ms = now_ms() + 20000; weir_pool_worker_pid(pool->pool, worker) == pid;) {
        MUST(now_ms() < end_ms, "worker %d, process %d, is not replaced", worker, (int)pid);
        sleep_us(100);
    }
    atomic_fetch_add(&pool->kills.over, 1);
}

/* Nobody is hurt by a worker that stands still for a while. */
static void stop_worker(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    pid_t pid;

    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    pid = weir_pool_worker_pid(pool->pool, (int)pick(op, 1, (unsigned)pool->workers));
    if (pid <= 0 || kill(pid, SIGSTOP) < 0)
        return;
    COUNT(stops);
    say(lane, "stops process %d", (int)pid);
    sleep_us(100 * (int)pick(op, 2, 100));
    kill(pid, SIGCONT);
}

static void misuse_jobs(struct lane *lane, const struct op *op)
{
    struct pool_place *place = pool_of(op->n[0]);
    weir_job_options bad[] = {{.chunks = 2, .grain = 2}, {.chunks = -1},   {.grain = -2},
                              {.retries = 31},           {.retries = -2},  {.timeout_ms = -2},
                              {.chunk_timeout_ms = -2},  {.reserved = {1}}};
    weir_range wrong = {5, 4}, range = {0, 10};
    weir_reduction reduction = stretches;
    int64_t result = 3;
    weir_pool *pool;

    (void)lane;
    REFUSED("weir_pool_for", weir_pool_for(NULL, range, job_for, NULL, NULL), -EINVAL);
    REFUSED("weir_pool_workers", weir_pool_workers(NULL), -EINVAL);
    if (place == NULL || atomic_load(&place->supervisor_gone))
        return;
    pool = place->pool;
    REFUSED("weir_pool_for", weir_pool_for(pool, range, NULL, NULL, NULL), -EINVAL);
    REFUSED("weir_pool_for", weir_pool_for(pool, wrong, job_for, NULL, NULL), -EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        REFUSED("weir_pool_for", weir_pool_for(pool, range, job_for, NULL, &bad[i]), -EINVAL);
    REFUSED("weir_pool_map", weir_pool_map(pool, job_map, NULL, 8, &result, 8, 1, NULL, NULL),
            -EINVAL);
    REFUSED("weir_pool_map", weir_pool_map(pool, NULL, &result, 8, &result, 8, 1, NULL, NULL),
            -EINVAL);
    REFUSED("weir_pool_reduce", weir_pool_reduce(pool, range, NULL, &result, NULL, NULL), -EINVAL);
    reduction.size = 0;
    REFUSED("weir_pool_reduce", weir_pool_reduce(pool, range, &reduction, &result, NULL, NULL),
            -EINVAL);
    REFUSED("weir_pool_reduce", weir_pool_reduce(pool, range, &stretches, NULL, NULL, NULL),
            -EINVAL);
    REFUSED("weir_pool_worker_pid", weir_pool_worker_pid(pool, place->workers), -ERANGE);
    REFUSED("weir_pool_worker_pid", weir_pool_worker_pid(pool, -1), -ERANGE);
    MUST(result == 3, "a result of a refused call");
}

static const struct kind kinds[] = {
    {"run_for", 6, false, false, run_for},
    {"run_map", 4, false, false, run_map},
    {"run_reduce", 4, false, false, run_reduce},
    {"cancel_pool", 1, false, false, cancel_pool},
    {"interrupt_pool", 1, true, false, interrupt_pool},
    {"kill_worker", 1, false, false, kill_worker},
    {"stop_worker", 1, false, false, stop_worker},
    {"misuse_jobs", 1, false, false, misuse_jobs},
    {0},
};

const struct family job_family = {.name = "job", .kinds = kinds, .weight = 2};
