/* SPDX-License-Identifier: MIT
 *
 * trace.h: a trace in the tool's memory, as read from a file or from a pool that runs.
 */
#ifndef WEIR_TOOL_TRACE_H
#define WEIR_TOOL_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <weir.h>

#include "pool/control/trace.h"
#include "pool/tool/heap.h"

struct tool_traced_job {
    struct weir__job_record record; /* as checked: counts and times are possible ones */
    const char *label;              /* escaped: its name, or its kind and number; "calls" */
};

/* All events are checked: kind, job, worker, begin <= end, busy <= end - begin, count > 0. */
struct tool_event {
    struct weir__event event;
    unsigned worker;
    size_t job;       /* in tool_trace.jobs; SIZE_MAX: none */
    const char *text; /* of a span or a count, escaped */
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
};

/* The items of a chunk; of a call, and of a job that is not known: {0, 0}. */
weir_range tool_traced_range(const struct tool_traced_job *job, int64_t chunk);

/* From a file. False, and *why says it: it cannot be read, is no trace, is cut short, or is of
 * another version. */
bool tool_trace_read(struct tool_trace *trace, struct tool_heap *heap, const char *path,
                     const char **why);

/* The outputs. Each writes to `to`, and has no other effect. */
void tool_trace_summary(struct tool_heap *heap, const struct tool_trace *trace, FILE *to);
void tool_trace_json(struct tool_heap *heap, const struct tool_trace *trace, FILE *to);
void tool_trace_html(struct tool_heap *heap, const struct tool_trace *trace, FILE *to);
void tool_trace_svg(struct tool_heap *heap, const struct tool_trace *trace, FILE *to);

#endif
