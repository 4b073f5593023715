/* SPDX-License-Identifier: MIT
 *
 * matrix_multiply: C = A B for square matrices that are arrays of the scope.
 *
 * The workers read A and B and write C where they are; nothing is copied. Each chunk is a band of
 * rows of C. The host checks the product by a sum that can be had without it.
 *
 *   cc matrix_multiply.c $(pkg-config --cflags --libs weir) -o matrix_multiply
 *   ./matrix_multiply [SIZE [WORKERS]]
 *
 * Prints the sum of all items of C, and the sum that was expected.
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAND  8   /* rows of a chunk */
#define BLOCK 128 /* rows of B that stay in the cache while a band uses them */

/* What the workers share. It is copied to them; the pointers are good everywhere. */
struct job {
    int64_t size;
    double *a, *b, *c;
};

/* Stands for reading the data: whole numbers, so that all sums are exact. */
static int fill(weir_task *task, weir_range rows, void *arg)
{
    const struct job *job = arg;

    (void)task;
    for (int64_t i = rows.begin; i < rows.end; i++) {
        for (int64_t j = 0; j < job->size; j++) {
            job->a[i * job->size + j] = (double)((i + 2 * j) % 7);
            job->b[i * job->size + j] = (double)((3 * i + j) % 5 - 2);
        }
    }
    return 0;
}

/* to += factor * from, for a row. */
static void add_row(double *restrict to, const double *restrict from, double factor, int64_t size)
{
    for (int64_t j = 0; j < size; j++)
        to[j] += factor * from[j];
}

static int multiply(weir_task *task, weir_range rows, void *arg)
{
    const struct job *job = arg;
    const int64_t n = job->size;

    (void)task;
    memset(job->c + rows.begin * n, 0, (size_t)((rows.end - rows.begin) * n) * sizeof(double));
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t last = first + BLOCK < n ? first + BLOCK : n;

        for (int64_t i = rows.begin; i < rows.end; i++) {
            for (int64_t k = first; k < last; k++)
                add_row(job->c + i * n, job->b + k * n, job->a[i * n + k], n);
        }
    }
    return 0;
}

/* The sum of all items of C is that of (column k of A) * (row k of B). */
static double expected_sum(const struct job *job)
{
    double sum = 0;

    for (int64_t k = 0; k < job->size; k++) {
        double column = 0, row = 0;

        for (int64_t i = 0; i < job->size; i++) {
            column += job->a[i * job->size + k];
            row += job->b[k * job->size + i];
        }
        sum += column * row;
    }
    return sum;
}

/* Returns 0, 1 if the product is wrong, or -1 with the last error set. */
static int run(weir_scope *scope, int64_t size, int workers)
{
    const weir_range rows = {0, size};
    const int64_t shape[] = {size, size};
    weir_job_options options = {.grain = BAND, .arg_size = sizeof(struct job)};
    double sum = 0, expected;
    struct job job;

    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    if (pool == NULL)
        return -1;
    weir_array *a = weir_scope_array(scope, WEIR_FLOAT64, 2, shape, 0);
    if (a == NULL)
        return -1;
    weir_array *b = weir_scope_array(scope, WEIR_FLOAT64, 2, shape, 0);
    if (b == NULL)
        return -1;
    weir_array *c = weir_scope_array(scope, WEIR_FLOAT64, 2, shape, 0);
    if (c == NULL)
        return -1;

    job = (struct job){size, weir_array_data(a), weir_array_data(b), weir_array_data(c)};
    if (weir_pool_for(pool, rows, fill, &job, &options) < 0)
        return -1;
    options.retries = 1; /* a band can be computed again */
    if (weir_pool_for(pool, rows, multiply, &job, &options) < 0)
        return -1;
    for (int64_t i = 0; i < size * size; i++)
        sum += job.c[i];
    expected = expected_sum(&job);
    printf("sum %.0f, expected %.0f\n", sum, expected);
    return sum == expected ? 0 : 1;
}

/* A decimal number from 1 to max, or -1. */
static int64_t parse(const char *text, int64_t max)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    return *end || number < 1 || number > max ? -1 : number;
}

int main(int argc, char **argv)
{
    int64_t size = argc > 1 ? parse(argv[1], 1 << 16) : 768;
    int64_t workers = argc > 2 ? parse(argv[2], WEIR_WORKERS_MAX) : weir_cpu_count();
    int status = -1;

    if (size < 0 || workers < 0 || argc > 3) {
        fprintf(stderr, "usage: matrix_multiply [SIZE (1 to 65536) [WORKERS (1 to %d)]]\n",
                WEIR_WORKERS_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, size, (int)workers);
    }
    if (status < 0)
        fprintf(stderr, "matrix_multiply: %s\n", weir_last_error()->message);
    return status != 0;
}
