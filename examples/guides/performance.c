/* SPDX-License-Identifier: MIT
 *
 * performance [CHUNKS]: a large array that the workers make ready themselves, in huge pages if the
 * system gives any, and a loop whose items cost differently.
 *
 *   cc performance.c $(pkg-config --cflags --libs weir) -o performance && ./performance
 *
 * Times go to stderr.
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define N 8000000 /* 64 MB */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Each worker gives its own part its memory, and writes to it first. */
static int make_ready(weir_task *task, weir_range range, void *arg)
{
    weir_array *array = arg;
    double *x = weir_array_data(array);

    if (weir_array_populate(array, range) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    WEIR_EACH (i, range)
        x[i] = (double)(i % 1000);
    return 0;
}

/* The sum in a local variable: the compiler keeps it in a register. */
static int add_up(weir_task *task, weir_range range, void *sum, void *arg)
{
    const double *x = arg;
    double local = 0;

    (void)task;
    WEIR_EACH (i, range)
        local += x[i];
    *(double *)sum += local;
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

/* Item i costs i steps. */
static int uneven(weir_task *task, weir_range range, void *sum, void *arg)
{
    (void)task;
    (void)arg;
    WEIR_EACH (i, range)
        for (int64_t step = 0; step < i; step++)
            *(double *)sum += (double)(step & 1);
    return 0;
}

static int run(weir_scope *scope, int64_t chunks)
{
    const int64_t shape[] = {N};
    const weir_reduction sum = {.size = sizeof(double), .fold = add_up, .combine = combine};
    const weir_reduction steps = {.size = sizeof(double), .fold = uneven, .combine = combine};
    weir_job_report report = {0};
    double total, cost, began = now();

    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.pin = true});
    weir_array *array =
        weir_scope_array(scope, WEIR_FLOAT64, 1, shape, WEIR_ARRAY_LAZY | WEIR_ARRAY_HUGE);
    if (pool == NULL || array == NULL)
        return -1;
    if (weir_pool_for(pool, weir_range_of(N), make_ready, array, NULL) < 0)
        return -1;
    fprintf(stderr, "ready after %.3f s\n", now() - began);
    began = now();
    if (weir_pool_reduce(pool, weir_range_of(N), &sum, &total, weir_array_data(array), NULL) < 0)
        return -1;
    fprintf(stderr, "added up in %.3f s\n", now() - began);
    began = now();
    if (weir_pool_reduce(pool, weir_range_of(4000), &steps, &cost, NULL,
                         &(weir_job_options){.chunks = chunks, .report = &report}) < 0)
        return -1;
    fprintf(stderr, "uneven items in %.3f s\n", now() - began);
    printf("sum %.0f, steps %.0f, %" PRIu64 " chunks\n", total, cost, report.chunks);
    return 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    WEIR_SCOPE (scope, NULL) {
        status = run(scope, argc > 1 ? atoll(argv[1]) : 0);
    }
    if (status < 0)
        fprintf(stderr, "performance: %s\n", weir_last_error()->message);
    return status < 0;
}
