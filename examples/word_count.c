/* SPDX-License-Identifier: MIT
 *
 * word_count: counts the words of text files over a pool and prints the most frequent ones.
 *
 * A word is a run of ASCII letters, digits, and bytes of other characters; case counts. So for one
 * file the counts are those of
 *   LC_ALL=C tr -cs 'A-Za-z0-9\200-\377' '\n' <FILE | sed '/^$/d' | sort | uniq -c
 *
 *   cc word_count.c $(pkg-config --cflags --libs weir) -o word_count
 *   ./word_count FILE [TOP (10; 0: all) [WORKERS (0: one a CPU)]]
 *
 * Prints the count and the word, the most frequent one first.
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* In a worker: emits the words of a chunk. */
static int count(weir_task *task, weir_range range, void *text)
{
    weir_text_cursor words;
    weir_text_record word;

    if (weir_text_slice(text, range, WEIR_TEXT_WORDS, &words) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    while (weir_text_next(&words, &word) == 1)
        weir_emit_int64(task, word.data, word.size, 1);
    return 0;
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_scope *scope, const char *path, size_t top, int workers)
{
    const weir_map_reduction counting = {
        .map = count, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    size_t found;

    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    if (pool == NULL)
        return 1;
    weir_text *text = weir_text_open(scope, path);
    if (text == NULL)
        return 1;
    weir_table *table = weir_pool_map_reduce(pool, weir_text_range(text), &counting, text, NULL);
    if (table == NULL)
        return 1;
    weir_pair *pairs = weir_table_sorted(table, weir_pair_by_int64, top, &found);
    if (pairs == NULL)
        return 1;

    for (size_t i = 0; i < found; i++)
        printf("%7" PRId64 " %s\n", *(const int64_t *)pairs[i].value, pairs[i].key);
    free(pairs);
    return 0;
}

/* A decimal number from 0 to max, or -1. */
static long parse(const char *text, long max)
{
    char *end;
    long number = strtol(text, &end, 10);

    return end == text || *end || number < 0 || number > max ? -1 : number;
}

int main(int argc, char **argv)
{
    long top = argc > 2 ? parse(argv[2], INT32_MAX) : 10;
    long workers = argc > 3 ? parse(argv[3], WEIR_WORKERS_MAX) : 0;
    int status = 1;

    if (argc < 2 || argc > 4 || top < 0 || workers < 0) {
        fprintf(stderr, "usage: word_count FILE [TOP (10; 0: all) [WORKERS (0: one a CPU)]]\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, argv[1], (size_t)top, (int)workers);
    }
    if (status != 0)
        fprintf(stderr, "word_count: %s\n", weir_last_error()->message);
    return status;
}
