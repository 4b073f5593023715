/* SPDX-License-Identifier: MIT
 *
 * bench-word-count.c: the words of a text and how often each occurs, beside OpenMP.
 *
 * The text is a file in /dev/shm, a block of the scope, that both open and map anew in each round.
 * weir counts as examples/word_count.c does. word-count-openmp.c is the peer.
 */
#include "words.h"

#include <stdio.h>
#include <stdlib.h>

#include "count-words.h"
#include "made-text.h"

static char path[256];
static weir_text *text;
static weir_table *table;

static void by_weir(const struct bench *bench)
{
    const weir_map_reduction counting = {
        .map = count_words, .value_size = sizeof(int64_t), .combine = weir_sum_int64};

    text = weir_text_open(bench->scope, path);
    must(text != NULL, "weir_text_open");
    table = weir_pool_map_reduce(bench->pool, weir_text_range(text), &counting, text, NULL);
    must(table != NULL, "weir_pool_map_reduce");
}

static void by_openmp(const struct bench *bench)
{
    openmp_count(path, bench->workers);
}

/* How many of OpenMP's words weir has not, or not as often, or the other way round. */
static double difference(void)
{
    const struct word *word;
    int64_t found = 0, different = 0;

    for (size_t at = 0; (word = openmp_next(&at)) != NULL; found++) {
        weir_pair pair;

        different += weir_table_get(table, word->text, word->length, &pair) < 0 ||
                     *(const int64_t *)pair.value != word->count;
    }
    return (double)(different + llabs(weir_table_len(table) - found));
}

static void clear(void)
{
    weir_table_free(table);
    weir_text_close(text);
    openmp_clear();
}

static void make(const struct bench *bench, uint64_t keys)
{
    weir_shm *block = weir_scope_shm(bench->scope, (size_t)bench->bytes);

    must(block != NULL, "weir_scope_shm");
    snprintf(path, sizeof path, "/dev/shm/%s", weir_shm_name(block));
    make_text(weir_shm_buf(block), (size_t)bench->bytes, keys, bench->seed);
}

static void make_few(const struct bench *bench)
{
    make(bench, 100000);
}

static void make_many(const struct bench *bench)
{
    make(bench, 1000000);
}

int main(int argc, char **argv)
{
    struct kernel kernels[] = {
        {.name = "word_count_100000", .prepare = make_few},
        {.name = "word_count_1000000", .prepare = make_many},
    };

    for (int i = 0; i < 2; i++) {
        kernels[i].target = 1.0;
        kernels[i].mib = 193; /* 27 million words */
        kernels[i].rounds = 7;
        kernels[i].clear = clear;
        kernels[i].ways[0] = (struct kernel_way){"weir", by_weir, NULL};
        kernels[i].ways[1] = (struct kernel_way){"openmp", by_openmp, difference};
    }
    return kernel_main(argc, argv, kernels, 2);
}
