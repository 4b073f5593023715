/* SPDX-License-Identifier: MIT
 *
 * ops_fault.c: managers and supervisors that are killed or stopped. Nothing waits for them for
 * ever.
 */
#include <pthread.h>
#include <signal.h>

#include "job.h"
#include "ops.h"

#define BOUND_S 20 /* of calls that must not hang; the headers name less */

static int nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int nothing_called(weir_task *task, void *arg)
{
    return nothing(task, weir_range_of(0), arg);
}

/* From here on SIGALRM ends the sequence, where a call of it hangs; 0: no longer. */
static void bound(unsigned limit_s)
{
    alarm(limit_s * SLOWER);
}

/* Jobs with deadlines, each earlier than the one before: the supervisor is told of each, and it
 * does not listen. */
static void run_timed_jobs(struct pool_place *pool, int count)
{
    for (int i = 0; i < count; i++) {
        weir_job_options options = {.timeout_ms = 600000 - 100 * i};

        SUCCEEDS(weir_pool_for(pool->pool, weir_range_of(4), nothing, NULL, &options));
    }
}

static void stop_supervisor(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    const unsigned end = pick(op, 1, 4);
    pid_t pid;

    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    pid = weir_pool_supervisor_pid(pool->pool);
    MUST(pid > 0, "number");
    say(lane, "stops supervisor %d of pool %td; then %u", (int)pid, pool - world.pools, end);
    COUNT(stops);
    bound(BOUND_S);
    kill(pid, SIGSTOP);
    run_timed_jobs(pool, pool->fresh_workers ? 5 : 100 + (int)pick(op, 2, 400));
    if (end == 0)
        end_pool(pool, true, false);
    else if (end == 1 && pool->scope != NULL)
        end_scope(pool->scope, false);
    kill(pid, SIGCONT); /* does nothing if it has gone: its number is not used again so soon */
    bound(0);
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
    bound(BOUND_S);
    atomic_store(&pool->supervisor_gone, true);
    kill(pid, SIGKILL);
    code = weir_pool_for(pool->pool, weir_range_of(100), nothing, NULL, NULL);
    ALLOW("weir_pool_for", code, WEIR_EDIED);
    code = weir_pool_for(pool->pool, weir_range_of(100), nothing, NULL, NULL);
    ALLOW("weir_pool_for", code, WEIR_EDIED);
    if (pick(op, 1, 2) == 0)
        end_pool(pool, pick(op, 2, 2) == 0, false);
    bound(0);
}

/* What the threads of kill_amid() use. */
struct user {
    weir_pool *pool;
    _Atomic int calls;
};

static void *use_pool(void *arg)
{
    struct user *user = arg;
    weir_future *future;
    int code, number = 1;

    do {
        code = weir_pool_for(user->pool, weir_range_of(50), nothing, NULL, NULL);
        ALLOW("weir_pool_for", code, WEIR_EDIED, -ECANCELED);
        atomic_fetch_add(&user->calls, 1);
        future = WEIR_SUBMIT(user->pool, nothing_called, number, NULL);
        if (future == NULL)
            ALLOW("weir_pool_submit", weir_last_error()->code, WEIR_EDIED, -ECANCELED);
        else
            ALLOW("weir_future_wait", weir_future_wait(future, -1), WEIR_EDIED, -ECANCELED);
        weir_future_free(future);
    } while (code != -ECANCELED);
    return NULL;
}

/* The pool is killed while other threads use it: they get their answers. */
static void kill_amid(struct lane *lane, const struct op *op)
{
    struct scope_place *scope = scope_of(op->n[0]);
    unsigned count = 1 + pick(op, 1, 3);
    pthread_t threads[3];
    struct user user = {0};

    if (scope == NULL)
        return;
    user.pool = weir_pool_new(scope->scope, &(weir_pool_options){.workers = 2});
    MUST(user.pool != NULL, "new pool");
    say(lane, "kills a pool that %u threads use", count);
    bound(BOUND_S);
    for (unsigned t = 0; t < count; t++)
        MUST(pthread_create(&threads[t], NULL, use_pool, &user) == 0, "no thread");
    while (atomic_load(&user.calls) < 10)
        sleep_us(20);
    sleep_us((int)pick(op, 2, 2000));
    weir_pool_kill(user.pool);
    for (unsigned t = 0; t < count; t++)
        pthread_join(threads[t], NULL);
    bound(0);
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
    bound(BOUND_S);
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
    bound(0);
}

/* The scope ends in time all the same. */
static void stop_manager(struct lane *lane, const struct op *op)
{
    weir_scope_options options = {.timeout_ms = 200, .anonymous = pick(op, 0, 3) == 0};
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
    bound(BOUND_S);
    SUCCEEDS(weir_scope_end(scope));
    bound(0);
}

static const struct kind kinds[] = {
    {"stop_supervisor", 2, true, false, stop_supervisor},
    {"kill_supervisor", 1, true, false, kill_supervisor},
    {"kill_amid", 2, true, false, kill_amid},
    {"kill_manager", 1, true, false, kill_manager},
    {"stop_manager", 1, true, false, stop_manager},
    {0},
};

const struct family fault_family = {.name = "fault", .kinds = kinds, .weight = 1};
