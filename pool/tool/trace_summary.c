/* SPDX-License-Identifier: MIT
 *
 * trace_summary.c: a trace in some lines of text.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/control.h"
#include "pool/tool/describe.h"
#include "pool/tool/text.h"
#include "pool/tool/timeline.h"

enum {
    GROUPS_MAX = 20, /* of jobs, spans or counts; the rest is one line */
    DEATHS_MAX = 10,
    UNFINISHED_MAX = 5,
    DOUBLINGS = 9, /* chunks that are tried: from 1 to 256 a worker */
};

#define STEPS_MAX   INT64_C(40000000)
#define WORTH_WHILE 0.95 /* of the time that it took */
#define GAIN_MIN_NS 100000
#define ABOUT       1.03 /* times the best */

struct summary {
    struct tool_heap *heap;
    const struct tool_trace *trace;
    struct tool_trace_stats stats;
    struct tool_what_if what_if;
    int64_t steps; /* chunks that may still be computed */
    bool computed;
    FILE *to;
};

static const char *time_of(const struct summary *summary, int64_t ns)
{
    return tool_trace_time(summary->heap, ns);
}

/* From the begin of the trace on. */
static const char *moment(const struct summary *summary, int64_t ns)
{
    return tool_trace_time(summary->heap, ns - summary->trace->begin_ns);
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

/* ---- the pool -------------------------------------------------------------------------------- */

static void write_lost(const struct summary *summary)
{
    const struct tool_trace *trace = summary->trace;
    size_t workers = 0;

    for (size_t i = 0; i < trace->workers_count; i++)
        workers += trace->workers[i].lost > 0;
    if (trace->lost > 0)
        fprintf(summary->to,
                "  lost: %" PRIu64 " events, the oldest of %zu worker%s, as there was no room for "
                "them; what is said below lacks them\n",
                trace->lost, workers, plural((int64_t)workers));
    if (trace->head.jobs_lost > 0)
        fprintf(summary->to, "  lost: the records of %" PRIu64 " older jobs\n",
                trace->head.jobs_lost);
    if (trace->dropped > 0)
        fprintf(summary->to, "  damaged: %" PRIu64 " events and records, which were left out\n",
                trace->dropped);
}

static void write_head(const struct summary *summary)
{
    const struct tool_trace *trace = summary->trace;
    const struct weir__trace_head *head = &trace->head;
    const double length = (double)(trace->end_ns - trace->begin_ns);
    const int64_t began =
        head->began_real_ns / 1000000000 + (trace->begin_ns - head->began_mono_ns) / 1000000000;
    double busy = 0;

    for (size_t i = 0; i < trace->events_count; i++)
        busy += (double)tool_event_busy(&trace->events[i]);
    if (*trace->name != '\0')
        fprintf(summary->to, "pool \"%s\"", trace->name);
    else
        fprintf(summary->to, "process");
    fprintf(summary->to, " of program %d: %zu worker%s, %s from %s, %.0f %% busy, %zu events\n",
            (int)head->host_pid, trace->workers_count, plural((int64_t)trace->workers_count),
            time_of(summary, trace->end_ns - trace->begin_ns), tool_time(summary->heap, began),
            percent(busy, length * (double)trace->workers_count), trace->events_count);
    if (head->killed)
        fprintf(summary->to, "  the program has died\n");
    write_lost(summary);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static const char *group_name(const struct summary *summary, const struct tool_job_group *group)
{
    const struct weir__job_record *record = &group->one->record;

    if (record->number == 0)
        return group->label;
    if (*record->name == '\0')
        return tool_print(summary->heap, "%s without a name", group->label);
    return tool_print(summary->heap, "job \"%s\"", group->label);
}

static void write_first_line(const struct summary *summary, const struct tool_job_group *group)
{
    const bool calls = group->one->record.number == 0;
    const double whole = (double)group->elapsed_ns * (double)summary->trace->workers_count;

    fprintf(summary->to, "%s: ", group_name(summary, group));
    if (group->jobs > 1)
        fprintf(summary->to, "%zu times, ", group->jobs);
    fprintf(summary->to, "%" PRId64 " %s%s on %zu worker%s, %s, %.0f %% busy\n", group->chunks,
            calls ? "call" : "chunk", plural(group->chunks), summary->trace->workers_count,
            plural((int64_t)summary->trace->workers_count), time_of(summary, group->elapsed_ns),
            percent((double)group->busy_ns, whole));
}

static void write_balance(const struct summary *summary, const struct tool_job_group *group)
{
    const double workers = (double)summary->trace->workers_count;
    const double mean = (double)group->busy_ns / workers;
    const double whole = (double)group->elapsed_ns * workers;
    const double waking = (double)group->waking_ns, gaps = (double)group->gaps_ns;
    const double rest = (double)group->idle_ns - waking - gaps;

    if (group->longest_ns == 0)
        return;
    fprintf(summary->to, "  load balance %.2f (mean busy %s, longest %s)",
            mean / (double)group->longest_ns, time_of(summary, (int64_t)mean),
            time_of(summary, group->longest_ns));
    if (mean < WORTH_WHILE * (double)group->longest_ns)
        fprintf(summary->to, ": %s to gain", time_of(summary, group->longest_ns - (int64_t)mean));
    fprintf(summary->to, ";  idle: %.0f %% no chunk left, %.0f %% waking, %.0f %% between chunks\n",
            percent(rest > 0 ? rest : 0, whole), percent(waking, whole), percent(gaps, whole));
}

/* Which chunk that was: of which job too, where the group is of jobs without a name. */
static const char *slowest_text(const struct summary *summary, const struct tool_job_group *group)
{
    const struct tool_event *event = group->slowest;
    const struct tool_traced_job *job = tool_event_job(summary->trace, event);
    const int64_t chunk = event->event.chunk.longest;
    const weir_range range = tool_traced_range(job, chunk);
    const char *what =
        tool_print(summary->heap, "%s %" PRId64, job->record.number == 0 ? "call" : "chunk", chunk);

    if (range.begin < range.end)
        what = tool_print(summary->heap, "%s %s", what, tool_range(summary->heap, range));
    if (group->jobs > 1 && *job->record.name == '\0')
        what = tool_print(summary->heap, "%s of %s", what, job->label);
    return tool_print(summary->heap, "%s, worker %u, %sstarted at %s", what, event->worker,
                      event->event.count > 1 ? "one of those " : "",
                      moment(summary, event->event.begin_ns));
}

static void write_chunks(const struct summary *summary, const struct tool_job_group *group)
{
    int64_t longest;

    if (group->slowest == NULL)
        return;
    longest = group->slowest->event.chunk.longest_ns;
    fprintf(summary->to, "  %s: median %s, p95 %s, max %s",
            group->one->record.number == 0 ? "calls" : "chunks", time_of(summary, group->median_ns),
            time_of(summary, group->p95_ns), time_of(summary, longest));
    if (group->median_ns > 0)
        fprintf(summary->to, " = %.1f x", (double)longest / (double)group->median_ns);
    fprintf(summary->to, ": %s\n", slowest_text(summary, group));
    if (group->retried > 0 || group->failed > 0)
        fprintf(summary->to, "  %" PRId64 " run again, %" PRId64 " failed\n", group->retried,
                group->failed);
}

static bool simulate(struct summary *summary, const struct tool_job_group *group,
                     struct tool_simulation *simulation)
{
    return tool_trace_simulate(summary->heap, summary->trace, &summary->stats, group, simulation,
                               &summary->steps);
}

/* The fewest chunks with which it takes about as long as with the best number. */
static void write_hint(struct summary *summary, const struct tool_job_group *group)
{
    struct tool_simulation simulation = {.count = DOUBLINGS};
    double best;

    for (int i = 0; i < DOUBLINGS; i++)
        simulation.what_ifs[i].chunks = (int64_t)summary->trace->workers_count << i;
    if (!simulate(summary, group, &simulation))
        return;
    best = simulation.ns[0];
    for (int i = 1; i < DOUBLINGS; i++)
        best = simulation.ns[i] < best ? simulation.ns[i] : best;
    if (best > WORTH_WHILE * (double)group->elapsed_ns ||
        best + GAIN_MIN_NS > (double)group->elapsed_ns)
        return;
    for (int i = 0; i < DOUBLINGS; i++) {
        if (simulation.ns[i] > ABOUT * best)
            continue;
        fprintf(summary->to, "  try chunks = %" PRId64 ": %s (computed from these times)\n",
                simulation.what_ifs[i].chunks, time_of(summary, (int64_t)simulation.ns[i]));
        return;
    }
}

static void write_what_if(struct summary *summary, const struct tool_job_group *group)
{
    const struct tool_what_if what_if = summary->what_if;
    struct tool_simulation simulation = {.what_ifs = {what_if}, .count = 1};

    if (!simulate(summary, group, &simulation))
        return;
    fputs("  with", summary->to);
    if (what_if.chunks > 0)
        fprintf(summary->to, " chunks = %" PRId64, what_if.chunks);
    if (what_if.workers > 0)
        fprintf(summary->to, "%s workers = %u", what_if.chunks > 0 ? "," : "", what_if.workers);
    fprintf(summary->to, ": %s (computed from these times)\n",
            time_of(summary, (int64_t)simulation.ns[0]));
    summary->computed = true;
}

static void write_jobs(struct summary *summary)
{
    const struct tool_trace_stats *stats = &summary->stats;
    size_t more = 0, shown = 0;
    int64_t chunks = 0, busy = 0;

    for (size_t i = 0; i < stats->groups_count; i++) {
        const struct tool_job_group *group = &stats->groups[i];

        if (group->work_count == 0)
            continue;
        if (shown++ >= GROUPS_MAX) {
            more++;
            chunks = tool_trace_sum(chunks, group->chunks);
            busy = tool_trace_sum(busy, group->busy_ns);
            continue;
        }
        write_first_line(summary, group);
        write_balance(summary, group);
        write_chunks(summary, group);
        if (summary->what_if.chunks > 0 || summary->what_if.workers > 0)
            write_what_if(summary, group);
        else
            write_hint(summary, group);
    }
    if (more > 0)
        fprintf(summary->to, "and %zu more names of jobs: %" PRId64 " chunk%s, %s of work\n", more,
                chunks, plural(chunks), time_of(summary, busy));
}

/* ---- deaths ---------------------------------------------------------------------------------- */

static void write_death(const struct summary *summary, const struct tool_event *event)
{
    fprintf(summary->to, "  worker %u (process %d) at %s: %s", event->worker,
            (int)event->event.worker.pid, moment(summary, event->event.end_ns),
            tool_event_ending(summary->heap, event));
    if (tool_event_is_work(event))
        fprintf(summary->to, ", in %s after %s%s",
                tool_event_what(summary->heap, summary->trace, event),
                time_of(summary, event->event.end_ns - event->event.begin_ns),
                event->event.flags & EVENT_AGAIN ? ", which is run again" : "");
    fputc('\n', summary->to);
}

static void write_deaths(const struct summary *summary)
{
    const struct tool_trace *trace = summary->trace;
    size_t deaths = 0, late = 0, again = 0, shown = 0;
    int64_t lost = 0;

    for (size_t i = 0; i < trace->events_count; i++) {
        const struct tool_event *event = &trace->events[i];

        if (event->event.kind != EVENT_DEATH)
            continue;
        deaths++;
        late += (event->event.flags & EVENT_LATE) != 0;
        again += (event->event.flags & EVENT_AGAIN) != 0;
        lost = tool_trace_sum(lost, tool_event_busy(event));
    }
    if (deaths == 0)
        return;
    fprintf(summary->to,
            "deaths: %zu, %zu for the time a chunk took; %zu chunk%s run again; %s of work lost\n",
            deaths, late, again, plural((int64_t)again), time_of(summary, lost));
    for (size_t i = 0; i < trace->events_count && shown < DEATHS_MAX; i++) {
        if (trace->events[i].event.kind != EVENT_DEATH)
            continue;
        write_death(summary, &trace->events[i]);
        shown++;
    }
    if (deaths > shown)
        fprintf(summary->to, "  and %zu more\n", deaths - shown);
}

/* ---- what tasks have noted ------------------------------------------------------------------- */

struct note {
    const char *text;
    int64_t times, sum, longest;
};

static int compare_times(const void *a, const void *b)
{
    const struct tool_event *x = *(const struct tool_event *const *)a,
                            *y = *(const struct tool_event *const *)b;
    const int64_t of_x = tool_event_busy(x), of_y = tool_event_busy(y);

    return (of_x < of_y) - (of_x > of_y);
}

/* Chunks that were still running, those first that have run longest. */
static void write_unfinished(const struct summary *summary)
{
    const struct tool_trace *trace = summary->trace;
    const struct tool_event **running =
        tool_take(summary->heap, trace->events_count + 1, sizeof(void *));
    size_t count = 0;

    for (size_t i = 0; i < trace->events_count; i++) {
        if (trace->events[i].event.kind == EVENT_CUT)
            running[count++] = &trace->events[i];
    }
    if (count == 0)
        return;
    qsort(running, count, sizeof(void *), compare_times);
    fprintf(summary->to, "not finished: %zu chunk%s\n", count, plural((int64_t)count));
    for (size_t i = 0; i < count && i < UNFINISHED_MAX; i++) {
        const bool before = running[i]->event.begin_ns <= trace->head.traced_ns;

        fprintf(summary->to, "  worker %u (process %d): %s, %s %s\n", running[i]->worker,
                (int)running[i]->event.worker.pid,
                tool_event_what(summary->heap, trace, running[i]), before ? "all the time:" : "for",
                time_of(summary, tool_event_busy(running[i])));
    }
    if (count > UNFINISHED_MAX)
        fprintf(summary->to, "  and %zu more\n", count - UNFINISHED_MAX);
}

static int compare_texts(const void *a, const void *b)
{
    const struct tool_event *const *x = a, *const *y = b;
    const int order = strcmp((*x)->text, (*y)->text);

    return order != 0 ? order : (*x > *y) - (*x < *y);
}

static int compare_notes(const void *a, const void *b)
{
    const struct note *x = a, *y = b;

    if (x->sum != y->sum)
        return x->sum > y->sum ? -1 : 1;
    return strcmp(x->text, y->text);
}

static int64_t limited_sum(int64_t a, int64_t b)
{
    int64_t sum;

    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return a > 0 ? INT64_MAX : INT64_MIN;
}

static void add_to_note(struct note *note, const struct tool_event *event)
{
    const int64_t number = event->event.kind == EVENT_SPAN
                               ? event->event.end_ns - event->event.begin_ns
                               : event->event.user.number;

    note->times++;
    note->sum = limited_sum(note->sum, number);
    note->longest = number > note->longest ? number : note->longest;
}

/* The notes of one kind, the largest sum first. */
static struct note *collect_notes(const struct summary *summary, uint8_t kind, size_t *count)
{
    const struct tool_trace *trace = summary->trace;
    const struct tool_event **events =
        tool_take(summary->heap, trace->events_count + 1, sizeof(void *));
    size_t noted = 0;
    struct note *notes;

    *count = 0;
    for (size_t i = 0; i < trace->events_count; i++) {
        if (trace->events[i].event.kind == kind)
            events[noted++] = &trace->events[i];
    }
    notes = tool_take(summary->heap, noted + 1, sizeof(*notes));
    qsort(events, noted, sizeof(void *), compare_texts);
    for (size_t i = 0; i < noted; i++) {
        if (i == 0 || events[i]->text != events[i - 1]->text)
            notes[(*count)++].text = events[i]->text;
        add_to_note(&notes[*count - 1], events[i]);
    }
    qsort(notes, *count, sizeof(*notes), compare_notes);
    return notes;
}

static void write_spans(const struct summary *summary)
{
    size_t count;
    const struct note *notes = collect_notes(summary, EVENT_SPAN, &count);

    if (count > 0)
        fputs("spans:\n", summary->to);
    for (size_t i = 0; i < count && i < GROUPS_MAX; i++)
        fprintf(summary->to, "  \"%s\": %" PRId64 " time%s, %s in all, longest %s\n", notes[i].text,
                notes[i].times, plural(notes[i].times), time_of(summary, notes[i].sum),
                time_of(summary, notes[i].longest));
    if (count > GROUPS_MAX)
        fprintf(summary->to, "  and %zu more texts\n", count - GROUPS_MAX);
}

static void write_counts(const struct summary *summary)
{
    size_t count;
    const struct note *notes = collect_notes(summary, EVENT_COUNT, &count);

    if (count > 0)
        fputs("counts:\n", summary->to);
    for (size_t i = 0; i < count && i < GROUPS_MAX; i++)
        fprintf(summary->to, "  \"%s\": %" PRId64 " in %" PRId64 " time%s\n", notes[i].text,
                notes[i].sum, notes[i].times, plural(notes[i].times));
    if (count > GROUPS_MAX)
        fprintf(summary->to, "  and %zu more texts\n", count - GROUPS_MAX);
}

bool tool_trace_summary(struct tool_heap *heap, const struct tool_trace *trace,
                        struct tool_what_if what_if, FILE *to)
{
    struct summary summary = {
        .heap = heap, .trace = trace, .what_if = what_if, .steps = STEPS_MAX, .to = to};

    tool_trace_measure(&summary.stats, heap, trace);
    write_head(&summary);
    write_jobs(&summary);
    write_deaths(&summary);
    write_unfinished(&summary);
    write_spans(&summary);
    write_counts(&summary);
    return summary.computed || (what_if.chunks == 0 && what_if.workers == 0);
}
