/* SPDX-License-Identifier: MIT
 *
 * bench-matrix-multiply.c: C = A B for square matrices of doubles.
 *
 * weir runs over the rows of C in bands, on arrays of the scope; OpenMP does the same by a parallel
 * loop, into a C of its own. Both use the same loops. The numbers are whole and small, so all sums
 * are exact.
 */
#include "kernel.h"

#include <stdlib.h>
#include <string.h>

#define BAND    16  /* rows of C that are made at a time */
#define DEEP    64  /* rows ... */
#define COLUMNS 256 /* ... and columns of B that stay in the cache meanwhile */

struct matrices {
    double *a, *b, *c;
    int64_t size; /* a multiple of BAND */
    uint64_t seed;
};

static struct matrices matrices;
static double *openmp_c;

/* Two rows of C += 2 x 4 items of A * four rows of B, for some columns. */
static void add_block(const double *restrict a, const double *restrict b, double *restrict c,
                      int64_t n, int64_t columns)
{
    const double *restrict b0 = b, *restrict b1 = b + n;
    const double *restrict b2 = b + 2 * n, *restrict b3 = b + 3 * n;
    double *restrict c0 = c, *restrict c1 = c + n;

    for (int64_t j = 0; j < columns; j++) {
        c0[j] += a[0] * b0[j] + a[1] * b1[j] + a[2] * b2[j] + a[3] * b3[j];
        c1[j] += a[n] * b0[j] + a[n + 1] * b1[j] + a[n + 2] * b2[j] + a[n + 3] * b3[j];
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Rows of C from `begin` to before `end`, which are multiples of BAND. */
SHARED_LOOP void multiply_rows(const struct matrices *m, double *c, int64_t begin, int64_t end)
{
    const int64_t n = m->size;

    memset(c + begin * n, 0, (size_t)((end - begin) * n) * sizeof *c);
    for (int64_t j = 0; j < n; j += COLUMNS) {
        for (int64_t k = 0; k < n; k += DEEP) {
            for (int64_t i = begin; i < end; i += 2) {
                for (int64_t l = k; l < least(k + DEEP, n); l += 4)
                    add_block(m->a + i * n + l, m->b + l * n + j, c + i * n + j, n,
                              least(COLUMNS, n - j));
            }
        }
    }
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int multiply(weir_task *task, weir_range bands, void *arg)
{
    const struct matrices *m = arg;

    (void)task;
    multiply_rows(m, m->c, bands.begin * BAND, bands.end * BAND);
    return 0;
}

static void by_weir(const struct bench *bench)
{
    const weir_job_options options = {.arg_size = sizeof matrices, .grain = 1, .retries = 1};

    must(weir_pool_for(bench->pool, (weir_range){0, matrices.size / BAND}, multiply, &matrices,
                       &options) == 0,
         "weir_pool_for");
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

static void by_openmp(const struct bench *bench)
{
    const struct matrices m = matrices;

#pragma omp parallel for num_threads(bench->workers) schedule(dynamic, 1)
    for (int64_t band = 0; band < m.size / BAND; band++)
        multiply_rows(&m, openmp_c, band * BAND, band * BAND + BAND);
}

/* ---- both ----------------------------------------------------------------------------------- */

static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct matrices *m = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++) {
        m->a[i] = (double)(random_of(m->seed, (uint64_t)i) % 17) - 8;
        m->b[i] = (double)(random_of(m->seed + 1, (uint64_t)i) % 17) - 8;
    }
    return 0;
}

static void prepare(const struct bench *bench)
{
    int64_t size = BAND;
    weir_array *array[3];

    while (3 * (size + BAND) * (size + BAND) * (int64_t)sizeof(double) <= bench->bytes)
        size += BAND;
    for (int i = 0; i < 3; i++) {
        array[i] =
            weir_scope_array(bench->scope, WEIR_FLOAT64, 2, (const int64_t[]){size, size}, 0);
        must(array[i] != NULL, "weir_scope_array");
    }
    matrices = (struct matrices){weir_array_data(array[0]), weir_array_data(array[1]),
                                 weir_array_data(array[2]), size, bench->seed};
    must(weir_pool_for(bench->pool, (weir_range){0, size * size}, fill, &matrices,
                       &(weir_job_options){.arg_size = sizeof matrices}) == 0,
         "weir_pool_for");
    free(openmp_c);
    openmp_c = malloc((size_t)(size * size) * sizeof *openmp_c);
    if (openmp_c == NULL)
        abort();
}

static double difference(void)
{
    const size_t bytes = (size_t)(matrices.size * matrices.size) * sizeof(double);

    return memcmp(matrices.c, openmp_c, bytes) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "matrix_multiply",
        .target = 1.05,
        .mib = 200,
        .rounds = 5,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };
    int status = kernel_main(argc, argv, &kernel, 1);

    free(openmp_c);
    return status;
}
