/* SPDX-License-Identifier: MIT
 *
 * histogram: how often each byte value occurs in files, by a deterministic reduction.
 *
 * The accumulator is an array of 256 counts: each chunk has one of its own, and they are added up.
 * No two workers ever write to the same memory, and there is no lock.
 *
 *   cc histogram.c $(pkg-config --cflags --libs weir) -o histogram && ./histogram FILE...
 *
 * Prints one line for each byte value that occurs: the value, the count, and a bar.
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>

struct histogram {
    int64_t count[256];
};

/* Counts the part of each file that lies in the range. */
static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const weir_text *text = *(weir_text *const *)arg;
    struct histogram *histogram = accumulator;
    int64_t begin = 0;

    for (size_t file = 0; file < weir_text_files(text); file++) {
        size_t size;
        const unsigned char *data = (const unsigned char *)weir_text_data(text, file, &size);
        const int64_t end = begin + (int64_t)size;

        if (data == NULL)
            return weir_task_fail(task, 1, "%s", weir_last_error()->message);
        for (int64_t i = range.begin > begin ? range.begin : begin; i < end && i < range.end; i++)
            histogram->count[data[i - begin]]++;
        begin = end;
    }
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    struct histogram *sum = into;
    const struct histogram *more = from;

    (void)arg;
    for (int i = 0; i < 256; i++)
        sum->count[i] += more->count[i];
}

static void print(const struct histogram *histogram)
{
    int64_t most = 1;

    for (int i = 0; i < 256; i++)
        most = histogram->count[i] > most ? histogram->count[i] : most;
    for (int i = 0; i < 256; i++) {
        int width = (int)(histogram->count[i] * 50 / most);

        if (histogram->count[i] > 0)
            printf("%02x %c %10" PRId64 " %.*s\n", i, i > 32 && i < 127 ? i : ' ',
                   histogram->count[i], width,
                   "##################################################");
    }
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_scope *scope, char **paths, size_t count)
{
    const weir_reduction counting = {
        .size = sizeof(struct histogram), .fold = fold, .combine = combine};
    const weir_job_options options = {.arg_size = sizeof(weir_text *)};
    struct histogram histogram;

    weir_pool *pool = weir_pool_new(scope, NULL);
    if (pool == NULL)
        return 1;
    weir_text *text = weir_text_open_many(scope, (const char *const *)paths, count);
    if (text == NULL)
        return 1;

    if (weir_pool_reduce(pool, weir_text_range(text), &counting, &histogram, &text, &options) < 0)
        return 1;
    print(&histogram);
    return 0;
}

int main(int argc, char **argv)
{
    int status = 1;

    if (argc < 2) {
        fprintf(stderr, "usage: histogram FILE...\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, argv + 1, (size_t)argc - 1);
    }
    if (status != 0)
        fprintf(stderr, "histogram: %s\n", weir_last_error()->message);
    return status;
}
