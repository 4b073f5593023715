/* SPDX-License-Identifier: MIT
 *
 * ops_ending.c: the ways in which a program ends without ending its scopes. What it has started
 * ends too, and its names go; runner.c looks.
 */
#include <signal.h>

#include "ops.h"

/* Of a scope whose manager is dead already the names may stay until the next program cleans. */
static void note_ending(struct lane *lane, const char *how)
{
    say(lane, "the program ends: %s", how);
    atomic_store(&world.record->ends_itself, 1);
    for (int s = 0; s < SCOPES; s++) {
        if (world.scopes[s].scope != NULL && world.scopes[s].manager_gone)
            atomic_store(&world.record->all_killed, 1);
    }
}

static void ends_by_exit(struct lane *lane, const struct op *op)
{
    note_ending(lane, "exit");
    if (pick(op, 0, 2) == 0)
        exit(0);
    _exit(0);
}

static void ends_by_kill(struct lane *lane, const struct op *op)
{
    static const int signals[] = {SIGKILL, SIGTERM, SIGINT};

    note_ending(lane, "a signal");
    kill(getpid(), signals[pick(op, 0, 3)]);
    for (;;)
        pause();
}

static void ends_by_exec(struct lane *lane, const struct op *op)
{
    (void)op;
    note_ending(lane, "exec");
    execl("/bin/true", "true", (char *)NULL);
    _exit(0);
}

/* The next program that begins a scope cleans then. */
static void ends_with_managers(struct lane *lane, const struct op *op)
{
    note_ending(lane, "killed with its managers");
    atomic_store(&world.record->all_killed, 1);
    for (int p = 0; p < POOLS; p++)
        if (world.pools[p].pool != NULL && pick(op, 0, 2) == 0)
            kill(weir_pool_supervisor_pid(world.pools[p].pool), SIGKILL);
    for (int s = 0; s < SCOPES; s++)
        if (world.scopes[s].scope != NULL && !world.scopes[s].manager_gone)
            kill(weir_scope_manager_pid(world.scopes[s].scope), SIGKILL);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static const struct kind kinds[] = {
    {"ends_by_exit", 1, true, true, ends_by_exit},
    {"ends_by_kill", 1, true, true, ends_by_kill},
    {"ends_by_exec", 1, true, true, ends_by_exec},
    {"ends_with_managers", 1, true, true, ends_with_managers},
    {0},
};

const struct family ending_family = {.name = "ending", .kinds = kinds, .weight = 1};
