/* SPDX-License-Identifier: MIT
 *
 * timeline.h: a trace in the tool's memory, as read from a file or from a pool that runs.
 */
#ifndef WEIR_TOOL_TIMELINE_H
#define WEIR_TOOL_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <weir.h>

#include "pool/control/trace.h"
#include "pool/tool/heap.h"

struct tool_traced_job {
    struct weir__job_record record; /* as checked: counts and times are possible ones */
    const char *label;              /* escaped: its name, or its kind and number; "calls" */
    const char *group;              /* the same but for the number: what it is counted under */
};

/* All events are checked: kind, worker, begin <= end, busy <= end - begin, count > 0. */
struct tool_event {
    struct weir__event event;
    unsigned worker;
    size_t job;       /* in tool_trace.jobs; SIZE_MAX: none */
    const char *text; /* of a span or a count, escaped; one pointer for each text */
};

struct tool_traced_worker {
    size_t first, count; /* its events in tool_trace.events, by begin */
    uint64_t lost;       /* events that its ring no longer had */
    int64_t busy_ns;     /* those that are lost too */
    uint64_t chunks;
};

struct tool_trace {
    const char *name; /* the pool's, escaped */
    struct weir__trace_head head;
    int64_t begin_ns, end_ns; /* what it spans: from the first event or job to the last */
    struct tool_traced_worker *workers;
    size_t workers_count;
    struct tool_event *events; /* worker by worker; deaths, starts and cuts are with the worker's */
    size_t events_count;
    struct tool_traced_job *jobs; /* by number; the first one, number 0, stands for the calls */
    size_t jobs_count;
    uint64_t lost;    /* events, of all rings */
    uint64_t dropped; /* events and records that cannot be right */
};

/* What a trace is made of, wherever it was read; any numbers are harmless. */
struct tool_ring {
    struct weir__ring_head head;
    const struct weir__event *events; /* head.events of them */
};

struct tool_trace_source {
    struct weir__trace_head head; /* magic, version and sizes are not looked at */
    const struct weir__job_record *jobs;
    size_t jobs_count;
    const struct tool_ring *rings; /* head.workers + 1 */
};

/* False, and *why says it: the head says what cannot be. Events of more than a second before the
 * pool's begin, or after head.written_ns, are dropped. */
bool tool_trace_build(struct tool_trace *trace, struct tool_heap *heap,
                      const struct tool_trace_source *source, const char **why);
/* From a file. False, and *why says it: it cannot be read, is no trace, is cut short, or is of
 * another version. */
bool tool_trace_read(struct tool_trace *trace, struct tool_heap *heap, const char *path,
                     const char **why);

/* Of a pool that runs, for so long; named by its supervisor, or by its scope or a process of that
 * if it has no other pool. A status; what is wrong has been said. */
int tool_trace_live(struct tool_trace *trace, struct tool_heap *heap, const char *what, int64_t ns);

/* The items of a chunk; of a call, and of a job that is not known: {0, 0}. */
weir_range tool_traced_range(const struct tool_traced_job *job, int64_t chunk);
/* The job of an event; NULL: it is not known. */
static inline const struct tool_traced_job *tool_event_job(const struct tool_trace *trace,
                                                           const struct tool_event *event)
{
    return event->job != SIZE_MAX ? &trace->jobs[event->job] : NULL;
}
/* Whether the worker was at a chunk or a call all the time of the event. */
bool tool_event_is_work(const struct tool_event *event);
/* How much of the event it worked. */
int64_t tool_event_busy(const struct tool_event *event);
/* The first chunk of work. */
int64_t tool_event_chunk(const struct tool_event *event);
/* How many chunks it stands for: at least 1. */
int64_t tool_event_count(const struct tool_event *event);
/* "chunk 61 [3904,3968) of histogram", "4 chunks from 61 on of histogram", "call 17" */
const char *tool_event_what(struct tool_heap *heap, const struct tool_trace *trace,
                            const struct tool_event *event);
/* How the worker's process ended, of a death: "signal 9", "status 3", ... */
const char *tool_event_ending(struct tool_heap *heap, const struct tool_event *event);
/* "1.83 s", "298 ms", "9.61 us", "850 ns": three digits */
const char *tool_trace_time(struct tool_heap *heap, int64_t ns);

/* The sum of numbers that are not negative, or the largest number. */
static inline int64_t tool_trace_sum(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

/* ---- what is computed ------------------------------------------------------------------------ */

/* Jobs of one name, or without a name of one kind. */
struct tool_job_group {
    const char *label;
    size_t jobs; /* which have events, or a record */
    const struct tool_traced_job *one;
    int64_t chunks, retried, failed;
    int64_t elapsed_ns; /* the sum of its jobs' times */
    int64_t busy_ns;
    int64_t longest_ns; /* the sum of the busy times of the busiest worker of each job */
    int64_t waking_ns;  /* idle: from the begin of a job to the first chunk */
    int64_t gaps_ns;    /* idle: between two chunks of a worker */
    int64_t idle_ns;    /* idle, all of it */
    int64_t begin_ns, end_ns;
    /* Of one chunk; of those that were noted together, their mean. */
    int64_t median_ns, p95_ns;
    const struct tool_event *slowest;
    size_t first_work, work_count; /* in tool_trace_stats.work */
};

struct tool_trace_stats {
    struct tool_job_group *groups; /* the one with the most time first */
    size_t groups_count;
    size_t *group_of_job; /* by the job's place in tool_trace.jobs; SIZE_MAX: none */
    /* Chunks, by group, job, worker and begin. */
    const struct tool_event **work;
    size_t work_count;
};

void tool_trace_measure(struct tool_trace_stats *stats, struct tool_heap *heap,
                        const struct tool_trace *trace);
/* The group of an event; SIZE_MAX: its job is not known. */
size_t tool_event_group(const struct tool_trace_stats *stats, const struct tool_event *event);

/* What else might have been. 0: as it was. */
struct tool_what_if {
    int64_t chunks;
    unsigned workers;
};

enum { TOOL_SIMULATED_MAX = 16 };

struct tool_simulation {
    struct tool_what_if what_ifs[TOOL_SIMULATED_MAX];
    size_t count;
    double ns[TOOL_SIMULATED_MAX]; /* the answers */
    int64_t steps;                 /* chunks that are looked at, a job */
};

/* How long the jobs of a group would have taken, as computed from the times of their chunks. A job
 * for which it cannot be computed, as chunks are missing or cannot be cut otherwise, counts as it
 * was; false: all of them. *steps is how many chunks may be looked at, and gets less. */
bool tool_trace_simulate(struct tool_heap *heap, const struct tool_trace *trace,
                         const struct tool_trace_stats *stats, const struct tool_job_group *group,
                         struct tool_simulation *simulation, int64_t *steps);

/* ---- the outputs: each writes to `to`, and has no other effect ------------------------------- */

/* False: what_if was asked for, and there is no job for which it can be computed. */
bool tool_trace_summary(struct tool_heap *heap, const struct tool_trace *trace,
                        struct tool_what_if what_if, FILE *to);
void tool_trace_json(struct tool_heap *heap, const struct tool_trace *trace, FILE *to);
void tool_trace_html(struct tool_heap *heap, const struct tool_trace *trace, FILE *to);
void tool_trace_svg(struct tool_heap *heap, const struct tool_trace *trace, FILE *to);

#endif
