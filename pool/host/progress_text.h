/* SPDX-License-Identifier: MIT
 *
 * progress_text.h: a job's progress as one line of text.
 */
#ifndef WEIR_PROGRESS_TEXT_H
#define WEIR_PROGRESS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <weir.h>

#define WEIR__PROGRESS_TEXT 1024 /* longest line, in bytes */

/* Writes one line for a terminal of `width` columns: it takes at most width - 1. An empty line if
 * not even the percentage fits. Returns its length in bytes, without the NUL. */
size_t weir__progress_bar(char *out, const weir_progress *progress, int width, bool colour);
/* The line for the end, or for where no bar can be drawn; not longer than a bar. */
size_t weir__progress_line(char *out, const weir_progress *progress, int width, bool colour);

#endif
