/* SPDX-License-Identifier: MIT
 *
 * cluster_sorted.c: the first pairs of a table whose keys are spread over the nodes.
 *
 * Each node sorts its own, and sends those that come first to all others. Each merges the lists, in
 * the order of the nodes, so all have the same. A list is sent as the records of its pairs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/map_reduce/table.h"
#include "pool/mpi/cluster_table.h"
#include "pool/mpi/drive.h"
#include "pool/mpi/last_error.h"
#include "pool/mpi/request.h"
#include "pool/mpi/verdict.h"
#include "shm/error.h"

struct list {
    unsigned char *bytes; /* records */
    uint64_t size;
};

struct sorting {
    struct weir__exchanger exchanger;
    const weir_cluster_table *table;
    int (*compare)(const weir_pair *a, const weir_pair *b);
    size_t most;
    struct list *lists; /* [nodes] */
    weir_pair *pairs;   /* the result */
    size_t count;
};

static struct sorting *sorting_of(struct weir__exchanger *exchanger)
{
    return (struct sorting *)(void *)exchanger;
}

static unsigned char *land(void *owner, int64_t part, uint64_t size)
{
    struct list *list = &((struct sorting *)owner)->lists[part];

    list->bytes = list->bytes == NULL && size < PTRDIFF_MAX ? malloc(size) : NULL;
    if (list->bytes == NULL)
        return weir__fail_null(-ENOMEM, "no memory for the %llu bytes of pairs of node %lld",
                               (unsigned long long)size, (long long)part);
    list->size = size;
    return list->bytes;
}

/* ---- what goes ---- */

static void write_pair(unsigned char *to, const weir_pair *pair)
{
    struct weir__pair_record *record = (struct weir__pair_record *)(void *)to;
    const size_t size = weir__pair_record_size(pair->key_size, pair->value_size);

    memset(to, 0, size);
    record->key_size = (uint32_t)pair->key_size;
    record->value_size = (uint32_t)pair->value_size;
    if (pair->value_size > 0)
        memcpy(weir__pair_record_value(record), pair->value, pair->value_size);
    if (pair->key_size > 0)
        memcpy(weir__pair_record_key(record), pair->key, pair->key_size);
}

static size_t size_of(const weir_pair *pairs, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += weir__pair_record_size(pairs[i].key_size, pairs[i].value_size);
    return size;
}

static void write_pairs(unsigned char *to, const weir_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        write_pair(to, &pairs[i]);
        to += weir__pair_record_size(pairs[i].key_size, pairs[i].value_size);
    }
}

static int write_list(const struct sorting *sorting, struct list *list)
{
    size_t count;
    weir_pair *pairs =
        weir_table_sorted(sorting->table->local, sorting->compare, sorting->most, &count);

    if (pairs == NULL)
        return weir_last_error()->code;
    list->size = size_of(pairs, count);
    list->bytes = malloc(list->size + 1);
    if (list->bytes != NULL)
        write_pairs(list->bytes, pairs, count);
    free(pairs);
    return list->bytes != NULL ? 0
                               : weir__fail(-ENOMEM, "no memory for %llu bytes of pairs",
                                            (unsigned long long)list->size);
}

static int produce(struct weir__exchanger *exchanger, struct weir__collective *call)
{
    struct sorting *sorting = sorting_of(exchanger);
    const int nodes = call->link->port->nodes, node = call->link->port->node;
    const int result = write_list(sorting, &sorting->lists[node]);
    const struct list *own = &sorting->lists[node];

    if (result < 0)
        return result;
    for (int i = 1; i < nodes && own->size > 0; i++)
        weir__collective_send_part(call, (node + i) % nodes, node, NULL, 0, own->bytes, own->size);
    weir__collective_produced(call);
    return 0;
}

/* ---- what comes ---- */

/* The pairs of a list: their number; -1: it is damaged. `pairs` may be NULL. */
static int64_t read_list(const struct list *list, weir_pair *pairs)
{
    const unsigned char *at = list->bytes, *end = at + list->size;
    int64_t count = 0;

    for (; at < end; count++) {
        const struct weir__pair_record *record = (const struct weir__pair_record *)(const void *)at;
        struct weir__pair_record head;

        if (!weir__pair_record_check(at, end, &head))
            return -1;
        if (pairs != NULL)
            pairs[count] = weir__pair_of(record, &head);
        at += weir__pair_record_size(head.key_size, head.value_size);
    }
    return count;
}

/* Merges two lists that lie side by side; of two that are alike the left one comes first. */
static void merge_two(const weir_pair *from, size_t left, size_t all, weir_pair *into,
                      int (*compare)(const weir_pair *, const weir_pair *))
{
    size_t i = 0, k = left;

    for (size_t n = 0; n < all; n++)
        into[n] =
            i < left && (k == all || compare(&from[i], &from[k]) <= 0) ? from[i++] : from[k++];
}

/* Merges neighbours until there is one list; begin[]: where each of `lists` begins, and the end.
 * Returns the array of the two that has it. */
static weir_pair *merge_all(weir_pair *pairs, weir_pair *other, size_t *begin, int lists,
                            int (*compare)(const weir_pair *, const weir_pair *))
{
    while (lists > 1) {
        const int half = (lists + 1) / 2;
        weir_pair *const from = pairs;

        for (int i = 0; i < lists; i += 2) {
            const size_t first = begin[i], end = begin[i + 2 < lists ? i + 2 : lists];

            merge_two(from + first, begin[i + 1] - first, end - first, other + first, compare);
        }
        for (int i = 1; i < half; i++)
            begin[i] = begin[2 * i];
        begin[half] = begin[lists];
        lists = half;
        pairs = other;
        other = from;
    }
    return pairs;
}

/* An array whose pairs' keys and values lie behind it. */
static weir_pair *copy_pairs(const weir_pair *pairs, size_t count)
{
    const size_t array = (count + 1) * sizeof *pairs;
    struct list behind = {.size = size_of(pairs, count)};
    weir_pair *copy = malloc(array + behind.size);

    if (copy == NULL)
        return weir__fail_null(-ENOMEM, "no memory for %zu pairs of a table", count);
    behind.bytes = (unsigned char *)copy + array;
    write_pairs(behind.bytes, pairs, count);
    read_list(&behind, copy);
    return copy;
}

/* begin[i]: where node i's pairs begin; 0, or an error. */
static int count_lists(const struct sorting *sorting, int nodes, size_t *begin)
{
    begin[0] = 0;
    for (int i = 0; i < nodes; i++) {
        const int64_t count = read_list(&sorting->lists[i], NULL);

        if (count < 0)
            return weir__fail(-EBADMSG, "the pairs of node %d are damaged", i);
        begin[i + 1] = begin[i] + (size_t)count;
    }
    return 0;
}

static int merge_lists(struct sorting *sorting, int nodes, size_t *begin)
{
    size_t all;
    weir_pair *pairs;

    if (count_lists(sorting, nodes, begin) < 0)
        return -EBADMSG;
    all = begin[nodes];
    pairs = calloc(2 * all + 1, sizeof *pairs);
    if (pairs == NULL)
        return weir__fail(-ENOMEM, "no memory for %zu pairs of a table", all);
    for (int i = 0; i < nodes; i++)
        read_list(&sorting->lists[i], pairs + begin[i]);
    sorting->count = sorting->most > 0 && sorting->most < all ? sorting->most : all;
    sorting->pairs =
        copy_pairs(merge_all(pairs, pairs + all, begin, nodes, sorting->compare), sorting->count);
    free(pairs);
    return sorting->pairs != NULL ? 0 : -ENOMEM;
}

static int merge(struct weir__exchanger *exchanger, struct weir__collective *call)
{
    const int nodes = call->link->port->nodes;
    size_t *begin = calloc((size_t)nodes + 1, sizeof *begin);
    int result = begin == NULL ? weir__fail(-ENOMEM, "no memory to sort a table") : 0;

    if (result == 0)
        result = merge_lists(sorting_of(exchanger), nodes, begin);
    free(begin);
    if (result == 0)
        weir__collective_merged(call, (struct weir__counts){0});
    return result;
}

static const struct weir__exchanger_functions functions = {.produce = produce, .merge = merge};

/* ---- the call ---- */

static void leave(struct sorting *sorting)
{
    const int nodes = sorting->exchanger.cluster->port->nodes;

    for (int i = 0; sorting->lists != NULL && i < nodes; i++)
        free(sorting->lists[i].bytes);
    free(sorting->lists);
}

static weir_pair *sort(const struct weir__collective_spec *asked, const weir_cluster_table *table,
                       int (*compare)(const weir_pair *a, const weir_pair *b), size_t most,
                       size_t *count)
{
    weir_cluster *cluster = table->cluster;
    __attribute__((cleanup(leave))) struct sorting sorting = {
        .exchanger = {.functions = &functions, .cluster = cluster},
        .table = table,
        .compare = compare,
        .most = most,
        .lists = calloc((size_t)cluster->port->nodes, sizeof *sorting.lists)};
    const struct weir__work work = {.exchanger = &sorting.exchanger};
    struct weir__collective_spec spec = *asked;

    spec.owner = &sorting;
    if (sorting.lists == NULL)
        spec.refused = weir__cluster_error_of(-ENOMEM, "no memory to sort a table");
    if (weir__drive(cluster, &spec, &work, NULL) < 0 || count == NULL) {
        free(sorting.pairs);
        return NULL;
    }
    *count = sorting.count;
    return sorting.pairs;
}

weir_pair *weir_cluster_table_sorted(weir_cluster_table *table,
                                     int (*compare)(const weir_pair *a, const weir_pair *b),
                                     size_t most, size_t *count)
{
    struct weir__collective_spec spec = weir__request(WEIR__CLUSTER_SORTED);

    if (count != NULL)
        *count = 0;
    if (table == NULL) {
        weir__cluster_fail(-EINVAL, "the table is NULL");
        return NULL;
    }
    if (weir__cluster_use(table->cluster) < 0)
        return NULL;
    if (compare == NULL || count == NULL)
        weir__request_refuse(&spec, "%s is NULL", count == NULL ? "count" : "compare");
    spec.exchanges = true;
    spec.parts = table->cluster->port->nodes;
    spec.land = land;
    spec.print.value[WEIR__PRINT_TABLE] = table->number;
    spec.print.value[WEIR__PRINT_MOST] = (int64_t)most;
    return sort(&spec, table, compare, most, count);
}
