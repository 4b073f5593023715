/* SPDX-License-Identifier: MIT
 *
 * words.h: counting words with OpenMP, for bench-word-count.c.
 */
#ifndef BENCH_WORDS_H
#define BENCH_WORDS_H

#include "kernel.h"
#include "word-table.h"

/* Maps the file and counts its words. */
void openmp_count(const char *path, int threads);

/* One word after the other of what was counted; *at is 0 at first. NULL: that was the last. */
const struct word *openmp_next(size_t *at);

/* Frees the counts and unmaps the file. */
void openmp_clear(void);

#endif
