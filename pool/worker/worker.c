/* SPDX-License-Identifier: MIT
 *
 * worker.c: the worker's loop.
 *
 * It finds a job in the ready set, works on it (work_jobs.c, work_calls.c), and looks for the next
 * one; without one it spins, then sleeps (park.c). Killed: its chunk and its job are looked after
 * by the supervisor; see those files.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "manager/internal.h"
#include "pool/control/mine.h"
#include "pool/control/park.h"
#include "pool/control/ready.h"
#include "pool/control/supervision.h"
#include "pool/worker/backtrace.h"
#include "pool/worker/work_calls.h"
#include "pool/worker/work_jobs.h"

#define SPIN_START_NS 20000

static void work_loop(struct weir_task *task)
{
    struct weir__control *control = task->control;
    struct weir__spin spin = {.budget_ns = SPIN_START_NS};
    unsigned from = 0;

    while (!weir__task_worn_out(task)) {
        int index = weir__ready_find(control, from);

        if (index >= 0) {
            if (index == WEIR__QUEUE_JOB)
                weir__work_calls(task);
            else
                weir__work_on_job(task, (unsigned)index);
            from = (unsigned)(index + 1) % WEIR__JOBS_MAX;
        } else if (atomic_load(&control->state) != POOL_RUNNING) {
            return;
        } else {
            weir__park(control, task->slot, &spin);
        }
    }
}

static void pin_to_cpu(unsigned slot)
{
    cpu_set_t may, one;
    int skip, count;

    if (sched_getaffinity(0, sizeof(may), &may) < 0 || (count = CPU_COUNT(&may)) == 0)
        return;
    skip = (int)slot % count;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &may) || skip-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof(one), &one); /* a wish; without it the pool works as well */
        return;
    }
}

_Noreturn static void process_main(struct weir__control *control)
{
    int status = control->process_target(control->arg);

    fflush(stdout);
    fflush(stderr);
    _exit(status);
}

_Noreturn void weir__worker_main(struct weir__control *control, weir_scope *scope, unsigned index)
{
    struct weir__slot *slot = &control->slots[index];
    struct weir_task task = {
        .control = control,
        .scope = scope,
        .slot = index,
        .incarnation = atomic_load(&slot->incarnation),
        .generation = weir__scope_generation(scope),
        .mine = weir__mine(),
    };
    sigset_t none;
    char name[16];

    snprintf(name, sizeof(name),
             control->process_target != NULL ? "weir-process" : "weir-worker-%u", index);
    prctl(PR_SET_NAME, name);
    /* What could not be flushed before the fork is the program's to write. */
    __fpurge(stdout);
    __fpurge(stderr);
    setvbuf(stdout, NULL, _IOLBF, 0);
    (void)!weir_scope_sync(scope); /* what is gone is missed only if it is used */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (control->process_target != NULL)
        process_main(control);
    if (control->backtrace)
        weir__backtrace_install();
    if (control->pin)
        pin_to_cpu(index);
    if (control->initializer != NULL) {
        int result = control->initializer(control->arg);

        weir__task_check_copy(&task);
        if (result != 0)
            _exit(WEIR__EXIT_INITIALIZER);
    }
    atomic_store(&slot->state, SLOT_READY);
    work_loop(&task);
    if (control->finalizer != NULL)
        control->finalizer(control->arg);
    fflush(stdout);
    fflush(stderr);
    _exit(0);
}
