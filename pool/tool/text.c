/* SPDX-License-Identifier: MIT
 *
 * text.c: what the tool writes.
 *
 * Invariant: no byte of another program's reaches stdout or stderr unless tool_escape_bytes() let
 * it through. A name in /dev/shm, a command line or a comm may hold anything but a NUL.
 */
#include "pool/tool/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "pool/control/put.h"
#include "shm/value.h"

/* ---- other programs' texts ------------------------------------------------------------------ */

char *tool_escape_bytes(struct tool_heap *heap, const char *bytes, size_t size)
{
    const unsigned char *from = (const unsigned char *)bytes;
    char *text = tool_take(heap, size + 1, 4), *to = text;

    while (size > 0) {
        uint32_t code;
        size_t length = weir__utf8_decode((const char *)from, size, &code);

        if (length > 0 && weir__is_printable(code)) {
            memcpy(to, from, length);
            to += length;
        } else if (*from == '\\') {
            to += sprintf(to, "\\\\");
        } else {
            length = length > 0 ? length : 1;
            for (size_t i = 0; i < length; i++)
                to += sprintf(to, "\\x%02x", from[i]);
        }
        from += length;
        size -= length;
    }
    *to = '\0';
    return text;
}

char *tool_escape(struct tool_heap *heap, const char *text)
{
    return tool_escape_bytes(heap, text, strlen(text));
}

/* ---- numbers -------------------------------------------------------------------------------- */

const char *tool_size(struct tool_heap *heap, uint64_t bytes, bool exact)
{
    const char *unit = "KMGTPE";
    double value = (double)bytes / 1024;

    if (exact || bytes < 1024)
        return tool_print(heap, "%llu", (unsigned long long)bytes);
    while (value >= 1023.5 && unit[1] != '\0') {
        value /= 1024;
        unit++;
    }
    return tool_print(heap, value < 9.95 ? "%.1f%c" : "%.0f%c", value, *unit);
}

const char *tool_number(struct tool_heap *heap, int64_t number)
{
    return tool_print(heap, "%lld", (long long)number);
}

const char *tool_age(struct tool_heap *heap, int64_t seconds)
{
    if (seconds < 0)
        return "-";
    if (seconds < 120)
        return tool_print(heap, "%llds", (long long)seconds);
    if (seconds < 120 * 60)
        return tool_print(heap, "%lldm", (long long)seconds / 60);
    if (seconds < 48 * 3600)
        return tool_print(heap, "%lldh", (long long)seconds / 3600);
    return tool_print(heap, "%lldd", (long long)seconds / 86400);
}

const char *tool_duration(struct tool_heap *heap, int64_t ns)
{
    const int64_t ms = ns / 1000000;

    if (ns < 0)
        return "-";
    if (ms < 1000)
        return tool_print(heap, "%dms", (int)ms);
    if (ms < 100000)
        return tool_print(heap, "%d.%ds", (int)(ms / 1000), (int)(ms / 100 % 10));
    return tool_age(heap, ms / 1000);
}

char *tool_time(struct tool_heap *heap, int64_t seconds)
{
    const time_t time = (time_t)seconds;
    char text[64] = "";
    struct tm tm;

    if (gmtime_r(&time, &tm) != NULL)
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return tool_copy(heap, text);
}

json_t *tool_json_number(uint64_t number)
{
    return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

/* ---- the terminal --------------------------------------------------------------------------- */

int tool_terminal_columns(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO))
        return 0;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* Lines that are left on the screen; negative: it is no screen. */
static int lines_left = -1;

void tool_screen_begin(void)
{
    struct winsize size;

    lines_left =
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row - 1 : 23;
    fputs("\033[H", stdout);
}

void tool_screen_end(void)
{
    lines_left = -1;
    fputs("\033[J", stdout);
}

/* What is behind the text goes: it is of another frame. */
static void write_line(const char *text, int edge)
{
    const int bytes = edge > 0 ? tool_fit(text, edge) : (int)strlen(text);

    if (lines_left != 0)
        printf("%.*s%s\n", bytes, text, lines_left > 0 ? "\033[K" : "");
    lines_left -= lines_left > 0;
}

void tool_line(struct tool_heap *heap, const char *format, ...)
{
    const char *text;
    va_list args;

    va_start(args, format);
    text = tool_print_args(heap, format, args);
    va_end(args);
    write_line(text, tool_terminal_columns());
}

bool tool_coloured(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return isatty(STDOUT_FILENO) && (no == NULL || *no == '\0') && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

int tool_width(const char *text)
{
    int columns = 0;

    for (; *text != '\0'; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

int tool_fit(const char *text, int columns)
{
    int bytes = 0;

    for (; text[bytes] != '\0'; bytes++) {
        if (((unsigned char)text[bytes] & 0xc0) != 0x80 && columns-- == 0)
            break;
    }
    return bytes;
}

/* ---- tables --------------------------------------------------------------------------------- */

const char **tool_table_row(struct tool_table *table)
{
    const char **row;

    table->rows = tool_grow(table->heap, table->rows, &table->capacity, table->count + 1,
                            sizeof(*table->rows));
    row = table->rows[table->count++];
    for (int i = 0; i < TOOL_COLUMNS; i++)
        row[i] = "";
    return row;
}

static const char *head_of(const struct tool_table *table, int column)
{
    return table->heads[column] + (table->heads[column][0] == '>');
}

static void write_row(const struct tool_table *table, const int *widths, const char *const *cells,
                      int edge)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);

    if (out == NULL)
        return;
    for (int i = 0; i < table->columns; i++) {
        const int blanks = widths[i] - tool_width(cells[i]);
        const bool right = table->heads[i][0] == '>';

        fprintf(out, "%s%*s%s", i > 0 ? "  " : "", right ? blanks : 0, "", cells[i]);
        if (!right && i + 1 < table->columns)
            fprintf(out, "%*s", blanks, "");
    }
    if (fclose(out) == 0) {
        while (size > 0 && line[size - 1] == ' ')
            line[--size] = '\0';
        write_line(line, edge);
    }
    free(line);
}

void tool_table_write(const struct tool_table *table)
{
    const int edge = tool_terminal_columns();
    const char *heads[TOOL_COLUMNS];
    int widths[TOOL_COLUMNS];

    if (table->count == 0)
        return;
    for (int i = 0; i < table->columns; i++) {
        heads[i] = head_of(table, i);
        widths[i] = tool_width(heads[i]);
        for (size_t row = 0; row < table->count; row++) {
            const int width = tool_width(table->rows[row][i]);

            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    write_row(table, widths, heads, edge);
    for (size_t row = 0; row < table->count; row++)
        write_row(table, widths, table->rows[row], edge);
}

void tool_json_write(json_t *object)
{
    if (object == NULL || json_dumpf(object, stdout, JSON_INDENT(2)) < 0)
        fputs("weir: no memory for JSON\n", stderr);
    putchar('\n');
    json_decref(object);
}
