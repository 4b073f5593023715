/* SPDX-License-Identifier: MIT
 *
 * process.c: one process, as Python's Process(target=...).
 *
 * It is a pool's supervisor with one worker that runs the target and is not replaced, so everything
 * that holds for workers holds here: the host cannot reap it by accident, its status is kept in
 * shared memory, and it ends with the program.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/internal.h"
#include "manager/space/pidfd.h"
#include "pool/control/control.h"
#include "pool/control/futex.h"
#include "pool/control/mapping.h"
#include "pool/control/mine.h"
#include "pool/host/fork.h"
#include "pool/host/look.h"
#include "shm/clock.h"
#include "shm/error.h"

#define TICK_MS 50

struct weir_process {
    weir_scope *scope;
    struct weir__control *control;
    struct weir__detached supervisor;
    struct weir__on_end on_end;
    pid_t pid;
    struct weir__descriptor watch; /* until the supervisor is forked */
    uint32_t mine;                 /* of the process that started it */
    uint32_t missing; /* objects that this program had found missing before it was started */
};

static void stop_process(weir_process *process)
{
    weir__detached_kill(&process->supervisor);
    weir__detached_end(&process->supervisor, process->scope);
    weir__control_free(process->control);
    free(process);
}

static void stop_process_with_scope(struct weir__on_end *on_end)
{
    stop_process((weir_process *)((unsigned char *)on_end - offsetof(struct weir_process, on_end)));
}

weir_process *weir_process_start(weir_scope *scope, int (*target)(void *arg), void *arg)
{
    return weir_process_start_with(scope, target, arg, NULL);
}

static int check_options(const weir_process_options *options, struct weir__inherited *inherited)
{
    const weir_process_options *given = options != NULL ? options : &(weir_process_options){0};

    *inherited = (struct weir__inherited){.keep_stdin = given->keep_stdin,
                                          .close = given->close_descriptors,
                                          .pass = given->pass_descriptors,
                                          .pass_count = given->pass_count};
    if (weir__check_reserved(given->reserved, sizeof(given->reserved) / sizeof(uint64_t),
                             "weir_process_options") < 0)
        return -EINVAL;
    return weir__inherited_check(inherited);
}

weir_process *weir_process_start_with(weir_scope *scope, int (*target)(void *arg), void *arg,
                                      const weir_process_options *options)
{
    struct weir__inherited inherited;
    weir_process *process;

    if (weir__scope_check_owner(scope, "a process") < 0)
        return NULL;
    if (target == NULL)
        return weir__fail_null(-EINVAL, "the process's target is NULL");
    if (check_options(options, &inherited) < 0)
        return NULL;
    process = calloc(1, sizeof(*process));
    if (process == NULL)
        return weir__fail_null(-ENOMEM, "no memory for a process");
    process->scope = scope;
    process->watch = WEIR__DESCRIPTOR_NONE;
    process->missing = atomic_load(weir__scope_found_missing(scope));
    process->mine = weir__mine();
    if (process->mine == 0)
        weir__fail(-ENOMEM, "no memory for a process");
    else
        process->control = weir__control_new(1, false, &process->watch);
    if (process->control != NULL) {
        weir__control_show(process->control, weir__scope_id(scope), "");
        process->control->process_target = target;
        process->control->arg = arg;
        process->control->leave_started = options != NULL && options->leave_started;
    }
    if (process->control == NULL ||
        weir__fork_supervisor(process->control, scope, &inherited,
                              &(struct weir__keeps){.watch = &process->watch}, NULL,
                              &process->supervisor) < 0) {
        weir__control_free(process->control);
        free(process);
        return NULL;
    }
    process->pid = process->control->process_pid;
    process->on_end.stop = stop_process_with_scope;
    weir__scope_on_end_add(scope, &process->on_end);
    return process;
}

static int report_end(weir_process *process, int *exit_code)
{
    const int status = process->control->exit_status;
    const weir_error before = *weir_last_error();
    const int error = weir_scope_sync(process->scope);

    if (exit_code != NULL)
        *exit_code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    /* It may be an object of this process's that is missing here. */
    if (error < 0 && atomic_load(weir__scope_found_missing(process->scope)) != process->missing)
        return error;
    weir__fail_with(&before);
    return 0;
}

static int check_process(const weir_process *process)
{
    return process != NULL ? weir__check_mine(process->mine, "a process")
                           : weir__refuse_null("process");
}

int weir_process_join(weir_process *process, int timeout_ms, int *exit_code)
{
    int64_t limit = weir__now_ns() + (int64_t)timeout_ms * 1000000;
    struct weir__control *control;
    const int error = check_process(process);

    if (error < 0)
        return error;
    control = process->control;
    for (;;) {
        uint32_t bell = atomic_load(&control->host_bell);
        int64_t wait_ns = (int64_t)TICK_MS * 1000000, remaining = limit - weir__now_ns();

        /* seq_cst; pairs with supervisor.c, note_process_end() */
        if (atomic_load(&control->ended))
            return report_end(process, exit_code);
        if (weir__detached_wait(&process->supervisor, 0))
            return atomic_load(&control->ended)
                       ? report_end(process, exit_code)
                       : weir__fail(
                             WEIR_EDIED,
                             "process %d: its supervisor (pid %d) was killed, and with it this "
                             "process",
                             (int)process->pid, (int)process->supervisor.pid);
        if (timeout_ms >= 0 && remaining <= 0)
            return weir__fail(-ETIMEDOUT, "process %d has not ended within %d ms",
                              (int)process->pid, timeout_ms);
        if (timeout_ms >= 0 && remaining < wait_ns)
            wait_ns = remaining;
        if (weir__futex_wait(&control->host_bell, bell, wait_ns) == -ETIMEDOUT)
            weir__look_asked(&process->supervisor);
    }
}

pid_t weir_process_pid(const weir_process *process)
{
    if (process == NULL)
        return weir__refuse_null("process");
    return process->pid;
}

/* A pidfd of the process; -ESRCH: it has ended. The supervisor takes the pid out before it reaps:
 * as long as it lives and the pid stands there, the number is the process's, so it was when the
 * pidfd was opened. */
static int open_own(weir_process *process)
{
    const _Atomic int32_t *pid = &process->control->slots[0].pid;
    /* seq_cst, both looks; pairs with supervisor.c, reap_one(); pairs with supervisor.c,
     * fork_into() */
    const int32_t number = atomic_load(pid);
    int pidfd = number > 0 ? weir__pidfd_open(number) : -1, error = errno;

    if (number > 0 && pidfd < 0 && error != ESRCH)
        return -error;
    if (pidfd >= 0 && atomic_load(pid) == number && !weir__detached_wait(&process->supervisor, 0))
        return pidfd;
    if (pidfd >= 0)
        close(pidfd);
    return -ESRCH;
}

int weir_process_kill(weir_process *process, int signal)
{
    int pidfd, error = check_process(process);

    if (error < 0)
        return error;
    if (signal < 1 || signal > SIGRTMAX)
        return weir__fail(-EINVAL, "signal is %d; it must be from 1 to %d", signal, SIGRTMAX);
    pidfd = open_own(process);
    if (pidfd >= 0) {
        error = weir__pidfd_send_signal(pidfd, signal) < 0 ? -errno : 0;
        close(pidfd);
    } else {
        error = pidfd;
    }
    if (error == -ESRCH)
        return weir__fail(-ESRCH, "process %d has ended", (int)process->pid);
    return error < 0 ? weir__fail(error, "cannot signal process %d: %s", (int)process->pid,
                                  strerror(-error))
                     : 0;
}

void weir_process_free(weir_process *process)
{
    if (process == NULL || !weir__is_mine(process->mine))
        return;
    weir__scope_on_end_remove(process->scope, &process->on_end);
    stop_process(process);
}
