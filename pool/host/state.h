/* SPDX-License-Identifier: MIT
 *
 * pool.h: the host's private side of a pool.
 */
#ifndef WEIR_POOL_INTERNAL_H
#define WEIR_POOL_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/queue.h>

#include "manager/internal.h"
#include "pool/control/calls.h"
#include "pool/control/control.h"
#include "pool/host/control_heap.h"
#include "pool/host/fork.h"

/* What the host knows of a job besides the shared record; the same index. Each piece of memory only
 * if the shared record has no place for it. Cells are always in the control heap: the supervisor reads
 * them, and must not depend on a block that may have been taken away. */
struct weir__job_private {
    weir__cell *cells;
    size_t cells_size;
    void *memory; /* argument and the kind's data: in the control heap ... */
    size_t size;
    weir_shm *block;     /* ... or in a block of the scope, when they are too large for it */
    void *arg;           /* in memory or block */
    int64_t cursor;      /* cells below it are known to be final */
    bool woke_sleeper;   /* a worker had to be woken for it */
    bool timed;          /* counted in control.timed_jobs */
    weir_future *called; /* has a callback to be called when the job has ended; pool->lock */
};

struct weir__progress;
struct weir__map_reduce;

/* What all futures of a pool share, and futures of the queue's calls that are to be used again. It
 * outlives the pool if futures do: then the last future that is freed frees it. */
struct weir__future_set {
    weir_pool *_Atomic pool;         /* NULL once the pool is gone */
    pthread_mutex_t lock;            /* over what follows */
    weir_future *vacant;             /* linked by `next` */
    struct weir__future_slab *slabs; /* all there are; each is memory for some */
    int64_t count; /* so many futures; once the pool is gone, those not given back */
    int64_t jobs;  /* futures of jobs, which are not in the slabs */
};

/* The host's side of the queue of calls (queue.c). pool->lock, all of it. */
struct weir__call_ring {
    uint64_t tail;                           /* position of the next call */
    int since_wait;                          /* calls put since a thread last waited for one */
    weir_future *vacant;                     /* futures, taken over from the stock all at once */
    weir_future *futures[WEIR__QUEUE_CALLS]; /* whose call is in that place; NULL: nobody's */
};

struct weir_pool {
    weir_scope *scope;
    struct weir__control *control;
    struct weir__detached supervisor;
    struct weir__on_end on_end; /* stops the pool when the scope ends */
    const uint32_t *mine;       /* 1 here, 0 in a forked child (MADV_WIPEONFORK) */

    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t idle;  /* open has become 0 */
    int open;             /* jobs that are open: closing one is the last thing its caller does */
    struct weir__control_heap heap;
    struct weir__job_private *job_private; /* WEIR__JOBS_MAX */
    uint16_t *vacant;                      /* stack of job indices */
    int vacant_count;
    struct weir__call_ring *calls; /* NULL until a call has been submitted */
    struct weir__future_set *future_set;
    TAILQ_HEAD(, weir_future) futures; /* those that have a job, oldest first */
    bool ending;                       /* no new futures */

    /* Callbacks (attach.c); pool->lock too. */
    TAILQ_HEAD(, weir_future) called;    /* have ended, their callbacks are to be called */
    int callbacks;                       /* not called yet */
    int poll_fd, timer_fd;               /* for the host to wait on; -1 until it asks */
    bool ticks;                          /* the timer runs */
    bool collects;                       /* queued futures are about to be called anyway */
    struct weir__attachment *attachment; /* to a libuv loop */
    bool *gone;                          /* in a callback: to be set when it frees the pool */

    _Atomic int64_t spin_ns; /* how long a thread that waits spins; it learns */
    _Atomic int64_t spin_not_before_ns;
    _Atomic bool supervisor_gone;
    _Atomic bool killed;                      /* by its owner */
    struct weir__progress *_Atomic bar_owner; /* whose bar is on the terminal */
};

/* Host, before the fork: the job that stands for the queue of calls. */
void weir__calls_init(struct weir__control *control);

/* ---- spec.c: from a call's arguments to a job ----------------------------------------------- */

/* What of progress the options ask for; all zero: nothing. */
struct weir__progress_wish {
    const char *label;
    bool lines;
    void (*call)(const weir_progress *progress, void *arg);
    void *arg;
};

/* What a job is, before it has memory. */
struct weir__job_spec {
    const struct weir__job_kind *kind;
    void (*function)(void); /* the user's */
    const void *arg;
    size_t arg_size;
    weir_range range;
    int64_t count, grain;
    unsigned retries;
    bool keep_going, async;
    uint32_t cancel_epoch; /* when the call began */
    int64_t timeout_ns, chunk_timeout_ns;
    struct weir__progress_wish progress;
    struct weir__job_data data;
    struct weir__map_reduce *map_reduce; /* map_reduce.c; NULL for all other jobs */
    size_t memory;                       /* bytes of memory that the job needs for its data */
};

/* 0, or a negative error with the last error set. */
int weir__check_pool(const weir_pool *pool);
/* Checks everything that all calls have in common, and sets the spec but for what is special to the
 * call: kind, data and memory. `options` may be NULL. */
int weir__spec_init(struct weir__job_spec *spec, const weir_pool *pool, weir_range range,
                    void (*function)(void), void *arg, const weir_job_options *options,
                    unsigned retries);

/* ---- job.c: the host's side of one job ------------------------------------------------------ */

/* Gives the job memory and shows it to the workers. Returns its index or a negative error; -EAGAIN,
 * without a message: too many are in flight. */
int weir__job_open(weir_pool *pool, const struct weir__job_spec *spec);
/* True when all its chunks are final; stops it if it is to stop. */
bool weir__job_settled(weir_pool *pool, int index);
/* Waits for that until `limit_ns` of CLOCK_MONOTONIC (INT64_MAX: for ever). */
bool weir__job_wait(weir_pool *pool, int index, int64_t limit_ns);
/* The job's result, as weir_pool_for() returns it; sets the last error. */
int weir__job_result(weir_pool *pool, int index);
/* Notices that the supervisor is gone, and its workers with it. */
void weir__look_after_supervisor(weir_pool *pool);
/* Takes the job away; its memory is reused once no worker looks at it any more. */
void weir__job_close(weir_pool *pool, int index);
/* The error of whatever job is left when the supervisor is gone, or was ended by the owner. */
int weir__report_lost_supervisor(const weir_pool *pool);
/* Gives back the memory of all jobs; none is open. */
void weir__jobs_release(weir_pool *pool);
/* Sleeps until a job that is marked as waited for may be settled, at most a tick, and not past the
 * limit; `bell` was read before the jobs were looked at. */
bool weir__host_sleep(weir_pool *pool, uint32_t bell, int64_t limit_ns);

/* ---- future.c: a job that somebody will ask about ------------------------------------------- */

/* What the future of a job has, and that of a call in the queue has not. */
struct weir__work {
    const struct weir__job_kind *kind;
    struct weir__job_data data;          /* as the caller gave it: private arrays, the reduction */
    struct weir__map_reduce *map_reduce; /* as in the spec; the future's to release */
    const struct weir__job_spec *then;   /* by finish: the job that continues this one */
    void *user_out;                      /* where finish puts it; NULL: in `result` */
    const void *arg;
    bool keep_going;
};

/* The first line of the cache is all that most calls of the queue need. */
struct weir_future {
    weir_pool *_Atomic pool; /* NULL once the job has ended */
    struct weir__work *work; /* NULL: it is a call in the queue */
    uint64_t position;       /* of the call */
    int code;                /* once it has ended */
    int users;               /* threads that look at its job; pool->lock */
    void *result;            /* malloc'ed; of the call, if it has room there, in `small` */
    size_t result_size;
    weir_error *error; /* malloc'ed; NULL while there is none */
    struct weir__future_set *set;

    weir_future *next;               /* in the stock */
    struct weir__progress *progress; /* NULL: none is shown */
    TAILQ_ENTRY(weir_future) link;
    weir_then_fn callback; /* NULL: none */
    void *callback_arg;
    weir_pool *caller; /* which is to call it; NULL once it has */
    int index;         /* of the job */
    bool listed;       /* on pool->futures */
    bool queued;       /* on caller->called, by `link` */
    alignas(16) unsigned char small[WEIR__RESULT_INLINE];
};

/* The future of a job. */
struct weir__job_future {
    weir_future future;
    struct weir__work work;
};

/* Opens the job, waits for it and finishes it. */
int weir__run(weir_pool *pool, const struct weir__job_spec *spec, void *user_out);
/* Opens the job. NULL with the last error set. */
weir_future *weir__launch(weir_pool *pool, struct weir__job_spec *spec, void *user_out);
/* Maps what workers have made before what this thread has seen settled. What is gone by now is no
 * error: it is missed only if it is used. */
static inline int weir__map_made(const weir_pool *pool)
{
    int result = 0;

    if (atomic_load_explicit(weir__scope_generation(pool->scope), memory_order_acquire) !=
        weir__scope_synced(pool->scope))
        result = weir_scope_sync(pool->scope);
    return result == -ENOENT ? 0 : result;
}

/* Waits for the jobs of all futures and finishes them: the pool is about to end. */
void weir__futures_end(weir_pool *pool);
/* Ends the future that has this job and a callback, if it has settled. */
void weir__job_future_end_notified(weir_pool *pool, int index);
/* When the job is not done at once, a thread spins for so long; then it learns from how long that
 * took, and how long it slept thereafter. */
int64_t weir__spin_budget(weir_pool *pool, int64_t now_ns);
void weir__spin_learn(weir_pool *pool, int64_t spun_ns, int64_t slept_ns);

/* ---- queue.c: calls that share one job ------------------------------------------------------- */

/* Puts a call into the queue. NULL without an error: it has no place there, or asks for something
 * special, and is to have a job of its own. */
weir_future *weir__call_put(weir_pool *pool, weir_call_fn function, const void *arg,
                            size_t arg_size, const weir_job_options *options);
/* What future.c and attach.c do with the future of a job, for one of a call. */
bool weir__call_done(weir_future *future);
bool weir__call_wait(weir_future *future, int64_t limit_ns);
void weir__call_cancel(weir_future *future);
void weir__call_mark(weir_future *future);
/* With pool->lock. Has the end told of, for its callback; at once if it has come. */
void weir__call_watch(weir_pool *pool, weir_future *future);
/* Ends the future of the call in this place that has a callback, if it has settled. */
void weir__call_end_notified(weir_pool *pool, unsigned place);
/* Waits for all calls and ends them. */
void weir__calls_end(weir_pool *pool);
/* Gives the future's memory back. */
void weir__call_free(weir_future *future);
/* The stock of a new pool; NULL without an error when there is no memory. */
struct weir__future_set *weir__future_set_new(weir_pool *pool);
/* Counts the future of a job, and takes it out again. */
void weir__future_set_add(struct weir__future_set *set, weir_future *future);
void weir__future_set_remove(weir_future *future);
/* The pool goes. */
void weir__calls_free(weir_pool *pool);
/* Takes over what a call gave, in a block or in `result` itself. 0 or a negative error. */
int weir__take_result(weir_future *future, weir_pool *pool, struct weir__result *result, bool good);

/* ---- attach.c: callbacks for hosts that have an event loop ----------------------------------- */

/* Before the fork: the eventfd. 0 or a negative error. */
int weir__events_init(weir_pool *pool);
/* Calls what is to be called, as the pool is about to end. */
void weir__events_finish(weir_pool *pool);
void weir__events_free(weir_pool *pool);
/* With pool->lock. Of a future that has just ended: queues its callback, if it has one that is to
 * be called. Returns whether the thread that dispatches must be told. */
bool weir__callback_queue(weir_pool *pool, weir_future *future);
/* The future goes on with another job than `index`. */
void weir__callback_move(weir_future *future, int index);
/* A future that has a callback is freed before it was called. */
void weir__callback_forget(weir_future *future);

#endif
