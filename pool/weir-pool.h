/* SPDX-License-Identifier: MIT
 *
 * weir-pool.h: processes that run work over a scope's shared memory.
 *
 * A pool has a supervisor process and a number of workers, forked when the pool is made: they see
 * the program's memory as it was then, and every object of the scope wherever it was made since. A
 * worker that crashes costs at most the chunk it was on: the call reports it, or the chunk is run
 * again, and the worker is replaced.
 *
 * In a worker: SIGINT, SIGQUIT and SIGHUP are ignored (the program decides what Ctrl-C means),
 * handlers of the program are reset to the default, stdout is line buffered, and pools cannot be
 * used
 * (-EDEADLK), only scopes' objects can. Workers end with the program, whatever way that ends.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <weir-manager.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a process, as Python's Process(target=...) --------------------------------------------- */

typedef struct weir_process weir_process;

/* Starts target(arg) in a forked process that belongs to the scope; its result is the exit status
 * (0 to 255, as exit()).
 *
 * `arg` points to an object of the scope, or to memory that exists now (the child has a copy of
 * it). The process is not a child of this one: no wait() here sees it. It ends with this program or
 * with the scope at the latest; join it to have it finish. Returns: the process, to be joined with
 * weir_process_join() or released with weir_process_free(); or NULL: EINVAL (scope or target is
 * NULL, or the scope has ended), EAGAIN or ENOMEM (fork), EMFILE, EDEADLK (called in a worker). */
WEIR_API weir_process *weir_process_start(weir_manager *manager, int (*target)(void *arg),
                                          void *arg);

/* Waits until the process has ended, at most `timeout_ms` milliseconds (negative: for ever).
 * `exit_code` (may be NULL) gets 0 to 255, or as in Python minus the signal that killed it. May be
 * called again after success; it does not free.
 * Returns: 0; -ETIMEDOUT; -EINVAL (NULL); WEIR_EDIED when it cannot be known how it ended, because
 * whoever watched it was killed too. */
WEIR_API int weir_process_join(weir_process *process, int timeout_ms, int *exit_code);

/* Its process id, for messages. -EINVAL for NULL. */
WEIR_API pid_t weir_process_pid(const weir_process *process);

/* Kills the process (SIGKILL) if it still runs, and frees the handle. NULL is allowed. The scope's
 * end does this for every process that is left, and the handle is then invalid too. */
WEIR_API void weir_process_free(weir_process *process);

/* ---- the pool ------------------------------------------------------------------------------- */

typedef struct weir_pool weir_pool;

/* What a running task can ask and tell. Valid only during the call of its function. */
typedef struct weir_task weir_task;

/* Works on [range.begin, range.end). Returns 0 for success, anything else for failure. */
typedef int (*weir_task_fn)(weir_task *task, weir_range range, void *arg);

#define WEIR_WORKERS_MAX 1024

/* Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_pool_options {
    int workers;                   /* 1 to WEIR_WORKERS_MAX; 0: weir_cpu_count() */
    int (*initializer)(void *arg); /* run once in each worker before its first task, and in each
                                      replacement; nonzero ends the worker */
    void (*finalizer)(void *arg);  /* run in each worker that ends in order */
    void *arg;                     /* for both */
    uint64_t reserved[8];
} weir_pool_options;

/* How a job is run. Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_job_options {
    int64_t
        chunks; /* pieces the range is cut into, at most its length. 0: 64, or what `grain` says */
    int64_t grain; /* items a piece, instead of `chunks`; giving both is an error */
    size_t
        arg_size; /* copy this many bytes at `arg` to the workers; 0: pass the pointer as it is */
    int retries;  /* times a chunk is run again after its *worker died*, 0 to 30; 0: never */
    bool keep_going; /* run the remaining chunks after a failure; the first failure is reported */
    uint64_t reserved[8];
} weir_job_options;

/* Number of CPUs this process may use: its affinity mask, cut to its cgroups' CPU quota (rounded
 * up). At least 1. */
WEIR_API int weir_cpu_count(void);

/* Makes a pool in a scope. `options` may be NULL. Workers start while this returns; one that cannot
 * start (its initializer fails, say) is reported by the first job.
 *
 * Buffered output is flushed before forking. Context: any thread of the program; blocks for the
 * time of forking. Do it early: the workers have a copy of all memory the program has at this
 * moment. Returns: the pool, to be freed with weir_pool_free(); or NULL: EINVAL (scope is NULL or
 * has ended, or options), E2BIG (more workers than WEIR_WORKERS_MAX), EAGAIN, ENOMEM, EMFILE (fork,
 * descriptors), EDEADLK (called in a worker). */
WEIR_API weir_pool *weir_pool_new(weir_manager *manager, const weir_pool_options *options);

/* Number of workers, and the process ids of the supervisor and of worker `worker` (from 0) as they
 * are now. -EINVAL for NULL, -ERANGE for no such worker, -ESRCH for one that is being replaced. */
WEIR_API int weir_pool_workers(const weir_pool *pool);
WEIR_API pid_t weir_pool_supervisor_pid(const weir_pool *pool);
WEIR_API pid_t weir_pool_worker_pid(const weir_pool *pool, int worker);

/* Runs function over the range, in chunks, on the pool's workers, and waits for the end.
 *
 * How the range is cut depends on the range and the options only, never on the number of workers.
 * `arg` points to an object of the scope, or to memory that existed, unchanged, when the pool was
 * made; or is copied (options->arg_size). `function` must have been in the program when the pool
 * was made. A chunk is *started* once, or again after its worker died if retries allow; with
 * retries a function may thus run twice over items that a killed worker had done already. After the
 * first failure no further chunk is started, unless keep_going.
 *
 * Context: any thread of the program that made the pool, several at once; blocks. An empty range
 * succeeds at once.
 * Crash: when the program dies, the workers are killed.
 * Returns: 0; or -EINVAL (pool, function, a range with end before begin, options), -E2BIG (too many
 * chunks; the message gives the limit), -ENOMEM, -EDEADLK (called in a worker), WEIR_EFAILED (a
 * task failed: weir_last_error() has its message, code, range and worker), WEIR_EDIED (a worker
 * died, or the supervisor did; weir_last_error() has range, pid, signal or exit status, and
 * attempt), -ECANCELED (weir_pool_cancel). No chunk is running any more when this returns, whatever
 * it returns. */
WEIR_API int weir_pool_for(weir_pool *pool, weir_range range, weir_task_fn function, void *arg,
                           const weir_job_options *options);

/* Cancels all jobs that are in flight: chunks that have not been started are not, the calls return
 * -ECANCELED once the running ones are done. Later jobs run as usual.
 * Context: any thread of the program; signal-safe. NULL is allowed. */
WEIR_API void weir_pool_cancel(weir_pool *pool);

/* Ends the pool when the jobs in flight are done: workers run the finalizer and exit. A worker that
 * does not end within 5 s of having no more work is killed. NULL is allowed.
 * Context: the program that made the pool; no other thread may use the pool any more. */
WEIR_API void weir_pool_free(weir_pool *pool);

/* The same at once: kills the workers. Jobs that other threads wait for return WEIR_EDIED first. */
WEIR_API void weir_pool_kill(weir_pool *pool);

/* ---- in a task ------------------------------------------------------------------------------ */

/* Makes the task fail with `code` (nonzero; 0 is taken as 1) and a message for
 * weir_last_error()->message, printf-style, cut to 255 bytes. The last call counts.
 * Returns: code, so that a task can `return weir_task_fail(task, 7, "no such row: %d", row)`. The
 * task fails even if it then returns 0. */
WEIR_API int weir_task_fail(weir_task *task, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Index of the worker that runs the task (from 0), which attempt at this chunk it is (from 1), and
 * the chunk's number (from 0). */
WEIR_API int weir_task_worker(const weir_task *task);
WEIR_API int weir_task_attempt(const weir_task *task);
WEIR_API int64_t weir_task_chunk(const weir_task *task);

/* True once the job has been cancelled or has failed: a long task may return early. */
WEIR_API bool weir_task_cancelled(const weir_task *task);

#ifdef __cplusplus
}
#endif

#endif
