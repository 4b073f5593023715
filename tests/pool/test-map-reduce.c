/* SPDX-License-Identifier: MIT
 *
 * Keyed map-reduce: what weir-pool.h promises of it, with values of fixed and of variable size,
 * with and without deaths, and of the table that it gives.
 */
#include "map-reduce.h"
#include "reductions.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

static int64_t get_int64(const weir_table *table, const char *key)
{
    weir_pair pair;

    assert_int_equal(weir_table_get(table, key, strlen(key), &pair), 0);
    assert_int_equal(pair.value_size, sizeof(int64_t));
    assert_int_equal(pair.key_size, strlen(key));
    assert_string_equal(pair.key, key);
    return *(const int64_t *)pair.value;
}

static void assert_items(const weir_table *table)
{
    assert_int_equal(weir_table_len(table), 997);
    for (int k = 0; k < 997; k++) {
        int64_t expected = 0;
        char key[32];

        for (int64_t i = k; i < ITEMS; i += 997)
            expected += i;
        snprintf(key, sizeof key, "key%d", k);
        assert_int_equal(get_int64(table, key), expected);
    }
}

static void every_key_has_the_sum_of_its_values__when_pairs_are_counted(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_pair pair;

    (void)state;
    for (int chunks = 0; chunks < 80; chunks = chunks * 3 + 1) {
        weir_table *table =
            must(weir_pool_map_reduce(pool, (weir_range){0, ITEMS}, COUNTING(.map = emit_items),
                                      NULL, OPTIONS(.chunks = chunks)));

        assert_items(table);
        assert_int_equal(weir_table_get(table, "key997", 6, &pair), -ENOENT);
        assert_int_equal(weir_table_get(table, "", 0, &pair), -ENOENT);
        weir_table_free(table);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void keys_of_any_length_are_found__when_there_are_many(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const int64_t count = 60000;
    weir_table *table = must(weir_pool_map_reduce(pool, (weir_range){0, 2 * count},
                                                  COUNTING(.map = emit_lengths), NULL, NULL));

    (void)state;
    assert_true(weir_table_len(table) > count * 9 / 10); /* several partitions */
    assert_lengths(table, count);
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- the same bits --------------------------------------------------------------------------- */

static int emit_doubles(weir_task *task, weir_range range, void *arg)
{
    const int *kill_at = arg;

    for (int64_t i = range.begin; i < range.end; i++) {
        int key = (int)(i * 7919 % 301);
        double value = awkward_double(i);

        if (kill_at != NULL && i % *kill_at == 0 && weir_task_attempt(task) == 1)
            raise(SIGKILL);
        weir_emit(task, &key, sizeof key, &value, sizeof value);
    }
    return 0;
}

static const weir_map_reduction doubles = {
    .map = emit_doubles, .value_size = sizeof(double), .combine = weir_sum_double};

static uint64_t fingerprint_with(int workers, int chunks, int kill_at)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, workers);
    weir_table *table = must(weir_pool_map_reduce(
        pool, (weir_range){0, ITEMS}, &doubles, kill_at > 0 ? &kill_at : NULL,
        OPTIONS(.chunks = chunks, .arg_size = kill_at > 0 ? sizeof kill_at : 0)));
    uint64_t result = fingerprint(table);

    assert_int_equal(weir_table_len(table), 301);
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
    return result;
}

static void the_table_has_the_same_bits__whatever_the_number_of_workers_and_deaths(void **state)
{
    const uint64_t quiet = fingerprint_with(1, 0, 0);

    (void)state;
    assert_int_equal(fingerprint_with(2, 0, 0), quiet);
    assert_int_equal(fingerprint_with(7, 0, 0), quiet);
    assert_int_equal(fingerprint_with(2, 0, 1500), quiet);
    assert_int_equal(fingerprint_with(3, 0, 700), quiet);
    /* The sums would differ in another order: another cut shows it. */
    assert_int_not_equal(fingerprint_with(2, 5, 0), quiet);
}

static uint64_t fingerprint_of_counts(int workers, int chunks)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, workers);
    weir_table *table =
        must(weir_pool_map_reduce(pool, (weir_range){0, ITEMS}, COUNTING(.map = emit_items), NULL,
                                  OPTIONS(.chunks = chunks)));
    const uint64_t result = fingerprint(table);

    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
    return result;
}

static void keys_have_one_order__whatever_the_cut(void **state)
{
    const uint64_t expected = fingerprint_of_counts(1, 1);

    (void)state;
    for (int chunks = 2; chunks <= 1024; chunks *= 8)
        assert_int_equal(fingerprint_of_counts(2, chunks), expected);
}

/* ---- values of variable size ------------------------------------------------------------------
 */

/* Item i: key "a", "b" or "c", value the decimal number and a comma; every 50th one is empty, and
 * every 100th one long. */
static size_t make_value(int64_t i, char *out)
{
    if (i % 50 == 49)
        return 0;
    if (i % 100 == 0) {
        memset(out, 'x', 300);
        return 300;
    }
    return (size_t)sprintf(out, "%d,", (int)i);
}

static int emit_text(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        const char key[] = {(char)('a' + i % 3), '\0'};
        char value[400];

        weir_emit_str(task, key, value, make_value(i, value));
    }
    return 0;
}

static void values_lie_one_behind_the_other__when_their_size_is_variable(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 3);
    const weir_map_reduction appending = {.map = emit_text};
    weir_table *table =
        must(weir_pool_map_reduce(pool, (weir_range){0, 5000}, &appending, NULL, NULL));
    char *expected = malloc(100000);

    (void)state;
    assert_int_equal(weir_table_len(table), 3);
    for (int k = 0; k < 3; k++) {
        const char key = (char)('a' + k);
        size_t size = 0;
        weir_pair pair;

        for (int64_t i = k; i < 5000; i += 3)
            size += make_value(i, expected + size);
        assert_int_equal(weir_table_get(table, &key, 1, &pair), 0);
        assert_int_equal(pair.value_size, size);
        assert_memory_equal(pair.value, expected, size);
    }
    free(expected);
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- reduce ---------------------------------------------------------------------------------- */

/* Doubles even sums, leaves out odd ones. */
static int double_even(weir_task *task, weir_pair *pair, void *arg)
{
    int64_t *value = pair->value;

    (void)task;
    (void)arg;
    if (*value % 2 != 0)
        return WEIR_SKIP;
    *value *= 2;
    return 0;
}

/* Keeps the first five bytes of a value. */
static int cut_value(weir_task *task, weir_pair *pair, void *arg)
{
    (void)task;
    (void)arg;
    if (pair->value_size > 5)
        pair->value_size = 5;
    return 0;
}

static int fail_at(weir_task *task, weir_pair *pair, void *arg)
{
    (void)arg;
    if (strcmp(pair->key, "key500") == 0)
        return weir_task_fail(task, 17, "I do not like %s", pair->key);
    return 0;
}

static int grow_value(weir_task *task, weir_pair *pair, void *arg)
{
    (void)task;
    (void)arg;
    pair->value_size++;
    return 0;
}

static void keys_are_changed_and_left_out__when_reduce_says_so(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_table *table =
        must(weir_pool_map_reduce(pool, (weir_range){0, ITEMS},
                                  COUNTING(.map = emit_items, .reduce = double_even), NULL, NULL));
    const weir_map_reduction cutting = {.map = emit_text, .reduce = cut_value};
    int64_t kept = 0;
    weir_pair pair;

    (void)state;
    for (int k = 0; k < 997; k++) {
        int64_t sum = 0;
        char key[32];

        for (int64_t i = k; i < ITEMS; i += 997)
            sum += i;
        snprintf(key, sizeof key, "key%d", k);
        kept += sum % 2 == 0;
        if (sum % 2 != 0)
            assert_int_equal(weir_table_get(table, key, strlen(key), &pair), -ENOENT);
        else
            assert_int_equal(get_int64(table, key), 2 * sum);
    }
    assert_int_equal(weir_table_len(table), kept);
    weir_table_free(table);
    table = must(weir_pool_map_reduce(pool, (weir_range){1, 5000}, &cutting, NULL, NULL));
    assert_int_equal(weir_table_get(table, "b", 1, &pair), 0);
    assert_int_equal(pair.value_size, 5);
    assert_memory_equal(pair.value, "1,4,7", 5);
    assert_string_equal(pair.key, "b");
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void the_call_fails_with_its_message__when_reduce_fails(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    assert_null(weir_pool_map_reduce(pool, (weir_range){0, ITEMS},
                                     COUNTING(.map = emit_items, .reduce = fail_at), NULL, NULL));
    assert_int_equal(weir_last_error()->code, WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, 17);
    assert_message_has("I do not like key500");
    assert_null(weir_pool_map_reduce(pool, (weir_range){0, ITEMS},
                                     COUNTING(.map = emit_items, .reduce = grow_value), NULL,
                                     NULL));
    assert_int_equal(weir_last_error()->code, WEIR_EFAILED);
    assert_message_has("from 8 to 9 bytes");
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- sorting --------------------------------------------------------------------------------- */

static void pairs_are_in_order__when_a_table_is_sorted(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_table *table = must(weir_pool_map_reduce(pool, (weir_range){0, ITEMS},
                                                  COUNTING(.map = emit_items), NULL, NULL));
    size_t count, few;
    weir_pair *all = weir_table_sorted(table, weir_pair_by_int64, 0, &count);
    weir_pair *top = weir_table_sorted(table, weir_pair_by_int64, 10, &few);
    weir_pair *keys;

    (void)state;
    assert_int_equal(count, 997);
    for (size_t i = 1; i < count; i++)
        assert_true(*(int64_t *)all[i - 1].value > *(int64_t *)all[i].value ||
                    (*(int64_t *)all[i - 1].value == *(int64_t *)all[i].value &&
                     strcmp(all[i - 1].key, all[i].key) < 0));
    assert_int_equal(few, 10);
    assert_memory_equal(top, all, 10 * sizeof *top);
    keys = weir_table_sorted(table, weir_pair_by_key, 0, &count);
    assert_int_equal(count, 997);
    for (size_t i = 1; i < count; i++)
        assert_true(strcmp(keys[i - 1].key, keys[i].key) < 0);
    free(all);
    free(top);
    free(keys);
    weir_table_free(table);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- futures --------------------------------------------------------------------------------- */

static void a_future_has_the_table__when_it_is_waited_for(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *futures[4];
    weir_table *table;

    (void)state;
    for (int i = 0; i < 4; i++)
        futures[i] = weir_pool_map_reduce_async(pool, (weir_range){0, ITEMS},
                                                COUNTING(.map = emit_items), NULL, NULL);
    assert_int_equal(weir_future_wait_many(futures, 4, WEIR_WHEN_ALL, -1), 4);
    table = weir_future_table(futures[0]);
    assert_items(must(table));
    assert_ptr_equal(weir_future_table(futures[0]), table);
    weir_future_free(futures[0]);
    assert_items(table); /* it is the caller's */
    weir_table_free(table);
    WAIT_UNTIL(weir_future_done(futures[1]), 5000);
    weir_future_free(futures[1]); /* with its table */
    weir_future_cancel(futures[2]);
    weir_future_free(futures[2]);
    weir_pool_free(pool);
    assert_items(must(weir_future_table(futures[3])));
    weir_scope_end(scope);
    weir_future_free(futures[3]); /* its table went with the scope */
}

static int count_calls(weir_task *task, void *arg)
{
    int64_t *sum = *(int64_t **)arg;

    (void)task;
    *sum = 5;
    return 0;
}

/* Whether or not it was waited for, and whatever scope has the ended one's address by then. */
static void a_future_has_no_table__when_the_scope_has_ended(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 1);
        weir_future *future = weir_pool_map_reduce_async(pool, (weir_range){0, ITEMS},
                                                         COUNTING(.map = emit_items), NULL, NULL);
        int result = i % 2 == 0 ? 0 : weir_future_wait(future, -1);

        assert_int_equal(result, 0);
        if (i / 2 == 0)
            weir_pool_free(pool);
        weir_scope_end(scope);
        for (int k = 0; k < 66; k++) { /* so many ended ones keep their address */
            scope = begin();
            weir_scope_end(scope);
        }
        scope = begin();
        assert_null(weir_future_table(future));
        weir_future_free(future);
        assert_int_equal(weir_scope_end(scope), 0);
    }
}

static void a_future_has_no_table__when_it_is_of_another_job(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    int64_t *sum = weir_shm_buf(weir_scope_shm(scope, 8));
    weir_future *future = weir_pool_submit(pool, count_calls, &sum, sizeof sum, NULL);

    (void)state;
    assert_null(weir_future_table(future));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_int_equal(*sum, 5);
    assert_null(weir_future_table(NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    weir_future_free(future);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(every_key_has_the_sum_of_its_values__when_pairs_are_counted),
        UNIT(keys_of_any_length_are_found__when_there_are_many),
        UNIT(the_table_has_the_same_bits__whatever_the_number_of_workers_and_deaths),
        UNIT(keys_have_one_order__whatever_the_cut),
        UNIT(values_lie_one_behind_the_other__when_their_size_is_variable),
        UNIT(keys_are_changed_and_left_out__when_reduce_says_so),
        UNIT(the_call_fails_with_its_message__when_reduce_fails),
        UNIT(pairs_are_in_order__when_a_table_is_sorted),
        UNIT(a_future_has_the_table__when_it_is_waited_for),
        UNIT(a_future_has_no_table__when_the_scope_has_ended),
        UNIT(a_future_has_no_table__when_it_is_of_another_job),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
