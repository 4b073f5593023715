/* SPDX-License-Identifier: MIT
 *
 * state.h: the host's private records of a pool and of its futures.
 *
 * Every file of host/ works on these, so they stand below all of them. Each part of struct
 * weir_pool is one file's, named with it: others use that file's functions.
 */
#ifndef WEIR_STATE_H
#define WEIR_STATE_H

#include <pthread.h>
#include <stddef.h>

#include "manager/internal.h"
#include "pool/control/control.h"
#include "pool/host/control_heap.h"
#include "pool/host/fork.h"
#include "pool/host/queue.h"

struct weir__call_ring;
struct weir__future_set;
struct weir__loop;
struct weir__map_reduce;
struct weir__progress;

/* What the host knows of a job besides the shared record; the same index. Each piece of memory only
 * if the shared record has no place for it. Cells are always in the control heap: the supervisor
 * reads them, and must not depend on a block that may have been taken away. */
struct weir__job_private {
    weir__cell *cells;
    size_t cells_size;
    struct weir__failure_log *log; /* likewise; NULL: nobody asks for all failures */
    size_t log_size;
    void *memory; /* argument and the kind's data: in the control heap ... */
    size_t size;
    weir_shm *block;     /* ... or in a block of the scope, when they are too large for it */
    void *arg;           /* in memory or block */
    int64_t cursor;      /* cells below it are known to be final */
    uint32_t missing;    /* weir__scope_found_missing() when the job was opened */
    bool woke_sleeper;   /* a worker had to be woken for it */
    bool timed;          /* counted in control.timed_jobs */
    bool lingers;        /* closed, but `cells` are kept: a process was inside */
    uint64_t number;     /* of jobs that have had this place or another one: above stop's bits */
    weir_future *called; /* has a callback to be called when the job has ended; pool->lock */
};

/* job.c. With pool->lock, but `private` of an open job: its future's. */
struct weir__jobs {
    struct weir__control_heap heap;
    struct weir__job_private *private; /* WEIR__JOBS_MAX */
    uint16_t *vacant;                  /* stack of job indices */
    int vacant_count;
    uint64_t opened;     /* so many, ever */
    uint16_t *lingering; /* closed jobs that keep their cells; and some that do not any more */
    int lingering_count;
};

/* job_future.c, future_set.c. */
struct weir__futures {
    WEIR__QUEUE(, weir_future) list; /* those that have a job, oldest first; pool->lock */
    struct weir__future_set *set;
};

/* callback.c. With pool->lock. */
struct weir__callbacks {
    WEIR__QUEUE(, weir_future) ended; /* have ended, their callbacks are to be called */
    int count;                        /* not called yet */
    bool collects;                    /* queued futures are about to be called anyway */
    /* dispatch.c: without the lock, after `count` has changed. NULL: the pool uses no loop. */
    void (*changed)(weir_pool *pool);
};

/* dispatch.c. All but `loop` with pool->lock, the others by the thread that
 * dispatches. */
struct weir__dispatch {
    struct weir__descriptor event, event_end; /* the host's, and all processes' */
    int poll_fd, timer_fd;                    /* for the host to wait on; -1 until it asks */
    bool ticks;                               /* the timer runs */
    struct weir__loop *loop;
};

/* cold.c: what it has learnt of jobs that a worker was woken for; of all threads that wait. */
#define WEIR__LIKES_BITS 6
struct weir__host_cold {
    _Atomic uint8_t was_quick[1 << WEIR__LIKES_BITS];
    _Atomic int64_t pause_ns, not_before_ns; /* the CPU is not given up before */
};

/* wait.c: how long a thread that waits spins; it learns. */
struct weir__host_spin {
    _Atomic int64_t budget_ns;
    _Atomic int64_t not_before_ns;
};

/* out.c: a call whose thread may be out in functions of the program. */
struct weir__out {
    _Atomic int32_t thread; /* its id; 0: free; -1: the pool has ended meanwhile */
    uint64_t position;      /* of its job, ... */
    weir_future *future;    /* ... or the future that it has claimed */
    uintptr_t frame;        /* where its stack was */
    int64_t late_ns;        /* by the thread that ends the pool: when it is late; 0: its job runs */
};

#define WEIR__OUT_MAX 64

struct weir_pool {
    weir_scope *scope;
    struct weir__control *control;
    struct weir__detached supervisor;
    struct weir__descriptor watch; /* until the supervisor is forked: mapping.h */
    struct weir__descriptor trace; /* likewise: timeline.c */
    char *trace_path;              /* NULL: there is none */
    bool debug;                    /* arguments are looked at: argument.c */
    uintptr_t stack_at;            /* of the thread that made it: what came later lies below */
    struct weir__on_end on_end;    /* stops the pool when the scope ends */
    uint32_t mine;                 /* of the process that made it (mine.h) */
    weir_job_options job;          /* the defaults of its calls; constant */
    bool has_job;                  /* any of them is said */
    bool here;                     /* it has no processes: tasks run in the thread that calls */
    bool may_nest;                 /* `here`: tasks may call it */
    bool nested;                   /* a worker's own (nested.c) */

    pthread_mutex_t lock;
    pthread_cond_t idle;     /* in_use has become 0, or a job its future's; with the lock */
    pthread_cond_t finished; /* a thread has looked at a future for which another waits; likewise */
    /* hold.c */
    int in_use;           /* open jobs, and calls that are in it; with the lock */
    bool ending;          /* no call begins any more; with the lock */
    pthread_t ender;      /* the thread that ends it, if `ending` */
    _Atomic bool ended;   /* all is gone but this record; set with the lock */
    _Atomic int touching; /* signal-safe calls that are in it */
    /* out.c */
    struct weir__out out[WEIR__OUT_MAX];
    bool left; /* a thread may be out for ever, so memory is left to it; with the lock */

    struct weir__jobs jobs;
    struct weir__call_ring *calls; /* calls.c; NULL until a call has been submitted */
    struct weir__futures futures;
    struct weir__callbacks callbacks;
    struct weir__dispatch dispatch;
    struct weir__host_spin spin;
    struct weir__host_cold cold;
    _Atomic bool supervisor_gone;             /* wait.c */
    struct weir__progress *_Atomic bar_owner; /* progress.c: whose bar is on the terminal */
};

/* What differs between the futures of jobs (job_future.c) and of calls in the queue (calls.c). */
struct weir__future_kind {
    /* Whether it has ended; takes the end over if it can. `waits`: a thread waits for it, so that
     * its progress is to show the end. */
    bool (*done)(weir_future *future, bool waits);
    /* The same, and waits until `limit_ns` of CLOCK_MONOTONIC (INT64_MAX: no limit). */
    bool (*wait)(weir_future *future, int64_t limit_ns);
    /* Signal-safe. */
    void (*cancel)(weir_pool *pool, weir_future *future);
    /* Has the sleeping threads of the host woken at its end. Then the caller looks once more. */
    void (*mark)(weir_future *future);
    /* With pool->lock. Has its callback queued, or its waiter told, at its end; at once if that has
     * come. */
    void (*watch)(weir_pool *pool, weir_future *future);
    /* It has ended. */
    void (*free)(weir_future *future);
};

/* The first line of the cache is all that most calls of the queue need. */
struct weir_future {
    weir_pool *_Atomic pool; /* NULL once the job has ended */
    const struct weir__future_kind *kind;
    _Atomic uint64_t position; /* of the call, or of the job (job.c); by it alone it is cancelled */
    int code;                  /* once it has ended */
    int users;                 /* threads that look at its job; pool->lock */
    void *result;              /* malloc'ed, or `small` if it has a place there */
    size_t result_size;
    weir_error *error; /* malloc'ed; NULL while there is none */
    struct weir__future_set *set;

    weir_future *next;               /* in the set */
    struct weir__progress *progress; /* NULL: none is shown */
    WEIR__QUEUE_LINK(weir_future) link;
    weir_then_fn callback; /* NULL: none */
    void *callback_arg;
    weir_pool *caller;      /* which is to call it; NULL once it has */
    int index;              /* of the job */
    bool listed;            /* on pool->futures.list */
    bool queued;            /* on caller->callbacks.ended, by `link` */
    bool finishing;         /* a thread that does not use it finishes its job; pool->lock */
    _Atomic bool cancelled; /* at any time, by the thread that uses it, even in a signal handler */
    alignas(16) unsigned char small[WEIR__RESULT_INLINE];
};

/* The future of a job. */
struct weir__job_future {
    weir_future future;
    const struct weir__job_kind *kind;
    struct weir__job_data data;          /* as the caller gave it: private arrays, the reduction */
    struct weir__map_reduce *map_reduce; /* as in the spec; the future's to release */
    const struct weir__job_spec *then;   /* by finish: the job that continues this one */
    void *user_out;                      /* where finish puts it; NULL: in `result` */
    weir_job_report *report;             /* NULL: nobody asks */
    bool keep_going;
    struct weir__out *out; /* of the call that runs the job and waits for it; else NULL */
    bool combining;        /* finish has begun; if that is left, its job gives nothing */
};

/* Of a future whose kind is weir__job_future_kind. */
static inline struct weir__job_future *weir__job_future_of(weir_future *future)
{
    return (struct weir__job_future *)future;
}

#endif
