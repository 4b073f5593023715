/* SPDX-License-Identifier: MIT
 *
 * word_count_cluster: counts the words of a text file on a cluster and prints the most frequent
 * ones.
 *
 * As word_count.c on one machine, with these differences: the program begins a cluster in place of
 * a scope and a pool; each node opens the same file; and the table is spread over the nodes, so
 * those of its pairs that come first are asked for on all of them. Node 0 prints.
 *
 *   cc word_count_cluster.c $(pkg-config --cflags --libs weir-mpi) -o word_count_cluster
 *   mpirun --map-by ppr:1:node ./word_count_cluster FILE [TOP (10; 0: all)]
 *
 * Prints the count and the word, the most frequent one first.
 */
#include <weir-mpi.h>
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
static int run(weir_cluster *cluster, const char *path, size_t top)
{
    const weir_map_reduction counting = {
        .map = count, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    size_t found;

    weir_text *text = weir_text_open(weir_cluster_scope(cluster), path);
    if (text == NULL)
        return 1;
    weir_cluster_table *table =
        weir_cluster_map_reduce(cluster, weir_text_range(text), &counting, text, NULL, NULL);
    if (table == NULL)
        return 1;
    weir_pair *pairs = weir_cluster_table_sorted(table, weir_pair_by_int64, top, &found);
    if (pairs == NULL)
        return 1;

    for (size_t i = 0; i < found && weir_cluster_node(cluster) == 0; i++)
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
    int status = 1;

    if (argc < 2 || argc > 3 || top < 0) {
        fprintf(stderr, "usage: word_count_cluster FILE [TOP (10; 0: all)]\n");
        return 2;
    }
    WEIR_CLUSTER (cluster, NULL) {
        status = run(cluster, argv[1], (size_t)top);
    }
    if (status != 0)
        fprintf(stderr, "word_count_cluster: %s\n", weir_last_error()->message);
    return status;
}
