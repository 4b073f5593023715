/* SPDX-License-Identifier: MIT
 *
 * mean: mean and variance of a large array of doubles in shared memory.
 *
 * Each chunk of the array gets its own count, mean and sum of squared deviations, in one pass and
 * without the cancellation that a sum of squares suffers from; the host combines them in the order
 * of the chunks. How an array is cut does not depend on the number of workers, so neither does the
 * result, to the last bit.
 *
 *   cc mean.c $(pkg-config --cflags --libs weir) -o mean && ./mean [COUNT [WORKERS]]
 *
 * Prints the count, the mean and the variance of 0, 1, ..., COUNT - 1.
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNKS 64

/* The moments of some of the values. */
struct moments {
    double count;
    double mean;
    double squares; /* sum of the squared deviations from the mean */
};

/* What the workers share. It is copied to them; the pointers are good everywhere. */
struct job {
    double *values;
    struct moments *parts; /* one a chunk */
};

static void add_value(struct moments *m, double value)
{
    double delta = value - m->mean;

    m->count += 1;
    m->mean += delta / m->count;
    m->squares += delta * (value - m->mean);
}

static void add_moments(struct moments *m, const struct moments *other)
{
    double count = m->count + other->count;
    double delta = other->mean - m->mean;

    if (other->count == 0)
        return;
    m->mean += delta * other->count / count;
    m->squares += other->squares + delta * delta * m->count * other->count / count;
    m->count = count;
}

/* Stands for reading the data: 0, 1, 2, ..., whose moments are known. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct job *job = arg;

    (void)task;
    WEIR_EACH (i, range)
        job->values[i] = (double)i;
    return 0;
}

static int measure(weir_task *task, weir_range range, void *arg)
{
    const struct job *job = arg;
    struct moments m = {0};

    WEIR_EACH (i, range)
        add_value(&m, job->values[i]);
    job->parts[weir_task_chunk(task)] = m;
    return 0;
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_scope *scope, int64_t count, int workers)
{
    const weir_job_options options = {.chunks = CHUNKS, .arg_size = sizeof(struct job)};
    const weir_range all = weir_range_of(count);
    struct moments total = {0};
    struct job job;

    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    if (pool == NULL)
        return 1;
    double *values = weir_scope_doubles(scope, (size_t)count);
    if (values == NULL)
        return 1;
    weir_shm *parts = weir_scope_shm(scope, CHUNKS * sizeof(struct moments));
    if (parts == NULL)
        return 1;

    job = (struct job){values, weir_shm_buf(parts)};
    if (weir_pool_for(pool, all, fill, &job, &options) < 0 ||
        weir_pool_for(pool, all, measure, &job, &options) < 0)
        return 1;
    for (int i = 0; i < CHUNKS; i++)
        add_moments(&total, &job.parts[i]);
    printf("count    %" PRId64 "\n", count);
    printf("mean     %.17g\n", total.mean);
    printf("variance %.17g\n", total.squares / total.count);
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
    int64_t count = argc > 1 ? parse(argv[1], INT64_C(1) << 40) : 4000000;
    int64_t workers = argc > 2 ? parse(argv[2], WEIR_WORKERS_MAX) : weir_cpu_count();
    int status = 1;

    if (count < 0 || workers < 0 || argc > 3) {
        fprintf(stderr, "usage: mean [COUNT (1 to 2^40) [WORKERS (1 to %d)]]\n", WEIR_WORKERS_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, count, (int)workers);
    }
    if (status != 0)
        fprintf(stderr, "mean: %s\n", weir_last_error()->message);
    return status;
}
