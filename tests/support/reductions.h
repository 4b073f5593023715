/* SPDX-License-Identifier: MIT
 *
 * reductions.h: what the tests that a reduction has the same bits have in common.
 */
#ifndef TEST_REDUCTIONS_H
#define TEST_REDUCTIONS_H

#include <weir-map-reduce.h>

/* Numbers whose sum is another one in almost any other order. */
static inline double awkward_double(int64_t i)
{
    return 1.0 / (double)(i + 1) * (i % 3 ? 1e8 : 1e-8);
}

static inline int add_awkward(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    double *sum = accumulator;

    (void)task;
    (void)arg;
    WEIR_EACH (i, range)
        *sum += awkward_double(i);
    return 0;
}

static const weir_reduction sum_awkward = {
    .size = sizeof(double), .fold = add_awkward, .combine = weir_sum_double};

static inline uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return hash;
}

#define NO_BYTES UINT64_C(14695981039346656037)

/* Of all keys and values, and the order they come in. */
static inline uint64_t fingerprint(const weir_table *table)
{
    weir_table_cursor cursor = {0};
    uint64_t hash = NO_BYTES;
    weir_pair pair;

    while (weir_table_next(table, &cursor, &pair) == 1) {
        hash = mix_bytes(hash, pair.key, pair.key_size);
        hash = mix_bytes(hash, pair.value, pair.value_size);
    }
    return hash;
}

#endif
