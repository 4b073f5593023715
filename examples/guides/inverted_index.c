/* SPDX-License-Identifier: MIT
 *
 * inverted_index FILE...: in which files each word is, for words that are in more than one.
 *
 *   cc inverted_index.c $(pkg-config --cflags --libs weir) -o inverted_index
 *   ./inverted_index FILE...
 *
 * A value is variable here: the numbers of files that the word has been seen in, put one behind the
 * other, which reduce() sorts out.
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int emit_words(weir_task *task, weir_range range, void *text)
{
    weir_text_cursor words;
    weir_text_record word;

    if (weir_text_slice(text, range, WEIR_TEXT_WORDS, &words) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    while (weir_text_next(&words, &word) == 1) {
        const uint32_t file = (uint32_t)words.file;

        weir_emit(task, word.data, word.size, &file, sizeof(file));
    }
    return 0;
}

/* Leaves each file once; the files come in their order. */
static int each_once(weir_task *task, weir_pair *pair, void *arg)
{
    uint32_t *files = pair->value;
    const size_t count = pair->value_size / sizeof(*files);
    size_t kept = 1;

    (void)task;
    (void)arg;
    for (size_t i = 1; i < count; i++)
        if (files[i] != files[kept - 1])
            files[kept++] = files[i];
    pair->value_size = kept * sizeof(*files);
    return kept > 1 ? 0 : WEIR_SKIP;
}

static int run(weir_scope *scope, const char *const *paths, size_t count)
{
    const weir_map_reduction index = {.map = emit_words, .reduce = each_once};
    size_t found;

    weir_pool *pool = weir_pool_new(scope, NULL);
    weir_text *text = weir_text_open_many(scope, paths, count);
    if (pool == NULL || text == NULL)
        return -1;
    weir_table *table = weir_pool_map_reduce(pool, weir_text_range(text), &index, text, NULL);
    if (table == NULL)
        return -1;
    weir_pair *pairs = weir_table_sorted(table, weir_pair_by_key, 0, &found);
    if (pairs == NULL)
        return -1;
    for (size_t i = 0; i < found; i++) {
        const uint32_t *files = pairs[i].value;

        printf("%s:", pairs[i].key);
        for (size_t f = 0; f < pairs[i].value_size / sizeof(*files); f++)
            printf(" %s", strrchr(weir_text_path(text, files[f]), '/') + 1);
        printf("\n");
    }
    free(pairs);
    return 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    WEIR_SCOPE (scope, NULL) {
        status = run(scope, (const char *const *)argv + 1, (size_t)argc - 1);
    }
    if (status < 0)
        fprintf(stderr, "inverted_index: %s\n", weir_last_error()->message);
    return status < 0;
}
