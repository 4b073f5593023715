/* SPDX-License-Identifier: MIT
 *
 * ring.h: noting events in the rings of trace.h.
 *
 * A ring has one writer: its worker, or the supervisor. It fills the place of the next event, then
 * counts it. A place that is written anew is that of the oldest event, which a reader does not
 * take for one any more (weir__ring_has()).
 */
#ifndef WEIR_RING_H
#define WEIR_RING_H

#include <string.h>

#include "pool/control/control.h"

static inline bool weir__is_traced(const struct weir__control *control)
{
    return __builtin_expect(atomic_load_explicit(&control->tracing, memory_order_relaxed) != 0, 0);
}

static inline size_t weir__ring_size(uint32_t events)
{
    return sizeof(struct weir__ring) + events * sizeof(struct weir__event);
}

/* Of a worker; after the last one's comes the supervisor's. Only where there are rings. */
static inline struct weir__ring *weir__ring_of(const struct weir__control *control, unsigned index)
{
    return (struct weir__ring *)(control->rings + index * weir__ring_size(control->ring_events));
}

/* How many of the last events are whole while the writer may be at the next one. */
static inline uint64_t weir__ring_has(const struct weir__ring *ring, uint32_t events)
{
    /* pairs with ring.h, weir__ring_add() */
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);

    return written < events ? written : events - 1;
}

/* The host, of a job that has ended; the supervisor, of one that is open (0). */
static inline void weir__job_record_fill(struct weir__job_record *record,
                                         const struct weir__job *job, int64_t closed_ns)
{
    const uint64_t stop = atomic_load_explicit(&job->stop, memory_order_relaxed);

    *record = (struct weir__job_record){
        .number = stop >> STOP_NUMBER_SHIFT,
        .opened_ns = job->opened_ns,
        .closed_ns = closed_ns,
        .range_begin = job->range.begin,
        .range_end = job->range.end,
        .grain = job->grain,
        .longer = job->longer,
        .count = job->count,
        .deaths = atomic_load_explicit(&job->deaths, memory_order_relaxed),
        .retried = atomic_load_explicit(&job->retried, memory_order_relaxed),
        .does = job->does,
        .failed =
            atomic_load(&job->failure.task_next) != 0 || atomic_load(&job->failure.death_next) != 0,
        .stopped = (stop & STOP_ANY) != 0,
    };
    if (job->named)
        memcpy(record->name, job->name, sizeof(record->name));
}

/* Writer. The last event; NULL: there is none. */
static inline struct weir__event *weir__ring_last(struct weir__ring *ring, uint32_t events)
{
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);

    return written > 0 ? &ring->events[(written - 1) & (events - 1)] : NULL;
}

/* Writer. */
static inline void weir__ring_add(struct weir__ring *ring, uint32_t events,
                                  const struct weir__event *event)
{
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);

    ring->events[written & (events - 1)] = *event;
    /* release; pairs with ring.h, weir__ring_has(): the event is there */
    atomic_store_explicit(&ring->written, written + 1, memory_order_release);
}

#endif
