/* SPDX-License-Identifier: MIT
 *
 * from_openmp: what openmp.c and tbb.cc do, with weir.
 *
 *   cc from_openmp.c $(pkg-config --cflags --libs weir) -lm -o from_openmp && ./from_openmp
 */
#include <weir.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define N    100000
#define ROWS 200
#define COLS 300

static weir_pool *pool;
static double *x;
static int32_t *table;

/* ---- parallel for, schedule, reduction(+) ----------------------------------------------------*/

static int take_roots(weir_task *task, weir_range range, void *arg)
{
    double *roots = arg;

    (void)task;
    WEIR_EACH (i, range)
        roots[i] = sqrt((double)i);
    return 0;
}

static int add_roots(weir_task *task, weir_range range, void *sum, void *arg)
{
    const double *roots = arg;

    (void)task;
    WEIR_EACH (i, range)
        *(double *)sum += roots[i];
    return 0;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

static int loop(double *sum)
{
    const weir_range all = weir_range_of(N);
    const weir_reduction adding = {.size = sizeof(double), .fold = add_roots, .combine = add};

    if (weir_pool_for(pool, all, take_roots, x, &(weir_job_options){.grain = 1000}) < 0)
        return -1;
    return weir_pool_reduce(pool, all, &adding, sum, x, NULL);
}

/* ---- threadprivate and critical --------------------------------------------------------------*/

static int count_digits(weir_task *task, weir_range range, void *count, void *arg)
{
    int32_t *counts = count;

    (void)task;
    (void)arg;
    WEIR_EACH (i, range)
        counts[i % 10]++;
    return 0;
}

static void add_counts(void *into, const void *from, void *arg)
{
    (void)arg;
    for (int d = 0; d < 10; d++)
        ((int32_t *)into)[d] += ((const int32_t *)from)[d];
}

static int digits(int32_t *count)
{
    const weir_reduction counting = {
        .size = 10 * sizeof(int32_t), .fold = count_digits, .combine = add_counts};

    return weir_pool_reduce(pool, weir_range_of(N), &counting, count, NULL, NULL);
}

/* ---- collapse(2) -----------------------------------------------------------------------------*/

static int fill_tiles(weir_task *task, weir_range range, void *arg)
{
    int32_t *tiles = arg;

    (void)task;
    WEIR_EACH (i, range) {
        const int64_t row = i / COLS, col = i % COLS;

        tiles[i] = (int32_t)(row * col);
    }
    return 0;
}

/* ---- a region within a region ----------------------------------------------------------------*/

static int add_columns(weir_task *task, weir_range range, void *sum, void *arg)
{
    const int32_t *row = arg;

    (void)task;
    WEIR_EACH (col, range)
        *(double *)sum += row[col];
    return 0;
}

/* In the program or in a task. */
static int row_sum(const int32_t *row, double *sum)
{
    const weir_reduction adding = {.size = sizeof(double), .fold = add_columns, .combine = add};

    return weir_pool_reduce(pool, weir_range_of(COLS), &adding, sum, (void *)row, NULL);
}

static int largest_row(weir_task *task, weir_range rows, void *largest, void *arg)
{
    const int32_t *tiles = arg;
    double sum;

    WEIR_EACH (row, rows) {
        if (row_sum(tiles + row * COLS, &sum) < 0)
            return weir_task_fail(task, 1, "%s", weir_last_error()->message);
        *(double *)largest = fmax(*(double *)largest, sum);
    }
    return 0;
}

static void take_larger(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into = fmax(*(double *)into, *(const double *)from);
}

static int nested(double *largest)
{
    const weir_reduction larger = {
        .size = sizeof(double), .fold = largest_row, .combine = take_larger};

    return weir_pool_reduce(pool, weir_range_of(ROWS), &larger, largest, table, NULL);
}

/* ---- tasks -----------------------------------------------------------------------------------*/

static int power(weir_task *task, void *arg)
{
    const int *base = arg;
    int64_t result = 1;

    for (int i = 0; i < 10; i++)
        result *= *base;
    return weir_task_result(task, &result, sizeof(result));
}

static int tasks(int64_t *sum)
{
    weir_future *futures[3];
    const int64_t *result;

    for (int i = 0; i < 3; i++) {
        const int base = i + 2;

        futures[i] = WEIR_SUBMIT(pool, power, base, NULL); /* the base is copied */
    }
    *sum = 0;
    for (int i = 0; i < 3; i++) {
        result = weir_future_result(futures[i], NULL); /* waits */
        if (result == NULL)
            return -1;
        *sum += *result;
        weir_future_free(futures[i]);
    }
    return 0;
}

/* ---- a pipeline ------------------------------------------------------------------------------*/

static int square(weir_task *task, void *arg)
{
    const int *item = arg;
    const int result = *item * *item;

    return weir_task_result(task, &result, sizeof(result));
}

static void take(const weir_item *item, int *sum, int *last)
{
    *sum += *(const int *)item->data;
    *last = *(const int *)item->data; /* in the order of the input */
}

static int pipeline(int *sum, int *last)
{
    weir_stream *stream = weir_stream_new(pool, square, &(weir_stream_options){.in_flight = 8});
    weir_item item;

    *sum = 0;
    for (int i = 1; i <= 100; i++) {
        if (weir_stream_put(stream, &i, sizeof(i)) < 0)
            return -1;
        while (weir_stream_next(stream, &item, 0) == 1) /* what is ready */
            take(&item, sum, last);
    }
    while (weir_stream_next(stream, &item, -1) == 1) /* the rest */
        take(&item, sum, last);
    weir_stream_free(stream);
    return 0;
}

static int run(weir_scope *scope)
{
    double sum, largest;
    int32_t count[10];
    int64_t powers;
    int squares, last;

    pool = weir_pool_new(scope, &(weir_pool_options){.nested = WEIR_NESTED_SERIAL});
    x = weir_scope_doubles(scope, N);
    table = weir_scope_int32s(scope, (size_t)ROWS * COLS);
    if (pool == NULL || x == NULL || table == NULL)
        return -1;
    if (loop(&sum) < 0 || digits(count) < 0)
        return -1;
    if (weir_pool_for(pool, weir_range_of(ROWS * COLS), fill_tiles, table, NULL) < 0)
        return -1;
    if (nested(&largest) < 0 || tasks(&powers) < 0 || pipeline(&squares, &last) < 0)
        return -1;
    printf("sum of roots %.6f\n", sum);
    printf("sevens %d\n", count[7]);
    printf("last tile %d\n", table[ROWS * COLS - 1]);
    printf("largest row %.0f\n", largest);
    printf("powers %ld\n", (long)powers);
    printf("squares %d, the last one %d\n", squares, last);
    return 0;
}

int main(void)
{
    int status = -1;

    WEIR_SCOPE (scope, NULL) {
        status = run(scope);
    }
    if (status < 0)
        fprintf(stderr, "from_openmp: %s\n", weir_last_error()->message);
    return status < 0;
}
