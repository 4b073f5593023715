/* SPDX-License-Identifier: MIT
 *
 * weir-process.h: one process over a scope's shared memory, as Python's Process(target=...).
 *
 * In the process: SIGINT, SIGQUIT and SIGHUP do nothing (the program decides what Ctrl-C means; see
 * weir-pool.h), and SIGTERM ends it only if the program sends it (weir_process_kill()) or the
 * process itself: when SIGTERM is sent to all processes of a program, that decides. The target can
 * install other handlers. Other handlers of the program are reset to the default, stdout is line
 * buffered, and neither pools nor processes can be made or used (-EDEADLK), only the scope's
 * objects can. Standard input is empty, and other descriptors are the program's, as weir-pool.h
 * says of workers, with the same options.
 *
 * The process ends when its target returns, or calls exit(), quick_exit() or pthread_exit(). Then
 * (but for quick_exit()) it runs the handlers that it has registered itself with atexit() and its
 * like, and flushes what it has written to streams of stdio, whichever process opened them. What
 * the program registered or had buffered when it started the process, and the destructors of its
 * static objects, are the program's alone. There is one exception: exit() runs the destructors of
 * C++ thread_local objects of the thread that started the process. The target must not be left by a
 * C++ exception (the process aborts) or by longjmp().
 *
 * What the process starts, with fork(), system() or popen(), ends with it, before
 * weir_process_join() returns: by SIGTERM, and SIGKILL after 0.5 s, if the process has ended by
 * itself, else by SIGKILL. weir-pool.h has the details, and what lives on in any case.
 *
 * A process may change its user, group or capabilities; it ends with the program and the scope all
 * the same. If the program may not signal the new user's processes and is killed together with the
 * supervisor, it is still ended as long as it leaves weir's descriptors open.
 *
 * A child that the program forks has a copy of its processes, but may not use them either.
 */
#ifndef WEIR_PROCESS_H
#define WEIR_PROCESS_H

#include <weir-scope.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A process of a scope, which runs one function of the program. */
typedef struct weir_process weir_process;

/* Starts target(arg) in a forked process that belongs to the scope; its result is the exit status
 * (0 to 255, as exit()).
 *
 * `arg`: points to an object of the scope, or to memory that exists now, of which the child has a
 * copy.
 * The process is not a child of this one: no wait() here sees it. It ends with this program or with
 * the scope at the latest; join it to have it finish.
 * What weir_pool_new() says of buffered output and OpenMP holds here, too.
 * Context: any thread of the program that began the scope; blocks for the time of forking.
 * Crash: the process ends with the program.
 * Returns: the process, to be freed with weir_process_free(); or NULL: EINVAL (scope or target is
 * NULL, or the scope has ended), EAGAIN or ENOMEM (fork), EMFILE, EDEADLK (called in a worker),
 * EBADF (the program has closed descriptors of the scope's). */
WEIR_API WEIR_MUST_CHECK weir_process *weir_process_start(weir_scope *scope,
                                                          int (*target)(void *arg), void *arg);

/* How a process is started. Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_process_options {
    bool leave_started; /* processes that it has started are left alone when it ends */
    bool keep_stdin;    /* it has the program's standard input */
    /* It closes all descriptors that it has inherited, but the standard streams, those that weir
     * itself needs, and pass_descriptors. */
    bool close_descriptors;
    const int *pass_descriptors; /* pass_count of them; only with close_descriptors */
    size_t pass_count;
    uint64_t reserved[6];
} weir_process_options;

/* weir_process_start() with options.
 *
 * `options`: may be NULL.
 * Context: as weir_process_start().
 * Crash: the process ends with the program.
 * Returns: as weir_process_start(), and EINVAL for options. */
WEIR_API WEIR_MUST_CHECK weir_process *weir_process_start_with(weir_scope *scope,
                                                               int (*target)(void *arg), void *arg,
                                                               const weir_process_options *options);

/* Waits until the process has ended. It may be called again after success; it does not free.
 *
 * `timeout_ms`: longest wait in milliseconds; negative: for ever.
 * `exit_code`: gets 0 to 255, or as in Python minus the signal that killed the process; may be
 * NULL.
 * Context: any thread of the program that started it.
 * Crash: the process ends with the program.
 * Returns: 0; -ETIMEDOUT; -EINVAL (NULL), -EDEADLK (another process started it); WEIR_EDIED when it
 * cannot be known how the process ended, because the supervisor that watched it was killed too;
 * weir_scope_sync()'s -ENOENT, -EPERM, -EMFILE, ... when it has ended and *exit_code is set, but an
 * object that was made meanwhile, perhaps by it, cannot be mapped here. */
WEIR_API WEIR_MUST_CHECK int weir_process_join(weir_process *process, int timeout_ms,
                                               int *exit_code);

/* Its process id, for messages.
 * Returns: the id; -EINVAL (NULL). */
WEIR_API pid_t weir_process_pid(const weir_process *process);

/* Sends a signal to the process, as Python's terminate() (SIGTERM) and kill() (SIGKILL) do. It does
 * not free; weir_process_join() tells how the process ended.
 *
 * `signal`: 1 to SIGRTMAX. It is sent when this returns, even if the process's supervisor is
 * stopped, and never to another process that has the same number by then.
 * Context: any thread of the program that started it; does not block.
 * Crash: the process ends with the program.
 * Returns: 0; -EINVAL (NULL, signal), -ESRCH (the process has ended), -EDEADLK (another process
 * started it), -EPERM (the process has become another user's), -EMFILE (no descriptor left). */
WEIR_API int weir_process_kill(weir_process *process, int signal);

/* Kills the process (SIGKILL) if it still runs, and frees the handle. NULL is allowed. The scope's
 * end does this for every process that is left, and the handle is then invalid too.
 *
 * It does not wait for the process to finish its work, as weir_pool_free() does: join it before. It
 * takes at most 4 s, whatever is stopped.
 * Context: the program that started it; in a forked child it does nothing.
 * Crash: the process ends with the program. */
WEIR_API void weir_process_free(weir_process *process);

#ifdef __cplusplus
}
#endif

#endif
