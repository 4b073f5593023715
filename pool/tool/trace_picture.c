/* SPDX-License-Identifier: MIT
 *
 * trace_picture.c: a trace as SVG.
 *
 * A row is a worker; where there are more than 128 of them, several. What is at least three columns
 * wide is an element with a title. All else is summed by column: the colour is that of the jobs on
 * which the most time was spent there, the height the share of the column that was worked. So the
 * size depends on the columns and not on the length of the trace.
 */
#include "pool/tool/trace_picture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pool/tool/text.h"

enum {
    ROWS_MAX = 128,
    LANES_MAX = 3,
    LANE = 20,
    BUSY = 40, /* the curve of busy workers */
    AXIS = 26,
    LONG_COLUMNS = 3,
    LONG_MAX = 2500,
    DEATHS_MAX = 1000,
    STARTS_MAX = 1000,
    SPANS_MAX = 1000,
    DECADE = 5,     /* bars of the histogram */
    TIMES_MAX = 95, /* bars at most: 19 decades */
};

/* ---- texts ----------------------------------------------------------------------------------- */

void tool_picture_text(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '&')
            fputs("&amp;", to);
        else if (*text == '<')
            fputs("&lt;", to);
        else if (*text == '>')
            fputs("&gt;", to);
        else if (*text == '"')
            fputs("&quot;", to);
        else if (strncmp(text, "\xef\xbf\xbe", 3) == 0 || strncmp(text, "\xef\xbf\xbf", 3) == 0)
            text += 2; /* XML does not know them */
        else
            fputc(*text, to);
    }
}

static void write_title(const struct tool_picture *picture, const char *text)
{
    fputs("<title>", picture->to);
    tool_picture_text(picture->to, text);
    fputs("</title>", picture->to);
}

void tool_picture_style(FILE *to)
{
    static const char *const colours[PICTURE_COLOURS] = {"#4c78a8", "#f58518", "#54a24b",
                                                         "#b279a2", "#3fa7b5", "#d9b310",
                                                         "#9d755d", "#7466d3", "#8f959e"};

    fputs(":root{color-scheme:light dark;--bg:#fff;--ink:#1c1f23;--soft:#5c636d;--row:#f1f2f5;"
          "--line:#d5d8de;--red:#d40020}\n"
          "@media (prefers-color-scheme:dark){:root{--bg:#16181b;--ink:#e7e9ec;--soft:#a3aab4;"
          "--row:#24282d;--line:#3a4047;--red:#ff5263}}\n"
          "svg{font:11px system-ui,sans-serif}\n"
          "svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}svg .lost{fill:var(--red)}\n"
          ".bg{fill:var(--bg)}.row{fill:var(--row)}.line{stroke:var(--line);fill:none}\n"
          ".area{fill:var(--soft);fill-opacity:.45}.dead{stroke:var(--red);stroke-width:2.5;"
          "fill:none}\n"
          ".start{stroke:var(--ink);stroke-width:1;fill:none}.span{fill:#000;fill-opacity:.5}\n"
          "svg .in{fill:#fff;font-size:10px;pointer-events:none;paint-order:stroke;"
          "stroke:#0006;stroke-width:2px}\n"
          ".over{pointer-events:none}.died{fill-opacity:.55}\n",
          to);
    for (int i = 0; i < PICTURE_COLOURS; i++)
        fprintf(to, ".c%d{fill:%s;background:%s}", i, colours[i], colours[i]);
    fputc('\n', to);
}

void tool_picture_patterns(FILE *to)
{
    fputs("<defs><pattern id=\"again\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
          "patternTransform=\"rotate(45)\"><path d=\"M0 0v6\" stroke=\"#000\" stroke-width=\"4\" "
          "stroke-opacity=\".6\"/></pattern>"
          "<pattern id=\"gone\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" "
          "patternTransform=\"rotate(-45)\"><path d=\"M0 0v5\" stroke=\"var(--red)\" "
          "stroke-width=\"2\" stroke-opacity=\".6\"/></pattern></defs>\n",
          to);
}

unsigned tool_picture_colour(size_t group)
{
    return group < PICTURE_COLOURS - 1 ? (unsigned)group : PICTURE_COLOURS - 1;
}

size_t tool_picture_named(const struct tool_picture *picture, size_t *others)
{
    size_t named = 0;

    *others = 0;
    for (size_t i = 0; i < picture->stats->groups_count; i++) {
        if (picture->stats->groups[i].work_count == 0)
            continue;
        if (i < PICTURE_COLOURS - 1)
            named = i + 1;
        else
            ++*others;
    }
    return named;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static int64_t span_of(const struct tool_picture *picture)
{
    const int64_t span = picture->trace->end_ns - picture->trace->begin_ns;

    return span > 0 ? span : 1;
}

/* In columns. */
static double column_of(const struct tool_picture *picture, int64_t ns)
{
    return (double)(ns - picture->trace->begin_ns) / picture->ns_per_column;
}

/* In pixels. */
static double x_of(const struct tool_picture *picture, int64_t ns)
{
    return column_of(picture, ns) * PICTURE_WIDTH / picture->columns;
}

static int y_of(const struct tool_picture *picture, size_t row)
{
    return picture->rows_top + (int)row * picture->row_pitch;
}

static int compare_down(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x < *y) - (*x > *y);
}

/* The shortest of the longest ones that get an element each. */
static int64_t find_long(const struct tool_picture *picture)
{
    const struct tool_trace *trace = picture->trace;
    const int64_t shortest = (int64_t)(LONG_COLUMNS * picture->ns_per_column);
    const size_t max = LONG_MAX >> picture->coarse;
    int64_t *lengths = tool_take(picture->heap, trace->events_count + 1, sizeof(*lengths));
    size_t count = 0;

    if (picture->workers_per_row > 1)
        return INT64_MAX;
    for (size_t i = 0; i < trace->events_count; i++) {
        const struct weir__event *event = &trace->events[i].event;

        if (tool_event_is_work(&trace->events[i]) && event->end_ns - event->begin_ns >= shortest)
            lengths[count++] = event->end_ns - event->begin_ns;
    }
    if (count <= max)
        return shortest;
    qsort(lengths, count, sizeof(*lengths), compare_down);
    return lengths[max] + 1;
}

static int height_of_row(size_t rows)
{
    return rows <= 8 ? 26 : rows <= 16 ? 22 : rows <= 32 ? 16 : rows <= 64 ? 11 : 7;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void write_band(struct tool_picture *picture, const struct tool_traced_job *job, int lane,
                       double from, double to)
{
    const size_t group = picture->stats->group_of_job[job - picture->trace->jobs];
    const int letters = (int)((to - from - 6) / 6.3), y = lane * LANE + 1;
    const struct weir__job_record *record = &job->record;

    fprintf(picture->to,
            "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" class=\"c%u\">", from,
            y, to - from > 1.5 ? to - from - 0.5 : 1, LANE - 3, tool_picture_colour(group));
    write_title(
        picture,
        tool_print(picture->heap, "%s: %" PRId64 " chunks, %s from %s on%s%s", job->label,
                   record->count,
                   record->closed_ns > 0
                       ? tool_trace_time(picture->heap, record->closed_ns - record->opened_ns)
                       : "open",
                   tool_trace_time(picture->heap, record->opened_ns > picture->trace->begin_ns
                                                      ? record->opened_ns - picture->trace->begin_ns
                                                      : 0),
                   record->failed ? ", failed" : "", record->stopped ? ", stopped" : ""));
    fputs("</rect>", picture->to);
    if (letters >= 3) {
        fprintf(picture->to, "<text x=\"%.1f\" y=\"%d\" class=\"in\">", from + 4, y + 12);
        tool_picture_text(picture->to,
                          tool_width(job->label) <= letters
                              ? job->label
                              : tool_print(picture->heap, "%.*s\xe2\x80\xa6",
                                           tool_fit(job->label, letters - 1), job->label));
        fputs("</text>", picture->to);
    }
    fputc('\n', picture->to);
}

static int compare_opened(const void *a, const void *b)
{
    const struct tool_traced_job *const *x = a, *const *y = b;

    if ((*x)->record.opened_ns != (*y)->record.opened_ns)
        return (*x)->record.opened_ns < (*y)->record.opened_ns ? -1 : 1;
    return (*x > *y) - (*x < *y);
}

/* The first lane in which there is room from there on; negative: in none. */
static int free_lane(const double *ends, int lanes, double from)
{
    for (int lane = 0; lane < lanes; lane++) {
        if (ends[lane] <= from + 0.01)
            return lane;
    }
    return -1;
}

/* Writes the jobs, or only counts the lanes that they need. */
static int lay_out_jobs(struct tool_picture *picture, bool write)
{
    const struct tool_trace *trace = picture->trace;
    const struct tool_traced_job **jobs =
        tool_take(picture->heap, trace->jobs_count, sizeof(void *));
    const double narrowest = (double)PICTURE_WIDTH / picture->columns;
    double ends[LANES_MAX] = {0};
    int lanes = 0;

    for (size_t i = 1; i < trace->jobs_count; i++)
        jobs[i - 1] = &trace->jobs[i];
    qsort(jobs, trace->jobs_count - 1, sizeof(void *), compare_opened);
    for (size_t i = 0; i + 1 < trace->jobs_count; i++) {
        const struct weir__job_record *record = &jobs[i]->record;
        const double from = larger(x_of(picture, record->opened_ns), 0);
        const int64_t closed = record->closed_ns > 0 ? record->closed_ns : trace->end_ns;
        double to = x_of(picture, closed);
        const int lane = free_lane(ends, LANES_MAX, from);

        if (lane < 0)
            continue; /* there are more at a time than lanes, or in a column */
        to = smaller(larger(to, from + narrowest), PICTURE_WIDTH);
        if (write)
            write_band(picture, jobs[i], lane, from, to);
        ends[lane] = to;
        lanes = lane >= lanes ? lane + 1 : lanes;
    }
    return lanes;
}

void tool_picture_plan(struct tool_picture *picture)
{
    const size_t workers = picture->trace->workers_count;

    picture->columns = PICTURE_WIDTH >> picture->coarse;
    picture->ns_per_column = (double)span_of(picture) / picture->columns;
    picture->workers_per_row = (workers + ROWS_MAX - 1) / ROWS_MAX;
    picture->rows = (workers + picture->workers_per_row - 1) / picture->workers_per_row;
    picture->row_height = height_of_row(picture->rows);
    picture->row_pitch = picture->row_height + (picture->row_height > 10 ? 2 : 1);
    picture->lanes = lay_out_jobs(picture, false);
    picture->long_ns = find_long(picture);
    picture->busy_top = picture->lanes * LANE + 4;
    picture->rows_top = picture->busy_top + BUSY + 6;
    picture->height = y_of(picture, picture->rows) + AXIS;
}

/* ---- labels ---------------------------------------------------------------------------------- */

static uint64_t lost_of_row(const struct tool_picture *picture, size_t row)
{
    const struct tool_trace *trace = picture->trace;
    const size_t first = row * picture->workers_per_row;
    uint64_t lost = 0;

    for (size_t i = first; i < first + picture->workers_per_row && i < trace->workers_count; i++)
        lost = tool_sum(lost, trace->workers[i].lost);
    return lost;
}

static void write_label(const struct tool_picture *picture, int y, const char *class,
                        const char *text)
{
    fprintf(picture->to, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" class=\"%s\">",
            PICTURE_LABELS - 6, y, class);
    tool_picture_text(picture->to, text);
    fputs("</text>\n", picture->to);
}

static const char *row_name(const struct tool_picture *picture, size_t row)
{
    const size_t first = row * picture->workers_per_row;
    size_t last = first + picture->workers_per_row - 1;

    if (last >= picture->trace->workers_count)
        last = picture->trace->workers_count - 1;
    return first == last ? tool_print(picture->heap, "worker %zu", first)
                         : tool_print(picture->heap, "%zu to %zu", first, last);
}

void tool_picture_labels(struct tool_picture *picture)
{
    const size_t step = picture->row_pitch >= 11 ? 1 : 2;

    if (picture->lanes > 0)
        write_label(picture, 14, "soft", "jobs");
    write_label(picture, picture->busy_top + 12, "soft", "workers busy");
    write_label(picture, picture->busy_top + 26, "soft",
                tool_print(picture->heap, "of %zu", picture->trace->workers_count));
    for (size_t row = 0; row < picture->rows; row += step)
        write_label(picture, y_of(picture, row) + picture->row_height / 2 + 4,
                    lost_of_row(picture, row) > 0 ? "lost" : "", row_name(picture, row));
}

/* ---- columns --------------------------------------------------------------------------------- */

/* Adds what was worked in an event to the columns in which it lies. */
static void spread(const struct tool_picture *picture, double *columns, size_t stride,
                   const struct tool_event *event)
{
    const double begin = column_of(picture, event->event.begin_ns);
    const double end = column_of(picture, event->event.end_ns);
    const double share =
        end > begin ? (double)tool_event_busy(event) / picture->ns_per_column / (end - begin) : 0;
    size_t at = (size_t)begin;

    for (double from = begin; from < end && at < picture->columns; at++) {
        const double to = (double)(at + 1) < end ? (double)(at + 1) : end;

        columns[at * stride] += (to - from) * share;
        from = to;
    }
}

/* ---- the time and the busy workers ----------------------------------------------------------- */

static void write_busy(struct tool_picture *picture)
{
    const struct tool_trace *trace = picture->trace;
    const double scale = (double)BUSY / (double)trace->workers_count;
    const double width = (double)PICTURE_WIDTH / picture->columns;
    const int bottom = picture->busy_top + BUSY;
    double *busy = tool_take(picture->heap, picture->columns + (size_t)1, sizeof(*busy));

    for (size_t i = 0; i < trace->events_count; i++) {
        if (tool_event_is_work(&trace->events[i]))
            spread(picture, busy, 1, &trace->events[i]);
    }
    fprintf(picture->to, "<path class=\"area\" d=\"M0 %d", bottom);
    for (unsigned i = 0; i < picture->columns; i++)
        fprintf(picture->to, "V%.1fH%.4g", bottom - smaller(busy[i] * scale, BUSY),
                (double)(i + 1) * width);
    fprintf(picture->to, "V%dz\"/><path class=\"line\" d=\"M0 %d.5h%d\"/>\n", bottom, bottom,
            PICTURE_WIDTH);
}

/* 1, 2 or 5 times a power of 10, so that there are about eight. */
static int64_t tick_of(int64_t span)
{
    int64_t tick = 1;

    while (tick < span / 8) {
        if (tick * 2 >= span / 8)
            return tick * 2;
        if (tick * 5 >= span / 8)
            return tick * 5;
        tick *= 10;
    }
    return tick;
}

static void write_axis(struct tool_picture *picture)
{
    const int64_t span = span_of(picture), tick = tick_of(span);
    const int bottom = y_of(picture, picture->rows);

    for (int64_t ns = 0; ns <= span; ns += tick) {
        const double x = (double)ns / (double)span * PICTURE_WIDTH;

        fprintf(picture->to,
                "<path class=\"line\" d=\"M%.1f %dV%d\"/><text class=\"soft\" x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"%s\">%s</text>\n",
                x, picture->rows_top, bottom + 4, x, bottom + 17,
                ns == 0                  ? "start"
                : x > PICTURE_WIDTH - 20 ? "end"
                                         : "middle",
                ns == 0 ? "0" : tool_trace_time(picture->heap, ns));
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The shapes of the columns, by colour: one path each. */
struct shapes {
    struct shape {
        char *path;
        size_t size;
        FILE *to;
    } colours[PICTURE_COLOURS], again, spans;
};

/* A column of a row. */
struct cell {
    double busy[PICTURE_COLOURS];
    double again, span;
};

static bool is_long(const struct tool_picture *picture, const struct tool_event *event)
{
    return event->event.end_ns - event->event.begin_ns >= picture->long_ns;
}

static void write_row(struct tool_picture *picture, size_t row)
{
    const struct tool_trace *trace = picture->trace;
    const size_t first = row * picture->workers_per_row;
    const uint64_t lost = lost_of_row(picture, row);
    int64_t busy = 0, chunks = 0;

    for (size_t i = first; i < first + picture->workers_per_row && i < trace->workers_count; i++) {
        const struct tool_traced_worker *worker = &trace->workers[i];

        for (size_t at = worker->first; at < worker->first + worker->count; at++) {
            busy = tool_trace_sum(busy, tool_event_busy(&trace->events[at]));
            if (trace->events[at].event.kind == EVENT_CHUNK)
                chunks = tool_trace_sum(chunks, trace->events[at].event.count);
        }
    }
    fprintf(picture->to, "<rect class=\"row\" x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\">",
            y_of(picture, row), PICTURE_WIDTH, picture->row_height);
    write_title(
        picture,
        tool_print(picture->heap, "%s%s: %" PRId64 " chunks, busy for %s%s",
                   picture->workers_per_row > 1 ? "workers " : "", row_name(picture, row), chunks,
                   tool_trace_time(picture->heap, busy),
                   lost > 0 ? tool_print(picture->heap, ", %" PRIu64 " events lost", lost) : ""));
    fputs("</rect>\n", picture->to);
}

/* The time of which nothing is known. */
static void write_lost(struct tool_picture *picture, size_t row)
{
    const struct tool_trace *trace = picture->trace;
    const struct tool_traced_worker *worker = &trace->workers[row * picture->workers_per_row];
    const uint64_t lost = lost_of_row(picture, row);
    const int64_t until =
        worker->count > 0 ? trace->events[worker->first].event.begin_ns : trace->end_ns;
    const double width = x_of(picture, until);

    if (lost == 0)
        return;
    fprintf(picture->to,
            "<rect class=\"gone\" fill=\"url(#gone)\" x=\"0\" y=\"%d\" width=\"%.1f\" "
            "height=\"%d\">",
            y_of(picture, row), width > 4 ? width : 4, picture->row_height);
    write_title(picture, tool_print(picture->heap, "%s: %" PRIu64 " events lost, the oldest",
                                    row_name(picture, row), lost));
    fputs("</rect>\n", picture->to);
}

static const char *long_title(const struct tool_picture *picture, const struct tool_event *event)
{
    const struct weir__event *raw = &event->event;

    return tool_print(
        picture->heap, "%s, worker %u\n%s from %s on%s%s%s",
        tool_event_what(picture->heap, picture->trace, event), event->worker,
        tool_trace_time(picture->heap, raw->end_ns - raw->begin_ns),
        tool_trace_time(picture->heap, raw->begin_ns - picture->trace->begin_ns),
        raw->attempt > 1 ? tool_print(picture->heap, "\nrun again: attempt %u", raw->attempt) : "",
        raw->kind == EVENT_CHUNK && (raw->flags & EVENT_FAILED) != 0 ? "\nfailed" : "",
        raw->kind == EVENT_DEATH ? "\nthe worker died"
        : raw->kind == EVENT_CUT ? "\nnot finished when this was written"
                                 : "");
}

static void write_long(struct tool_picture *picture, size_t row, const struct tool_event *event)
{
    const double from = x_of(picture, event->event.begin_ns);
    const double width = x_of(picture, event->event.end_ns) - from;
    const double length = (double)(event->event.end_ns - event->event.begin_ns);
    const double share = larger((double)tool_event_busy(event) / length, 0.15);
    const double height = share * picture->row_height;
    const double y = y_of(picture, row) + picture->row_height - height;

    fprintf(picture->to,
            "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" class=\"c%u%s\">", from, y,
            width - 0.6, height, tool_picture_colour(tool_event_group(picture->stats, event)),
            event->event.kind == EVENT_DEATH ? " died" : "");
    write_title(picture, long_title(picture, event));
    fputs("</rect>", picture->to);
    if (event->event.attempt > 1)
        fprintf(picture->to,
                "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" class=\"over\" "
                "fill=\"url(#again)\"/>",
                from, y, width - 0.6, height);
    if (width >= 40 && picture->row_height >= 14 && tool_event_count(event) == 1)
        fprintf(picture->to, "<text x=\"%.1f\" y=\"%d\" class=\"in\">%" PRId64 "</text>", from + 3,
                y_of(picture, row) + picture->row_height / 2 + 3, tool_event_chunk(event));
    fputc('\n', picture->to);
}

/* ---- what is too short for an element of its own --------------------------------------------- */

static unsigned colour_of_cell(const struct cell *cell, double *busy)
{
    unsigned most = 0;

    *busy = 0;
    for (unsigned i = 0; i < PICTURE_COLOURS; i++) {
        *busy += cell->busy[i];
        most = cell->busy[i] > cell->busy[most] ? i : most;
    }
    return most;
}

static void draw_shape(FILE *to, unsigned column, unsigned width, int bottom, int height)
{
    fprintf(to, "M%u %dv-%dh%uv%dz", column, bottom, height, width, height);
}

/* How high a column's shape is, in pixels; 0: there is none. */
static int height_of(const struct tool_picture *picture, double share)
{
    const int height = (int)(share * picture->row_height + 0.5);

    if (share < 0.001)
        return 0;
    return height < 1 ? 1 : height > picture->row_height ? picture->row_height : height;
}

static void draw_cells(const struct tool_picture *picture, const struct cell *cells, size_t row,
                       struct shapes *shapes)
{
    const int bottom = y_of(picture, row) + picture->row_height;
    unsigned from = 0, colour = 0;
    int height = 0;

    for (unsigned column = 0; column <= picture->columns; column++) {
        double busy = 0;
        const unsigned next = column < picture->columns ? colour_of_cell(&cells[column], &busy) : 0;
        const int high = height_of(picture, busy / (double)picture->workers_per_row);

        if (next == colour && high == height && column < picture->columns)
            continue;
        if (height > 0)
            draw_shape(shapes->colours[colour].to, from, column - from, bottom, height);
        from = column;
        colour = next;
        height = high;
    }
}

/* Runs of columns in which more than half a pixel is something. */
static void draw_marks(const struct tool_picture *picture, const struct cell *cells, size_t row,
                       struct shapes *shapes, bool spans)
{
    const int bottom = y_of(picture, row) + picture->row_height;
    FILE *to = spans ? shapes->spans.to : shapes->again.to;
    unsigned from = 0;
    bool marked = false;

    for (unsigned column = 0; column <= picture->columns; column++) {
        const double share = column == picture->columns ? 0
                             : spans                    ? cells[column].span
                                                        : cells[column].again;
        const bool next = share > (spans ? 0.3 : 0.001);

        if (next == marked)
            continue;
        if (marked)
            draw_shape(to, from, column - from, bottom,
                       spans ? picture->row_height / 5 + 1 : picture->row_height);
        from = column;
        marked = next;
    }
}

/* A span may lie in another one: the row is marked where there is one at all. */
static void add_to_cells(const struct tool_picture *picture, struct cell *cells,
                         const struct tool_event *event)
{
    const size_t stride = sizeof(*cells) / sizeof(double);
    const unsigned colour = tool_picture_colour(tool_event_group(picture->stats, event));

    if (!tool_event_is_work(event))
        return;
    spread(picture, &cells->busy[colour], stride, event);
    if (event->event.attempt > 1)
        spread(picture, &cells->again, stride, event);
}

static void add_span(const struct tool_picture *picture, struct cell *cells,
                     const struct tool_event *event)
{
    const double begin = column_of(picture, event->event.begin_ns);
    const double end = column_of(picture, event->event.end_ns);
    size_t at = (size_t)begin;

    for (double from = begin; from < end && at < picture->columns; at++) {
        const double to = smaller((double)(at + 1), end);

        cells[at].span += to - from;
        from = to;
    }
}

static void write_rows(struct tool_picture *picture, struct shapes *shapes)
{
    const struct tool_trace *trace = picture->trace;
    struct cell *cells = tool_take(picture->heap, picture->columns, sizeof(*cells));

    for (size_t row = 0; row < picture->rows; row++) {
        const size_t first = row * picture->workers_per_row;

        memset(cells, 0, picture->columns * sizeof(*cells));
        for (size_t i = first; i < first + picture->workers_per_row && i < trace->workers_count;
             i++) {
            const struct tool_traced_worker *worker = &trace->workers[i];

            for (size_t at = worker->first; at < worker->first + worker->count; at++) {
                const struct tool_event *event = &trace->events[at];

                if (event->event.kind == EVENT_SPAN)
                    add_span(picture, cells, event);
                else if (!is_long(picture, event))
                    add_to_cells(picture, cells, event);
            }
        }
        draw_cells(picture, cells, row, shapes);
        draw_marks(picture, cells, row, shapes, false);
        draw_marks(picture, cells, row, shapes, true);
    }
}

static void write_shape(const struct tool_picture *picture, struct shape *shape, const char *with)
{
    if (fclose(shape->to) == 0 && shape->size > 0)
        fprintf(picture->to, "<path %s d=\"%s\"/>\n", with, shape->path);
    free(shape->path);
}

static bool open_shape(struct shape *shape)
{
    shape->to = open_memstream(&shape->path, &shape->size);
    return shape->to != NULL;
}

static bool open_shapes(struct shapes *shapes)
{
    bool opened = open_shape(&shapes->again) && open_shape(&shapes->spans);

    for (int i = 0; i < PICTURE_COLOURS && opened; i++)
        opened = open_shape(&shapes->colours[i]);
    return opened;
}

/* Shapes are in columns, and in pixels from top to bottom. */
static void write_group(const struct tool_picture *picture)
{
    fprintf(picture->to, "<g class=\"over\" transform=\"scale(%.6g 1)\">\n",
            (double)PICTURE_WIDTH / picture->columns);
}

/* What is short; what is long, over it; and spans over both. */
static void write_work(struct tool_picture *picture)
{
    const struct tool_trace *trace = picture->trace;
    struct shapes shapes = {0};

    if (!open_shapes(&shapes))
        return; /* there is no memory, which the next one to need some says */
    write_rows(picture, &shapes);
    write_group(picture);
    for (int i = 0; i < PICTURE_COLOURS; i++)
        write_shape(picture, &shapes.colours[i], tool_print(picture->heap, "class=\"c%d\"", i));
    write_shape(picture, &shapes.again, "fill=\"url(#again)\"");
    fputs("</g>\n", picture->to);
    for (size_t i = 0; i < trace->events_count; i++) {
        const struct tool_event *event = &trace->events[i];

        if (tool_event_is_work(event) && is_long(picture, event))
            write_long(picture, event->worker / picture->workers_per_row, event);
    }
    write_group(picture);
    write_shape(picture, &shapes.spans, "class=\"span\"");
    fputs("</g>\n", picture->to);
}

/* ---- deaths, starts and spans ---------------------------------------------------------------- */

static void write_death(struct tool_picture *picture, const struct tool_event *event)
{
    const double x = x_of(picture, event->event.end_ns);
    const double y =
        y_of(picture, event->worker / picture->workers_per_row) + picture->row_height / 2.0;
    const double arm = larger(smaller(picture->row_height / 2.0 - 2, 7), 3);
    const bool working = tool_event_is_work(event);

    fprintf(picture->to, "<path class=\"dead\" d=\"M%.1f %.1fl%.1f %.1fm0 %.1fl%.1f %.1f\">",
            x - arm, y - arm, 2 * arm, 2 * arm, -2 * arm, -2 * arm, 2 * arm);
    write_title(
        picture,
        tool_print(picture->heap, "worker %u died at %s: process %d, %s%s%s", event->worker,
                   tool_trace_time(picture->heap, event->event.end_ns - picture->trace->begin_ns),
                   (int)event->event.worker.pid, tool_event_ending(picture->heap, event),
                   working ? ", in " : "",
                   working ? tool_event_what(picture->heap, picture->trace, event) : ""));
    fputs("</path>\n", picture->to);
}

static void write_start(struct tool_picture *picture, const struct tool_event *event)
{
    fprintf(picture->to,
            "<path class=\"start\" d=\"M%.1f %dv%d\"><title>process %d started</title>"
            "</path>\n",
            x_of(picture, event->event.begin_ns) + 0.5,
            y_of(picture, event->worker / picture->workers_per_row), picture->row_height,
            (int)event->event.worker.pid);
}

static void write_span(struct tool_picture *picture, const struct tool_event *event)
{
    const double from = x_of(picture, event->event.begin_ns);
    const double to = x_of(picture, event->event.end_ns);
    const int height = picture->row_height / 5 + 1;

    if (picture->workers_per_row > 1 || to - from < LONG_COLUMNS)
        return;
    fprintf(picture->to,
            "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill-opacity=\"0\">", from,
            y_of(picture, event->worker) + picture->row_height - height, to - from, height);
    write_title(picture, tool_print(picture->heap, "%s: %s", event->text,
                                    tool_trace_time(picture->heap,
                                                    event->event.end_ns - event->event.begin_ns)));
    fputs("</rect>\n", picture->to);
}

static void write_marks(struct tool_picture *picture)
{
    const struct tool_trace *trace = picture->trace;
    size_t deaths = 0, starts = 0, spans = 0;

    for (size_t i = 0; i < trace->events_count; i++) {
        const struct tool_event *event = &trace->events[i];

        if (event->event.kind == EVENT_SPAN && spans++ < (size_t)SPANS_MAX >> picture->coarse)
            write_span(picture, event);
        if (event->event.kind == EVENT_START && starts++ < (size_t)STARTS_MAX >> picture->coarse)
            write_start(picture, event);
    }
    for (size_t i = 0; i < trace->events_count; i++) {
        const struct tool_event *event = &trace->events[i];

        if (event->event.kind == EVENT_DEATH && deaths++ < (size_t)DEATHS_MAX >> picture->coarse)
            write_death(picture, event);
    }
}

void tool_picture_chart(struct tool_picture *picture)
{
    lay_out_jobs(picture, true);
    write_busy(picture);
    for (size_t row = 0; row < picture->rows; row++)
        write_row(picture, row);
    for (size_t row = 0; row < picture->rows; row++)
        write_lost(picture, row);
    write_axis(picture);
    write_work(picture);
    write_marks(picture);
}

/* ---- the histogram --------------------------------------------------------------------------- */

/* Where a bar begins. */
static double bar_ns(int bar)
{
    static const double steps[DECADE] = {1, 1.5849, 2.5119, 3.9811, 6.3096};
    double ns = steps[bar % DECADE];

    for (int i = 0; i < bar / DECADE; i++)
        ns *= 10;
    return ns;
}

static int bar_of(double ns)
{
    int bar = 0;

    while (bar + 1 < TIMES_MAX && ns >= bar_ns(bar + 1))
        bar++;
    return bar;
}

struct times {
    double chunks[TIMES_MAX][PICTURE_COLOURS];
    int first, last; /* bars with something in them */
    double most;
};

static void count_times(const struct tool_picture *picture, struct times *times)
{
    const struct tool_trace *trace = picture->trace;

    *times = (struct times){.first = TIMES_MAX, .last = -1};
    for (size_t i = 0; i < trace->events_count; i++) {
        const struct tool_event *event = &trace->events[i];
        const double count = (double)tool_event_count(event);
        const int bar = bar_of((double)tool_event_busy(event) / count);

        if (event->event.kind != EVENT_CHUNK)
            continue;
        times->chunks[bar][tool_picture_colour(tool_event_group(picture->stats, event))] += count;
        times->first = bar < times->first ? bar : times->first;
        times->last = bar > times->last ? bar : times->last;
    }
    for (int bar = times->first; bar <= times->last; bar++) {
        double sum = 0;

        for (int i = 0; i < PICTURE_COLOURS; i++)
            sum += times->chunks[bar][i];
        times->most = larger(times->most, sum);
    }
}

static void write_bar(struct tool_picture *picture, const struct times *times, int bar, double x,
                      double width)
{
    const double scale = (PICTURE_TIMES - 60) / times->most;
    double y = PICTURE_TIMES - 30, sum = 0;

    fputs("<g>", picture->to);
    for (int i = 0; i < PICTURE_COLOURS; i++) {
        const double height = times->chunks[bar][i] * scale;

        sum += times->chunks[bar][i];
        if (height <= 0)
            continue;
        y -= larger(height, 1);
        fprintf(picture->to,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"c%d\"/>", x, y,
                width - 1, larger(height, 1), i);
    }
    write_title(picture,
                tool_print(picture->heap, "%.0f chunks of %s to %s", sum,
                           tool_trace_time(picture->heap, (int64_t)(bar_ns(bar) + 0.5)),
                           tool_trace_time(picture->heap, (int64_t)(bar_ns(bar + 1) + 0.5))));
    fputs("</g>\n", picture->to);
}

void tool_picture_times(struct tool_picture *picture)
{
    struct times *times = tool_take(picture->heap, 1, sizeof(*times));
    const int bottom = PICTURE_TIMES - 30;
    int first, last;
    double width;

    count_times(picture, times);
    if (times->most <= 0)
        return;
    first = times->first / DECADE * DECADE;
    last = (times->last / DECADE + 1) * DECADE;
    width = smaller(24, 600.0 / (last - first));
    fprintf(picture->to,
            "<text x=\"6\" y=\"12\">chunks by the time they took; the highest bar: %.0f</text>\n",
            times->most);
    for (int bar = times->first; bar <= times->last; bar++)
        write_bar(picture, times, bar, 8 + (bar - first) * width, width);
    fprintf(picture->to, "<path class=\"line\" d=\"M6 %d.5h%.1f\"/>\n", bottom,
            (last - first) * width + 4);
    for (int bar = first; bar <= last; bar += DECADE)
        fprintf(picture->to,
                "<path class=\"line\" d=\"M%.1f %dv5\"/><text class=\"soft\" x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"%s\">%s</text>\n",
                7.5 + (bar - first) * width, bottom, 7.5 + (bar - first) * width, bottom + 17,
                bar == first ? "start" : "middle",
                tool_trace_time(picture->heap, (int64_t)(bar_ns(bar) + 0.5)));
}
