/* SPDX-License-Identifier: MIT
 *
 * calls.h: the queue of submitted calls, in shared memory.
 *
 * A job for each call would cost a microsecond each: a place, an entry in the ready set, and a
 * worker that enters and leaves it. So calls that ask for nothing special are chunks of one job,
 * WEIR__QUEUE_JOB, that is open as long as the pool is. Its cells are a ring. The program puts
 * calls in at the tail, at positions that only grow; position p is in cell p % WEIR__QUEUE_CALLS.
 *
 * A cell goes through the states of ledger.h, and then from a final one to FREE again:
 *
 *                claim (worker)        settle (the owner), reclaim (supervisor)
 *     .-> FREE ----------------> RUNNING -----------------> DONE, FAILED --.
 *     |     '---------------------------------------------> CANCELLED -----|
 *     |                       cancel (host)                                 |
 *     '--------------------------------------------------------------------'
 *       put (host): the end has been taken over, and the tail has come round
 *
 * A call has no retries, so a cell that is not FREE never becomes FREE but by being put at a later
 * position. That is what makes workers cheap: each keeps a private cursor, below which no cell is
 * FREE (or its call is cancelled, which is for ever too), and looks at no cell twice. What is true
 * of one worker's cursor is true for all, so now and then one is written into `passed`, and the
 * others go on from there: otherwise each worker would look at each cell once. A stale look cannot
 * hit a wrong call: what a worker knows of a call it reads after it has claimed the cell, whichever
 * position that was put at.
 *
 * Nobody enters this job: its memory is reused cell by cell.
 *
 * The tail is one word with a flag, so that putting a call and learning whether a worker has to be
 * woken are one step:
 *
 *   IDLE   the job is not in the ready set, and the host adds it when it puts a call (and wakes a
 *          worker if none spins). Set by a worker that has seen every cell below the tail taken: it
 *          takes the job out of the ready set, then sets the flag if the tail has not moved, else
 *          puts the job back. Killed in between: the supervisor puts it back.
 *   BULK   the program puts calls without waiting for any. A worker that has nearly caught up with
 *          it then waits a moment for more, so that the lines which both write move once for many
 *          calls.
 */
#ifndef WEIR_CALLS_H
#define WEIR_CALLS_H

#include "pool/control/bell.h"
#include "pool/control/control.h"
#include "pool/control/failure.h"

#define QUEUE_IDLE           UINT64_C(1)
#define QUEUE_BULK           UINT64_C(2)
#define QUEUE_POSITION_SHIFT 2

/* One call. Written by the host before its cell becomes FREE, unless a field says otherwise. The
 * first line is all that a call with a small argument and without a result needs. */
struct weir__call {
    alignas(WEIR__LINE) weir_call_fn function;
    void *arg; /* as the caller gave it, or inline_arg */
    _Atomic uint64_t position;
    _Atomic uint64_t cancelled;    /* host, at any time: 1 + the last position that was cancelled */
    _Atomic uint32_t cancel_epoch; /* control.cancel_epoch; another one means cancelled */
    _Atomic uint32_t waiting;      /* host, at any time: WAITING_... */
    uint32_t gave;                 /* its worker: `result` has been written to */
    alignas(16) unsigned char inline_arg[WEIR__ARG_INLINE];
    struct weir__result result; /* its worker; made {0, NULL} again by the host if `gave` */
};

struct weir__queue {
    alignas(WEIR__LINE) _Atomic uint64_t tail;   /* host; IDLE: workers */
    alignas(WEIR__LINE) _Atomic uint64_t passed; /* workers: the cursor of one of them */
    /* For programs with an event loop: as control.notified, for calls. */
    alignas(WEIR__LINE) _Atomic uint64_t notified[WEIR__QUEUE_CALLS / 64];
    alignas(WEIR__LINE) weir__cell cells[WEIR__QUEUE_CALLS];
    struct weir__call calls[WEIR__QUEUE_CALLS];
    struct weir__failure failures[WEIR__QUEUE_CALLS]; /* as job.failure; reset after use */
};

static inline unsigned weir__queue_place(uint64_t position)
{
    return (unsigned)(position % WEIR__QUEUE_CALLS);
}

static inline bool weir__call_stopped(const struct weir__control *control,
                                      const struct weir__call *call)
{
    return atomic_load_explicit(&call->cancel_epoch, memory_order_relaxed) !=
               atomic_load_explicit(&control->cancel_epoch, memory_order_relaxed) ||
           atomic_load_explicit(&call->cancelled, memory_order_relaxed) ==
               atomic_load_explicit(&call->position, memory_order_relaxed) + 1;
}

static inline struct weir__failures weir__queue_failures(struct weir__queue *queue, unsigned place)
{
    return (struct weir__failures){&queue->failures[place], NULL, &queue->cells[place], 1, 0};
}

/* Tells the host that the call in this place may be settled, if it waits. Signal-safe. */
static inline void weir__queue_ring(struct weir__control *control, unsigned place)
{
    struct weir__queue *queue = control->queue;
    uint32_t waiting = atomic_load_explicit(&queue->calls[place].waiting, memory_order_relaxed);

    if (waiting != 0)
        weir__host_notify(control, waiting, &queue->notified[place / 64], place % 64);
}

#endif
