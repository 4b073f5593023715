/* SPDX-License-Identifier: MIT
 *
 * linear_regression: the line that fits the points of two large arrays best.
 *
 * Each chunk finds the means of its points, and then how they spread around them, without the
 * cancellation that plain sums of squares suffer from, nor a division for each point; two
 * neighbours combine into one. The result has the same bits for any number of workers.
 *
 *   cc linear_regression.c $(pkg-config --cflags --libs weir) -o linear_regression
 *   ./linear_regression [COUNT [WORKERS]]
 *
 * Prints the line's slope and intercept, and how well it fits.
 */
#include <weir.h>

#include <stdio.h>
#include <stdlib.h>

/* The moments of some of the points: squared deviations from the means, and their products. */
struct moments {
    double count, mean_x, mean_y, xx, xy, yy;
};

/* What the workers share. It is copied to them; the pointers are good everywhere. */
struct points {
    double *x, *y;
};

/* Stands for reading the data: y = 3 - x / 2, and noise from -1 to 1 that looks random. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct points *points = arg;

    (void)task;
    WEIR_EACH (i, range) {
        uint64_t noise = ((uint64_t)i + 1) * 0x9e3779b97f4a7c15;

        noise = (noise ^ noise >> 31) * 0xbf58476d1ce4e5b9;
        points->x[i] = (double)(i % 1000) / 10;
        points->y[i] = 3 - points->x[i] / 2 + (double)(noise >> 11) / 0x1p52 - 1;
    }
    return 0;
}

static int add_points(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const struct points *points = arg;
    struct moments m = {.count = (double)(range.end - range.begin)};

    (void)task;
    WEIR_EACH (i, range) {
        m.mean_x += points->x[i];
        m.mean_y += points->y[i];
    }
    m.mean_x /= m.count;
    m.mean_y /= m.count;
    WEIR_EACH (i, range) {
        double dx = points->x[i] - m.mean_x, dy = points->y[i] - m.mean_y;

        m.xx += dx * dx;
        m.xy += dx * dy;
        m.yy += dy * dy;
    }
    *(struct moments *)accumulator = m;
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    struct moments *a = into;
    const struct moments *b = from;
    double count = a->count + b->count, weight = a->count * b->count / count;
    double dx = b->mean_x - a->mean_x, dy = b->mean_y - a->mean_y;

    (void)arg;
    a->xx += b->xx + dx * dx * weight;
    a->xy += b->xy + dx * dy * weight;
    a->yy += b->yy + dy * dy * weight;
    a->mean_x += dx * b->count / count;
    a->mean_y += dy * b->count / count;
    a->count = count;
}

static void print(const struct moments *m)
{
    double slope = m->xy / m->xx;

    printf("slope     %.17g\n", slope);
    printf("intercept %.17g\n", m->mean_y - slope * m->mean_x);
    printf("r squared %.17g\n", slope * m->xy / m->yy);
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_scope *scope, int64_t count, int workers)
{
    const weir_reduction fit = {
        .size = sizeof(struct moments), .fold = add_points, .combine = combine};
    const weir_job_options options = {.arg_size = sizeof(struct points)};
    const weir_range all = weir_range_of(count);
    struct points points;
    struct moments moments;

    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    if (pool == NULL)
        return 1;
    double *x = weir_scope_doubles(scope, (size_t)count);
    if (x == NULL)
        return 1;
    double *y = weir_scope_doubles(scope, (size_t)count);
    if (y == NULL)
        return 1;

    points = (struct points){x, y};
    if (weir_pool_for(pool, all, fill, &points, &options) < 0 ||
        weir_pool_reduce(pool, all, &fit, &moments, &points, &options) < 0)
        return 1;
    print(&moments);
    return 0;
}

/* A decimal number from min to max, or -1. */
static int64_t parse(const char *text, int64_t min, int64_t max)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    return *end || number < min || number > max ? -1 : number;
}

int main(int argc, char **argv)
{
    int64_t count = argc > 1 ? parse(argv[1], 2, INT64_C(1) << 40) : 4000000;
    int64_t workers = argc > 2 ? parse(argv[2], 1, WEIR_WORKERS_MAX) : weir_cpu_count();
    int status = 1;

    if (count < 0 || workers < 0 || argc > 3) {
        fprintf(stderr, "usage: linear_regression [COUNT (2 to 2^40) [WORKERS (1 to %d)]]\n",
                WEIR_WORKERS_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, count, (int)workers);
    }
    if (status != 0)
        fprintf(stderr, "linear_regression: %s\n", weir_last_error()->message);
    return status;
}
