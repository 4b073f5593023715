/* SPDX-License-Identifier: MIT
 *
 * trace_html.c: the picture of a trace as one file: a page, or an SVG.
 *
 * Neither needs another file or a network. Each has 2 MiB at most: if it comes out larger, it is
 * made again with half the detail.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "pool/tool/text.h"
#include "pool/tool/trace_picture.h"

#define SIZE_LIMIT ((size_t)2 << 20)

enum { LEGEND_LINE = 18, HEAD = 26 };

typedef void write_whole(struct tool_picture *picture);

/* ---- a page ---------------------------------------------------------------------------------- */

static const char *title_of(const struct tool_picture *picture)
{
    const struct tool_trace *trace = picture->trace;

    return *trace->name != '\0' ? tool_print(picture->heap, "pool \"%s\"", trace->name) : "process";
}

/* Of what the picture has besides the jobs. */
static bool has_kind(const struct tool_picture *picture, enum weir__event_kind kind)
{
    for (size_t i = 0; i < picture->trace->events_count; i++) {
        if (picture->trace->events[i].event.kind == kind)
            return true;
    }
    return false;
}

static bool has_retries(const struct tool_picture *picture)
{
    for (size_t i = 0; i < picture->trace->events_count; i++) {
        if (tool_event_is_work(&picture->trace->events[i]) &&
            picture->trace->events[i].event.attempt > 1)
            return true;
    }
    return false;
}

static void write_page_style(FILE *to)
{
    fputs("<style>\n", to);
    tool_picture_style(to);
    fputs("body{margin:0 auto;max-width:1180px;padding:12px;background:var(--bg);color:var(--ink);"
          "font:14px/1.45 system-ui,sans-serif}\n"
          "h1{font-size:18px;margin:4px 0}p{margin:4px 0 10px;color:var(--soft)}\n"
          ".legend{display:flex;flex-wrap:wrap;gap:4px 14px;margin:0 0 8px}\n"
          ".legend span{display:inline-flex;align-items:center;gap:5px;max-width:100%;"
          "overflow-wrap:anywhere}\n"
          ".legend i{width:14px;height:14px;flex:none;border-radius:2px}\n"
          ".legend svg{flex:none}\n"
          ".box{display:flex}.box>svg{flex:none;display:block}\n"
          ".scroll{overflow-x:auto;min-width:0}.scroll svg{display:block}\n"
          "pre{overflow-x:auto;background:var(--row);padding:10px;border-radius:4px;"
          "font:12px/1.5 ui-monospace,monospace}\n"
          ".red{color:var(--red)}\n"
          "</style>\n",
          to);
}

static void write_sample(const struct tool_picture *picture, const char *shape, const char *text)
{
    fprintf(picture->to, "<span><svg width=\"14\" height=\"14\">%s</svg>%s</span>\n", shape, text);
}

static void write_legend(const struct tool_picture *picture)
{
    size_t others;
    const size_t named = tool_picture_named(picture, &others);

    fputs("<div class=\"legend\">\n", picture->to);
    for (size_t i = 0; i < named; i++) {
        if (picture->stats->groups[i].work_count == 0)
            continue;
        fprintf(picture->to, "<span><i class=\"c%zu\"></i>", i);
        tool_picture_text(picture->to, picture->stats->groups[i].label);
        fputs("</span>\n", picture->to);
    }
    if (others > 0)
        fprintf(picture->to, "<span><i class=\"c%d\"></i>%zu others</span>\n", PICTURE_COLOURS - 1,
                others);
    if (has_retries(picture))
        write_sample(picture,
                     "<rect width=\"14\" height=\"14\" class=\"c8\"/><rect width=\"14\" "
                     "height=\"14\" fill=\"url(#again)\"/>",
                     "run again");
    if (has_kind(picture, EVENT_DEATH))
        write_sample(picture, "<path class=\"dead\" d=\"M2 2L12 12M12 2L2 12\"/>", "death");
    if (has_kind(picture, EVENT_START))
        write_sample(picture, "<path class=\"start\" d=\"M7.5 0v14\"/>", "start of a process");
    if (has_kind(picture, EVENT_SPAN))
        write_sample(picture,
                     "<rect width=\"14\" height=\"14\" class=\"c8\"/><rect y=\"10\" width=\"14\" "
                     "height=\"4\" class=\"span\"/>",
                     "in a span");
    if (picture->trace->lost > 0)
        write_sample(picture, "<rect width=\"14\" height=\"14\" fill=\"url(#gone)\"/>",
                     "<span class=\"red\">lost</span>");
    fputs("</div>\n", picture->to);
}

static void write_remarks(const struct tool_picture *picture)
{
    const struct tool_trace *trace = picture->trace;

    fprintf(
        picture->to, "<p>%zu workers, %s from %s on, program %d%s", trace->workers_count,
        tool_trace_time(picture->heap, trace->end_ns - trace->begin_ns),
        tool_time(picture->heap, trace->head.began_real_ns / 1000000000 +
                                     (trace->begin_ns - trace->head.began_mono_ns) / 1000000000),
        (int)trace->head.host_pid,
        trace->head.killed ? ", <span class=\"red\">which has died</span>" : "");
    if (trace->lost > 0)
        fprintf(picture->to, ", <span class=\"red\">%" PRIu64 " events lost</span>", trace->lost);
    if (picture->workers_per_row > 1)
        fprintf(picture->to, ", %zu workers in a row, whose height is the share that is busy",
                picture->workers_per_row);
    fputs("</p>\n", picture->to);
}

static void write_summary(const struct tool_picture *picture)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    if (to == NULL)
        return;
    tool_trace_summary(picture->heap, picture->trace, (struct tool_what_if){0}, to);
    fputs("<pre>", picture->to);
    if (fclose(to) == 0)
        tool_picture_text(picture->to, text);
    fputs("</pre>\n", picture->to);
    free(text);
}

static void write_page(struct tool_picture *picture)
{
    FILE *to = picture->to;

    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          to);
    tool_picture_text(to, title_of(picture));
    fputs("</title>\n", to);
    write_page_style(to);
    fputs("</head>\n<body>\n<h1>", to);
    tool_picture_text(to, title_of(picture));
    fputs("</h1>\n", to);
    write_remarks(picture);
    write_legend(picture);
    fprintf(to, "<div class=\"box\">\n<svg width=\"%d\" height=\"%d\">\n", PICTURE_LABELS,
            picture->height);
    tool_picture_patterns(to);
    tool_picture_labels(picture);
    fprintf(to, "</svg>\n<div class=\"scroll\"><svg width=\"%d\" height=\"%d\">\n", PICTURE_WIDTH,
            picture->height);
    tool_picture_chart(picture);
    fprintf(to, "</svg></div>\n</div>\n<div class=\"scroll\"><svg width=\"640\" height=\"%d\">\n",
            PICTURE_TIMES);
    tool_picture_times(picture);
    fputs("</svg></div>\n", to);
    write_summary(picture);
    fputs("</body>\n</html>\n", to);
}

/* ---- an SVG ---------------------------------------------------------------------------------- */

static void write_svg_sample(const struct tool_picture *picture, int *y, unsigned colour,
                             const char *text)
{
    fprintf(picture->to,
            "<rect x=\"700\" y=\"%d\" width=\"12\" height=\"12\" class=\"c%u\"/>"
            "<text x=\"718\" y=\"%d\">",
            *y, colour, *y + 10);
    tool_picture_text(picture->to, text);
    fputs("</text>\n", picture->to);
    *y += LEGEND_LINE;
}

/* Each a line: there may be any names. */
static void write_svg_legend(const struct tool_picture *picture, int y)
{
    size_t others;
    const size_t named = tool_picture_named(picture, &others);

    for (size_t i = 0; i < named; i++) {
        if (picture->stats->groups[i].work_count > 0)
            write_svg_sample(picture, &y, (unsigned)i, picture->stats->groups[i].label);
    }
    if (others > 0)
        write_svg_sample(picture, &y, PICTURE_COLOURS - 1,
                         tool_print(picture->heap, "%zu others", others));
}

static void write_svg(struct tool_picture *picture)
{
    const int width = PICTURE_LABELS + PICTURE_WIDTH + 12;
    const int height = HEAD + picture->height + PICTURE_TIMES;
    FILE *to = picture->to;

    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\">\n<title>",
            width, height, width, height);
    tool_picture_text(to, title_of(picture));
    fputs("</title>\n<style>", to);
    tool_picture_style(to);
    fputs("</style>\n", to);
    tool_picture_patterns(to);
    fprintf(to, "<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n<text x=\"8\" y=\"16\">", width,
            height);
    tool_picture_text(to, title_of(picture));
    fprintf(to, "</text>\n<g transform=\"translate(0 %d)\">\n", HEAD);
    tool_picture_labels(picture);
    fprintf(to, "</g>\n<g transform=\"translate(%d %d)\">\n", PICTURE_LABELS, HEAD);
    tool_picture_chart(picture);
    fprintf(to, "</g>\n<g transform=\"translate(0 %d)\">\n", HEAD + picture->height);
    tool_picture_times(picture);
    fputs("</g>\n", to);
    write_svg_legend(picture, HEAD + picture->height + 10);
    fputs("</svg>\n", to);
}

/* ---- as large as it may be ------------------------------------------------------------------- */

/* Returns whether it is small enough, and then it is written. */
static bool try_to_write(struct tool_picture *picture, write_whole *write, FILE *to)
{
    char *text = NULL;
    size_t size = 0;
    bool good;

    picture->to = open_memstream(&text, &size);
    if (picture->to == NULL)
        return false;
    tool_picture_plan(picture);
    write(picture);
    good = fclose(picture->to) == 0 && (size <= SIZE_LIMIT || picture->coarse == PICTURE_COARSEST);
    if (good)
        fwrite(text, 1, size, to);
    free(text);
    return good;
}

static void write_within_limit(struct tool_heap *heap, const struct tool_trace *trace,
                               write_whole *write, FILE *to)
{
    struct tool_trace_stats stats;

    tool_trace_measure(&stats, heap, trace);
    for (unsigned coarse = 0; coarse <= PICTURE_COARSEST; coarse++) {
        struct tool_picture picture = {
            .heap = heap, .trace = trace, .stats = &stats, .coarse = coarse};

        if (try_to_write(&picture, write, to))
            return;
    }
}

void tool_trace_html(struct tool_heap *heap, const struct tool_trace *trace, FILE *to)
{
    write_within_limit(heap, trace, write_page, to);
}

void tool_trace_svg(struct tool_heap *heap, const struct tool_trace *trace, FILE *to)
{
    write_within_limit(heap, trace, write_svg, to);
}
