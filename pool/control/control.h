/* SPDX-License-Identifier: MIT
 *
 * control.h: the memory in which a pool's processes meet.
 *
 * One anonymous shared mapping, made before the supervisor is forked, so it lies at the same
 * address in the host, the supervisor and every worker, and has no name to leak. Each field says
 * which process writes it. "Host" is any thread of the program that made the pool; allocation of
 * jobs and memory is the host's alone and is kept in its private memory (host/state.h).
 *
 * A *job* goes through
 *
 *     VACANT --open--> OPEN --close--> VACANT            all by the host
 *
 * and workers find open jobs through the ready set (ready.h). A worker that wants to look at a job
 * first *enters* it (activity + 1) and only then reads its state; the host reuses a job's memory
 * only when no process is inside, so what a worker read after entering an OPEN job stays as it is
 * until it leaves. A worker that is killed inside never leaves: the host then finds that no live
 * slot names the job and takes the dead ones out (job.c, job_is_empty()).
 */
#ifndef WEIR_CONTROL_H
#define WEIR_CONTROL_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <weir.h>

#include "pool/control/argument.h"
#include "pool/control/bar.h"
#include "pool/control/ledger.h"
#include "pool/control/result.h"
#include "pool/control/status.h"
#include "pool/control/trace.h"

#define WEIR__JOBS_MAX      4096 /* jobs in flight */
#define WEIR__CHUNKS_MAX    (INT64_C(1) << 24)
#define WEIR__CHUNKS_INLINE 16 /* cells that a job has without asking the control heap */
#define WEIR__ARG_INLINE    64
#define WEIR__LINE          64 /* of the cache */
#define WEIR__TASK_MESSAGE  256
#define WEIR__QUEUE_CALLS   4096 /* submitted calls that the queue holds; a power of two */
#define WEIR__QUEUE_JOB     0    /* the index of the job that stands for the queue */

/* Up to whole cache lines: so pieces of shared memory are given out, and no two share a line. */
static inline size_t weir__line_up(size_t size)
{
    return (size + WEIR__LINE - 1) & ~(size_t)(WEIR__LINE - 1);
}

enum weir__job_state {
    JOB_VACANT = 0,
    JOB_OPEN,
};

/* job.stop: why no further chunk is to be started. Bits; set by the process that finds out, cleared
 * by open. Above them is the number of the job, another one for each job that has had this place: a
 * future's cancel, which may come when its job has ended, sets a bit only together with the right
 * number. All others are inside, or have the job open. */
enum {
    STOP_FAILED = 1,  /* a chunk failed and the job does not keep going */
    STOP_CANCEL = 2,  /* the host gave it up */
    STOP_TIMEOUT = 4, /* it has passed its deadline */
    STOP_ANY = 7,
    STOP_NUMBER_SHIFT = 3,
};

/* job.waiting: how the host wants to be notified that the job may be settled. Bits; set by the
 * host, cleared by open. */
enum {
    WAITING_ASLEEP = 1, /* a thread sleeps on host_bell */
    WAITING_EVENT = 2,  /* a callback is to be called: event_fd (dispatch.c) */
    WAITING_NOTED = 4,  /* a waiter has it: host_bell, if a thread listens (waiter.c) */
};

/* What has failed in a job; failure.h has the states. */
struct weir__failure {
    _Atomic uint32_t owner;     /* by the claiming worker: its slot + 1; 0: the record is free */
    _Atomic int64_t task_next;  /* by the owner: its chunk + 1; 0: not known yet */
    _Atomic int64_t death_next; /* by the supervisor: likewise; 0: none */
    int64_t task_ns, death_ns;  /* by the same: when, CLOCK_MONOTONIC */
    weir_error task;            /* by the owner: its task failed */
    weir_error death;           /* by the supervisor: a worker died */
};

/* All failures of a job, if its caller asks for them: each process that makes a chunk fail takes an
 * entry. An entry counts when the cell of its chunk is FAILED, as a record of the above. */
struct weir__failure_entry {
    _Atomic int64_t next; /* by the process that took it: its chunk + 1; 0: it says nothing */
    weir_error error;
};

struct weir__failure_log {
    _Atomic uint64_t taken; /* by those processes; more than `size`: no entry was left */
    uint64_t size;          /* host, before the job is open */
    struct weir__failure_entry entries[];
};

/* What the kinds of job need beyond the range; see map.c, reduce.c and map_reduce.c. */
struct weir__job_data {
    const unsigned char *in;
    unsigned char *out;
    size_t in_size, out_size; /* of one element, or the distance of two accumulators */
    bool copy_in, copy_out;   /* the caller's arrays are private: they travel in the job's memory */
    weir_reduction reduction;
    weir_map_reduction map_reduction;
    struct weir__map_reduce_memory *map_reduce_memory;
};

/* What a job does, for who watches the pool. The numbers stay. */
enum weir__job_does {
    DOES_CALL = 1, /* the queue, or a call that is a job of its own */
    DOES_FOR,
    DOES_EACH,
    DOES_MAP,
    DOES_REDUCE,
    DOES_MAP_REDUCE_MAP,
    DOES_MAP_REDUCE_MERGE,
};

#define WEIR__EACH_PLACES (WEIR_EACH_MAX + 64)

/* A function of weir_pool_each(). Its place goes through
 *
 *   VACANT --> OPENING --> OPEN --the call succeeds--> KEPT, until the pool ends
 *     ^           '----------'---the call fails--> DROPPED
 *     '------------------------------------------------'  once no slot names the place
 *
 * all by the host. What stands below `state` is constant while it is OPEN or KEPT. */
enum weir__each_state {
    EACH_VACANT = 0,
    EACH_OPENING, /* no worker has seen it */
    EACH_OPEN,    /* `job` is open, and has a chunk for each worker */
    EACH_KEPT,    /* it has run in each worker, and is for those that come */
    EACH_DROPPED, /* its call has failed */
};

struct weir__each {
    _Atomic uint32_t state;  /* host: enum weir__each_state */
    uint32_t job;            /* host, before OPEN */
    _Atomic uint64_t number; /* host, after OPEN: higher than all before, from 1; 0: VACANT */
    const struct weir__job_kind *kind;
    weir_each_fn function;
    void *arg;
    size_t arg_size; /* in the control heap; 0: not a copy */
};

struct weir__control;
struct weir__job;
struct weir__job_spec;
struct weir__map_reduce;

/* A kind of job: one const object each, in pool/jobs and pool/map_reduce. It lies in the program's
 * image, which has one address in all processes of a pool, as they are forked from one another: so
 * a job's record in shared memory can point to it. What a kind does not need is NULL, but `run`. */
struct weir__job_kind {
    enum weir__job_does does;
    /* Worker: calls the user's function on a chunk. */
    int (*run)(struct weir_task *task, weir_range range);
    /* Where a pool has no processes: runs the chunks in the calling thread (worker/here.h). */
    void (*here)(struct weir__control *control, weir_scope *scope, unsigned index,
                 int64_t limit_ns);
    /* Worker, after it has left a job for which task->combiner was made: gives that back. */
    void (*leave)(struct weir_task *task);
    /* Host, before the job is open: fills the memory for which the spec asked. */
    void (*prepare)(const struct weir__job_spec *spec, struct weir__job *job, unsigned char *data);
    /* Host, after the job's end and before it is closed: takes its outcome over. 0 or a negative
     * error. */
    int (*finish)(weir_future *future, struct weir__job *job);
    /* Host, when the future is freed: gives the spec's record back. */
    void (*release)(struct weir__map_reduce *record);
    bool has_result; /* weir_task_result() is allowed */
    bool combines;   /* finish() runs a function of the program */
};

struct weir__job {
    /* Processes inside, chunks settled and entries ever: see ACTIVITY_... below. Written by all.
     * One cache line with what else a worker needs on the way in, as each line that moves between
     * CPUs costs 60 ns. */
    alignas(WEIR__LINE) _Atomic uint64_t activity;
    _Atomic uint64_t stop;      /* STOP_..., by all */
    _Atomic uint32_t state;     /* enum weir__job_state; by the host */
    _Atomic uint32_t retry_seq; /* by the supervisor, after it made a cell FREE again */
    _Atomic uint32_t recount;   /* by the supervisor: the hint in `activity` stays too low */
    _Atomic uint32_t waiting;   /* by the host: WAITING_... */
    _Atomic uint32_t wake_more; /* by the host: it is worth waking one worker after the other */
    /* From here on: written by the host while no process is inside; constant while OPEN. */
    uint32_t cancel_epoch; /* control.cancel_epoch when its call began; another one: cancelled */
    uint16_t retries;
    bool keep_going;
    bool checked; /* `argument` is to be compared */
    bool async;   /* of a future: no thread waits that would wake more workers for it */
    uint8_t each; /* place + 1 in control.each: chunk i is for worker i alone; 0: for any */
    uint8_t does; /* enum weir__job_does */
    bool named;   /* `name` is its name */
    weir__cell *cells;
    int64_t count; /* of chunks */

    alignas(WEIR__LINE) const struct weir__job_kind *kind;
    void (*function)(void); /* the user's */
    void *arg;
    weir_range range;
    uint64_t grain;  /* items a chunk, ... */
    int64_t longer;  /* ... one more in as many chunks at the front; the last may have fewer */
    weir_shm *block; /* of the scope, in which `arg` and `data` lie; NULL: in none */

    alignas(WEIR__LINE) weir__cell inline_cells[WEIR__CHUNKS_INLINE];
    alignas(WEIR__LINE) unsigned char inline_arg[WEIR__ARG_INLINE];

    alignas(WEIR__LINE) struct weir__result result; /* of a call */

    struct weir__job_data data; /* by the host, as the first fields */
    int64_t opened_ns;          /* CLOCK_MONOTONIC; up to a tick early without a deadline */
    int64_t deadline_ns;        /* the same; 0: none */
    int64_t chunk_timeout_ns;   /* 0: none */
    int64_t first_chunk;        /* what its task is told to be the number of chunk 0 */
    struct weir__failure_log *failure_log; /* NULL: nobody asks */
    _Atomic uint32_t deaths;  /* by the supervisor: of workers, each on a chunk of the job, ... */
    _Atomic uint32_t retried; /* ... after which the chunk became FREE again */
    struct weir__failure failure;
    struct weir__argument argument;
    char name[WEIR__STATUS_NAME]; /* for who watches; only if `named` */
};

/* job.activity: bits 0-18 processes inside; 19-43 chunks settled, a hint that is lost with a worker
 * that is killed before it has counted them; 44-63 entries, which wrap: two equal values mean that
 * no process came in between, even if as many left as came. */
#define ACTIVITY_INSIDE        ((UINT64_C(1) << 19) - 1)
#define ACTIVITY_SETTLED_SHIFT 19
#define ACTIVITY_SETTLED       ((UINT64_C(1) << 25) - 1) /* shifted */
#define ACTIVITY_ENTER         ((UINT64_C(1) << 44) + 1)
#define ACTIVITY_LEAVE         UINT64_C(1) /* to be subtracted */

static inline uint64_t weir__activity_settled(uint64_t activity)
{
    return activity >> ACTIVITY_SETTLED_SHIFT & ACTIVITY_SETTLED;
}

enum weir__slot_state {
    SLOT_EMPTY = 0, /* no process */
    SLOT_STARTING,  /* forked; running the initializer */
    SLOT_READY,     /* works or waits for work */
    SLOT_BROKEN,    /* could not be started; given up */
};

/* One worker's place. The process in it changes, the incarnation counts them. */
struct weir__slot {
    alignas(WEIR__LINE) _Atomic int32_t pid; /* supervisor; 0: none, or about to be reaped */
    _Atomic uint32_t state;       /* supervisor: EMPTY, STARTING, BROKEN; its worker: READY */
    _Atomic uint32_t incarnation; /* supervisor, before the fork */
    _Atomic uint32_t job;  /* its worker: index + 1 of the job it is in, set before it enters */
    _Atomic int64_t chunk; /* its worker: set before it claims that chunk of `job` */
    /* Its worker: when it began that chunk, as job.opened_ns; older than that: with the job. */
    _Atomic int64_t started_ns;
    _Atomic uint32_t killed; /* supervisor: why it killed the worker, KILLED_... */
    /* Its worker: place + 1 in control.each while it reads there. Cleared by the supervisor too. */
    _Atomic uint32_t each;
    _Atomic uint64_t each_seen; /* its worker: it has come to all functions up to this number */
    /* Its worker: an object of the scope that it cannot map: entry << 32 | errno; 0: there is none.
     * Cleared by the supervisor. */
    _Atomic uint64_t unmapped;
    /* Its worker: the memory that it has taken for the result of the chunk (piece.h); 0: none. The
     * host sets and clears a flag, the supervisor clears the rest. */
    _Atomic uint64_t piece;

    alignas(WEIR__LINE) _Atomic uint32_t bell; /* futex its worker sleeps on; rung by all */
    _Atomic uint32_t high;  /* words of the region's map: its worker has used none above; host */
    _Atomic uint32_t freed; /* host: units freed since it has given memory of the region back */
    /* Its worker: it has written where it is. Supervisor, before it asks: 0. */
    _Atomic uint32_t shown;
    /* Its worker: chunks of `job` that it has settled and not counted in job.activity yet. For who
     * watches. */
    _Atomic uint32_t uncounted;
};

enum {
    KILLED_NOT = 0,
    KILLED_CHUNK, /* its chunk took longer than it may */
    KILLED_JOB,   /* the job has passed its deadline */
};

enum weir__pool_state {
    POOL_RUNNING = 0,
    POOL_DRAINING, /* host: workers that find no work end */
    POOL_BROKEN,   /* supervisor: no worker can be started */
};

/* Where work and workers find each other: one cache line for 64 workers and 256 jobs, so that in
 * most pools the host that opens a job and the worker that takes it pass one line to and fro. */
struct weir__meeting {
    /* Workers asleep, one bit a slot (park.c). Set by the worker, cleared by it or by the process
     * that wakes it. */
    alignas(WEIR__LINE) _Atomic uint64_t parked;
    /* Workers that spin for work, one bit a slot. Set by the worker; cleared by it, by a worker
     * that takes its place, by the host that counts on it for a job, and by the supervisor when it
     * has died. */
    _Atomic uint64_t spinning;
    /* The ready set: jobs that may have FREE chunks (ready.h). Host and supervisor add, workers
     * take out. */
    _Atomic uint64_t ready[4];
};

struct weir__control {
    struct weir__status status; /* for who watches the pool */

    /* Constant after weir_pool_new(). */
    int32_t workers;
    _Atomic int32_t spinners_max; /* 0 until the CPUs are counted, while the supervisor starts */
    int32_t host_pid;
    int (*initializer)(void *arg);
    void (*finalizer)(void *arg);
    void *arg;
    int64_t chunks_per_worker;
    bool pin;
    bool backtrace;
    bool log;                         /* the supervisor says on stderr what happens: tell.h */
    bool leave_started;               /* what workers have started lives on; supervisor/strays.c */
    int (*process_target)(void *arg); /* weir_process: the one worker runs this and ends */
    /* The program's record, of which workers have a copy; NULL: calls are not nested (nested.c). */
    const struct weir_pool *program_pool;
    struct weir__job *jobs;    /* WEIR__JOBS_MAX; NULL for a weir_process */
    struct weir__queue *queue; /* calls.h; NULL for a weir_process */
    unsigned char *heap;       /* memory for cells and arguments, allocated by the host */
    size_t heap_size;
    /* Memory for results that are too large for their records: a region a worker (piece.h). */
    unsigned char *regions;
    _Atomic uint64_t *region_maps;
    uint32_t region_words; /* of each map: 64 units of memory each; 0: there are no regions */
    size_t size;           /* of the whole mapping */
    /* A socket to the host, the same in all processes of the pool; -1: none. Which open file it is,
     * because a process may have closed it: see bell.c. */
    int32_t event_fd;
    /* The file of memory in which the control block lies, in host and supervisor; -1: none. */
    int32_t watch_fd;
    uint64_t event_device, event_inode, watch_device, watch_inode;
    /* For a timeline (trace.h): a ring a worker, then the supervisor's. NULL: the pool cannot be
     * traced. */
    unsigned char *rings;
    uint32_t ring_events;                 /* of each; a power of two */
    struct weir__job_record *job_records; /* host, with pool->lock: WEIR__JOB_RECORDS, as a ring */
    /* The file that the supervisor writes at the end, open in host and supervisor; -1: none. Its
     * name is in private memory, which the supervisor has a copy of. */
    int32_t trace_fd;
    uint64_t trace_device, trace_inode;
    const char *trace_path;

    alignas(WEIR__LINE) _Atomic uint32_t state; /* enum weir__pool_state */
    _Atomic uint32_t cancel_epoch;              /* host; one step cancels all calls begun before */
    _Atomic uint32_t interrupted; /* host: all calls begun from now on are cancelled */
    _Atomic uint32_t jobs_used;   /* host: jobs ever used are below this index */
    _Atomic uint32_t timed_jobs;  /* host: open jobs that have a deadline of a kind */
    _Atomic uint32_t orders;      /* host, supervisor: ORDER_..., supervision.h; for good */
    _Atomic uint32_t tracing;     /* host, before the fork; then supervisor: events are noted */
    /* When the supervisor is to look at the time, CLOCK_MONOTONIC; INT64_MAX: not at all. It sleeps
     * no longer than that. Host: only earlier, and then it rings. Supervisor: INT64_MAX before it
     * looks at the jobs, then when it has to look again. */
    _Atomic int64_t look_ns;
    /* Host: when it found, the last time, that the supervisor alone stands still. */
    _Atomic int64_t alone_ns;
    _Atomic uint64_t each_latest; /* host: the highest number in `each` */
    _Atomic int32_t host_cpu;     /* host: where it opened the last job that it waits for; -1 */

    struct weir__meeting meeting[WEIR_WORKERS_MAX / 64];

    /* What the host sleeps on: rung when a job for which a thread waits may be settled. */
    alignas(WEIR__LINE) _Atomic uint32_t host_bell;
    /* Host: threads that are about to sleep until a note of a waiter's future is there. */
    _Atomic uint32_t listeners;

    /* For hosts with an event loop (dispatch.c), and for waiters (waiter.c). `notified`: the job
     * may be settled, one bit a job; set by all, before `event`, and taken by the host. `event`: 1
     * from just before a process writes to event_fd until the host, awake, looks at `notified`. */
    alignas(WEIR__LINE) _Atomic uint32_t event;
    _Atomic uint32_t notified_all; /* host, supervisor: look at all jobs */
    _Atomic uint64_t notified[WEIR__JOBS_MAX / 64];

    struct weir__bar bar; /* host */

    _Atomic uint64_t jobs_noted; /* host: in job_records, those that it has lost too */
    int64_t traced_ns;           /* as `tracing`: since when, CLOCK_MONOTONIC */

    /* A weir_process, and how it ended. Supervisor: exit_status first, then ended. */
    _Atomic uint32_t ended;
    int32_t exit_status; /* as waitpid gives it */
    int32_t process_pid; /* supervisor, before its hello */

    /* Why the pool is broken. Supervisor, before state becomes POOL_BROKEN. */
    weir_error broken;

    struct weir__each each[WEIR__EACH_PLACES];

    /* One a worker, and a last one that only names the job in which the supervisor is. */
    alignas(WEIR__LINE) struct weir__slot slots[];
};

/* Whether there are functions of weir_pool_each() to which the worker of the slot has not come. */
static inline bool weir__each_is_new(const struct weir__control *control, unsigned slot)
{
    /* seq_cst; pairs with job.c, publish_to_each() */
    return atomic_load(&control->each_latest) !=
           atomic_load_explicit(&control->slots[slot].each_seen, memory_order_relaxed);
}

/* Whether no further chunk of the job is to be started. */
static inline bool weir__job_stopped(const struct weir__control *control,
                                     const struct weir__job *job)
{
    return (atomic_load_explicit(&job->stop, memory_order_relaxed) & STOP_ANY) != 0 ||
           atomic_load_explicit(&control->cancel_epoch, memory_order_relaxed) != job->cancel_epoch;
}

#endif
