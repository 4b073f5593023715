/* SPDX-License-Identifier: MIT
 *
 * Keyed map-reduce on a cluster of real processes with real pools, joined by sockets.
 */
#include "leak.h"
#include "nodes.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define UNIT(test)   cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)
#define OPTIONS(...) (&(weir_job_options){__VA_ARGS__})
#define JOB(...)     (&(weir_cluster_job){__VA_ARGS__})

#define ITEMS 30000

static void assert_has(const char *message, const char *part)
{
    if (strstr(message, part) == NULL)
        fail_msg("the message does not have \"%s\": %s", part, message);
}

static void assert_all(const struct nodes_seen *seen, int nodes, int call, int code)
{
    for (int i = 0; i < nodes; i++) {
        assert_true(seen[i].ended);
        if (seen[i].codes[call] != code)
            fail_msg("node %d, call %d: %d instead of %d: %s", i, call, seen[i].codes[call], code,
                     seen[i].messages[call]);
    }
}

/* ---- what is mapped ---- */

/* Every worker of a test counts here. */
static atomic_int *deaths;
static bool deadly;

static void die_sometimes(weir_task *task)
{
    if (deadly && weir_task_attempt(task) == 1 && weir_task_chunk(task) % 11 == 5) {
        atomic_fetch_add(deaths, 1);
        raise(SIGKILL);
    }
}

/* Keys that chunks have in common, keys that only one has, and keys of many lengths. */
static size_t key_of(int64_t i, char key[64])
{
    const int64_t number = i % 3 == 0 ? i : i % 701;

    return (size_t)snprintf(key, 64, "%.*s%lld", (int)(number % 29),
                            "abcdefghijklmnopqrstuvwxyzabc", (long long)number);
}

static int count_keys(weir_task *task, weir_range range, void *arg)
{
    char key[64];

    (void)arg;
    die_sometimes(task);
    WEIR_EACH (i, range)
        weir_emit_int64(task, key, key_of(i, key), i);
    return 0;
}

static int sum_keys(weir_task *task, weir_range range, void *arg)
{
    char key[64];

    (void)arg;
    die_sometimes(task);
    WEIR_EACH (i, range) {
        const double value = 1.0 / (double)(i + 1);

        weir_emit(task, key, key_of(i, key), &value, sizeof value);
    }
    return 0;
}

/* Sums in an order that shows in the bits. */
static void chain(void *into, const void *from, void *arg)
{
    double *a = into;
    const double *b = from;

    (void)arg;
    *a = *a * 1.0000001 + *b;
}

static int list_keys(weir_task *task, weir_range range, void *arg)
{
    char key[64];

    (void)arg;
    die_sometimes(task);
    WEIR_EACH (i, range)
        weir_emit(task, key, key_of(i, key), &i, (size_t)(i % 9));
    return 0;
}

static int skip_some(weir_task *task, weir_pair *pair, void *arg)
{
    int64_t value = 0;

    (void)task;
    (void)arg;
    memcpy(&value, pair->value, pair->value_size < 8 ? pair->value_size : 8);
    value++;
    memcpy(pair->value, &value, pair->value_size < 8 ? pair->value_size : 8);
    return pair->key_size % 7 == 3 ? WEIR_SKIP : 0;
}

static void largest(void *into, const void *from, void *arg)
{
    int64_t a, b;

    (void)arg;
    memcpy(&a, into, sizeof a);
    memcpy(&b, from, sizeof b);
    memcpy(into, a > b ? &a : &b, sizeof a);
}

static const weir_map_reduction reductions[] = {
    {.map = count_keys, .value_size = 8, .combine = weir_sum_int64},
    {.map = sum_keys, .value_size = 8, .combine = chain},
    {.map = list_keys},
    {.map = count_keys, .value_size = 8, .combine = weir_sum_int64, .reduce = skip_some},
    {.map = list_keys, .reduce = skip_some},
    {.map = count_keys, .value_size = 8, .combine = largest, .any_order = true},
};
#define REDUCTIONS (int)(sizeof reductions / sizeof *reductions)

static const struct cut {
    int64_t length, chunks, grain, block;
    bool stay;
} cuts[] = {
    {ITEMS, 64, 0, 2, false}, {ITEMS, 0, 700, 8, true}, {3, 0, 0, 0, false}, {0, 0, 0, 0, false}};
#define CUTS (int)(sizeof cuts / sizeof *cuts)

/* ---- the same table as on one machine ---- */

static bool same_pair(const weir_pair *a, const weir_pair *b)
{
    return a->key_size == b->key_size && a->value_size == b->value_size &&
           memcmp(a->key, b->key, a->key_size + 1) == 0 &&
           memcmp(a->value, b->value, a->value_size) == 0;
}

/* The same pairs in the same order; and each is found. */
static bool same_table(const weir_table *one, const weir_table *other)
{
    weir_table_cursor a = {0}, b = {0};
    weir_pair x, y, found;

    if (weir_table_len(one) != weir_table_len(other))
        return false;
    while (weir_table_next(one, &a, &x) == 1)
        if (weir_table_next(other, &b, &y) != 1 || !same_pair(&x, &y) ||
            weir_table_get(other, x.key, x.key_size, &found) != 0 || !same_pair(&x, &found))
            return false;
    return weir_table_next(other, &b, &y) == 0;
}

/* This node's keys are those of the whole, and no other node has them. */
static bool is_part(const weir_table *whole, const weir_table *local)
{
    weir_table_cursor cursor = {0};
    weir_pair pair, found;
    int64_t keys = 0;

    while (weir_table_next(local, &cursor, &pair) == 1) {
        if (weir_table_get(whole, pair.key, pair.key_size, &found) != 0 ||
            !same_pair(&pair, &found) ||
            weir_table_get(local, pair.key, pair.key_size, &found) != 0)
            return false;
        keys++;
    }
    return keys == weir_table_len(local);
}

static bool same_sorted(weir_cluster_table *table, const weir_table *whole, size_t most)
{
    size_t count = 99, expected_count = 98;
    weir_pair *pairs = weir_cluster_table_sorted(table, weir_pair_by_key, most, &count);
    weir_pair *expected = weir_table_sorted(whole, weir_pair_by_key, most, &expected_count);
    bool same = pairs != NULL && expected != NULL && count == expected_count;

    for (size_t i = 0; same && i < count; i++)
        same = same_pair(&pairs[i], &expected[i]);
    free(pairs);
    free(expected);
    return same;
}

/* 0, or which of the checks has failed. */
static int compare(weir_cluster *cluster, weir_cluster_table *table, const weir_table *whole)
{
    const int nodes = weir_cluster_nodes(cluster), node = weir_cluster_node(cluster);
    weir_table *all = weir_cluster_table_gather(table, -1);
    weir_table *one = weir_cluster_table_gather(table, nodes - 1);
    int result = 0;

    if (all == NULL || one == NULL)
        result = 2;
    else if (!same_table(whole, all))
        result = 3;
    else if (node == nodes - 1 ? !same_table(whole, one) : weir_table_len(one) != 0)
        result = 4;
    else if (weir_cluster_table_len(table) != weir_table_len(whole))
        result = 5;
    else if (!is_part(whole, weir_cluster_table_local(table)))
        result = 6;
    if (!same_sorted(table, whole, 17) || !same_sorted(table, whole, 0))
        result = 7;
    weir_table_free(all);
    weir_table_free(one);
    return result;
}

static const weir_map_reduction *reduction;

static void reduce_all(weir_cluster *cluster, struct nodes_seen *seen)
{
    for (int i = 0; i < CUTS; i++) {
        const weir_job_options options = {.chunks = cuts[i].chunks, .grain = cuts[i].grain};
        const weir_range range = weir_range_of(cuts[i].length);
        weir_job_options alone = options;
        weir_cluster_table *table =
            weir_cluster_map_reduce(cluster, range, reduction, NULL, &options,
                                    JOB(.block = cuts[i].block, .stay = cuts[i].stay));
        weir_table *whole;

        if (table == NULL) {
            nodes_note(seen, weir_last_error()->code, 0);
            continue;
        }
        if (options.chunks == 0 && options.grain == 0)
            alone.chunks = 256;
        whole = weir_pool_map_reduce(weir_cluster_pool(cluster), range, reduction, NULL, &alone);
        nodes_note(seen, whole != NULL ? compare(cluster, table, whole) : 1,
                   (double)weir_cluster_table_len(table));
        weir_table_free(whole);
        if (i != 1) /* that one is freed by the end of the cluster */
            weir_cluster_table_free(table);
    }
}

static void the_table_is_that_of_one_machine__on_any_number_of_nodes_and_workers(void **state)
{
    static const int workers[][NODES_MAX] = {{1, 1, 1, 1}, {3, 2, 1, 2}};

    (void)state;
    for (int nodes = 1; nodes <= NODES_MAX; nodes++)
        for (int r = 0; r < REDUCTIONS; r++) {
            struct nodes_seen *seen;

            deadly = (r + nodes) % 2 == 0;
            reduction = &reductions[r];
            atomic_store(deaths, 0);
            seen = nodes_run(&(struct nodes_config){
                .nodes = nodes, .workers = workers[r % 2], .program = reduce_all});
            assert_true(deadly ? atomic_load(deaths) > 3 : atomic_load(deaths) == 0);
            for (int k = 0; k < CUTS; k++) {
                for (int i = 0; i < nodes; i++)
                    if (!seen[i].ended || seen[i].codes[k] != 0)
                        fail_msg("reduction %d, %d nodes, node %d, cut %d: code %d, %s", r, nodes,
                                 i, k, seen[i].codes[k], seen[i].messages[k]);
                assert_true(seen[0].values[k] > 0 || cuts[k].length == 0);
            }
            nodes_free(seen);
        }
}

/* ---- long values ---- */

/* Some parts are sent in many pieces. */
static int emit_long(weir_task *task, weir_range range, void *arg)
{
    char *value = malloc(300000);

    (void)arg;
    if (value == NULL)
        return 1;
    WEIR_EACH (i, range) {
        char key[64];

        memset(value, (int)('a' + i % 26), 300000);
        weir_emit(task, key, key_of(i, key), value, (size_t)(i % 3) * 150000);
    }
    free(value);
    return 0;
}

static void reduce_long(weir_cluster *cluster, struct nodes_seen *seen)
{
    const weir_map_reduction reduction_of_long = {.map = emit_long};
    const weir_range range = weir_range_of(100);
    weir_cluster_table *table = weir_cluster_map_reduce(cluster, range, &reduction_of_long, NULL,
                                                        OPTIONS(.chunks = 8), NULL);
    weir_table *whole = weir_pool_map_reduce(weir_cluster_pool(cluster), range, &reduction_of_long,
                                             NULL, OPTIONS(.chunks = 8));

    nodes_note(seen, table != NULL && whole != NULL ? compare(cluster, table, whole) : 1, 0);
    weir_table_free(whole);
}

static void values_of_megabytes_arrive_whole(void **state)
{
    struct nodes_seen *seen = nodes_run(&(struct nodes_config){.nodes = 3, .program = reduce_long});

    (void)state;
    assert_all(seen, 3, 0, 0);
    nodes_free(seen);
}

/* ---- what goes wrong ---- */

static int fail_somewhere(weir_task *task, weir_range range, void *arg)
{
    if (range.begin <= ITEMS / 2 && range.end > ITEMS / 2)
        return weir_task_fail(task, 7, "the chunk with the middle");
    return count_keys(task, range, arg);
}

static int fail_to_reduce(weir_task *task, weir_pair *pair, void *arg)
{
    (void)arg;
    return strcmp(pair->key, "abc61") == 0 ? weir_task_fail(task, 9, "not that key") : 0;
}

static int fail_in_blocks(weir_cluster *cluster, weir_map_reduction wrong, int64_t block)
{
    weir_cluster_table *table = weir_cluster_map_reduce(cluster, weir_range_of(ITEMS), &wrong, NULL,
                                                        OPTIONS(.chunks = 64), JOB(.block = block));

    if (table == NULL)
        return weir_last_error()->code;
    weir_cluster_table_free(table);
    return 0;
}

static int fail_reduction(weir_cluster *cluster, weir_map_reduction wrong)
{
    return fail_in_blocks(cluster, wrong, 4);
}

static void fail_in_turn(weir_cluster *cluster, struct nodes_seen *seen)
{
    const int node = weir_cluster_node(cluster);
    weir_map_reduction good = reductions[0], wrong = good;

    wrong.map = fail_somewhere;
    nodes_note(seen, fail_reduction(cluster, wrong), 0);
    nodes_note(seen, fail_reduction(cluster, good), 0);
    wrong = good;
    wrong.reduce = fail_to_reduce;
    nodes_note(seen, fail_reduction(cluster, wrong), 0);
    wrong = good;
    wrong.memory = 40000;
    nodes_note(seen, fail_reduction(cluster, wrong), 0);
    wrong = reductions[1];
    wrong.memory = node == 1 ? 400000 : 0;
    nodes_note(seen, fail_reduction(cluster, wrong), 0);
    /* one block, which another node has run as a rule: all that node 1 has came from there */
    wrong = reductions[1];
    wrong.memory = node == 1 ? 100000 : 0;
    nodes_note(seen, fail_in_blocks(cluster, wrong, 64), 0);
    wrong = good;
    wrong.map = node == 2 ? NULL : good.map;
    nodes_note(seen, fail_reduction(cluster, wrong), 0);
    wrong = good;
    wrong.value_size = node == 2 ? 16 : 8;
    nodes_note(seen, fail_reduction(cluster, wrong), 0);
    wrong = reductions[1];
    wrong.any_order = node == 1;
    nodes_note(seen, fail_reduction(cluster, wrong), 0);
    wrong = reductions[2];
    wrong.any_order = true;
    nodes_note(seen, fail_reduction(cluster, wrong), 0);
    nodes_note(seen, fail_reduction(cluster, good), 0);
}

static void all_nodes_have_the_same_error__when_one_fails(void **state)
{
    struct nodes_seen *seen =
        nodes_run(&(struct nodes_config){.nodes = 3, .program = fail_in_turn});
    static const struct {
        int code;
        const char *message;
    } expected[] = {
        {WEIR_EFAILED, "the chunk with the middle"},
        {0, ""},
        {WEIR_EFAILED, "not that key"},
        {-ENOMEM, "limit of 40000 bytes"},
        {-ENOMEM, "node 1 (hostb): "},
        {-ENOMEM, "of what others have for it"},
        {-EINVAL, "map-reduction's map is NULL"},
        {-EPROTO, "the size is 8 and 16"},
        {-EPROTO, "any_order is 0 and 1"},
        {-EINVAL, "any_order is set"},
        {0, ""},
    };

    (void)state;
    for (int k = 0; k < (int)(sizeof expected / sizeof *expected); k++) {
        assert_all(seen, 3, k, expected[k].code);
        for (int i = 0; i < 3; i++) {
            assert_has(seen[i].messages[k], expected[k].message);
            assert_string_equal(seen[i].messages[k], seen[0].messages[k]);
        }
    }
    nodes_free(seen);
}

static int table_error(const void *made)
{
    return made == NULL ? weir_last_error()->code : 0;
}

static void misuse_tables(weir_cluster *cluster, struct nodes_seen *seen)
{
    const int node = weir_cluster_node(cluster);
    weir_cluster_table *tables[2];
    size_t count;

    for (int i = 0; i < 2; i++)
        tables[i] =
            weir_cluster_map_reduce(cluster, weir_range_of(100), &reductions[i], NULL, NULL, NULL);
    nodes_note(seen, table_error(weir_cluster_table_gather(tables[0], 2)), 0);
    nodes_note(seen, table_error(weir_cluster_table_gather(tables[0], node == 0 ? 0 : 1)), 0);
    nodes_note(seen, table_error(weir_cluster_table_gather(tables[node], 0)), 0);
    nodes_note(seen,
               table_error(weir_cluster_table_sorted(tables[0], weir_pair_by_key, node == 0 ? 3 : 4,
                                                     &count)),
               0);
    nodes_note(seen,
               table_error(weir_cluster_table_sorted(tables[0], node == 1 ? NULL : weir_pair_by_key,
                                                     3, &count)),
               0);
    if (node == 0)
        nodes_note(seen, table_error(weir_cluster_table_gather(tables[0], -1)), 0);
    else
        nodes_note(seen, weir_cluster_barrier(cluster), 0);
    nodes_note(seen, table_error(weir_cluster_table_gather(NULL, 0)), 0);
    nodes_note(seen,
               table_error(weir_cluster_map_reduce(NULL, weir_range_of(1), &reductions[0], NULL,
                                                   NULL, NULL)),
               0);
    nodes_note(seen,
               weir_cluster_table_len(NULL) == -EINVAL && weir_cluster_table_local(NULL) == NULL
                   ? -EINVAL
                   : 0,
               0);
    weir_cluster_table_free(NULL);
    nodes_note(seen, weir_cluster_barrier(cluster), 0);
}

static void tables_that_are_misused_are_an_error_on_all_nodes(void **state)
{
    struct nodes_seen *seen =
        nodes_run(&(struct nodes_config){.nodes = 2, .program = misuse_tables});
    static const struct {
        int code;
        const char *message;
    } expected[] = {
        {-EINVAL, "node is 2"},
        {-EPROTO, "from is 0 and 1"},
        {-EPROTO, "the call that made the table is 1 and 2"},
        {-EPROTO, "most is 3 and 4"},
        {-EINVAL, "compare is NULL"},
        {-EPROTO, "weir_cluster_table_gather() and weir_cluster_barrier()"},
        {-EINVAL, "the table is NULL"},
        {-EINVAL, "the cluster is NULL"},
        {-EINVAL, "the table is NULL"},
        {0, ""},
    };

    (void)state;
    for (int k = 0; k < (int)(sizeof expected / sizeof *expected); k++) {
        assert_all(seen, 2, k, expected[k].code);
        assert_has(seen[1].messages[k], expected[k].message);
    }
    nodes_free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_table_is_that_of_one_machine__on_any_number_of_nodes_and_workers),
        UNIT(values_of_megabytes_arrive_whole),
        UNIT(all_nodes_have_the_same_error__when_one_fails),
        UNIT(tables_that_are_misused_are_an_error_on_all_nodes),
    };

    deaths = mmap(NULL, sizeof *deaths, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return deaths == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
