/* SPDX-License-Identifier: MIT
 *
 * first_program [CRASH [RETRIES]]: square roots in a shared array, and their sum.
 *
 *   cc first_program.c $(pkg-config --cflags --libs weir) -lm -o first_program && ./first_program
 *
 * With CRASH the worker that comes to this item crashes; with RETRIES its chunk is run again up to
 * so many times, and only the first attempt crashes.
 */
#include <weir.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT 1000000

static int64_t crash = -1; /* set before the pool is made, so workers have it */

/* In a worker: one chunk. */
static int take_roots(weir_task *task, weir_range range, void *arg)
{
    double *x = arg;

    WEIR_EACH (i, range) {
        if (i == crash && weir_task_attempt(task) == 1)
            abort();
        x[i] = sqrt((double)i);
    }
    return 0;
}

/* In a worker: adds a chunk up. */
static int add_up(weir_task *task, weir_range range, void *sum, void *arg)
{
    const double *x = arg;
    double *total = sum;

    (void)task;
    WEIR_EACH (i, range)
        *total += x[i];
    return 0;
}

/* In the program: the sum of an earlier and a later part. */
static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

static int run(weir_scope *scope, int retries)
{
    const weir_reduction sum = {.size = sizeof(double), .fold = add_up, .combine = combine};
    double total;

    weir_pool *pool = weir_pool_new(scope, NULL);
    double *x = weir_scope_doubles(scope, COUNT);
    if (pool == NULL || x == NULL)
        return -1;
    if (weir_pool_for(pool, weir_range_of(COUNT), take_roots, x,
                      &(weir_job_options){.retries = retries}) < 0)
        return -1;
    if (weir_pool_reduce(pool, weir_range_of(COUNT), &sum, &total, x, NULL) < 0)
        return -1;
    printf("%.6f\n", total);
    return 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    if (argc > 1)
        crash = atoll(argv[1]);
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, argc > 2 ? atoi(argv[2]) : 0);
    }
    if (status < 0)
        fprintf(stderr, "first_program: %s\n", weir_last_error()->message);
    return status < 0;
}
