/* SPDX-License-Identifier: MIT
 *
 * progress.h: what a waiting thread shows of a job.
 */
#ifndef WEIR_PROGRESS_H
#define WEIR_PROGRESS_H

#include "pool/pool.h"

/* Private to the thread that uses the future. */
struct weir__progress;

/* 0 and *out, NULL if nothing is asked for; or -ENOMEM. */
int weir__progress_new(const struct weir__progress_wish *wish, struct weir__progress **out);
void weir__progress_free(struct weir__progress *progress);

/* weir__job_wait(), showing progress meanwhile. `progress` may be NULL. */
bool weir__progress_wait(weir_pool *pool, int index, int64_t limit_ns,
                         struct weir__progress *progress);

/* ---- the look of it, without a job (progress_text.c) ---------------------------------------- */

#define WEIR__PROGRESS_TEXT 1024 /* longest line, in bytes */

/* Writes one line for a terminal of `width` columns: it takes at most width - 1. An empty line if
 * not even the percentage fits. Returns its length in bytes, without the NUL. */
size_t weir__progress_bar(char *out, const weir_progress *progress, int width, bool colour);
/* The line for the end, or for where no bar can be drawn; not longer than a bar. */
size_t weir__progress_line(char *out, const weir_progress *progress, int width, bool colour);

#endif
