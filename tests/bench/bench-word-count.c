/* SPDX-License-Identifier: MIT
 *
 * bench-word-count.c: weir's side of the word counts that beside.py runs.
 *
 *     bench-word-count text FILE KEYS      makes the text
 *     bench-word-count FILE WORKERS        one round for each line on stdin; prints its
 *                                          microseconds, and at the end keys and words on stderr
 */
#include "words.h"

#include <inttypes.h>
#include <weir.h>

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, weir_last_error()->message);
    exit(1);
}

static int count(weir_task *task, weir_range range, void *arg)
{
    weir_cursor words;
    weir_piece word;

    if (weir_text_slice(arg, range, WEIR_SPLIT_WORDS, &words) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    while (weir_cursor_next(&words, &word))
        weir_emit_int64(task, word.data, word.size, 1);
    return 0;
}

static int64_t keys, sum;

static double round_us(weir_manager *scope, weir_pool *pool, const char *path)
{
    const weir_map_reduction counting = {
        .map = count, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    double begin = now_us();
    weir_text *text = weir_text_open(scope, path);
    uint64_t position = 0;
    weir_table *table;
    weir_pair pair;

    must(text != NULL, "weir_text_open");
    table = weir_pool_map_reduce(pool, weir_text_range(text), &counting, text, NULL);
    must(table != NULL, "weir_pool_map_reduce");
    begin = now_us() - begin;
    keys = weir_table_len(table);
    for (sum = 0; weir_table_next(table, &position, &pair);)
        sum += *(const int64_t *)pair.value;
    weir_table_free(table);
    weir_text_close(text);
    return begin;
}

int main(int argc, char **argv)
{
    char line[64];

    if (argc == 4 && strcmp(argv[1], "text") == 0) {
        make_text(argv[2], strtoull(argv[3], NULL, 10));
        return 0;
    }
    if (argc != 3)
        return 2;
    WEIR_SCOPE (scope, NULL) {
        weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = atoi(argv[2])});

        must(pool != NULL, "weir_pool_new");
        round_us(scope, pool, argv[1]);
        while (fgets(line, sizeof line, stdin)) {
            printf("%.5f\n", round_us(scope, pool, argv[1]));
            fflush(stdout);
        }
        fprintf(stderr, "%" PRId64 " keys, %" PRId64 " words\n", keys, sum);
    }
    return 0;
}
