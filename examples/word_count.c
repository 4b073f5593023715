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
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs in the workers, on one chunk after the other. */
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

static const weir_map_reduction counting = {
    .map = count, .value_size = sizeof(int64_t), .combine = weir_sum_int64};

/* Returns the program's exit status. */
static int run(weir_scope *scope, const char *path, size_t top, int workers)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    weir_text *text = pool != NULL ? weir_text_open(scope, path) : NULL;
    weir_table *table = NULL;
    weir_pair *pairs = NULL;
    size_t found = 0;

    if (text != NULL)
        table = weir_pool_map_reduce(pool, weir_text_range(text), &counting, text, NULL);
    if (table != NULL)
        pairs = weir_table_sorted(table, weir_pair_by_int64, top, &found);
    for (size_t i = 0; i < found; i++)
        printf("%7" PRId64 " %s\n", *(const int64_t *)pairs[i].value, pairs[i].key);
    free(pairs);
    if (pairs == NULL)
        fprintf(stderr, "word_count: %s\n", weir_last_error()->message);
    return pairs == NULL;
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
    int status = -1;

    if (argc < 2 || argc > 4 || top < 0 || workers < 0) {
        fprintf(stderr, "usage: word_count FILE [TOP (10; 0: all) [WORKERS (0: one a CPU)]]\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL)
        status = run(scope, argv[1], (size_t)top, (int)workers);
    if (status < 0) {
        fprintf(stderr, "word_count: %s\n", weir_last_error()->message);
        status = 1;
    }
    return status;
}
