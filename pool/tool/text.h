/* SPDX-License-Identifier: MIT
 *
 * text.h: what the tool writes: other programs' texts without control characters, sizes and times
 * for a person, tables, and JSON.
 */
#ifndef WEIR_TOOL_TEXT_H
#define WEIR_TOOL_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool/tool/heap.h"

/* The text with everything as \xNN that is no printable UTF-8: control characters, what is not
 * UTF-8, characters that turn the direction of writing; and a backslash as two. */
char *tool_escape(struct tool_heap *heap, const char *text);
char *tool_escape_bytes(struct tool_heap *heap, const char *bytes, size_t size);

/* "812", "2.7K", "1.9G"; `exact`: all digits. */
const char *tool_size(struct tool_heap *heap, uint64_t bytes, bool exact);
/* All its digits. */
const char *tool_number(struct tool_heap *heap, int64_t number);
/* "12s", "4m", "3h", "9d"; "-" when it is negative. */
const char *tool_age(struct tool_heap *heap, int64_t seconds);
/* "12ms", "4.1s", then as an age; "-" when it is negative. */
const char *tool_duration(struct tool_heap *heap, int64_t ns);
/* ISO 8601 in UTC. */
char *tool_time(struct tool_heap *heap, int64_t seconds);

/* The sum, or the largest number. */
static inline uint64_t tool_sum(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

/* A number as JSON has it: at most the largest integer of it. */
json_t *tool_json_number(uint64_t number);

/* ---- tables --------------------------------------------------------------------------------- */

#define TOOL_COLUMNS 12

/* Rows of cells, written with as wide columns as they need. On a terminal a line ends at its
 * edge. */
struct tool_table {
    struct tool_heap *heap;
    const char *const *heads; /* a leading '>' : aligned to the right */
    int columns;
    const char *(*rows)[TOOL_COLUMNS];
    size_t count, capacity;
};

/* A new row, whose cells are to be set; "" unless they are. */
const char **tool_table_row(struct tool_table *table);
/* Writes it to stdout; without rows nothing. */
void tool_table_write(const struct tool_table *table);

/* Columns of the terminal that stdout is; 0: it is none. */
int tool_terminal_columns(void);
/* Whether stdout is a terminal that may be coloured: NO_COLOR and TERM=dumb forbid it. */
bool tool_coloured(void);
/* On a terminal: what is written from now on replaces the screen's lines, and what does not fit on
 * it is left out. */
void tool_screen_begin(void);
void tool_screen_end(void);
/* A line on stdout; on a terminal it ends at its edge. */
void tool_line(struct tool_heap *heap, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* How many columns the text takes. */
int tool_width(const char *text);
/* How many bytes of the text take so many columns at most. */
int tool_fit(const char *text, int columns);

/* Writes the object to stdout, with a newline, and frees it. */
void tool_json_write(json_t *object);

#endif
