/* SPDX-License-Identifier: MIT
 *
 * ops_fork.c: children that the program forks itself: they use the scope's objects, are refused
 * what is the program's, and forget what they have inherited; the program notices nothing.
 *
 * A child is forked while the lanes rest, and while they are at work. In the second case it looks
 * only at what its own lane has, since the model of the others is in motion.
 */
#include <signal.h>

#include "child.h"
#include "ops.h"

static int never(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    violation_in_worker(__FILE__, __LINE__, "no job for a child", "process %d", (int)getppid());
    return 0;
}

static int never_called(weir_task *task, void *arg)
{
    return never(task, weir_range_of(0), arg);
}

static void refuse_pool(weir_pool *pool)
{
    int number = 1;

    REFUSED("weir_pool_for", weir_pool_for(pool, weir_range_of(4), never, NULL, NULL), -EDEADLK);
    REFUSED_NULL("weir_pool_submit", WEIR_SUBMIT(pool, never_called, number, NULL), -EDEADLK);
    REFUSED_NULL("weir_stream_new", weir_stream_new(pool, never_called, NULL), -EDEADLK);
    REFUSED("weir_pool_workers", weir_pool_workers(pool), -EDEADLK);
    REFUSED("weir_pool_dispatch", weir_pool_dispatch(pool), -EDEADLK);
    REFUSED("weir_pool_fd", weir_pool_fd(pool), -EDEADLK);
    weir_pool_cancel(pool);
}

static void forget_lane(struct lane *lane, uint64_t *seed)
{
    for (int f = 0; families[f] != NULL; f++)
        if (families[f]->in_child != NULL)
            families[f]->in_child(lane, seed);
}

static _Noreturn void child_main(struct lane *lane, const struct op *op, bool alone)
{
    uint64_t seed = op_seed(op);

    child_reset();
    alarm(30); /* a lock that another thread held */
    for (int p = 0; p < POOLS; p++)
        if (world.pools[p].pool != NULL && alone)
            refuse_pool(world.pools[p].pool);
    if (alone)
        check_all();
    for (unsigned l = 0; l < world.lane_count; l++)
        if (alone || l == lane->number)
            forget_lane(&world.lanes[l], &seed);
    for (int p = 0; p < POOLS && alone; p++) {
        if (world.pools[p].pool == NULL || one_in(&seed, 2))
            continue;
        if (one_in(&seed, 2))
            weir_pool_free(world.pools[p].pool);
        else
            weir_pool_kill(world.pools[p].pool);
    }
    for (int s = 0; s < SCOPES && alone; s++) {
        if (world.scopes[s].scope == NULL || one_in(&seed, 3))
            continue;
        SUCCEEDS(weir_scope_end(world.scopes[s].scope));
    }
    _exit(0);
}

static void fork_one(struct lane *lane, const struct op *op, bool alone)
{
    pid_t pid;

    COUNT(forks);
    pid = fork();
    if (pid == 0)
        child_main(lane, op, alone);
    say(lane, "child %d", (int)pid);
    reap(pid, "forked child");
}

static void fork_alone(struct lane *lane, const struct op *op)
{
    fork_one(lane, op, true);
    check_all();
}

static void fork_amid(struct lane *lane, const struct op *op)
{
    fork_one(lane, op, false);
}

static const struct kind kinds[] = {
    {"fork_alone", 2, true, false, fork_alone},
    {"fork_amid", 2, false, false, fork_amid},
    {0},
};

const struct family fork_family = {.name = "fork", .kinds = kinds, .weight = 1};
