/* SPDX-License-Identifier: MIT
 *
 * trace_build.c: events and records as anybody may have written them become a trace.
 *
 * An event whose kind, worker or time cannot be is dropped and counted. What a worker killed in the
 * middle of noting may leave, such as a busy time that is too long, is made possible.
 *
 * Invariant: all times of a trace are from 0 to INT64_MAX / 4, so no difference of two overflows.
 * Sums are made by tool_trace_sum().
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/control.h"
#include "pool/tool/pools.h"
#include "pool/tool/text.h"
#include "pool/tool/timeline.h"

#define SLACK_NS INT64_C(1000000000) /* an event may be noted while the file is written */
#define TIME_MAX (INT64_MAX / 4)

/* Texts, each kept once. */
struct texts {
    struct tool_heap *heap;
    struct text {
        char raw[WEIR__EVENT_TEXT];
        const char *escaped;
    } * slots;
    size_t count, capacity; /* a power of 2 */
};

struct build {
    struct tool_trace *trace;
    struct tool_heap *heap;
    const struct tool_trace_source *source;
    int64_t from_ns, to_ns; /* between which events can be */
    struct texts texts;
    size_t last_job; /* the one that was found last */
};

/* ---- texts ----------------------------------------------------------------------------------- */

static struct text *text_slot(const struct texts *texts, const char raw[WEIR__EVENT_TEXT])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t place;

    for (int i = 0; i < WEIR__EVENT_TEXT; i++)
        hash = (hash ^ (unsigned char)raw[i]) * UINT64_C(0x100000001b3);
    place = (size_t)(hash ^ hash >> 32) & (texts->capacity - 1);
    while (texts->slots[place].escaped != NULL &&
           memcmp(texts->slots[place].raw, raw, WEIR__EVENT_TEXT) != 0)
        place = (place + 1) & (texts->capacity - 1);
    return &texts->slots[place];
}

static void enlarge(struct texts *texts)
{
    const struct texts old = *texts;

    texts->capacity = old.capacity == 0 ? 64 : 2 * old.capacity;
    texts->slots = tool_take(texts->heap, texts->capacity, sizeof(*texts->slots));
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].escaped != NULL)
            *text_slot(texts, old.slots[i].raw) = old.slots[i];
    }
}

static const char *keep_text(struct texts *texts, const char text[WEIR__EVENT_TEXT])
{
    const size_t length = strnlen(text, WEIR__EVENT_TEXT);
    char raw[WEIR__EVENT_TEXT] = {0};
    struct text *slot;

    memcpy(raw, text, length);
    if (2 * (texts->count + 1) > texts->capacity)
        enlarge(texts);
    slot = text_slot(texts, raw);
    if (slot->escaped == NULL) {
        memcpy(slot->raw, raw, sizeof(raw));
        slot->escaped = tool_escape_bytes(texts->heap, raw, length);
        texts->count++;
    }
    return slot->escaped;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static bool is_in_time(const struct build *build, int64_t ns)
{
    return ns >= build->from_ns && ns <= build->to_ns;
}

static bool is_job(const struct build *build, const struct weir__job_record *record)
{
    return record->number > 0 && is_in_time(build, record->opened_ns) && record->count > 0 &&
           record->count <= WEIR__CHUNKS_MAX && record->range_begin <= record->range_end &&
           (record->closed_ns == 0 ||
            (record->closed_ns >= record->opened_ns && is_in_time(build, record->closed_ns)));
}

static int compare_jobs(const void *a, const void *b)
{
    const struct tool_traced_job *x = a, *y = b;

    return (x->record.number > y->record.number) - (x->record.number < y->record.number);
}

static void name_job(struct build *build, struct tool_traced_job *job)
{
    const char *name = job->record.name;

    if (*name != '\0') {
        job->label = job->group =
            tool_escape_bytes(build->heap, name, strnlen(name, sizeof(job->record.name)));
        return;
    }
    job->group = tool_kind_name(job->record.does);
    job->label = tool_print(build->heap, "%s %" PRIu64, job->group, job->record.number);
}

static void take_jobs(struct build *build)
{
    struct tool_trace *trace = build->trace;
    size_t kept = 1;

    trace->jobs = tool_take(build->heap, build->source->jobs_count + 1, sizeof(*trace->jobs));
    trace->jobs[0].label = trace->jobs[0].group = "calls";
    trace->jobs_count = 1;
    for (size_t i = 0; i < build->source->jobs_count; i++) {
        if (is_job(build, &build->source->jobs[i]))
            trace->jobs[trace->jobs_count++].record = build->source->jobs[i];
    }
    qsort(trace->jobs, trace->jobs_count, sizeof(*trace->jobs), compare_jobs);
    for (size_t i = 1; i < trace->jobs_count; i++) {
        if (trace->jobs[i].record.number == trace->jobs[kept - 1].record.number)
            continue;
        trace->jobs[kept] = trace->jobs[i];
        name_job(build, &trace->jobs[kept++]);
    }
    trace->jobs_count = kept;
    trace->dropped += build->source->jobs_count - (kept - 1);
}

static size_t find_job(struct build *build, uint64_t number)
{
    const struct tool_traced_job key = {.record.number = number}, *found;

    if (build->trace->jobs[build->last_job].record.number == number)
        return build->last_job;
    found = bsearch(&key, build->trace->jobs, build->trace->jobs_count, sizeof(key), compare_jobs);
    if (found == NULL)
        return SIZE_MAX;
    return build->last_job = (size_t)(found - build->trace->jobs);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Of one that a worker has noted. */
static bool take_own_event(struct build *build, struct tool_event *event)
{
    struct weir__event *raw = &event->event;
    const int64_t length = raw->end_ns - raw->begin_ns;

    switch (raw->kind) {
    case EVENT_CHUNK:
        if (raw->count == 0 || raw->chunk.first < 0)
            return false;
        if (raw->chunk.busy_ns < 0 || raw->chunk.busy_ns > length)
            raw->chunk.busy_ns = length;
        if (raw->count == 1 || raw->chunk.longest_ns < 0 ||
            raw->chunk.longest_ns > raw->chunk.busy_ns)
            raw->chunk.longest_ns = raw->chunk.busy_ns;
        if (raw->count == 1 || raw->chunk.longest < 0)
            raw->chunk.longest = raw->chunk.first;
        return true;
    case EVENT_SPAN:
    case EVENT_COUNT:
        event->text = keep_text(&build->texts, raw->user.text);
        return true;
    default:
        return false;
    }
}

/* Of one that the supervisor has noted. */
static bool take_other_event(struct build *build, struct tool_event *event)
{
    struct weir__event *raw = &event->event;

    if (raw->kind != EVENT_START && raw->kind != EVENT_DEATH && raw->kind != EVENT_CUT)
        return false;
    if (raw->worker.slot >= build->trace->workers_count)
        return false;
    event->worker = raw->worker.slot;
    if (raw->kind == EVENT_START || (raw->kind == EVENT_DEATH && (raw->flags & EVENT_IDLE) != 0))
        event->job = SIZE_MAX;
    else if (raw->worker.chunk < 0)
        return false;
    return true;
}

static void take_event(struct build *build, const struct weir__event *raw, size_t ring)
{
    struct tool_trace *trace = build->trace;
    struct tool_event event = {.event = *raw, .worker = (unsigned)ring};
    bool good;

    if (raw->kind == EVENT_START)
        event.event.end_ns = raw->begin_ns;
    if (raw->kind == EVENT_DEATH && (raw->flags & EVENT_IDLE) != 0)
        event.event.begin_ns = raw->end_ns;
    event.event.attempt = raw->attempt > 0 ? raw->attempt : 1;
    good = is_in_time(build, event.event.begin_ns) && is_in_time(build, event.event.end_ns) &&
           event.event.begin_ns <= event.event.end_ns;
    if (good) {
        event.job = find_job(build, raw->job);
        good = ring < trace->workers_count ? take_own_event(build, &event)
                                           : take_other_event(build, &event);
    }
    if (good)
        trace->events[trace->events_count++] = event;
    else
        trace->dropped++;
}

/* What lasts longer stands before what lies in it. */
static int compare_events(const void *a, const void *b)
{
    const struct tool_event *x = a, *y = b;

    if (x->worker != y->worker)
        return x->worker < y->worker ? -1 : 1;
    if (x->event.begin_ns != y->event.begin_ns)
        return x->event.begin_ns < y->event.begin_ns ? -1 : 1;
    if (x->event.end_ns != y->event.end_ns)
        return x->event.end_ns > y->event.end_ns ? -1 : 1;
    return (x->event.kind > y->event.kind) - (x->event.kind < y->event.kind);
}

static void take_events(struct build *build)
{
    struct tool_trace *trace = build->trace;
    const struct tool_ring *rings = build->source->rings;
    size_t count = 0;

    for (size_t ring = 0; ring <= trace->workers_count; ring++)
        count += rings[ring].head.events;
    trace->events = tool_take(build->heap, count + 1, sizeof(*trace->events));
    for (size_t ring = 0; ring <= trace->workers_count; ring++) {
        for (uint64_t i = 0; i < rings[ring].head.events; i++)
            take_event(build, &rings[ring].events[i], ring);
    }
    qsort(trace->events, trace->events_count, sizeof(*trace->events), compare_events);
}

static void take_workers(struct build *build)
{
    struct tool_trace *trace = build->trace;
    size_t at = 0;

    trace->workers = tool_take(build->heap, trace->workers_count, sizeof(*trace->workers));
    for (size_t i = 0; i <= trace->workers_count; i++)
        trace->lost = tool_sum(trace->lost, build->source->rings[i].head.lost);
    for (size_t i = 0; i < trace->workers_count; i++) {
        const struct weir__ring_head *head = &build->source->rings[i].head;
        struct tool_traced_worker *worker = &trace->workers[i];

        worker->lost = head->lost;
        worker->busy_ns = head->busy_ns > 0 ? head->busy_ns : 0;
        worker->chunks = head->chunks;
        worker->first = at;
        while (at < trace->events_count && trace->events[at].worker == i)
            at++;
        worker->count = at - worker->first;
    }
}

/* ---- a trace --------------------------------------------------------------------------------- */

/* A job that was opened before tracing began stretches it no further than to that moment. */
static void take_ends(struct tool_trace *trace)
{
    int64_t begin = INT64_MAX, end = 0;

    for (size_t i = 1; i < trace->jobs_count; i++) {
        const struct weir__job_record *record = &trace->jobs[i].record;
        const int64_t opened =
            record->opened_ns > trace->head.traced_ns ? record->opened_ns : trace->head.traced_ns;
        const int64_t last = record->closed_ns > 0 ? record->closed_ns : opened;

        begin = opened < begin ? opened : begin;
        end = last > end ? last : end;
    }
    for (size_t i = 0; i < trace->events_count; i++) {
        const struct weir__event *event = &trace->events[i].event;

        begin = event->begin_ns < begin ? event->begin_ns : begin;
        end = event->end_ns > end ? event->end_ns : end;
    }
    if (begin == INT64_MAX)
        begin = trace->head.traced_ns;
    trace->begin_ns = begin;
    trace->end_ns = end > begin ? end : begin;
}

static const char *look_at_head(const struct weir__trace_head *head)
{
    if (head->workers == 0 || head->workers > WEIR_WORKERS_MAX)
        return "it is damaged: no pool has so many workers";
    if (head->began_mono_ns < 0 || head->written_ns < head->began_mono_ns ||
        head->written_ns > TIME_MAX)
        return "it is damaged: it was written before its pool began";
    return NULL;
}

bool tool_trace_build(struct tool_trace *trace, struct tool_heap *heap,
                      const struct tool_trace_source *source, const char **why)
{
    const struct weir__trace_head *head = &source->head;
    struct build build = {.trace = trace, .heap = heap, .source = source, .texts.heap = heap};

    *why = look_at_head(head);
    if (*why != NULL)
        return false;
    *trace = (struct tool_trace){.head = *head, .workers_count = head->workers};
    if (head->traced_ns < head->began_mono_ns || head->traced_ns > head->written_ns)
        trace->head.traced_ns = head->began_mono_ns;
    trace->name = tool_escape_bytes(heap, head->name, strnlen(head->name, sizeof(head->name)));
    build.from_ns = head->began_mono_ns > SLACK_NS ? head->began_mono_ns - SLACK_NS : 0;
    build.to_ns = head->written_ns + SLACK_NS;
    take_jobs(&build);
    take_events(&build);
    take_workers(&build);
    take_ends(trace);
    return true;
}

/* ---- what an event is ------------------------------------------------------------------------ */

weir_range tool_traced_range(const struct tool_traced_job *job, int64_t chunk)
{
    const struct weir__job_record *record;
    uint64_t length, from, size;

    if (job == NULL || job->record.number == 0 || chunk < 0 || chunk >= job->record.count)
        return (weir_range){0, 0};
    record = &job->record;
    length = (uint64_t)record->range_end - (uint64_t)record->range_begin;
    if (__builtin_mul_overflow((uint64_t)chunk, record->grain, &from) ||
        __builtin_add_overflow(from, (uint64_t)(chunk < record->longer ? chunk : record->longer),
                               &from) ||
        from > length)
        return (weir_range){0, 0};
    size = record->grain + (chunk < record->longer);
    if (size > length - from)
        size = length - from;
    return (weir_range){(int64_t)((uint64_t)record->range_begin + from),
                        (int64_t)((uint64_t)record->range_begin + from + size)};
}

bool tool_event_is_work(const struct tool_event *event)
{
    return event->event.kind == EVENT_CHUNK || event->event.kind == EVENT_CUT ||
           (event->event.kind == EVENT_DEATH && (event->event.flags & EVENT_IDLE) == 0);
}

int64_t tool_event_busy(const struct tool_event *event)
{
    if (event->event.kind == EVENT_CHUNK)
        return event->event.chunk.busy_ns;
    return tool_event_is_work(event) ? event->event.end_ns - event->event.begin_ns : 0;
}

int64_t tool_event_chunk(const struct tool_event *event)
{
    return event->event.kind == EVENT_CHUNK ? event->event.chunk.first : event->event.worker.chunk;
}

int64_t tool_event_count(const struct tool_event *event)
{
    return event->event.kind == EVENT_CHUNK ? event->event.count : 1;
}

const char *tool_event_what(struct tool_heap *heap, const struct tool_trace *trace,
                            const struct tool_event *event)
{
    const struct tool_traced_job *job = tool_event_job(trace, event);
    const bool call = event->event.job == 0;
    const weir_range range = tool_traced_range(job, tool_event_chunk(event));
    const char *what =
        tool_print(heap, "%s %" PRId64, call ? "call" : "chunk", tool_event_chunk(event));

    if (tool_event_count(event) > 1)
        what = tool_print(heap, "%" PRId64 " %s from %" PRId64 " on", tool_event_count(event),
                          call ? "calls" : "chunks", tool_event_chunk(event));
    else if (range.begin < range.end)
        what = tool_print(heap, "%s [%" PRId64 ",%" PRId64 ")", what, range.begin, range.end);
    if (call)
        return what;
    return tool_print(heap, "%s of %s", what, job != NULL ? job->label : "a job without a record");
}

const char *tool_event_ending(struct tool_heap *heap, const struct tool_event *event)
{
    if (event->event.flags & EVENT_LATE)
        return "killed for the time it took";
    if (event->event.worker.signal != 0)
        return tool_print(heap, "signal %d", (int)event->event.worker.signal);
    return tool_print(heap, "status %d", (int)event->event.worker.exit_status);
}

const char *tool_trace_time(struct tool_heap *heap, int64_t ns)
{
    static const struct unit {
        const char *name;
        double ns;
    } units[] = {{"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};
    const struct unit *unit = units;
    double number;

    if (ns == 0)
        return "0 s";
    while ((double)ns < unit->ns * 0.9995 && unit->ns > 1)
        unit++;
    number = (double)ns / unit->ns;
    return tool_print(heap, "%.*f %s",
                      unit->ns <= 1 || number >= 99.95 ? 0
                      : number >= 9.995                ? 1
                                                       : 2,
                      number, unit->name);
}
