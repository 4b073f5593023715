/* SPDX-License-Identifier: MIT
 *
 * ops_fault.c: managers and supervisors that are killed or stopped. Nothing waits for them for ever.
 */
#include <signal.h>

#include "job.h"
#include "ops.h"

#define BOUND_MS 20000 /* of a call that must not hang; the headers name less */

static int nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

/* Jobs with deadlines: each tells the supervisor of it, and it does not listen. */
static void run_timed_jobs(struct pool_place *pool, unsigned count)
{
    weir_job_options options = {.timeout_ms = 60000};
    const double begin_ms = now_ms();

    while (count-- > 0) {
        SUCCEEDS(weir_pool_for(pool->pool, weir_range_of(4), nothing, NULL, &options));
        MUST(now_ms() - begin_ms < BOUND_MS, "empty jobs hang; %u are left", count);
    }
}

static void stop_supervisor(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    const unsigned end = pick(op, 1, 4);
    double begin_ms;
    pid_t pid;

    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    pid = weir_pool_supervisor_pid(pool->pool);
    MUST(pid > 0, "number");
    say(lane, "stops supervisor %d of pool %td; then %u", (int)pid, pool - world.pools, end);
    COUNT(stops);
    kill(pid, SIGSTOP);
    run_timed_jobs(pool, 100 + pick(op, 2, 400));
    begin_ms = now_ms();
    if (end == 0)
        end_pool(pool, true, false);
    else if (end == 1 && pool->scope != NULL)
        end_scope(pool->scope, false);
    kill(pid, SIGCONT); /* does nothing if it has gone: its number is not used again so soon */
    MUST(now_ms() - begin_ms < BOUND_MS, "%.0f ms", now_ms() - begin_ms);
}

static void kill_supervisor(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    pid_t pid;
    int code;

    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    pid = weir_pool_supervisor_pid(pool->pool);
    say(lane, "kills supervisor %d of pool %td", (int)pid, pool - world.pools);
    COUNT(deaths);
    atomic_store(&pool->supervisor_gone, true);
    kill(pid, SIGKILL);
    code = weir_pool_for(pool->pool, weir_range_of(100), nothing, NULL, NULL);
    ALLOW("weir_pool_for", code, WEIR_EDIED);
    code = weir_pool_for(pool->pool, weir_range_of(100), nothing, NULL, NULL);
    ALLOW("weir_pool_for", code, WEIR_EDIED);
    if (pick(op, 1, 2) == 0)
        end_pool(pool, pick(op, 2, 2) == 0, false);
}

static void kill_manager(struct lane *lane, const struct op *op)
{
    struct scope_place *place = scope_of(op->n[0]);
    weir_shm *shm;
    pid_t pid;

    if (place == NULL || place->manager_gone)
        return;
    pid = weir_scope_manager_pid(place->scope);
    say(lane, "kills manager %d", (int)pid);
    COUNT(deaths);
    place->manager_gone = true;
    kill(pid, SIGKILL);
    shm = weir_scope_shm(place->scope, 100);
    MUST(shm != NULL, "an object without a manager");
    MUST(weir_scope_manager_pid(place->scope) == pid, "another number");
    if (pick(op, 1, 2) == 0) {
        SUCCEEDS(weir_shm_unlink(shm));
        weir_shm_close(shm);
    }
    if (pick(op, 2, 3) == 0)
        end_scope(place, pick(op, 3, 2) == 0);
}

/* The scope ends in time all the same. */
static void stop_manager(struct lane *lane, const struct op *op)
{
    weir_scope_options options = {.timeout_ms = 200, .anonymous = pick(op, 0, 3) == 0};
    double begin_ms;
    weir_scope *scope;
    weir_dict *dict;

    scope = weir_scope_begin(&options);
    if (scope == NULL) {
        ALLOW("weir_scope_begin", weir_last_error()->code, -ETIMEDOUT); /* a busy machine */
        return;
    }
    say(lane, "stops manager %d", (int)weir_scope_manager_pid(scope));
    COUNT(stops);
    kill(weir_scope_manager_pid(scope), SIGSTOP);
    dict = weir_scope_dict(scope, NULL);
    MUST(dict != NULL, "an object beside a manager that stands still");
    SUCCEEDS(weir_dict_set(dict, weir_int(1), weir_bool(true)));
    begin_ms = now_ms();
    SUCCEEDS(weir_scope_end(scope));
    MUST(now_ms() - begin_ms < BOUND_MS, "%.0f ms", now_ms() - begin_ms);
}

static const struct kind kinds[] = {
    {"stop_supervisor", 2, true, false, stop_supervisor},
    {"kill_supervisor", 1, true, false, kill_supervisor},
    {"kill_manager", 1, true, false, kill_manager},
    {"stop_manager", 1, true, false, stop_manager},
    {0},
};

const struct family fault_family = {.name = "fault", .kinds = kinds, .weight = 1};
