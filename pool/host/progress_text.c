/* SPDX-License-Identifier: MIT
 *
 * progress_text.c: a job's progress as one line of text.
 *
 *     label  43% [=========>             ] 430/1000  83/s  0:07 left
 *
 * What does not fit is left out, the least important first: the counts, the rate, the time, the
 * bar, the label. A line is never as wide as the terminal: writing to the last column would break
 * it.
 *
 * The label is the user's text, so it is made harmless first: no control characters, no broken
 * UTF-8, and as many columns as it can take at most. Columns are counted without the locale, which
 * the program may not have set: a character beyond U+10FF counts two, which is right for East Asian
 * text and emoji, and too careful for the rest.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pool/control/put.h"
#include "pool/host/progress_text.h"
#include "shm/value.h"

#define BAR_MIN   8 /* columns between the brackets */
#define BAR_MAX   60
#define LABEL_MAX 256 /* bytes */

#define GREEN "\033[32m"
#define RED   "\033[31m"
#define PLAIN "\033[0m"

/* ---- the label ------------------------------------------------------------------------------ */

/* Copies as much of the label as takes `columns`. Returns the columns it takes. */
static int copy_label(char *out, const char *label, int columns)
{
    const char *text = label != NULL ? label : "";
    size_t used = 0;
    int width = 0;

    while (*text != '\0') {
        uint32_t code;
        size_t size = weir__utf8_decode(text, strnlen(text, 4), &code);
        bool sound = size > 0 && !weir__is_control(code);
        int wide = sound && code > 0x10ff ? 2 : 1;

        if (width + wide > columns || used + size + 1 > LABEL_MAX)
            break;
        if (sound)
            memcpy(out + used, text, size);
        else
            out[used] = '?';
        used += sound ? size : 1;
        text += size > 0 ? size : 1;
        width += wide;
    }
    out[used] = '\0';
    return width;
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* Three digits and a unit, from "0" to "999T": 4 columns or, with a point, 5. */
static void format_count(char *out, size_t size, double count)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    size_t unit = 0;

    while (count >= 999.5 && unit < sizeof(units) / sizeof(units[0]) - 1) {
        count /= 1000;
        unit++;
    }
    snprintf(out, size, unit > 0 && count < 9.95 ? "%.1f%s" : "%.0f%s", count, units[unit]);
}

static void format_rate(char *out, size_t size, double rate)
{
    char count[32];

    if (rate > 0 && rate < 0.95) {
        snprintf(out, size, "%.2g/s", rate);
        return;
    }
    format_count(count, sizeof(count), rate);
    snprintf(out, size, "%s/s", count);
}

/* 0:07, 12:34, 1:02:03, 5 d */
static void format_time(char *out, size_t size, int64_t time_ms)
{
    long long seconds = (long long)((time_ms + 500) / 1000);

    if (seconds >= 100 * 3600)
        snprintf(out, size, "%lld d", seconds / (24 * 3600));
    else if (seconds >= 3600)
        snprintf(out, size, "%lld:%02lld:%02lld", seconds / 3600, seconds / 60 % 60, seconds % 60);
    else
        snprintf(out, size, "%lld:%02lld", seconds / 60, seconds % 60);
}

static double share_of(const weir_progress *progress)
{
    return progress->total > 0 ? (double)progress->done / (double)progress->total : 1;
}

/* Never 100 before all is done. */
static int percent_of(const weir_progress *progress)
{
    int percent = (int)(share_of(progress) * 100);

    return percent > 99 && progress->done < progress->total ? 99 : percent;
}

static void format_counts(char *out, size_t size, const weir_progress *progress)
{
    char done[32], total[32];

    if (progress->total < 1000000) {
        snprintf(out, size, "%llu/%llu", (unsigned long long)progress->done,
                 (unsigned long long)progress->total);
        return;
    }
    format_count(done, sizeof(done), (double)progress->done);
    format_count(total, sizeof(total), (double)progress->total);
    snprintf(out, size, "%s/%s", done, total);
}

/* ---- lines ---------------------------------------------------------------------------------- */

struct parts {
    char label[LABEL_MAX];
    int label_width;
    char percent[8];
    char rest[3][64]; /* what comes behind the bar; "" is left out */
};

static int rest_width(const struct parts *parts)
{
    int width = 0;

    for (int i = 0; i < 3; i++)
        width += parts->rest[i][0] != '\0' ? (int)strlen(parts->rest[i]) + 2 : 0;
    return width;
}

/* Leaves out parts in this order until the rest fits in `most` columns. */
static void fit(struct parts *parts, int most, const int order[3])
{
    for (int i = 0; i < 3 && rest_width(parts) > most; i++)
        parts->rest[order[i]][0] = '\0';
}

/* The bar itself: at most `columns`, brackets and the space before them included. */
static void put_bar(char *out, size_t size, const weir_progress *progress, int columns, bool colour)
{
    int length = columns - 3 > BAR_MAX ? BAR_MAX : columns - 3, filled;
    char bar[BAR_MAX + 1];

    out[0] = '\0';
    if (length < BAR_MIN)
        return;
    filled = (int)(share_of(progress) * length);
    memset(bar, ' ', (size_t)length);
    memset(bar, '=', (size_t)filled);
    if (filled < length)
        bar[filled] = '>';
    bar[length] = '\0';
    snprintf(out, size, " [%s%s%s]", colour ? progress->failed > 0 ? RED : GREEN : "", bar,
             colour ? PLAIN : "");
}

static size_t join(char *out, const struct parts *parts, const char *bar)
{
    int used = snprintf(out, WEIR__PROGRESS_TEXT, "%s%s%s%s", parts->label,
                        parts->label[0] != '\0' ? " " : "", parts->percent, bar);

    for (int i = 0; i < 3; i++) {
        if (parts->rest[i][0] != '\0')
            used +=
                snprintf(out + used, WEIR__PROGRESS_TEXT - (size_t)used, "  %s", parts->rest[i]);
    }
    return (size_t)used;
}

/* The label gets what the percentage leaves, and at most a third of a line that is longer.
 * Returns the columns left; negative: not even the percentage fits. */
static int begin_parts(struct parts *parts, const weir_progress *progress, int width)
{
    int columns_left = width - 1 - 4,
        most = columns_left > 36 ? columns_left / 3 : columns_left - 1;

    parts->rest[0][0] = parts->rest[1][0] = parts->rest[2][0] = '\0';
    snprintf(parts->percent, sizeof(parts->percent), "%3d%%", percent_of(progress));
    parts->label_width = copy_label(parts->label, progress->label, most > 0 ? most : 0);
    return columns_left - (parts->label_width > 0 ? parts->label_width + 1 : 0);
}

size_t weir__progress_bar(char *out, const weir_progress *progress, int width, bool colour)
{
    static const int order[] = {0, 1, 2};
    char bar[WEIR__PROGRESS_TEXT / 4], left[32];
    struct parts parts;
    int columns_left = begin_parts(&parts, progress, width);

    out[0] = '\0';
    if (columns_left < 0)
        return 0;
    format_counts(parts.rest[0], sizeof(parts.rest[0]), progress);
    format_rate(parts.rest[1], sizeof(parts.rest[1]), progress->rate);
    if (progress->left_ms >= 0) {
        format_time(left, sizeof(left), progress->left_ms);
        snprintf(parts.rest[2], sizeof(parts.rest[2]), "%s left", left);
    }
    fit(&parts, columns_left > BAR_MIN + 3 + 12 ? columns_left - BAR_MIN - 3 : columns_left, order);
    put_bar(bar, sizeof(bar), progress, columns_left - rest_width(&parts), colour);
    return join(out, &parts, bar);
}

size_t weir__progress_line(char *out, const weir_progress *progress, int width, bool colour)
{
    static const int order[] = {2, 1, 0};
    struct parts parts;
    int columns_left = begin_parts(&parts, progress, width);
    bool well = progress->done == progress->total;
    char time[32];
    size_t used;

    out[0] = '\0';
    if (columns_left < 0)
        return 0;
    format_time(time, sizeof(time), progress->elapsed_ms);
    if (!progress->ended)
        snprintf(parts.rest[0], sizeof(parts.rest[0]), "%s", time);
    else
        snprintf(parts.rest[0], sizeof(parts.rest[0]), "%s %s",
                 well                   ? "in"
                 : progress->failed > 0 ? "failed after"
                                        : "stopped after",
                 time);
    format_counts(parts.rest[1], sizeof(parts.rest[1]), progress);
    format_rate(parts.rest[2], sizeof(parts.rest[2]), progress->rate);
    fit(&parts, columns_left, order);
    used = join(out, &parts, "");
    if (!colour || well || !progress->ended)
        return used;
    memmove(out + sizeof(RED) - 1, out, used + 1);
    memcpy(out, RED, sizeof(RED) - 1);
    memcpy(out + sizeof(RED) - 1 + used, PLAIN, sizeof(PLAIN));
    return used + sizeof(RED) - 1 + sizeof(PLAIN) - 1;
}
