/* SPDX-License-Identifier: MIT
 *
 * bench-weir.c: jobs on a cluster, and the same on this node's pool alone, for bench.py.
 *
 *   bench-weir ROUNDS NAME TEXT       rounds of the program NAME, see bench-rounds.h
 *   bench-weir text FILE MIB KEYS     makes a text
 *
 * Commands: histogram, kmeans, words; followed by _pool: on the pool; by _default: with no options.
 * doubles: as words, with sums of doubles in order; doubles_any: in any order. barrier, for: empty
 * calls.
 */
#include "bench-jobs.h"

#include <weir-mpi.h>
#include <weir.h>

#include "../bench/count-words.h"
#include "../bench/made-text.h"

#define CALLS 50 /* empty ones a round */

static weir_cluster *cluster;
static const char *text_path;
static const weir_job_options cut = {.chunks = CHUNKS};
static const weir_cluster_job fine = {.block = 1};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, weir_last_error()->message);
    exit(1);
}

/* ---- reductions ----------------------------------------------------------------------------- */

static int fold_pixels(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)task;
    (void)arg;
    count_pixels(range.begin, range.end, accumulator);
    return 0;
}

static void combine_counts(void *into, const void *from, void *arg)
{
    struct counts *sum = into;
    const struct counts *more = from;

    (void)arg;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            sum->of[c][i] += more->of[c][i];
}

static int fold_points(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)task;
    (void)arg;
    assign(range.begin, range.end, accumulator);
    return 0;
}

static void combine_sums(void *into, const void *from, void *arg)
{
    (void)arg;
    add_sums(into, from);
}

/* How a job is called. */
enum way { ON_CLUSTER, ON_POOL, BY_DEFAULT };

static void reduce(enum way way, int64_t count, const weir_reduction *reduction, void *result)
{
    const weir_range range = weir_range_of(count);
    int code;

    if (way == ON_POOL)
        code = weir_pool_reduce(weir_cluster_pool(cluster), range, reduction, result, NULL, &cut);
    else if (way == ON_CLUSTER)
        code = weir_cluster_reduce(cluster, range, reduction, result, NULL, &cut, &fine);
    else
        code = weir_cluster_reduce(cluster, range, reduction, result, NULL, NULL, NULL);
    must(code == 0, "a reduction");
}

static void histogram(enum way way)
{
    const weir_reduction counting = {
        .size = sizeof(struct counts), .fold = fold_pixels, .combine = combine_counts};
    const struct measured begin = measure_now();
    struct counts counts;

    reduce(way, PIXELS, &counting, &counts);
    if (weir_cluster_node(cluster) == 0)
        say_round(begin, 1, digest_counts(&counts));
}

static void kmeans(enum way way)
{
    const weir_reduction step = {
        .size = sizeof(struct sums), .fold = fold_points, .combine = combine_sums};
    const struct measured begin = measure_now();
    struct sums sums;

    reduce(way, POINTS, &step, &sums);
    if (weir_cluster_node(cluster) == 0)
        say_round(begin, 1, digest_sums(&sums));
}

/* ---- words ---------------------------------------------------------------------------------- */

static int sum_words(weir_task *task, weir_range range, void *arg)
{
    const double one = 1;
    weir_text_cursor words;
    weir_text_record word;

    if (weir_text_slice(arg, range, WEIR_TEXT_WORDS, &words) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    while (weir_text_next(&words, &word) == 1)
        weir_emit(task, word.data, word.size, &one, sizeof one);
    return 0;
}

static void add_doubles(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

static const weir_map_reduction counting = {
    .map = count_words, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
static const weir_map_reduction summing = {
    .map = sum_words, .value_size = sizeof(double), .combine = add_doubles};
static const weir_map_reduction summing_any = {
    .map = sum_words, .value_size = sizeof(double), .combine = add_doubles, .any_order = true};

static void words_on_pool(const weir_map_reduction *reduction)
{
    const struct measured begin = measure_now();
    weir_text *text = weir_text_open(weir_cluster_scope(cluster), text_path);
    weir_table *table;

    must(text != NULL, "weir_text_open");
    table = weir_pool_map_reduce(weir_cluster_pool(cluster), weir_text_range(text), reduction, text,
                                 NULL);
    must(table != NULL, "weir_pool_map_reduce");
    say_round(begin, 1, (double)weir_table_len(table));
    weir_table_free(table);
    weir_text_close(text);
}

static void words(enum way way, const weir_map_reduction *reduction)
{
    const bool by_default = way == BY_DEFAULT;
    const struct measured begin = measure_now();
    weir_text *text = weir_text_open(weir_cluster_scope(cluster), text_path);
    weir_cluster_table *table;

    must(text != NULL, "weir_text_open");
    table = weir_cluster_map_reduce(cluster, weir_text_range(text), reduction, text,
                                    by_default ? NULL : &(weir_job_options){.chunks = 16},
                                    by_default ? NULL : &(weir_cluster_job){.block = 1});
    must(table != NULL, "weir_cluster_map_reduce");
    if (weir_cluster_node(cluster) == 0)
        say_round(begin, 1, (double)weir_cluster_table_len(table));
    weir_cluster_table_free(table);
    weir_text_close(text);
}

/* ---- empty calls ---------------------------------------------------------------------------- */

static int nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static void empty(bool barrier)
{
    const struct measured begin = measure_now();

    for (int i = 0; i < CALLS; i++)
        must((barrier ? weir_cluster_barrier(cluster)
                      : weir_cluster_for(cluster, weir_range_of(8), nothing, NULL, NULL,
                                         &(weir_cluster_job){.block = 1})) == 0,
             "an empty call");
    if (weir_cluster_node(cluster) == 0)
        say_round(begin, CALLS, 0);
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void run(const char *command)
{
    const char *ending = strrchr(command, '_');
    const enum way way = ending != NULL && strcmp(ending, "_pool") == 0      ? ON_POOL
                         : ending != NULL && strcmp(ending, "_default") == 0 ? BY_DEFAULT
                                                                             : ON_CLUSTER;

    must(weir_cluster_barrier(cluster) == 0, "weir_cluster_barrier");
    if (strncmp(command, "histogram", 9) == 0)
        histogram(way);
    else if (strncmp(command, "kmeans", 6) == 0)
        kmeans(way);
    else if (strncmp(command, "words", 5) == 0 && way == ON_POOL)
        words_on_pool(&counting);
    else if (strncmp(command, "words", 5) == 0)
        words(way, &counting);
    else if (strncmp(command, "doubles", 7) == 0)
        words(way, strcmp(command, "doubles_any") == 0 ? &summing_any : &summing);
    else
        empty(strcmp(command, "barrier") == 0);
}

static int write_text(const char *path, size_t bytes, uint64_t keys)
{
    char *text = malloc(bytes);
    FILE *file = fopen(path, "we");
    bool good = text != NULL && file != NULL;

    if (good) {
        make_text(text, bytes, keys, 42);
        good = fwrite(text, 1, bytes, file) == bytes;
    }
    if (file != NULL && fclose(file) != 0)
        good = false;
    free(text);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    char command[32];

    if (argc == 5 && strcmp(argv[1], "text") == 0)
        return write_text(argv[2], strtoul(argv[3], NULL, 10) << 20, strtoul(argv[4], NULL, 10));
    if (argc != 4)
        return 2;
    text_path = argv[3];
    make_pixels(); /* before the workers are forked, which have them so */
    make_points();
    cluster = weir_cluster_begin(NULL);
    must(cluster != NULL, "weir_cluster_begin");
    while (next_round(argv[1], argv[2], command))
        run(command);
    return weir_cluster_end(cluster) == 0 ? 0 : 1;
}
