/* SPDX-License-Identifier: MIT
 *
 * weir-pool.h: a pool of worker processes that run work over a scope's shared memory.
 *
 * A pool has a supervisor process and a number of workers, forked when the pool is made: they see
 * the program's memory as it was then, and every object of the scope wherever it was made since. A
 * worker that crashes costs at most the chunk it was on: the call reports it, or the chunk is run
 * again, and the worker is replaced.
 *
 * In a worker: SIGINT, SIGQUIT and SIGHUP do nothing (the program decides what Ctrl-C means); where
 * the program does not ignore them a handler passes over them, so that a program that a task
 * executes has the default again, and calls that wait can fail with EINTR. SIGTERM is passed over
 * likewise: a service manager, timeout(1) or a batch system sends it to all processes of a program,
 * and if that handles it, to end the pool in its own time (weir_pool_interrupt(), say), the workers
 * go on until then; if it dies of it, they end with it. SIGTERM ends a worker that sends it to
 * itself, as by raise(), and what tasks have forked if the end of their pool sends it. An
 * initializer can install another handler for any of these. Other handlers of the
 * program are reset to the default, stdout is line buffered, and neither pools nor processes can be
 * made or used (-EDEADLK, of a handle that is NULL there too: the worker may have been forked
 * before the program's variable was set), only the scope's objects can. Workers end with the
 * program, whatever way that ends. A supervisor that is stopped (SIGSTOP) is continued for that;
 * one that is held by a debugger or a frozen cgroup stays, with its workers, until it goes on.
 *
 * A worker's standard input is empty, /dev/null, so that a tool in a task (ffmpeg, ssh) does not
 * read what the program is going to read; what the program has in stdin's buffer is not in the
 * worker's either. The option keep_stdin leaves both. A descriptor 0 with O_CLOEXEC is left as it
 * is: it is a file of the program's own that has got the number. The program's own descriptor 0 is
 * not touched.
 *
 * Other descriptors that the program has when it makes the pool the workers and the supervisor have
 * too, and every replacement, until the pool ends; those with O_CLOEXEC are closed only in programs
 * that tasks execute. So closing in the program alone does not have its usual effect: the reader of
 * a pipe sees no end of file, and pclose() of a popen() from before the pool waits until the pool
 * has ended; a port stays taken, and connections that nobody accepts are made to it; a lock by
 * flock() stays. The remedy is the option close_descriptors, to open (or popen()) after the pool is
 * made, or for a lock to give it back by LOCK_UN. Of what is opened later workers and replacements
 * have nothing. Of weir's own descriptors a worker has those of its scope and of its pool alone, a
 * dozen, however many pools, processes and scopes the program has.
 *
 * A task may fork, as long as the child does not return from the task: a child that does ends
 * there, with a line on stderr, and the task goes on in the worker alone.
 *
 * What a task starts, with fork(), system() or popen(), belongs to its worker, and so does all that
 * it starts in turn, in a session of its own too. If the worker dies or is killed (a deadline, say)
 * that is killed (SIGKILL) before the chunk is run again or the call returns. What a worker leaves
 * that ends in order ends with the pool: when that is freed, by SIGTERM, and SIGKILL after 0.5 s;
 * when it is killed or the program dies, by SIGKILL. With weir_pool_options.leave_started all of it
 * lives on. In any case these live on: processes of another user that the supervisor may not
 * signal, everything if /proc is not mounted or the supervisor itself is killed, and what cannot be
 * ended within a second. The supervisor finds its workers' descendants by the soft limit
 * RLIMIT_LOCKS, which Linux does not use otherwise: a process that changes this limit is left
 * alone.
 *
 * A worker ends in order with its pool, after the finalizer, or by itself when a task, the
 * initializer or the finalizer calls exit(), quick_exit() or pthread_exit(); what it was working on
 * is then reported as WEIR_EDIED. Either way (but for quick_exit()) it runs the handlers that it
 * has registered itself with atexit() and its like, and flushes what it has written to streams of
 * stdio, whichever process opened them. What the program registered or had buffered when the pool
 * was made, and the destructors of its static objects, are the program's alone: no worker, and no
 * process that a task forks, runs or writes them. There is one exception: exit() in a task runs the
 * destructors of C++ thread_local objects of the thread that made the pool. A worker that is killed
 * flushes nothing.
 *
 * gcov: what tasks execute is counted if a program that is compiled with gcc --coverage is linked
 * with -Wl,-u,__gcov_dump,-u,__gcov_reset, which takes two functions of gcc's library into it that
 * are not there otherwise. Each worker and process then adds its counters to the files as it ends
 * in order; what was executed by one that is killed is not counted.
 *
 * Workers may change their user, group or capabilities, in the initializer for instance: they end
 * with their pool, its supervisor and the program all the same. If the program may not signal the
 * new user's processes (it is not root, say, and has CAP_SETUID but not CAP_KILL), such a worker
 * ends by itself: an idle one within 1 s, one with work after its chunk. Deadlines of chunks cannot
 * be enforced on it.
 *
 * With WEIR_LOG=stderr in the environment when a pool or a process is made its supervisor writes a
 * line to stderr for each worker that starts or ends, with the range that a worker that died was
 * on, whether that is run again, and which deadline it had passed. A stderr that nobody reads then
 * holds the supervisor up. A program that runs with raised privileges does not look there.
 *
 * With WEIR_TRACE=FILE in the environment, or weir_pool_options.trace, each worker notes when it
 * began and ended each chunk and call, and the supervisor writes that to FILE when the pool has
 * ended, or the program has died: `weir trace FILE` shows it. In the variable %p stands for the
 * program's process number; the second pool of a process writes FILE.2, and so on. A worker keeps
 * its last 16,384 events (fewer in pools of more than 64 workers), and several chunks of less than
 * 10 us are one event; so much the file has, and how many were lost. FILE is made, or emptied, when
 * the pool is made, and an error is one of weir_pool_new(). It must be a regular file. A pool
 * without processes, and a weir_process, write none. A chunk of a traced pool costs a reading of
 * the clock more. Without a file, `weir trace` can have a pool that runs note its events for some
 * seconds.
 *
 * A task must not be left by a C++ exception or by longjmp(). By an exception the worker aborts,
 * with a line on stderr, and none of the program's handlers on the stack sees it. After a longjmp()
 * to where the program was before it made the pool the worker would go on as a second program.
 *
 * A process that the program itself forks has a copy of its pools, futures, streams and processes,
 * but may not use them: each call fails at once with -EDEADLK, whatever other threads of the
 * program were doing at the fork, and what cancels, frees or kills does nothing there. The jobs of
 * the program go on as if no child had been there. Tables and texts can be read in the child, as in
 * any process of the scope. The same holds for what a worker has inherited from before its pool was
 * made.
 *
 * Calls that return at once are in weir-future.h, keyed map-reduce is in weir-map-reduce.h.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <weir-scope.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- making and ending a pool --------------------------------------------------------------- */

/* A pool of workers, of the program that made it. */
typedef struct weir_pool weir_pool;

#define WEIR_WORKERS_MAX  1024 /* workers that a pool can have */
#define WEIR_WORKERS_NONE (-1) /* weir_pool_options.workers: a pool without processes */

/* What becomes of calls on a pool that are made by its own tasks. */
typedef enum weir_nested {
    WEIR_NESTED_REFUSED = 0, /* they fail with -EDEADLK */
    WEIR_NESTED_SERIAL,      /* they run in the worker, one chunk after the other; see below */
} weir_nested;

/* A pool without processes runs its tasks in the thread that calls it, one chunk after the other in
 * their order: under a debugger, valgrind or a sanitizer, or where no process may be forked. It is
 * made by WEIR_WORKERS_NONE, or by WEIR_WORKERS=0 in the environment, which holds for all pools,
 * whatever number they ask for. (A larger number there is the default for pools that ask for none.
 * A program that runs with raised privileges does not look there.) Of weir's own processes it has
 * none; its scope has a manager all the same.
 *
 * The interface and the results are those of any pool, to the last bit. A call that returns a
 * future has run its tasks when it returns, in an order in which nothing runs beside the
 * program. It has one worker, of index 0 and incarnation 1, whose process is the program; the
 * initializer runs in weir_pool_new() and the finalizer in weir_pool_free(). A task that calls
 * the pool is refused as in any pool, unless `nested` says otherwise. What cannot be promised
 * without a process:
 *  - A task that crashes, or calls exit(), ends the program; one that is left by an exception or
 *    pthread_exit() aborts it. So no chunk is retried, and no worker replaced.
 *  - Deadlines are looked at between two chunks: timeout_ms. chunk_timeout_ms has no effect.
 *  - Private memory is the program's: what a task writes there is seen by the program and by later
 *    tasks, and what has changed since the pool was made is seen by tasks. WEIR_DEBUG looks at
 *    nothing.
 *  - Signals, standard input, descriptors, limits and user are the program's, also if a task
 *    changes them. chunks_per_worker, pin, backtrace, leave_started, keep_stdin and
 *    close_descriptors have no effect.
 *  - weir_pool_kill() waits for the chunks that other threads run, whose calls return -ECANCELED.
 *  - A task must not end its scope; it can make and use weir_process. */

/* How a pool is made. Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_pool_options {
    /* 1 to WEIR_WORKERS_MAX; 0: what WEIR_WORKERS says in the environment, else weir_cpu_count();
     * WEIR_WORKERS_NONE: tasks run in the program, see below. */
    int workers;
    /* Run once in each worker before its first task, and in each replacement; nonzero ends the
     * worker. weir_worker_index() and weir_worker_incarnation() tell it which one that is. See
     * weir_pool_each() for what comes later. */
    int (*initializer)(void *arg);
    void (*finalizer)(void *arg); /* run in each worker that ends in order */
    void *arg;                    /* for both */
    /* A worker is replaced by a fresh one after this many chunks (Python's maxtasksperchild); 0:
     * never. */
    int64_t chunks_per_worker;
    bool pin; /* bind worker i to the i-th CPU of the affinity mask, going round */
    /* A worker that crashes (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT) writes where to stderr
     * before it dies, one that has passed a deadline before it is killed, and one that gets SIGQUIT
     * from a process writes where it is and goes on: one line a function, static ones included
     * unless the program was stripped and its debug information is not in /usr/lib/debug.
     * `addr2line -e FILE 0x...` gives the source line, if the program was built with -g. With musl
     * it is the line of the interrupted instruction alone. A deadline holds up to 0.2 s late then,
     * for a worker that cannot write. SIGQUIT is caught even if the program ignores it, as one that
     * a shell has started in the background does, so what tasks execute has its default. */
    bool backtrace;
    /* Processes that workers have started are left alone when their worker dies or the pool ends;
     * see above. */
    bool leave_started;
    bool keep_stdin; /* workers have the program's standard input */
    /* Workers and supervisor close all descriptors that they have inherited, but the standard
     * streams, those that weir itself needs for this pool, and pass_descriptors (Python's close_fds
     * and pass_fds). */
    bool close_descriptors;
    /* What each call on the pool takes for retries, timeout_ms, chunk_timeout_ms and stall_ms where
     * its own options have 0, and for on_stall where they have NULL; keep_going holds for a call if
     * it is set in either. A zero here leaves the call's default. All other members must be zero.
     * Copied; NULL: nothing is said. */
    const struct weir_job_options *job;
    const int *pass_descriptors; /* pass_count of them; only with close_descriptors */
    size_t pass_count;
    weir_nested nested; /* what becomes of calls on the pool that its tasks make */
    /* What the pool is called by who watches it, of up to 31 bytes. Copied; NULL: the program's
     * name. */
    const char *name;
    /* A file to which the supervisor writes, when the pool ends or the program has died, what each
     * worker did and when: `weir trace FILE` makes a summary, a picture or Perfetto's JSON of it.
     * NULL: what WEIR_TRACE says in the environment; see below. */
    const char *trace;
    uint64_t reserved[2];
} weir_pool_options;

/* The number of CPUs that this process may use: its affinity mask, cut to its cgroups' CPU quota
 * (rounded up). At least 1. */
WEIR_API int weir_cpu_count(void);

/* Makes a pool in a scope. Workers start while this returns; the first job reports a worker that
 * cannot start (its initializer fails, say).
 *
 * `options`: may be NULL.
 * Make the pool early: the workers have a copy of all memory the program has at this moment.
 * Buffered output is flushed before forking.
 * Tasks may use OpenMP, also if the program has used it: the threads that gcc's libgomp keeps for
 * the calling thread are ended before forking, as by omp_pause_resource_all() (their threadprivate
 * variables go with them). Within a parallel region this cannot be done.
 * Context: any thread of the program that began the scope; blocks for the time of forking.
 * Crash: the workers end with the program.
 * Returns: the pool, to be freed with weir_pool_free(); or NULL: EINVAL (scope is NULL or has
 * ended, options, or WEIR_WORKERS or WEIR_LOG in the environment is wrong), E2BIG (more
 * workers than WEIR_WORKERS_MAX), EAGAIN, ENOMEM, EMFILE (fork, descriptors), EDEADLK (called in
 * a worker), EBADF (the program has closed descriptors of the scope's), ENOSYS or EPERM
 * (pidfd_open(): the kernel does not have it, or a sandbox refuses it), WEIR_EDIED (while
 * forking: a pthread_atfork() handler of the program crashed there, or needs more than 8 MiB of
 * stack), or the error of opening the trace's file (EINVAL: no regular file). */
WEIR_API WEIR_MUST_CHECK weir_pool *weir_pool_new(weir_scope *scope,
                                                  const weir_pool_options *options);

/* Ends the pool when the jobs in flight are done, those of futures included: workers run the
 * finalizer and exit. NULL is allowed.
 *
 * A worker that does not end within 5 s of having no more work is killed; 5 s and 5 ms for each
 * worker, as a thousand take their time to end. It waits for the work, as weir_process_free() does
 * not; weir_pool_kill() does not either. A supervisor that is stopped is sent SIGCONT; if it does
 * not go on (a debugger, a frozen cgroup) it is killed 7 s, and 10 ms for each worker, after the
 * work is done.
 * Context: the program that made the pool; no other thread may use the pool any more.
 * Crash: the workers are killed. */
WEIR_API void weir_pool_free(weir_pool *pool);

/* Kills the workers and ends the pool at once. NULL is allowed. A supervisor that is stopped and
 * does not go on is killed after 2 s, and 5 ms for each worker.
 *
 * Other threads may be using the pool: jobs that they wait for return WEIR_EDIED first, and calls
 * that they begin from now on fail with -ECANCELED, also when the pool has ended, until another 64
 * pools have. The end of the scope does the same to a pool that is left.
 * Context: any thread of the program that made the pool.
 * Crash: the workers are killed. */
WEIR_API void weir_pool_kill(weir_pool *pool);

/* The number of workers, and the process ids of the supervisor and of worker `worker` (from 0) as
 * they are now.
 * Context: any thread of the program that made the pool.
 * Returns: the number or id; -EINVAL (NULL), -EDEADLK (not in that program), -ERANGE (no such
 * worker), -ESRCH (the worker is being replaced; of the supervisor: the pool has no processes). */
WEIR_API int weir_pool_workers(const weir_pool *pool);
WEIR_API pid_t weir_pool_supervisor_pid(const weir_pool *pool);
WEIR_API pid_t weir_pool_worker_pid(const weir_pool *pool, int worker);

/* What has happened in a pool since it was made. */
typedef struct weir_pool_stats {
    uint64_t workers_started; /* the first ones and replacements */
    uint64_t workers_died;    /* that were killed, crashed, or ended by exit() */
    uint64_t chunks_retried;  /* times that a chunk was run again after a death */
    uint64_t reserved[5];     /* zero */
} weir_pool_stats;

/* Tells what has happened in the pool, also if no call has failed for it. A death counts shortly
 * after it, and before the call whose chunk it was returns.
 * Context: any thread of the program that made the pool. Does not block.
 * Crash: nothing shared has changed.
 * Returns: 0; -EINVAL (NULL), -EDEADLK (called in a worker). */
WEIR_API WEIR_MUST_CHECK int weir_pool_get_stats(const weir_pool *pool, weir_pool_stats *out);

/* ---- how a job is run ----------------------------------------------------------------------- */

/* How far a job is, in items of its range; for weir_job_options.on_progress. */
typedef struct weir_progress {
    const char *label;    /* weir_job_options.progress; may be NULL */
    uint64_t done;        /* in chunks that are done */
    uint64_t failed;      /* in chunks that have failed */
    uint64_t total;       /* in all */
    int64_t elapsed_ms;   /* since the call */
    int64_t left_ms;      /* expected at this rate; -1: not known yet */
    double rate;          /* items done a second, since the call */
    bool ended;           /* this is the last time: the job has ended, well if all items are done */
    uint64_t reserved[4]; /* zero */
} weir_progress;

#define WEIR_STALL_WORKERS_MAX 16 /* workers that a weir_stall names */

/* A worker that has a chunk of a job of which no chunk ends. */
typedef struct weir_stall_worker {
    int worker;       /* its index, from 0 */
    pid_t pid;        /* its process */
    int64_t chunk;    /* from 0; -1 of a stream: it is at a call or a job */
    weir_range range; /* of the chunk */
    int64_t for_ms;   /* how long it has been at the chunk; -1: not known */
    int attempt;      /* at the chunk, from 1; 0: not known */
    /* Of the process, as /proc/PID/stat has it: R, S, D; T or t: it is stopped, t by a debugger; Z:
     * it is dead. 0: not known. */
    char state;
    uint64_t reserved[2]; /* zero */
} weir_stall_worker;

/* What a call waits for, for weir_job_options.on_stall. All is valid during that call alone. */
typedef struct weir_stall {
    const char *message;     /* all of this as a line of text, without a line end */
    const char *pool;        /* the pool's name */
    const char *job;         /* weir_job_options.name or progress; NULL: neither was given */
    int64_t stalled_ms;      /* no chunk has ended for so long */
    int64_t chunks;          /* of the job; of a stream, items that have been put */
    int64_t ended;           /* of them: done, failed or cancelled */
    int64_t running;         /* which workers have; the rest wait for a worker */
    bool supervisor_stopped; /* no worker that dies is replaced, and no deadline holds */
    size_t workers_count;    /* entries of `workers`: `running`, but at most these many */
    weir_stall_worker workers[WEIR_STALL_WORKERS_MAX]; /* those longest at their chunk come first */
    uint64_t reserved[4];                              /* zero */
} weir_stall;

#define WEIR_FAILURES_MAX 4096 /* failures that are kept for a weir_job_report */

/* What became of a job's chunks, for weir_job_options.report, as GNU parallel's --joblog. The first
 * two members are the program's; the rest is set when the job's end is noticed: then the call
 * returns, or a call on its future does. `reserved` must be zero.
 *
 *     weir_error failures[100];
 *     weir_job_report report = {failures, 100};
 *
 *     if (weir_pool_for(pool, range, work, arg,
 *                       &(weir_job_options){.keep_going = true, .report = &report}) < 0)
 *         for (size_t i = 0; i < report.failures_count; i++)
 *             puts(failures[i].message);
 */
typedef struct weir_job_report {
    weir_error *failures; /* gets the failures, ordered by their ranges; may be NULL */
    /* Room there. Of more failures the first ones to happen are kept. At most WEIR_FAILURES_MAX
     * are, and the pool has some 800 bytes of memory for each. */
    size_t failures_most;
    size_t failures_count; /* so many are there */
    uint64_t chunks;       /* of the job; of a map-reduce, of both parts */
    uint64_t done;         /* chunks that are done, ... */
    uint64_t failed;       /* ... and that have failed; others were not run to their end */
    uint64_t deaths;       /* of workers, each on a chunk of this job */
    uint64_t retries;      /* times that a chunk was run again */
    uint64_t reserved[4];
} weir_job_report;

#define WEIR_RETRIES_NONE (-1) /* weir_job_options.retries: never run a chunk again */
#define WEIR_TIMEOUT_NONE (-1) /* weir_job_options.timeout_ms, chunk_timeout_ms: not the pool's */
#define WEIR_STALL_NONE   (-1) /* weir_job_options.stall_ms: not the pool's */

/* How a job is run. Zero means the default everywhere: what weir_pool_options.job says, and
 * otherwise what stands here. `reserved` must be zero. */
typedef struct weir_job_options {
    /* Chunks that the range is cut into, at most its length. 0: 64 (map_reduce: 16), or what
     * `grain` says. Where items cost differently some 16 a worker share the work out evenly; a
     * chunk costs a few nanoseconds. */
    int64_t chunks;
    int64_t grain; /* items a chunk, instead of `chunks`; giving both is an error */
    size_t
        arg_size; /* copy this many bytes at `arg` to the workers; 0: pass the pointer as it is */
    /* Times a chunk is run again after its *worker died*, up to 30, or WEIR_RETRIES_NONE. 0: once
     * for map, reduce and map_reduce, whose outputs the pool commits; never for `for` and submit,
     * whose side effects it cannot undo. */
    int retries;
    /* The whole job, from the call on; 0 and WEIR_TIMEOUT_NONE: none. Then -ETIMEDOUT. The
     * supervisor enforces it, and chunk_timeout_ms, to a few milliseconds. Time in which all
     * processes of the program stand still does not count for either, if it is half a second or
     * more: Ctrl-Z and fg, docker pause, a paused machine. If the supervisor alone is stopped
     * (SIGSTOP) the deadlines hold 2 s late, because a thread that waits, or (some seconds later)
     * an event loop that dispatches, sends it SIGCONT then; if it cannot go on, under a debugger or
     * in a frozen cgroup of its own, they hold when it does. A worker that stands still alone is
     * late as any other. */
    int timeout_ms;
    /* Each attempt at a chunk; likewise. Its worker is killed then, and the chunk is retried or
     * fails with -ETIMEDOUT. */
    int chunk_timeout_ms;
    /* A call that has waited for so long while no chunk of its job ended says what it waits for;
     * see below. 0 and WEIR_STALL_NONE: never. */
    int stall_ms;
    /* Run the remaining chunks after a failure. The first one is reported; `report` has all. */
    bool keep_going;
    /* weir_pool_map(): `in` and `out` lie in memory that the workers share, though it is not the
     * scope's. */
    bool shared;
    bool progress_lines;  /* with `progress`, where no bar can be drawn: a line now and then */
    const char *progress; /* draw a bar with this label ("": none); see below */
    void (*on_progress)(const weir_progress *progress, void *arg); /* draw nothing: call this */
    void *on_progress_arg;
    weir_job_report *report; /* gets what became of the chunks; must stay until the job has ended */
    /* What the job is called by who watches the pool, of up to 31 bytes. Copied; NULL: as
     * `progress`, if that is given. */
    const char *name;
    void (*on_stall)(const weir_stall *stall, void *arg); /* with stall_ms: call this */
    void *on_stall_arg;
    /* What weir_task_chunk() is in the first chunk, from 0; the others follow. For a job that is a
     * part of a larger one, whose tasks draw random numbers by the chunk, say. */
    int64_t first_chunk;
    uint64_t reserved[1];
} weir_job_options;

/* Progress is shown by the thread that waits for the job, while it waits: in the call itself, or,
 * of a future, in weir_future_wait(), weir_future_wait_many(), weir_future_result() or
 * weir_future_table(). There is no thread and no signal handler for it. Of a map-reduce, an item
 * counts for nine tenths when it is mapped; the last tenth of all comes as tables are merged.
 *
 * With `progress`, and stderr a terminal, that is a bar in one line, drawn at most ten times a
 * second: what is done, how fast, and the time left, as far as the terminal is wide enough
 * (TIOCGWINSZ, else COLUMNS). It ends as a line of its own that says how the job went; a wait that
 * ends before the job (weir_future_wait()'s timeout) leaves an empty line to write to. No colours
 * are used if NO_COLOR is set. Nothing is drawn while the program is in the background, or while
 * the terminal takes nothing (Ctrl-S). Of several threads that wait with bars, one draws at a time.
 *
 * weir_task_log() writes lines above the bar. Whatever else writes to the terminal meanwhile, a
 * printf() in a task or the "^C" of the terminal, gets a line of its own below it, and the next bar
 * comes behind that. (Not on the few terminals that wrap as soon as their last column is written:
 * there it continues the bar's line. TERM begins with ansi, cons25, cygwin, mach, pcansi or sun.)
 *
 * Where stderr is not a terminal, or TERM is "dumb" or not set, nothing is written; with
 * progress_lines there is a line for each tenth that is done, at most one a second, one a minute if
 * a tenth takes longer, and one at the end.
 *
 * With on_progress nothing is ever written: it is called instead, in the waiting thread, as often
 * as a bar would be drawn, and once more when the wait sees the job's end. It may cancel the job,
 * but not wait for it or free it. The label is copied; control characters in it are shown as "?".
 */

/* A call that waits without an end in sight says what it waits for, if `stall_ms` is given: which
 * worker, which process, which chunk. It is said by the thread that waits, in the calls that show
 * progress, when it has waited for stall_ms and no chunk of the job has ended meanwhile; again when
 * it has lasted twice as long, four times, and so on. Time in which the thread does not wait, or
 * the program stands still, does not count, if it is half a second or more. It may be said late, by
 * an eighth of stall_ms and by a second at most. Nothing is done about it: that is
 * chunk_timeout_ms.
 *
 * It is one line on stderr, above a bar, of up to four workers, the longest at their chunk first:
 *
 *     weir: pool mill, job sum: no chunk has ended for 30 s (12 of 64 have); worker 3 (pid 4711)
 *     has been at chunk 12 [768, 832) for 41 s; worker 0 (pid 4708, stopped) at chunk 13 [832, 896)
 *     for 35 s; 50 chunks wait for a worker
 *
 * If no worker has a chunk of the job it says what the workers are at: another job, or their start.
 * It says so if the supervisor is stopped. Nothing is written while stderr takes nothing, or is the
 * terminal of a program in the background.
 *
 * With on_stall nothing is written: it is called instead, in the waiting thread. It may cancel the
 * job, or kill a worker (SIGKILL), whose chunk then fails or is run again, but not wait for the job
 * or free it. Of a stream it is said when no item that is out has ended: once for all of its calls.
 * A pool without processes says nothing, as the thread that waits runs the tasks; nor does a wait
 * for a place, or weir_waiter_next(). A pool for all of whose calls it is said
 * (weir_pool_options.job) has no calls that are queued (weir_pool_submit()). Without stall_ms this
 * costs nothing. */

/* Private memory. Workers have the program's memory as it was when the pool was made, each its own
 * copy. A pointer in `arg` to what has been allocated or changed since leads to something else
 * there, and what a task writes to private memory no other process sees. Neither is an error that
 * the system would find.
 *
 * With WEIR_DEBUG=1 in the environment when the pool is made (or weir built with --buildtype=debug,
 * and not WEIR_DEBUG=0) it is looked for, as far as it can be found out:
 *  - a call whose `arg` points to private memory that is not the same in the program and in the
 *    worker fails with -EINVAL, and a message that says what to do. Compared is the whole of a
 *    static variable (named, unless the program is stripped) and of a block of malloc(), up to
 *    1 MiB; of the stack and other memory the first number alone, as its size is not known;
 *  - a task that writes to private memory that its `arg` points to is told so by a line on stderr,
 *    once in a worker;
 *  - weir_pool_map() refuses private arrays with the option `shared`.
 * What `arg` leads to by further pointers, and what is copied (arg_size), is not looked at. Without
 * WEIR_DEBUG nothing of this is done, and it costs nothing.
 */

/* Functions of the program that run in the program itself (on_progress, on_stall, combine,
 * callbacks) may be left by a C++ exception, pthread_exit() or a cancellation, which also leaves
 * the call that runs them: it gives back what it holds, cancels its own job, and waits for the
 * chunks that run. A future that was waited for has not ended then and can be waited for again, but
 * one whose combine was left has ended with -ECANCELED. If combine leaves weir_pool_free() or
 * weir_pool_kill(), that is to be called again. Cancelling a thread (pthread_cancel()) is allowed
 * only while it is in such a function, or where it has disabled cancellation otherwise.
 *
 * longjmp() out of such a function works so far that the pool and its scope end in bounded time: at
 * once if the same thread ends them, else within 2 s of the end of the last job, and then the
 * pool's memory is kept until the program ends. Until then the call's job goes on, and its place
 * and memory stay taken.
 */

/* ---- jobs ----------------------------------------------------------------------------------- */

/* A running task, which it can ask and tell things. Valid only during the call of its function. */
typedef struct weir_task weir_task;

/* Works on [range.begin, range.end). Returns 0 for success, anything else for failure. */
typedef int (*weir_task_fn)(weir_task *task, weir_range range, void *arg);

/* Runs function over the range, in chunks, on the pool's workers, and waits for the end.
 *
 * `function`: must have been in the program when the pool was made.
 * `arg`: points to an object of the scope, or to memory that existed, unchanged, when the pool was
 * made; or is copied (options->arg_size).
 * `options`: may be NULL.
 * How the range is cut depends on the range and the options only, never on the number of workers.
 * A chunk is *started* once, or again after its worker died if retries allow; with retries a
 * function may thus run twice over items that a killed worker had done already. After the first
 * failure no further chunk is started, unless keep_going. An empty range succeeds at once.
 * If this program finds meanwhile that it cannot map an object that a process of the scope has
 * made, perhaps for this job, the call returns weir_scope_sync()'s error (-ENOENT, -EPERM,
 * -EMFILE, ...), though all is done. A chunk whose argument or array its worker cannot map fails
 * with that code as its task_code. The report of a worker's death names an object that the worker
 * could not map.
 * Context: any thread of the program that made the pool, several at once; blocks.
 * Crash: when the program dies, the workers are killed.
 * Returns: 0; or -EINVAL (pool, function, a range with end before begin, options), -E2BIG (too many
 * chunks; the message gives the limit), -ENOMEM or -ENOSPC (memory for chunks and a copied argument
 * beyond 256 MiB comes from the scope, as weir_scope_shm()), -ETIMEDOUT (options), -EDEADLK (not
 * in that program), -ECANCELED (the pool ends or has ended), WEIR_EFAILED (a task failed:
 * weir_last_error() has its message, code, range and worker), WEIR_EDIED (a worker died, or the
 * supervisor did; weir_last_error() has range, pid, signal or exit status, and attempt), the error
 * of fork (-EAGAIN, -EMFILE, ...: the pool has been without a worker for 5 s), -ECANCELED
 * (weir_pool_cancel, weir_pool_interrupt). No chunk is running any more when this returns, whatever
 * it returns. */
WEIR_API WEIR_MUST_CHECK int weir_pool_for(weir_pool *pool, weir_range range, weir_task_fn function,
                                           void *arg, const weir_job_options *options);

/* Works on one element: reads in_size bytes at `in`, writes out_size bytes at `out`. Returns 0 for
 * success. */
typedef int (*weir_map_fn)(weir_task *task, const void *in, void *out, void *arg);

/* Calls function for each of `count` elements of the arrays `in` and `out`, as Python's Pool.map.
 *
 * `in`, `out`: an array that lies in the scope (or options->shared) is used where it is, and
 * elements are written there directly. Any other array is private memory: the input is copied to
 * the workers, and the output copied back once all elements are done (with keep_going: of the
 * chunks that are done), so a failed call leaves it as it was.
 * `in_size`, `out_size`: of one element in bytes. A size may be 0 and its pointer NULL: nothing to
 * read, or nothing to write.
 * Context: as weir_pool_for().
 * Crash: as weir_pool_for().
 * Returns: as weir_pool_for(); the error's range is the element for a failure, the chunk for a
 * death. */
WEIR_API WEIR_MUST_CHECK int weir_pool_map(weir_pool *pool, weir_map_fn function, const void *in,
                                           size_t in_size, void *out, size_t out_size, size_t count,
                                           void *arg, const weir_job_options *options);

/* A reduction: every chunk folds its part of the range into an accumulator of its own, and those
 * are combined in a fixed tree over the order of the chunks. The result has the same bits for any
 * number of workers, any timing and any killed worker, as long as range and options are the same.
 * A function that writes past the accumulator's size is found: the call then fails with -EINVAL, or
 * the task with that code. `reserved` must be zero. */
typedef struct weir_reduction {
    size_t size; /* of an accumulator, from 1; it has the alignment of max_align_t at least */
    void (*init)(void *accumulator, void *arg); /* the neutral element; NULL: zero bytes */
    /* In a worker: adds the range to the accumulator. A loop that adds up in a local variable, or
     * by a restrict pointer, and sets *accumulator at the end may be faster: the compiler then
     * knows that what it reads is not what it writes. */
    int (*fold)(weir_task *task, weir_range range, void *accumulator, void *arg);
    /* In the caller's process: adds `from`, which holds later items, to `into`. Of a future, in the
     * thread that sees its end: one that waits, dispatches, opens another job or ends the pool. */
    void (*combine)(void *into, const void *from, void *arg);
    uint64_t reserved[4];
} weir_reduction;

/* Runs the reduction over the range.
 *
 * `result`: gets reduction->size bytes, for an empty range the neutral element. It is unchanged on
 * failure, also with keep_going.
 * Context: as weir_pool_for().
 * Crash: as weir_pool_for().
 * Returns: as weir_pool_for(). */
WEIR_API WEIR_MUST_CHECK int weir_pool_reduce(weir_pool *pool, weir_range range,
                                              const weir_reduction *reduction, void *result,
                                              void *arg, const weir_job_options *options);

/* Nested calls. A task that calls its own pool is refused (-EDEADLK), as it would hold a worker
 * while it waits for others. With weir_pool_options.nested = WEIR_NESTED_SERIAL such a call is run
 * in the worker, in the calling thread, one chunk after the other, so that a function that uses the
 * pool can be called in a task too. The pool is named by the program's handle (in an argument that
 * is copied, say) or by NULL, as which the program's variable is often found in a worker.
 *
 * The result has the same bits as the program's own call: the range is cut alike, and accumulators
 * and tables are combined in the same order. That holds for weir_pool_for(), weir_pool_map(),
 * weir_pool_reduce(), weir_pool_map_reduce() and weir_pool_submit(), also with _async, and for
 * streams. A call that returns a future has run its tasks, and combine, when it returns. Tasks have
 * the worker's index and are given private memory as it is in the worker, `arg` too. Options count
 * with these differences: timeout_ms is looked at between two chunks; chunk_timeout_ms and retries
 * have no effect, as a crash is one of the worker, on the chunk that made the call, which is run
 * again if its own retries say so; nothing is drawn for `progress`, but on_progress is called.
 * If the job of the task that calls is stopped, so is the nested one (-ECANCELED).
 *
 * Refused with -EDEADLK are all other calls on the pool (weir_pool_each(), weir_pool_get_stats(),
 * weir_pool_fd(), weir_pool_dispatch(), ending it), weir_future_then() of a future that a task has
 * got, other pools than the worker's own, and calls of a process that a task has forked.
 */

#define WEIR_EACH_MAX 64 /* functions of weir_pool_each() that a pool keeps */

/* Called once in a worker. Returns 0 for success. */
typedef int (*weir_each_fn)(weir_task *task, void *arg);

/* Runs function once in each worker, and in each one that replaces it later: to load a table, to
 * warm a cache, to seed a generator. As dask's Client.register_worker_callbacks(), and as
 * weir_pool_options.initializer, which Python has too, for what is known only when the pool is
 * there.
 *
 * `arg`: as for weir_pool_for(). With options->arg_size (of up to 256 MiB in all) it is a copy that
 * stays as long as the pool. Without, what it points to must stay so long, and a task that changes
 * a copy or shared memory changes what later workers find.
 * `options`: may be NULL; chunks and grain do not apply.
 * It is a job of as many chunks as the pool has workers: chunk i, with the range [i, i + 1), runs
 * in worker i and in no other one. A worker runs it between two chunks of other jobs: one that is
 * busy with a long chunk comes to it after that, and this call waits so long, unless timeout_ms is
 * given. What calls that begin after this one has returned run is run in workers that have run
 * function. It does not count for chunks_per_worker.
 * If all have succeeded function is kept: a worker that comes later runs all functions that are
 * kept, in the order of their calls, after the initializer and before its first chunk. One that
 * fails or dies there counts as one whose initializer has failed: another one is started, and after
 * three in a row the worker is given up. (Such a one counts here as one that has succeeded.) A
 * worker that is being replaced while this call runs runs it before its first chunk, too. There
 * weir_task_cancelled() is about calls of weir_pool_cancel() that come meanwhile; function is then
 * run again.
 * If any has failed, or the call is cancelled or late, function is not kept; what it has done in
 * the workers that have run it stays. A pool keeps up to WEIR_EACH_MAX functions. There is no way
 * to have one forgotten; a function may be given several times, and is then run as often.
 * Context: as weir_pool_for().
 * Crash: as weir_pool_for().
 * Returns: as weir_pool_for() (of a worker that fails or dies: WEIR_EFAILED, WEIR_EDIED with its
 * index, pid and message); -E2BIG (WEIR_EACH_MAX functions are kept, or their calls last), -ENOMEM
 * (arg_size), -EBUSY (workers are still in functions of some 64 calls that have failed). */
WEIR_API WEIR_MUST_CHECK int weir_pool_each(weir_pool *pool, weir_each_fn function, const void *arg,
                                            const weir_job_options *options);

/* ---- in a task ------------------------------------------------------------------------------ */

/* Makes the task fail with `code` (nonzero; 0 is taken as 1) and a message for
 * weir_last_error()->message, printf-style, cut to 255 bytes. The last call counts.
 * Context: the function that was given the task.
 * Crash: the worker's death is reported instead.
 * Returns: code, so that a task can `return weir_task_fail(task, 7, "no such row: %d", row)`. The
 * task fails even if it then returns 0. */
WEIR_API int weir_task_fail(weir_task *task, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Gives the result of a submitted call (weir-future.h): `size` bytes at `data` are copied. The last
 * call counts. If that failed, the task fails even if it then returns 0, and weir_last_error()->
 * task_code is its error; so what this returns need not be looked at, unless to give something
 * smaller.
 * Context: the function that was given the task.
 * Crash: the next attempt's result counts, or none.
 * Returns: 0; -EINVAL (the task is not of weir_pool_submit(); NULL data); -EDEADLK (in a process
 * that the task has forked: its result would be taken for the worker's); or the errors of
 * weir_scope_shm(), for 1 MiB or more, or if results that the program has not yet noticed fill the
 * memory that the pool has for them: 256 MiB for all workers, at most 64 MiB for one. */
WEIR_API int weir_task_result(weir_task *task, const void *data, size_t size);

/* Writes a line to stderr, printf-style, in one piece: lines of several workers do not mix, and
 * while a bar is drawn (weir_job_options.progress) the line stands above it. With on_progress it
 * goes to stderr as it does without progress.
 *
 * The line end is added if it is not there. A text is cut to 1,023 bytes; line ends within it make
 * several lines, which stay together. Other control characters but tabs are shown as "?". What the
 * worker has in stdout's buffer is not written before.
 * Context: the function that was given the task. Blocks as long as stderr takes nothing.
 * Crash: the line is there, or nothing of it.
 * Returns: 0; -EINVAL (NULL, a format that is not valid); or the error of write(), -EPIPE say:
 * there is no SIGPIPE. */
WEIR_API int weir_task_log(weir_task *task, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A part of a task that a timeline shows (weir_pool_options.trace); made by weir_span_begin(). */
typedef struct weir_span {
    weir_task *task; /* NULL: it is not noted */
    const char *label;
    int64_t begin_ns; /* CLOCK_MONOTONIC */
} weir_span;

/* Begins a span with the label, of which the timeline shows 23 bytes. While the pool is not traced
 * it costs a call and a load. WEIR_SPAN() ends it by itself.
 * Context: the function that was given the task, in the thread that runs it: not in threads that it
 * has started. In a process that a task has forked, in a pool without processes, and with NULL,
 * nothing is noted. The label must stay until the span's end.
 * Crash: a span that has not ended is not in the timeline.
 * Returns: the span, to be given to weir_span_end(). */
WEIR_API weir_span weir_span_begin(weir_task *task, const char *label);

/* Ends the span, which is noted. One that has ended, and NULL, change nothing.
 * Context: as weir_span_begin().
 * Crash: as weir_task_count(). */
WEIR_API void weir_span_end(weir_span *span);

/* A block whose time a timeline shows, however it is left (but by longjmp() and exit()):
 *
 *     WEIR_SPAN (task, "parse") {
 *         ...
 *     }
 *
 * `break` and `continue` leave it. For compilers with the attribute `cleanup`: gcc, clang. */
#define WEIR_SPAN(task, label)                WEIR__SPAN_OF_LINE(task, label, __LINE__)
#define WEIR__SPAN_OF_LINE(task, label, line) WEIR__SPAN(task, label, line)
#define WEIR__SPAN(task, label, line)                                                              \
    for (weir_span weir__span_##line                                                               \
         __attribute__((cleanup(weir_span_end))) = weir_span_begin(task, label),                   \
         *weir__once_##line = &weir__span_##line;                                                  \
         weir__once_##line != NULL; weir__once_##line = NULL)

/* Notes a number for the timeline, under a label of which it shows 23 bytes: rows that were read,
 * say. The timeline shows the sum of each label and when it grew.
 * Context: as weir_span_begin().
 * Crash: what was noted is in the timeline. */
WEIR_API void weir_task_count(weir_task *task, const char *label, int64_t number);

/* The index of the worker that runs the task (from 0), the number of the attempt at this chunk
 * (from 1), and the chunk's number (from 0, or from weir_job_options.first_chunk).
 * Context: the function that was given the task. */
WEIR_API int weir_task_worker(const weir_task *task);
WEIR_API int weir_task_attempt(const weir_task *task);
WEIR_API int64_t weir_task_chunk(const weir_task *task);

/* Which worker this process is, wherever the program has no task at hand: in the initializer, the
 * finalizer, or a function that a task calls. The index of the worker (from 0, as
 * weir_task_worker()), and the incarnation (from 1): a replacement has the index of the worker that
 * it replaces, and a higher incarnation. No two processes of a pool have both numbers in common. A
 * process that a task has forked has its worker's.
 * Context: any thread of a worker.
 * Returns: the number; -ESRCH in a process that is not a pool's worker, the program for one, but
 * for functions of a pool without processes: 0 and 1. */
WEIR_API int weir_worker_index(void);
WEIR_API int64_t weir_worker_incarnation(void);

/* Random numbers. rand(), random(), drand48() and most generators keep their state in private
 * memory, of which each worker and each replacement has the same copy: so all of them draw the same
 * numbers. Seeding in the initializer, by weir_worker_index() and weir_worker_incarnation(), makes
 * the numbers differ, but what an item gets depends on which worker runs it. Seeding by chunk gives
 * the same numbers for any number of workers and after any death:
 *
 *     static int draw(weir_task *task, weir_range range, void *arg)
 *     {
 *         const uint64_t chunk = (uint64_t)weir_task_chunk(task);
 *         unsigned short state[3] = {SEED, (unsigned short)chunk, (unsigned short)(chunk >> 16)};
 *         double *out = arg;
 *
 *         WEIR_EACH (i, range)
 *             out[i] = erand48(state);
 *         return 0;
 *     }
 *
 * Chunks depend on the range and the options alone. A submitted call is given its seed with its
 * argument. In a weir_process, too, the generators have the program's state.
 */

/* Tells whether the job is stopped, because it was cancelled, has failed or is past its timeout: a
 * long task may return early. A chunk or call whose task was told `true` and returned 0 does not
 * count as done: the job ends with the error that stopped it (-ECANCELED, -ETIMEDOUT, the failure).
 * Context: the function that was given the task. */
WEIR_API bool weir_task_cancelled(const weir_task *task);

/* ---- cancelling ----------------------------------------------------------------------------- */

/* Cancels all calls on the pool that have begun and not ended, jobs of futures among them, and
 * those that still wait for a place. NULL is allowed.
 *
 * Chunks that have not been started are not started, and the calls return -ECANCELED once the
 * running ones are done. Calls that begin later run as usual; so a cancel that comes between two
 * calls does not keep the second one from running.
 * Context: any thread of the program that made the pool; signal-safe.
 * Crash: the workers are killed. */
WEIR_API void weir_pool_cancel(weir_pool *pool);

/* Cancels as weir_pool_cancel(), and for good: calls that begin later are cancelled too, before any
 * chunk is started, until weir_pool_resume(). NULL is allowed.
 *
 * This is for a handler of SIGINT, which cannot know whether it comes within a call or between two:
 *
 *     static void on_interrupt(int signal) { weir_pool_interrupt(pool); }
 *     ...
 *     while (!converged)
 *         if (weir_pool_reduce(pool, range, &step, &result, NULL, NULL) == -ECANCELED)
 *             break;
 *
 * Context: any thread of the program that made the pool; signal-safe, both.
 * Crash: the workers are killed. */
WEIR_API void weir_pool_interrupt(weir_pool *pool);
WEIR_API void weir_pool_resume(weir_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
