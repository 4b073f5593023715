/* SPDX-License-Identifier: MIT
 *
 * bench-jobs.h: the loops that bench-weir and bench-peer share, and their data.
 */
#ifndef MPI_BENCH_JOBS_H
#define MPI_BENCH_JOBS_H

#include <stdint.h>
#include <stdlib.h>

#include "../bench/random-of.h"
#include "bench-rounds.h"

#define PIXELS   (INT64_C(32) << 20)
#define PASSES   48 /* that are made over a part of the pixels */
#define POINTS   (INT64_C(4) << 20)
#define CLUSTERS 64
#define AXES     8
#define CHUNKS   256

#define SHARED_LOOP __attribute__((noinline)) static

/* ---- a histogram ---------------------------------------------------------------------------- */

struct counts {
    int64_t of[3][256];
};

static unsigned char *pixels; /* three bytes each */

SHARED_LOOP void count_pixels(int64_t begin, int64_t end, struct counts *restrict counts)
{
    const unsigned char *restrict data = pixels;

    for (int pass = 0; pass < PASSES; pass++) {
        for (int64_t i = begin; i < end; i++) {
            counts->of[0][data[3 * i]]++;
            counts->of[1][data[3 * i + 1]]++;
            counts->of[2][data[3 * i + 2]]++;
        }
        __asm__ volatile("" ::: "memory"); /* each pass reads them again */
    }
}

static inline void make_pixels(void)
{
    pixels = malloc((size_t)PIXELS * 3);
    if (pixels == NULL)
        abort();
    for (int64_t i = 0; i < PIXELS; i++) {
        uint64_t random = random_of(1, (uint64_t)i);

        for (int c = 0; c < 3; c++, random >>= 16)
            pixels[3 * i + c] = (unsigned char)((random & 255) * (random >> 8 & 255) >> 8);
    }
}

static inline double digest_counts(const struct counts *counts)
{
    double sum = 0;

    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            sum += (double)counts->of[c][i] * (c * 256 + i);
    return sum;
}

/* ---- a step of k-means ---------------------------------------------------------------------- */

struct point {
    double at[AXES];
};

struct sums {
    struct point sum[CLUSTERS];
    double count[CLUSTERS];
};

static struct point *points;

static inline int find_nearest(const struct point *point)
{
    double best = 0;
    int nearest = -1;

    for (int c = 0; c < CLUSTERS; c++) {
        double distance = 0;

        for (int k = 0; k < AXES; k++) {
            const double d = point->at[k] - points[POINTS / CLUSTERS * c].at[k];

            distance += d * d;
        }
        if (nearest < 0 || distance < best) {
            best = distance;
            nearest = c;
        }
    }
    return nearest;
}

SHARED_LOOP void assign(int64_t begin, int64_t end, struct sums *restrict sums)
{
    for (int64_t i = begin; i < end; i++) {
        const int c = find_nearest(&points[i]);

        for (int k = 0; k < AXES; k++)
            sums->sum[c].at[k] += points[i].at[k];
        sums->count[c]++;
    }
}

static inline void add_sums(struct sums *into, const struct sums *from)
{
    for (int c = 0; c < CLUSTERS; c++) {
        for (int k = 0; k < AXES; k++)
            into->sum[c].at[k] += from->sum[c].at[k];
        into->count[c] += from->count[c];
    }
}

static inline void make_points(void)
{
    points = malloc((size_t)POINTS * sizeof *points);
    if (points == NULL)
        abort();
    for (int64_t i = 0; i < POINTS; i++)
        for (int k = 0; k < AXES; k++)
            points[i].at[k] = random_real(2, (uint64_t)(i * AXES + k));
}

static inline double digest_sums(const struct sums *sums)
{
    double sum = 0;

    for (int c = 0; c < CLUSTERS; c++)
        sum += sums->sum[c].at[0] * sums->count[c];
    return sum;
}

#endif
