/* SPDX-License-Identifier: MIT
 *
 * ops_process.c: processes of a scope that run one function.
 */
#include <signal.h>

#include "ops.h"

#define PROCESSES 4

enum target { RETURNS, EXITS, KILLED, STAYS, TARGETS };

struct process_place {
    weir_process *process; /* NULL: none here */
    struct scope_place *scope;
    enum target target;
    int number;
    int signal; /* that it was sent; 0: none */
    bool joined;
    int exit_code;
};

static struct process_place *place_of(struct lane *lane, unsigned number)
{
    if (lane->processes == NULL)
        lane->processes = calloc(PROCESSES, sizeof *lane->processes);
    if (lane->processes == NULL)
        abort();
    return &lane->processes[number % PROCESSES];
}

static int target_main(void *arg)
{
    const struct process_place *place = arg; /* a copy, as of the fork */

    switch (place->target) {
    case EXITS:
        _exit(place->number);
    case KILLED:
        COUNT(deaths);
        kill(getpid(), SIGKILL);
        break;
    case STAYS:
        for (;;)
            pause();
    default:
        break;
    }
    return place->number;
}

static void start_process(struct lane *lane, const struct op *op)
{
    struct process_place *place = place_of(lane, op->n[0]);
    struct scope_place *scope = scope_of(op->n[1]);

    if (place->process != NULL || scope == NULL)
        return;
    *place = (struct process_place){
        .scope = scope,
        .target = (enum target)draw(&lane->seed, TARGETS),
        .number = (int)draw(&lane->seed, 256),
    };
    say(lane, "process %u: target %d, number %d", op->n[0] % PROCESSES, place->target,
        place->number);
    place->process = weir_process_start(scope->scope, target_main, place);
    MUST(place->process != NULL, "no process");
    MUST(weir_process_pid(place->process) > 0, "number");
}

/* As the target, or the signal, ends it. */
static void check_exit(struct process_place *place, int exit_code)
{
    const int own = place->target == KILLED ? -SIGKILL : place->number;

    MUST((place->target != STAYS && exit_code == own) ||
             (place->signal != 0 && exit_code == -place->signal),
         "exit code %d; target %d, number %d, signal %d", exit_code, place->target, place->number,
         place->signal);
    MUST(!place->joined || exit_code == place->exit_code, "another exit code");
    place->joined = true;
    place->exit_code = exit_code;
}

static void join_process(struct lane *lane, const struct op *op)
{
    struct process_place *place = place_of(lane, op->n[0]);
    int limit_ms, exit_code = 777, code;

    if (place->process == NULL)
        return;
    limit_ms = place->target == STAYS && place->signal == 0 ? 3 : -1;
    code = weir_process_join(place->process, limit_ms, &exit_code);
    if (limit_ms >= 0) {
        REFUSED("weir_process_join", code, -ETIMEDOUT);
        return;
    }
    SUCCEEDS(code);
    check_exit(place, exit_code);
}

static void signal_process(struct lane *lane, const struct op *op)
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGUSR1};
    struct process_place *place = place_of(lane, op->n[0]);
    int signal = signals[pick(op, 1, 3)], code;

    if (place->process == NULL || place->signal != 0)
        return;
    REFUSED("weir_process_kill", weir_process_kill(place->process, 0), -EINVAL);
    REFUSED("weir_process_kill", weir_process_kill(place->process, 65), -EINVAL);
    say(lane, "signal %d to process %u", signal, op->n[0] % PROCESSES);
    code = weir_process_kill(place->process, signal);
    ALLOW("weir_process_kill", code, -ESRCH);
    MUST(code == 0 || place->target != STAYS, "it has ended");
    MUST(code != 0 || !place->joined, "sent to a process that has ended");
    if (code == 0)
        place->signal = signal;
}

static void free_process(struct lane *lane, const struct op *op)
{
    struct process_place *place = place_of(lane, op->n[0]);

    weir_process_free(place->process);
    place->process = NULL;
}

static void leave_scope(struct lane *lane, struct scope_place *scope, bool orderly)
{
    for (unsigned i = 0; lane->processes != NULL && i < PROCESSES; i++) {
        struct process_place *place = &lane->processes[i];

        if (place->process == NULL || place->scope != scope)
            continue;
        if (orderly)
            weir_process_free(place->process);
        place->process = NULL;
    }
}

static void in_child(struct lane *lane, uint64_t *seed)
{
    for (unsigned i = 0; lane->processes != NULL && i < PROCESSES; i++) {
        weir_process *process = lane->processes[i].process;
        int exit_code;

        if (process == NULL)
            continue;
        REFUSED("weir_process_join", weir_process_join(process, -1, &exit_code), -EDEADLK);
        REFUSED("weir_process_kill", weir_process_kill(process, SIGKILL), -EDEADLK);
        if (one_in(seed, 2))
            weir_process_free(process);
    }
}

static void leave(struct lane *lane)
{
    free(lane->processes);
    lane->processes = NULL;
}

static const struct kind kinds[] = {
    {"start_process", 4, false, false, start_process},
    {"join_process", 3, false, false, join_process},
    {"signal_process", 2, false, false, signal_process},
    {"free_process", 1, false, false, free_process},
    {0},
};

const struct family process_family = {
    .name = "process",
    .kinds = kinds,
    .weight = 1,
    .leave_scope = leave_scope,
    .in_child = in_child,
    .leave = leave,
};
