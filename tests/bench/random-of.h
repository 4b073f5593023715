/* SPDX-License-Identifier: MIT
 *
 * random-of.h: numbers that look random, the same for the same seed and index.
 */
#ifndef BENCH_RANDOM_OF_H
#define BENCH_RANDOM_OF_H

#include <stdint.h>

/* 64 bits. */
static inline uint64_t random_of(uint64_t seed, uint64_t index)
{
    uint64_t x = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* 0 to below 1. */
static inline double random_real(uint64_t seed, uint64_t index)
{
    return (double)(random_of(seed, index) >> 11) / 0x1p53;
}

#endif
