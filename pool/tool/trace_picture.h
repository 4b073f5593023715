/* SPDX-License-Identifier: MIT
 *
 * trace_picture.h: the parts of a trace's picture, which a page or one SVG puts together.
 */
#ifndef WEIR_TOOL_TRACE_PICTURE_H
#define WEIR_TOOL_TRACE_PICTURE_H

#include "pool/tool/timeline.h"

enum {
    PICTURE_COLOURS = 9,  /* of groups of jobs; the last one is for all others */
    PICTURE_LABELS = 92,  /* pixels: how wide the part with the workers' names is */
    PICTURE_WIDTH = 1060, /* of the part with the time */
    PICTURE_TIMES = 190,  /* the height of the histogram */
    PICTURE_COARSEST = 4, /* see tool_picture.coarse */
};

struct tool_picture {
    struct tool_heap *heap;
    const struct tool_trace *trace;
    const struct tool_trace_stats *stats;
    FILE *to;
    unsigned coarse; /* 0 to PICTURE_COARSEST: how often its detail was halved */
    /* By tool_picture_plan(). */
    unsigned columns;               /* in which the time is cut */
    size_t rows, workers_per_row;   /* more than 1 where there are many workers */
    int row_height, row_pitch;      /* pixels */
    int lanes;                      /* of jobs */
    int busy_top, rows_top, height; /* pixels, of labels and chart */
    int64_t long_ns;                /* events as long as this are drawn each for itself */
    double ns_per_column;
};

void tool_picture_plan(struct tool_picture *picture);
/* The styles, without the tags around them. */
void tool_picture_style(FILE *to);
/* Patterns that the others use. */
void tool_picture_patterns(FILE *to);
/* The names of what stands in the chart, at its left. */
void tool_picture_labels(struct tool_picture *picture);
void tool_picture_chart(struct tool_picture *picture);
/* How many chunks took how long. */
void tool_picture_times(struct tool_picture *picture);

/* The colour of a group of jobs; of none. */
unsigned tool_picture_colour(size_t group);
/* How many groups have a colour of their own: of the first ones, those with chunks. */
size_t tool_picture_named(const struct tool_picture *picture, size_t *others);
/* The text with what has a meaning in HTML and XML as an entity. */
void tool_picture_text(FILE *to, const char *text);

#endif
