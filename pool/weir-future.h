/* SPDX-License-Identifier: MIT
 *
 * weir-future.h: jobs that run while the program goes on.
 *
 * Submitted calls, the calls of weir-pool.h without waiting, waiting for one or several, streams of
 * calls, and callbacks in programs with an event loop.
 */
#ifndef WEIR_FUTURE_H
#define WEIR_FUTURE_H

#include <weir-pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A job that runs while the program goes on. A future is used by one thread at a time; different
 * ones by different threads at once. What its function, arg and arrays point to must stay until it
 * has ended.
 *
 * What a job that has ended still holds (copies of arguments and arrays) is given back when a call
 * notices its end; or when the program makes an object of the scope, or a dictionary, an arena or
 * weir_array_populate() needs memory, and there is too little.
 *
 * A child that the program forks cannot use the futures and streams that it has inherited, whether
 * they have ended or not: calls are refused (-EDEADLK; NULL or false with that as last error), and
 * freeing one only forgets it: the job goes on, and its result is the program's. */
typedef struct weir_future weir_future;

/* ---- submitting ----------------------------------------------------------------------------- */

/* Any function of the program, called once, in a worker. `arg` points to a copy of what was
 * submitted. Returns 0 for success; weir_task_result() passes a result on. */
typedef int (*weir_call_fn)(weir_task *task, void *arg);

/* Submits one call.
 *
 * `arg`: `arg_size` bytes are copied; with arg_size 0 the pointer is passed as it is.
 * `options`: may be NULL; chunks and grain do not apply.
 * Calls with at most 64 bytes of argument and without retries, deadlines, progress and stall_ms
 * share a queue, at a tenth of a microsecond each; others are jobs of their own. When 4,096 of the
 * one or the other kind are in flight, this waits for a place.
 * Context: any thread of the program that made the pool.
 * Crash: when the program dies, the workers are killed.
 * Returns: the future, to be freed with weir_future_free(); or NULL with weir_pool_for()'s errors
 * of bad arguments, ENOMEM, EDEADLK; WEIR_EDIED when the supervisor is gone; ECANCELED when the
 * pool ends or has ended. */
WEIR_API WEIR_MUST_CHECK weir_future *weir_pool_submit(weir_pool *pool, weir_call_fn function,
                                                       const void *arg, size_t arg_size,
                                                       const weir_job_options *options);

/* weir_pool_submit() of a variable (a number, a struct, an array), whose size need not be said:
 *
 *     struct piece piece = {begin, end};
 *     weir_future *future = WEIR_SUBMIT(pool, count_primes, piece, NULL);
 *
 * The last argument is the options. */
#define WEIR_SUBMIT(pool, function, variable, ...)                                                 \
    weir_pool_submit((pool), (function), &(variable), sizeof(variable), __VA_ARGS__)

/* The calls of weir-pool.h of the same name, without waiting.
 *
 * weir_pool_map_async() copies a private `out` back when the end is noticed, in whatever call on
 * the future notices it. weir_future_result() gives the result of weir_pool_reduce_async().
 * Context: any thread of the program that made the pool.
 * Crash: when the program dies, the workers are killed.
 * Returns: as weir_pool_submit(). */
WEIR_API WEIR_MUST_CHECK weir_future *weir_pool_for_async(weir_pool *pool, weir_range range,
                                                          weir_task_fn function, void *arg,
                                                          const weir_job_options *options);
WEIR_API WEIR_MUST_CHECK weir_future *weir_pool_map_async(weir_pool *pool, weir_map_fn function,
                                                          const void *in, size_t in_size, void *out,
                                                          size_t out_size, size_t count, void *arg,
                                                          const weir_job_options *options);
WEIR_API WEIR_MUST_CHECK weir_future *weir_pool_reduce_async(weir_pool *pool, weir_range range,
                                                             const weir_reduction *reduction,
                                                             void *arg,
                                                             const weir_job_options *options);

/* ---- waiting -------------------------------------------------------------------------------- */

/* In all calls below:
 *
 * Context: the thread that uses the future, in the program that made the pool; in another process
 * they are refused (-EDEADLK) before they look at anything.
 * Crash: when the program dies, the workers are killed. */

/* Waits until the job has ended.
 *
 * `timeout_ms`: longest wait in milliseconds; negative: for ever.
 * Returns: the job's result: 0, or its error as weir_pool_for() returns it (with the last error
 * set, at each call), -EBADMSG (the record of its result was overwritten); or -ETIMEDOUT when it
 * has not ended, which weir_future_done() tells from a job that timed out; -EINVAL (NULL), -EDEADLK
 * (not in that program). */
WEIR_API WEIR_MUST_CHECK int weir_future_wait(weir_future *future, int timeout_ms);

/* Tells whether the job has ended. Does not block. */
WEIR_API bool weir_future_done(weir_future *future);

/* Gives what the job gave: valid until the future is freed, and then no longer. Waits for the end.
 *
 * `size`: gets its size in bytes; may be NULL.
 * Returns: the result, aligned as malloc's; NULL when the job failed or gave nothing (*size is 0
 * then). */
WEIR_API const void *weir_future_result(weir_future *future, size_t *size);

/* The failure. Valid until the future is freed.
 * Returns: the failure; NULL when the job succeeded or has not ended. */
WEIR_API const weir_error *weir_future_error(weir_future *future);

/* Cancels the job: chunks that have not been started are not started. It ends, with -ECANCELED
 * unless all was done, once the running chunks are through. NULL is allowed. Does nothing in a
 * forked child.
 * Another job that has taken this one's place by then is never hit.
 * Context: signal-safe while no other call uses the future. */
WEIR_API void weir_future_cancel(weir_future *future);

/* Frees the future. One that has not ended is cancelled, and its running chunks are waited for:
 * nothing of it runs any more when this returns. NULL is allowed. Futures may be freed after their
 * pool. In a forked child this only forgets the future. */
WEIR_API void weir_future_free(weir_future *future);

/* What weir_future_wait_many() waits for. */
typedef enum weir_when {
    WEIR_WHEN_ANY = 0,     /* one has ended */
    WEIR_WHEN_ALL,         /* all have ended */
    WEIR_WHEN_FIRST_ERROR, /* one has failed, or all have ended; see below */
} weir_when;

/* Waits for several futures of one pool, as Python's concurrent.futures.wait().
 *
 * `futures`: NULLs among them are passed over. ANY looks no further than the first that has ended.
 * `timeout_ms`: as for weir_future_wait().
 * As FIRST_EXCEPTION there, FIRST_ERROR passes over a future that was cancelled (-ECANCELED, by
 * weir_future_cancel(), weir_pool_cancel() or weir_pool_interrupt()): it has ended, not failed.
 * Returns: the index of the future that has ended (ANY) or failed (FIRST_ERROR), the lowest if
 * several; `count` when all have ended (ALL), or none has failed, or there is none; -ETIMEDOUT;
 * -EINVAL (NULL, an unknown `when`, futures of several pools), -EDEADLK (not in that program). */
WEIR_API WEIR_MUST_CHECK int64_t weir_future_wait_many(weir_future *const *futures, size_t count,
                                                       weir_when when, int timeout_ms);

/* The ends of many futures, one after the other, as Python's as_completed():
 *
 *     for (int i = 0; i < count; i++) {
 *         future = WEIR_SUBMIT(pool, work, items[i], NULL);
 *         if (future == NULL || weir_waiter_add(waiter, future, &items[i]) < 0)
 *             return -1;
 *     }
 *     while (weir_waiter_next(waiter, &future, &item, -1) == 1) {
 *         use(item, weir_future_result(future, NULL));
 *         weir_future_free(future);
 *     }
 *
 * Each end takes the same time, however many futures the waiter has; a loop over
 * weir_future_wait_many() looks at all that are left each time. A waiter is used by one thread at a
 * time, and so are its futures; it may be freed after its pool. */
typedef struct weir_waiter weir_waiter;

/* Makes a waiter, which has no futures yet.
 * Context: any thread of the program that made the pool.
 * Crash: nothing shared has changed.
 * Returns: the waiter, to be freed with weir_waiter_free(); or NULL: EINVAL (NULL), ENOMEM, EDEADLK
 * (called in a worker), ECANCELED (the pool has ended). */
WEIR_API WEIR_MUST_CHECK weir_waiter *weir_waiter_new(weir_pool *pool);

/* Gives the waiter a future, which may have ended. It stays the caller's: it may be asked,
 * cancelled and awaited meanwhile, and freeing it takes it from the waiter. Its progress is shown
 * only by the waits that weir-pool.h names.
 *
 * `arg`: what weir_waiter_next() gives with it; may be NULL.
 * Context: the thread that uses the waiter and the future. Does not block.
 * Crash: when the program dies, the workers are killed.
 * Returns: 0; -EINVAL (NULL, a future of another pool), -EBUSY (a waiter has it, or it has a
 * callback), -ENOMEM, -EDEADLK (another process's). */
WEIR_API WEIR_MUST_CHECK int weir_waiter_add(weir_waiter *waiter, weir_future *future, void *arg);

/* Takes a future that has ended from the waiter, in the order in which the program noticed the
 * ends; waits for one if there is none. A cancelled or failed future has ended as well.
 *
 * `future`: gets it; `arg`: gets what came with it, and may be NULL. Both are unchanged if there is
 * none.
 * `timeout_ms`: as for weir_future_wait().
 * Context: the thread that uses the waiter.
 * Crash: when the program dies, the workers are killed.
 * Returns: 1; 0 when the waiter has no futures; -ETIMEDOUT; -EINVAL (NULL), -EDEADLK (another
 * process's). */
WEIR_API WEIR_MUST_CHECK int weir_waiter_next(weir_waiter *waiter, weir_future **future, void **arg,
                                              int timeout_ms);

/* Frees the waiter, not its futures. NULL is allowed.
 * Context: the thread that uses the waiter.
 * Crash: nothing shared has changed. */
WEIR_API void weir_waiter_free(weir_waiter *waiter);

/* ---- streams -------------------------------------------------------------------------------- */

/* Calls for input of unknown length, as Python's Pool.imap and imap_unordered: put the items of the
 * input, and take results as they come.
 *
 *     stream = weir_stream_new(pool, work, &(weir_stream_options){.untaken = 1000});
 *     while (read_one(&record)) {
 *         while ((result = weir_stream_put(stream, &record, sizeof record)) == -EAGAIN)
 *             if (weir_stream_next(stream, &item, -1) == 1)
 *                 use(&item);
 *         if (result < 0)
 *             return -1;
 *         while (weir_stream_next(stream, &item, 0) == 1)
 *             use(&item);
 *     }
 *     while (weir_stream_next(stream, &item, -1) == 1)
 *         use(&item);
 *
 * A stream is used by one thread at a time. When its pool has ended nothing more can be put; what
 * was put before can still be taken.
 *
 * Progress towards a total is shown in the calls of the stream, at most ten times a second: while
 * they wait, and when they return at once. A bar stays between two of them; what the program prints
 * then begins on a line below it. The end is shown when so many items have ended, or when the
 * stream is freed. on_progress must not use the stream. */
typedef struct weir_stream weir_stream;

#define WEIR_IN_FLIGHT_MAX 1024 /* calls of a stream that can be out at a time */

/* How a stream is made. Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_stream_options {
    int in_flight;  /* calls that are out at a time, up to WEIR_IN_FLIGHT_MAX; 0: four a worker */
    bool unordered; /* results as they come, not in the order of the input */
    /* Of each call, as weir_pool_submit(), but for progress and stall_ms, which are of the stream.
     * Copied. */
    const weir_job_options *job;
    /* Items that will be put, if it is known. Then job's progress, progress_lines or on_progress
     * show how many of them have ended. 0: not known, and no progress can be asked for. */
    uint64_t total;
    /* Items that have been put and not taken, at most: those that are out, and results that wait in
     * this process's memory, in order behind an item that takes long, say. With so many
     * weir_stream_put() fails until one is taken. 0: no limit. */
    int64_t untaken;
    uint64_t reserved[2];
} weir_stream_options;

/* A result. */
typedef struct weir_item {
    int64_t index;    /* of the input, counted from 0 */
    int code;         /* 0, or the call's error as weir_future_wait() returns it */
    const void *data; /* what weir_task_result() gave, aligned as malloc's; NULL: nothing */
    size_t size;
    const weir_error *error; /* NULL when code is 0; its range is [index, index + 1) */
    uint64_t reserved[2];
} weir_item;

/* Makes a stream of calls of one function.
 *
 * `options`: may be NULL.
 * Context: any thread of the program that made the pool.
 * Crash: nothing shared has changed.
 * Returns: the stream, to be freed with weir_stream_free(); or NULL: weir_pool_submit()'s errors of
 * bad arguments, EINVAL (options), ENOMEM. */
WEIR_API WEIR_MUST_CHECK weir_stream *weir_stream_new(weir_pool *pool, weir_call_fn function,
                                                      const weir_stream_options *options);

/* Submits one call, as weir_pool_submit(). While in_flight calls have not ended it waits until one
 * has; with `untaken` items not taken it fails at once.
 *
 * A worker that dies costs the item it was on, unless options.job says that it is retried.
 * Context: the thread that uses the stream.
 * Crash: when the program dies, the workers are killed.
 * Returns: 0; or nothing is put: -EAGAIN, without a message (`untaken`), weir_pool_submit()'s
 * errors, -ECANCELED (its pool has ended). */
WEIR_API WEIR_MUST_CHECK int weir_stream_put(weir_stream *stream, const void *arg, size_t arg_size);

/* Takes the next result: of the oldest input not taken, or, unordered, of any that has ended.
 *
 * `out`: what it points to is valid until the next call of this, or the end of the stream. A failed
 * item is an item as well: its code says so, and the others go on.
 * `timeout_ms`: as for weir_future_wait().
 * Context: the thread that uses the stream.
 * Crash: when the program dies, the workers are killed.
 * Returns: 1; or, *out unchanged: 0 when all that was put has been taken; -ETIMEDOUT; -EINVAL
 * (NULL), -EDEADLK (not in that program). */
WEIR_API WEIR_MUST_CHECK int weir_stream_next(weir_stream *stream, weir_item *out, int timeout_ms);

/* Cancels what is in flight, waits for the running calls, and frees. NULL is allowed. In a forked
 * child it only forgets the stream.
 * Context: the thread that uses the stream.
 * Crash: when the program dies, the workers are killed. */
WEIR_API void weir_stream_free(weir_stream *stream);

/* ---- futures in a program with an event loop ------------------------------------------------ */

/* Called when a future has ended. The future is this function's to free, or to keep. */
typedef void (*weir_then_fn)(weir_future *future, void *arg);

/* Has callback(future, arg) called once, when the future has ended, in weir_pool_dispatch(): on the
 * loop that the pool uses, or where the program calls it. Never from within this call. A future
 * that has ended already gets its call too.
 *
 * From then on the future is used only in the thread that dispatches. If it is freed before its
 * callback was called, it is cancelled and waited for, and there is no call. Callbacks that are
 * left when the pool ends are called from within weir_pool_free(), weir_pool_kill() or
 * weir_scope_end(), after the end of their futures; nothing can be submitted to the pool then
 * (-ECANCELED).
 * Context: the thread that dispatches, when the pool uses a loop; else any thread. Does not block.
 * Crash: a worker that is killed cannot take the call with it, nor can the supervisor.
 * Returns: 0; -EINVAL (NULL, or the future's pool has ended), -EBUSY (it has a callback, or a
 * waiter has it), -EDEADLK (not in the program that made the pool). */
WEIR_API WEIR_MUST_CHECK int weir_future_then(weir_future *future, weir_then_fn callback,
                                              void *arg);

/* A descriptor that poll(), epoll or a loop of any make finds readable when weir_pool_dispatch()
 * has something to do. It is the pool's: only wait on it. The same at each call.
 * Context: any thread of the program that made the pool.
 * Crash: nothing shared has changed.
 * Returns: the descriptor; or -EMFILE, -ENFILE, -ENOMEM, and weir_pool_workers()'s errors. */
WEIR_API WEIR_MUST_CHECK int weir_pool_fd(weir_pool *pool);

/* Calls the callbacks of the futures that have ended; returns at once if there is none. A callback
 * may do anything: submit, free its future, call this, end the pool.
 * Context: one thread at a time.
 * Crash: when the program dies, the workers are killed.
 * Returns: how many it called; or weir_pool_fd()'s errors. */
WEIR_API int weir_pool_dispatch(weir_pool *pool);

struct uv_loop_s;

/* Dispatches on a libuv loop (a uv_loop_t *), as uv_queue_work() does, but the work is done in
 * processes. While callbacks are to come the pool keeps uv_run() from returning.
 *
 * `loop`: NULL leaves the loop that the pool uses, if any; the pool's end does it too. As after any
 * uv_close(), run the loop once more before uv_loop_close().
 * The program must use the libuv that weir uses, not a static copy of another version.
 * Context: the loop's thread.
 * Crash: nothing shared has changed.
 * Returns: 0; -EBUSY (it uses a loop already), libuv's codes, which are negative errno values;
 * weir_pool_fd()'s errors. */
WEIR_API WEIR_MUST_CHECK int weir_pool_use_loop(weir_pool *pool, struct uv_loop_s *loop);

#ifdef __cplusplus
}
#endif

#endif
