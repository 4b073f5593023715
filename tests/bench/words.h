/* SPDX-License-Identifier: MIT
 *
 * words.h: counting words with OpenMP, for bench-word-count.c.
 */
#ifndef BENCH_WORDS_H
#define BENCH_WORDS_H

#include "kernel.h"

#include <stddef.h>
#include <stdint.h>

struct word {
    const char *text; /* in the mapped file; NULL: free */
    uint32_t length;
    uint32_t hash;
    int64_t count;
};

/* Maps the file and counts its words. */
void openmp_count(const char *path, int threads);

/* One word after the other of what was counted; *at is 0 at first. NULL: that was the last. */
const struct word *openmp_next(size_t *at);

/* Frees the counts and unmaps the file. */
void openmp_clear(void);

#endif
