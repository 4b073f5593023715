/* SPDX-License-Identifier: MIT
 *
 * trace_json.c: a trace in the format that Chrome's and Perfetto's viewers read.
 *
 * A row is a worker, whichever process it is at the time: tid is its number plus 1, as viewers
 * write no thread 0, and pid is the supervisor's. Both are numbers, since viewers want them so.
 *
 * Invariant: of two events of a row that overlap, one lies within the other; where damage says
 * otherwise the later one is cut off.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "pool/tool/text.h"
#include "pool/tool/timeline.h"

enum {
    EVENTS_MAX = 1000000,
    COUNTS_MAX = 50000, /* points of "workers busy"; of more, means */
    NESTED_MAX = 64,
};

struct retry {
    uint64_t job;
    int64_t chunk;
    const struct tool_event *event;
};

/* A worker begins to work, or ends. */
struct change {
    int64_t ns;
    int number;
};

struct writer {
    struct tool_heap *heap;
    const struct tool_trace *trace;
    FILE *to;
    bool more;        /* it is not the first event */
    int64_t until_ns; /* what begins later is left out */
    size_t left_out;
    struct retry *retries;
    size_t retries_count;
    struct change *changes;
    size_t changes_count;
};

/* ---- parts of events ------------------------------------------------------------------------- */

static void write_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

/* Microseconds. */
static void write_ns(FILE *to, int64_t ns)
{
    fprintf(to, "%" PRId64 ".%03d", ns / 1000, (int)(ns % 1000));
}

static int process_of(const struct writer *writer)
{
    return writer->trace->head.supervisor_pid;
}

/* Opens an event; its other members follow, each with a comma before it. */
static void open_event(struct writer *writer, char phase, const char *name, int64_t ns,
                       unsigned row)
{
    fprintf(writer->to, "%s\n{\"ph\":\"%c\",\"pid\":%d,\"tid\":%u,\"ts\":", writer->more ? "," : "",
            phase, process_of(writer), row);
    write_ns(writer->to, ns - writer->trace->begin_ns);
    fputs(",\"name\":", writer->to);
    write_text(writer->to, name);
    writer->more = true;
}

static unsigned row_of(const struct tool_event *event)
{
    return event->worker + 1;
}

static void write_name(struct writer *writer, const char *what, unsigned row, const char *name)
{
    fprintf(writer->to,
            "%s\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%u,\"name\":\"%s\",\"args\":{\"name\":",
            writer->more ? "," : "", process_of(writer), row, what);
    write_text(writer->to, name);
    fputs("}}", writer->to);
    writer->more = true;
}

static void write_names(struct writer *writer)
{
    const struct tool_trace *trace = writer->trace;

    write_name(writer, "process_name", 0,
               tool_print(writer->heap, "%s, program %d",
                          *trace->name != '\0' ? trace->name : "process",
                          (int)trace->head.host_pid));
    for (unsigned i = 0; i < trace->workers_count; i++)
        write_name(writer, "thread_name", i + 1, tool_print(writer->heap, "worker %u", i));
}

/* ---- what lasts ------------------------------------------------------------------------------ */

static const char *job_label(const struct writer *writer, const struct tool_event *event)
{
    const struct tool_traced_job *job = tool_event_job(writer->trace, event);

    return job != NULL ? job->label : "job";
}

static void write_work_args(struct writer *writer, const struct tool_event *event)
{
    const struct weir__event *raw = &event->event;
    const weir_range range =
        tool_traced_range(tool_event_job(writer->trace, event), tool_event_chunk(event));

    fprintf(writer->to,
            ",\"args\":{\"job\":%" PRIu64 ",\"chunk\":%" PRId64
            ",\"attempt\":%u,\"count\":%" PRId64,
            raw->job, tool_event_chunk(event), raw->attempt, tool_event_count(event));
    if (range.begin < range.end)
        fprintf(writer->to, ",\"range\":[%" PRId64 ",%" PRId64 "]", range.begin, range.end);
    if (tool_event_count(event) > 1) {
        fputs(",\"busy_us\":", writer->to);
        write_ns(writer->to, raw->chunk.busy_ns);
    }
    if (raw->kind == EVENT_CHUNK && raw->flags & EVENT_FAILED)
        fputs(",\"failed\":true", writer->to);
    if (raw->kind != EVENT_CHUNK)
        fprintf(writer->to, ",\"%s\":true,\"process\":%d",
                raw->kind == EVENT_DEATH ? "died" : "unfinished", (int)raw->worker.pid);
    fputc('}', writer->to);
}

static void write_lasting(struct writer *writer, const struct tool_event *event, int64_t end_ns)
{
    const bool span = event->event.kind == EVENT_SPAN;

    open_event(writer, 'X', span ? event->text : job_label(writer, event), event->event.begin_ns,
               row_of(event));
    fputs(",\"dur\":", writer->to);
    write_ns(writer->to, end_ns - event->event.begin_ns);
    fprintf(writer->to, ",\"cat\":\"%s\"", span ? "span" : "chunk");
    if (!span)
        write_work_args(writer, event);
    fputc('}', writer->to);
}

/* ---- moments --------------------------------------------------------------------------------- */

static void write_moment(struct writer *writer, const struct tool_event *event)
{
    const bool death = event->event.kind == EVENT_DEATH;

    open_event(writer, 'I', death ? "death" : "start", event->event.end_ns, row_of(event));
    fprintf(writer->to, ",\"s\":\"t\",\"args\":{\"process\":%d,\"life\":%" PRIu32,
            (int)event->event.worker.pid, event->event.worker.life);
    if (death) {
        fputs(",\"by\":", writer->to);
        write_text(writer->to, tool_event_ending(writer->heap, event));
    }
    fputs("}}", writer->to);
}

static void write_count(struct writer *writer, const struct tool_event *event)
{
    open_event(writer, 'C', event->text, event->event.begin_ns, row_of(event));
    fprintf(writer->to, ",\"args\":{\"worker %u\":%" PRId64 "}}", event->worker,
            event->event.user.number);
}

/* ---- deaths and what was run again ----------------------------------------------------------- */

static int compare_retries(const void *a, const void *b)
{
    const struct retry *x = a, *y = b;

    if (x->job != y->job)
        return x->job < y->job ? -1 : 1;
    if (x->chunk != y->chunk)
        return x->chunk < y->chunk ? -1 : 1;
    return (x->event->event.begin_ns > y->event->event.begin_ns) -
           (x->event->event.begin_ns < y->event->event.begin_ns);
}

static void find_retries(struct writer *writer)
{
    const struct tool_trace *trace = writer->trace;

    writer->retries = tool_take(writer->heap, trace->events_count + 1, sizeof(*writer->retries));
    for (size_t i = 0; i < trace->events_count; i++) {
        const struct tool_event *event = &trace->events[i];

        if (tool_event_is_work(event) && event->event.attempt > 1)
            writer->retries[writer->retries_count++] =
                (struct retry){event->event.job, tool_event_chunk(event), event};
    }
    qsort(writer->retries, writer->retries_count, sizeof(*writer->retries), compare_retries);
}

/* The first run of the chunk after the death; NULL: none is known. */
static const struct tool_event *retry_after(const struct writer *writer,
                                            const struct tool_event *death)
{
    struct tool_event ended = *death;
    const struct retry key = {death->event.job, death->event.worker.chunk, &ended};
    size_t low = 0, high = writer->retries_count;

    ended.event.begin_ns = death->event.end_ns;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (compare_retries(&writer->retries[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == writer->retries_count || writer->retries[low].job != key.job ||
        writer->retries[low].chunk != key.chunk)
        return NULL;
    return writer->retries[low].event;
}

static void write_flow(struct writer *writer, const struct tool_event *death, size_t number)
{
    const struct tool_event *again = tool_event_is_work(death) ? retry_after(writer, death) : NULL;

    if (again == NULL || again->event.begin_ns > writer->until_ns)
        return;
    /* at its begin, as it has to lie within the event from which it comes */
    open_event(writer, 's', "run again", death->event.begin_ns, row_of(death));
    fprintf(writer->to, ",\"cat\":\"retry\",\"id\":%zu}", number);
    open_event(writer, 'f', "run again", again->event.begin_ns, row_of(again));
    fprintf(writer->to, ",\"cat\":\"retry\",\"id\":%zu,\"bp\":\"e\"}", number);
}

/* ---- workers busy ---------------------------------------------------------------------------- */

static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a, *y = b;

    return (x->ns > y->ns) - (x->ns < y->ns);
}

static void find_changes(struct writer *writer)
{
    const struct tool_trace *trace = writer->trace;

    writer->changes =
        tool_take(writer->heap, 2 * trace->events_count + 1, sizeof(*writer->changes));
    for (size_t i = 0; i < trace->events_count; i++) {
        const struct tool_event *event = &trace->events[i];

        if (!tool_event_is_work(event))
            continue;
        writer->changes[writer->changes_count++] = (struct change){event->event.begin_ns, 1};
        writer->changes[writer->changes_count++] = (struct change){event->event.end_ns, -1};
    }
    qsort(writer->changes, writer->changes_count, sizeof(*writer->changes), compare_changes);
}

static void write_busy(struct writer *writer, int64_t ns, double workers)
{
    open_event(writer, 'C', "workers busy", ns, 0);
    fprintf(writer->to, ",\"args\":{\"workers\":%.6g}}", workers);
}

static void write_each_change(struct writer *writer)
{
    int64_t busy = 0;

    for (size_t i = 0; i < writer->changes_count; i++) {
        busy += writer->changes[i].number;
        if (i + 1 < writer->changes_count && writer->changes[i + 1].ns == writer->changes[i].ns)
            continue;
        if (writer->changes[i].ns > writer->until_ns)
            return;
        write_busy(writer, writer->changes[i].ns, (double)busy);
    }
}

/* One number for each COUNTS_MAX-th part of the time. */
static void write_means(struct writer *writer)
{
    const int64_t begin = writer->trace->begin_ns;
    const int64_t part = (writer->trace->end_ns - begin) / COUNTS_MAX + 1;
    int64_t busy = 0, from = begin;
    size_t at = 0;

    while (from < writer->trace->end_ns && from <= writer->until_ns) {
        int64_t last = from;
        double sum = 0;

        for (; at < writer->changes_count && writer->changes[at].ns < from + part; at++) {
            sum += (double)busy * (double)(writer->changes[at].ns - last);
            last = writer->changes[at].ns;
            busy += writer->changes[at].number;
        }
        sum += (double)busy * (double)(from + part - last);
        write_busy(writer, from, sum / (double)part);
        from += part;
    }
}

static size_t busy_count(const struct writer *writer)
{
    return writer->changes_count < COUNTS_MAX ? writer->changes_count : COUNTS_MAX;
}

/* ---- the rows -------------------------------------------------------------------------------- */

/* The ends of what is open at a moment, the innermost last. */
struct nest {
    int64_t ends[NESTED_MAX];
    int count;
};

/* Where an event has to end at the latest. False: it would be in too many others. */
static bool nest_event(struct nest *nest, const struct tool_event *event, int64_t *end_ns)
{
    *end_ns = event->event.end_ns;
    while (nest->count > 0 && nest->ends[nest->count - 1] <= event->event.begin_ns)
        nest->count--;
    if (nest->count > 0 && nest->ends[nest->count - 1] < *end_ns)
        *end_ns = nest->ends[nest->count - 1];
    if (nest->count == NESTED_MAX)
        return false;
    nest->ends[nest->count++] = *end_ns;
    return true;
}

static void write_event(struct writer *writer, struct nest *nest, const struct tool_event *event,
                        size_t number)
{
    int64_t end;

    if (event->event.kind == EVENT_COUNT) {
        write_count(writer, event);
        return;
    }
    if (event->event.kind == EVENT_START || event->event.kind == EVENT_DEATH)
        write_moment(writer, event);
    if ((tool_event_is_work(event) || event->event.kind == EVENT_SPAN) &&
        nest_event(nest, event, &end))
        write_lasting(writer, event, end);
    if (event->event.kind == EVENT_DEATH)
        write_flow(writer, event, number + 1);
}

static void write_rows(struct writer *writer)
{
    const struct tool_trace *trace = writer->trace;

    for (size_t i = 0; i < trace->workers_count; i++) {
        const struct tool_traced_worker *worker = &trace->workers[i];
        struct nest nest = {.count = 0};

        for (size_t at = worker->first; at < worker->first + worker->count; at++) {
            if (trace->events[at].event.begin_ns <= writer->until_ns)
                write_event(writer, &nest, &trace->events[at], at);
            else
                writer->left_out++;
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int compare_ns(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Events as the viewer counts them: a death may be four. */
static size_t weight(const struct tool_event *event)
{
    return event->event.kind == EVENT_DEATH ? 4 : 1;
}

/* What is left out are the last ones of all workers, and not all of the last workers. */
static void find_cut(struct writer *writer)
{
    const struct tool_trace *trace = writer->trace;
    const size_t room = EVENTS_MAX - trace->workers_count - busy_count(writer) - 2;
    size_t count = 0;
    int64_t *begins;

    writer->until_ns = INT64_MAX;
    for (size_t i = 0; i < trace->events_count; i++)
        count += weight(&trace->events[i]);
    if (count <= room)
        return;
    begins = tool_take(writer->heap, count, sizeof(*begins));
    count = 0;
    for (size_t i = 0; i < trace->events_count; i++) {
        for (size_t j = 0; j < weight(&trace->events[i]); j++)
            begins[count++] = trace->events[i].event.begin_ns;
    }
    qsort(begins, count, sizeof(*begins), compare_ns);
    writer->until_ns = begins[room] - 1;
}

static void write_note(struct writer *writer)
{
    if (writer->left_out == 0)
        return;
    open_event(writer, 'I', "cut off here: too many events", writer->until_ns, 0);
    fputs(",\"s\":\"g\"}", writer->to);
}

static void write_rest(const struct writer *writer)
{
    const struct tool_trace *trace = writer->trace;

    fprintf(writer->to, "\n],\n\"displayTimeUnit\":\"ms\",\n\"otherData\":{\"pool\":");
    write_text(writer->to, trace->name);
    fprintf(writer->to,
            ",\"program\":%d,\"began\":\"%s\",\"lost\":%" PRIu64 ",\"damaged\":%" PRIu64
            ",\"left_out\":%zu}}\n",
            (int)trace->head.host_pid,
            tool_time(writer->heap, trace->head.began_real_ns / 1000000000), trace->lost,
            trace->dropped, writer->left_out);
}

void tool_trace_json(struct tool_heap *heap, const struct tool_trace *trace, FILE *to)
{
    struct writer writer = {.heap = heap, .trace = trace, .to = to};

    find_retries(&writer);
    find_changes(&writer);
    find_cut(&writer);
    fputs("{\"traceEvents\":[", to);
    write_names(&writer);
    write_rows(&writer);
    if (writer.changes_count <= COUNTS_MAX)
        write_each_change(&writer);
    else
        write_means(&writer);
    write_note(&writer);
    write_rest(&writer);
}
