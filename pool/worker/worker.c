/* SPDX-License-Identifier: MIT
 *
 * worker.c: the worker's loop.
 *
 * It finds a job in the ready set, works on it (work_jobs.c, work_calls.c), and looks for the next
 * one; without one it spins, then sleeps (park.c). Killed: its chunk and its job are looked after
 * by the supervisor; see those files.
 */
/* Cleanups of pthread.h that cancellation and pthread_exit() run, and exceptions do not. */
#undef __EXCEPTIONS
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "manager/internal.h"
#include "pool/control/exit_guard.h"
#include "pool/control/mine.h"
#include "pool/control/park.h"
#include "pool/control/ready.h"
#include "pool/control/self.h"
#include "pool/control/supervision.h"
#include "pool/worker/backtrace.h"
#include "pool/worker/sigterm.h"
#include "pool/worker/work_calls.h"
#include "pool/worker/work_each.h"
#include "pool/worker/work_jobs.h"
#include "shm/error.h"

#define SPIN_START_NS 20000

/* In a pool without processes, the thread that runs its functions is worker 0. */
static int check_worker(void)
{
    return weir__self.incarnation > 0 || weir__here.depth > 0
               ? 0
               : weir__fail(-ESRCH, "this process is not a worker of a pool");
}

int weir_worker_index(void)
{
    const int error = check_worker();

    return error < 0 ? error : (int)weir__self.index;
}

int64_t weir_worker_incarnation(void)
{
    const int error = check_worker();

    if (error < 0)
        return error;
    return weir__self.incarnation > 0 ? (int64_t)weir__self.incarnation : 1;
}

static void work_loop(struct weir_task *task)
{
    struct weir__control *control = task->control;
    struct weir__spin spin = {.budget_ns = SPIN_START_NS};
    unsigned from = 0;

    while (!weir__task_worn_out(task)) {
        int index;

        if (__builtin_expect(weir__each_is_new(control, task->slot), 0))
            weir__work_each(task);
        index = weir__ready_find(control, from);
        if (index >= 0) {
            if (index == WEIR__QUEUE_JOB)
                weir__work_calls(task);
            else
                weir__work_on_job(task, (unsigned)index);
            from = (unsigned)(index + 1) % WEIR__JOBS_MAX;
        } else if (atomic_load(&control->state) != POOL_RUNNING) {
            return;
        } else {
            weir__park(control, task->slot, &spin, task->tie);
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

_Noreturn static void run_pool_worker(struct weir_task *task)
{
    struct weir__control *control = task->control;

    if (control->backtrace)
        weir__backtrace_install(control);
    if (control->pin)
        pin_to_cpu(task->slot);
    if (control->initializer != NULL) {
        int result = control->initializer(control->arg);

        weir__task_check_copy(task);
        if (result != 0)
            weir__process_end(WEIR__EXIT_INITIALIZER);
        weir__tie_keep(control, task->tie);
    }
    if (weir__each_is_new(control, task->slot))
        weir__work_each(task);
    atomic_store(&control->slots[task->slot].state, SLOT_READY);
    work_loop(task);
    if (control->finalizer != NULL) {
        control->finalizer(control->arg);
        weir__task_check_copy(task);
    }
    weir__process_end(0);
}

/* pthread_exit(), or a cancellation. */
static void on_thread_end(void *arg)
{
    const struct weir_task *task = arg;

    if (task->control->process_target == NULL)
        weir__task_check_copy(task);
    weir__process_end(0);
}

/* What ends the worker's thread ends the worker, before anything of the program's is run. */
_Noreturn static __attribute__((noinline)) void run_until_thread_ends(struct weir_task *task)
{
    pthread_cleanup_push(on_thread_end, task);
    if (task->control->process_target != NULL)
        weir__process_end(task->control->process_target(task->control->arg));
    run_pool_worker(task);
    pthread_cleanup_pop(0);
}

/* The stack is a copy of that of the thread that made the pool, and so is a handler that the thread
 * has on it: in there the worker would go on as a second program. */
static void on_unwinding(struct weir_task *const *task)
{
    dprintf(STDERR_FILENO,
            "weir: worker %u (pid %d) aborts: a function of the program was left by an exception\n",
            (*task)->slot, (int)getpid());
    abort();
}

_Noreturn void weir__worker_main(struct weir__control *control, weir_scope *scope, unsigned index,
                                 struct weir__tie *tie)
{
    struct weir__slot *slot = &control->slots[index];
    struct weir_task task = {
        .control = control,
        .tie = tie,
        .scope = scope,
        .slot = index,
        .incarnation = atomic_load(&slot->incarnation),
        .generation = weir__scope_generation(scope),
        .mine = weir__mine(),
    };
    struct weir_task *unwound __attribute__((cleanup(on_unwinding), unused)) = &task;
    sigset_t none;
    char name[16];

    weir__set_worker();
    weir__self = (struct weir__self){
        .control = control,
        .index = index,
        .incarnation = control->process_target == NULL ? task.incarnation : 0,
        .mine = task.mine,
    };
    weir__here = (struct weir__here){.task = &task};
    weir__sigterm_settle(tie->supervisor, control->process_target != NULL ? control->host_pid : 0);
    snprintf(name, sizeof(name),
             control->process_target != NULL ? "weir-process" : "weir-worker-%u", index);
    prctl(PR_SET_NAME, name);
    setvbuf(stdout, NULL, _IOLBF, 0);
    weir__task_sync(&task);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    run_until_thread_ends(&task);
}
