/* SPDX-License-Identifier: MIT
 *
 * pi: the area under 4 / (1 + x^2) from 0 to 1, by a deterministic reduce.
 *
 * A sum of doubles depends on the order of its terms. weir_pool_reduce() cuts the range and puts
 * the parts together in an order that depends on the range alone, so the last digit is the same for
 * any number of workers, and if some of them are killed on the way. On a terminal a bar shows how
 * far it is.
 *
 *   cc pi.c $(pkg-config --cflags --libs weir) -o pi && ./pi [STEPS [WORKERS]]
 *
 * Prints the area, which is pi.
 */
#include <weir.h>

#include <stdio.h>
#include <stdlib.h>

/* In a worker: the steps of the range, added to this chunk's accumulator. */
static int add_steps(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const double step = *(const double *)arg;
    double sum = 0;

    (void)task;
    WEIR_EACH (i, range) {
        double x = ((double)i + 0.5) * step;

        sum += 4 / (1 + x * x);
    }
    *(double *)accumulator += sum * step;
    return 0;
}

/* Here: two neighbours become one. */
static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_scope *scope, int64_t steps, int workers)
{
    const weir_reduction sum = {.size = sizeof(double), .fold = add_steps, .combine = add};
    const weir_job_options options = {.chunks = 256, .arg_size = sizeof(double), .progress = "pi"};
    double step = 1 / (double)steps, pi;
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});

    if (pool == NULL)
        return 1;
    if (weir_pool_reduce(pool, weir_range_of(steps), &sum, &pi, &step, &options) < 0)
        return 1;
    printf("%.15f\n", pi);
    return 0;
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
    int64_t steps = argc > 1 ? parse(argv[1], INT64_C(1) << 40) : 100000000;
    int64_t workers = argc > 2 ? parse(argv[2], WEIR_WORKERS_MAX) : weir_cpu_count();
    int status = 1;

    if (steps < 0 || workers < 0 || argc > 3) {
        fprintf(stderr, "usage: pi [STEPS (1 to 2^40) [WORKERS (1 to %d)]]\n", WEIR_WORKERS_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, steps, (int)workers);
    }
    if (status != 0)
        fprintf(stderr, "pi: %s\n", weir_last_error()->message);
    return status;
}
