/* SPDX-License-Identifier: MIT
 *
 * median.h: of a benchmark's rounds.
 */
#ifndef BENCH_MEDIAN_H
#define BENCH_MEDIAN_H

#include <stdlib.h>

static inline int median_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts them. */
static inline double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, median_compare);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* The 90th percentile of what median() has sorted. */
static inline double p90(const double *sorted, int count)
{
    return sorted[count * 9 / 10];
}

#endif
