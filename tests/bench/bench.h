/* SPDX-License-Identifier: MIT
 *
 * bench.h: what programs share that measure a pool: an end with a message, and work that is none.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

static inline void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, weir_last_error()->message);
    exit(1);
}

static inline int nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static inline int call_nothing(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

#endif
