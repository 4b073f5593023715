/* SPDX-License-Identifier: MIT
 *
 * Keyed map-reduce: what weir-pool.h promises of it, with values of fixed and of variable size,
 * with and without deaths, and of the table that it gives.
 */
#include "support.h"

#include "reductions.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ITEMS 20000

#define COUNTING(...)                                                                              \
    (&(weir_map_reduction){.value_size = sizeof(int64_t), .combine = weir_sum_int64, __VA_ARGS__})

/* Item i has key "key<i % 997>" and counts i. */
static int emit_items(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        char key[32];
        int size = snprintf(key, sizeof key, "key%d", (int)(i % 997));

        weir_emit_int64(task, key, (size_t)size, i);
    }
    return 0;
}

static int64_t get_int64(const weir_table *table, const char *key)
{
    weir_pair pair;

    assert_int_equal(weir_table_get(table, key, strlen(key), &pair), 0);
    assert_int_equal(pair.value_size, sizeof(int64_t));
    assert_int_equal(pair.key_size, strlen(key));
    assert_string_equal(pair.key, key);
    return *(const int64_t *)pair.value;
}

static weir_table *must(weir_table *table)
{
    if (table == NULL)
        fail_msg("no table: %s", weir_last_error()->message);
    return table;
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

/* ---- keys of every length, many of them ------------------------------------------------------ */

/* Key number i: i % 70 bytes that depend on i, with NULs among them. */
static size_t make_key(int64_t i, unsigned char *key)
{
    size_t size = (size_t)(i % 70);

    for (size_t k = 0; k < size; k++)
        key[k] = (unsigned char)((uint64_t)i >> (8 * (k % 8)) ^ (k / 8 * 7));
    return size;
}

static int emit_lengths(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        unsigned char key[80];
        size_t size = make_key(i / 2, key);

        weir_emit_int64(task, key, size, i / 2 + 1);
    }
    return 0;
}

static void assert_lengths(const weir_table *table, int64_t count)
{
    weir_table_cursor cursor = {0};
    int64_t pairs = 0, sum = 0, expected = 0;
    weir_pair pair;

    for (int64_t i = 0; i < count; i++) {
        unsigned char key[80];
        size_t size = make_key(i, key);

        expected += 2 * (i + 1);
        assert_int_equal(weir_table_get(table, key, size, &pair), 0);
        assert_int_equal(pair.key_size, size);
        assert_memory_equal(pair.key, key, size);
        assert_int_equal(pair.key[size], 0);
        assert_int_equal((uintptr_t)pair.value % 8, 0);
        if (size >= 8)
            assert_int_equal(*(const int64_t *)pair.value, 2 * (i + 1));
    }
    while (weir_table_next(table, &cursor, &pair) == 1) {
        pairs++;
        sum += *(const int64_t *)pair.value;
    }
    assert_int_equal(pairs, weir_table_len(table));
    assert_int_equal(sum, expected);
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

/* ---- nothing, and bad input -------------------------------------------------------------------
 */

static int emit_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static void assert_empty(weir_table *table)
{
    weir_table_cursor cursor = {0};
    size_t count = 9;
    weir_pair pair, *sorted;

    assert_int_equal(weir_table_len(must(table)), 0);
    assert_int_equal(weir_table_next(table, &cursor, &pair), 0);
    assert_int_equal(weir_table_next(NULL, &cursor, &pair), -EINVAL);
    assert_int_equal(weir_table_next(table, NULL, &pair), -EINVAL);
    assert_int_equal(weir_table_get(table, "a", 1, &pair), -ENOENT);
    sorted = weir_table_sorted(table, weir_pair_by_key, 3, &count);
    assert_non_null(sorted);
    assert_int_equal(count, 0);
    free(sorted);
    weir_table_free(table);
}

static void the_table_is_empty__when_nothing_is_emitted(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_future *future;

    (void)state;
    assert_empty(
        weir_pool_map_reduce(pool, (weir_range){5, 5}, COUNTING(.map = emit_items), NULL, NULL));
    assert_empty(weir_pool_map_reduce(pool, (weir_range){0, 500}, COUNTING(.map = emit_nothing),
                                      NULL, NULL));
    future = weir_pool_map_reduce_async(pool, (weir_range){5, 5}, COUNTING(.map = emit_items), NULL,
                                        NULL);
    assert_empty(weir_future_table(future));
    weir_future_free(future);
    weir_table_free(NULL);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void assert_refused(weir_pool *pool, const weir_map_reduction *reduction,
                           const weir_job_options *options, int code, const char *message)
{
    assert_null(weir_pool_map_reduce(pool, (weir_range){0, 100000}, reduction, NULL, options));
    assert_int_equal(weir_last_error()->code, code);
    assert_message_has(message);
    assert_null(
        weir_pool_map_reduce_async(pool, (weir_range){0, 100000}, reduction, NULL, options));
    assert_int_equal(weir_last_error()->code, code);
}

static void a_map_reduce_is_refused__when_its_arguments_are_wrong(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_pair pair;

    (void)state;
    assert_refused(NULL, COUNTING(.map = emit_items), NULL, -EINVAL, "pool is NULL");
    assert_refused(pool, NULL, NULL, -EINVAL, "NULL");
    assert_refused(pool, COUNTING(.map = NULL), NULL, -EINVAL, "map is NULL");
    assert_refused(pool, COUNTING(.map = emit_items, .reserved = {[3] = 1}), NULL, -EINVAL,
                   "reserved");
    assert_refused(pool, &(weir_map_reduction){.map = emit_items, .value_size = 8}, NULL, -EINVAL,
                   "combine is NULL");
    assert_refused(pool, &(weir_map_reduction){.map = emit_items, .combine = weir_sum_int64}, NULL,
                   -EINVAL, "combine must be NULL");
    assert_refused(pool, COUNTING(.map = emit_items), OPTIONS(.grain = 1), -E2BIG, "4096");
    assert_refused(pool, COUNTING(.map = emit_items), OPTIONS(.retries = 99), -EINVAL, "retries");
    assert_int_equal(weir_table_len(NULL), -EINVAL);
    assert_int_equal(weir_table_get(NULL, "a", 1, &pair), -EINVAL);
    assert_null(weir_table_sorted(NULL, weir_pair_by_key, 0, &(size_t){0}));
    weir_pool_free(pool);
    weir_scope_end(scope);
}

struct bad_emit {
    const void *key;
    size_t key_size;
    const void *value;
    size_t value_size;
};

static int emit_bad(weir_task *task, weir_range range, void *arg)
{
    const struct bad_emit *bad = arg;

    (void)range;
    if (weir_emit(task, bad->key, bad->key_size, bad->value, bad->value_size) != -EINVAL)
        abort();
    return 0; /* it fails all the same */
}

static void the_task_fails__when_what_it_emits_is_wrong(void **state)
{
    static const int64_t one = 1;
    const struct bad_emit bad[] = {{NULL, 3, &one, 8},
                                   {"abc", 3, NULL, 8},
                                   {"abc", 3, &one, 7},
                                   {"abc", (size_t)2 << 30, &one, 8}};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(weir_pool_map_reduce(pool, (weir_range){0, 1}, COUNTING(.map = emit_bad),
                                         (void *)&bad[i], OPTIONS(.arg_size = sizeof *bad)));
        assert_int_equal(weir_last_error()->code, WEIR_EFAILED);
        assert_int_equal(weir_last_error()->task_code, -EINVAL);
    }
    assert_message_has("2147483648 bytes");
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int emit_elsewhere(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    return weir_emit_int64(task, "a", 1, 1) == -EINVAL ? 0 : 1;
}

static void emitting_is_refused__when_the_job_is_no_map_reduce(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 3}, emit_elsewhere, NULL, NULL), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- failures, deaths and limits ------------------------------------------------------------- */

/* Blocks of scopes that are mapped here; what a job has given back is not, once this has synced. */
static int scope_blocks(weir_scope *scope)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;

    assert_non_null(maps);
    weir_scope_sync(scope);
    while (fgets(line, sizeof line, maps) != NULL)
        count += strstr(line, "/dev/shm/") != NULL;
    fclose(maps);
    return count;
}

static int fail_late(weir_task *task, weir_range range, void *arg)
{
    emit_items(task, range, arg);
    return range.end == ITEMS ? weir_task_fail(task, 3, "not the last one") : 0;
}

static int die_always(weir_task *task, weir_range range, void *arg)
{
    emit_items(task, range, arg);
    if (range.end == ITEMS)
        raise(SIGKILL);
    return 0;
}

static void nothing_is_left__when_the_job_fails(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const int before = scope_blocks(scope);

    (void)state;
    assert_null(weir_pool_map_reduce(pool, (weir_range){0, ITEMS}, COUNTING(.map = fail_late), NULL,
                                     OPTIONS(.keep_going = true)));
    assert_int_equal(weir_last_error()->code, WEIR_EFAILED);
    assert_message_has("not the last one");
    assert_int_equal(scope_blocks(scope), before);
    assert_null(weir_pool_map_reduce(pool, (weir_range){0, ITEMS}, COUNTING(.map = die_always),
                                     NULL, OPTIONS(.keep_going = true)));
    assert_int_equal(weir_last_error()->code, WEIR_EDIED);
    assert_int_equal(weir_last_error()->signal, SIGKILL);
    assert_int_equal(weir_last_error()->attempt, 2);
    assert_int_equal(scope_blocks(scope), before);
    /* and the pool still works */
    weir_table_free(must(weir_pool_map_reduce(pool, (weir_range){0, ITEMS},
                                              COUNTING(.map = emit_items), NULL, NULL)));
    assert_int_equal(scope_blocks(scope), before);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void the_call_says_so__when_the_memory_limit_is_reached(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const int before = scope_blocks(scope);
    const weir_range range = {0, 120000};
    size_t enough = 0;

    (void)state;
    for (size_t memory = 10000; enough == 0; memory *= 4) {
        weir_table *table = weir_pool_map_reduce(
            pool, range, COUNTING(.map = emit_lengths, .memory = memory), NULL, NULL);

        if (table != NULL) {
            enough = memory;
            assert_lengths(table, 60000);
            weir_table_free(table);
        } else {
            assert_int_equal(weir_last_error()->code, -ENOMEM);
            assert_message_has("memory limit of");
        }
        assert_int_equal(scope_blocks(scope), before);
    }
    assert_in_range(enough, 40000, 100000000);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void nothing_is_left__when_the_job_is_cancelled_or_the_pool_killed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const int before = scope_blocks(scope);
    weir_future *last;

    (void)state;
    for (int i = 0; i < 6; i++) {
        weir_future *future = weir_pool_map_reduce_async(pool, (weir_range){0, 120000},
                                                         COUNTING(.map = emit_lengths), NULL, NULL);

        int result = weir_future_wait(future, i); /* the last ones may have ended by then */

        assert_true(result == -ETIMEDOUT || (result == 0 && i > 0));
        weir_future_cancel(future);
        weir_future_free(future);
        assert_int_equal(scope_blocks(scope), before);
    }
    last = weir_pool_map_reduce_async(pool, (weir_range){0, 120000}, COUNTING(.map = emit_lengths),
                                      NULL, NULL);
    weir_scope_end(scope); /* with the pool */
    weir_future_free(last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(every_key_has_the_sum_of_its_values__when_pairs_are_counted),
        UNIT(keys_of_any_length_are_found__when_there_are_many),
        UNIT(the_table_has_the_same_bits__whatever_the_number_of_workers_and_deaths),
        UNIT(values_lie_one_behind_the_other__when_their_size_is_variable),
        UNIT(keys_are_changed_and_left_out__when_reduce_says_so),
        UNIT(the_call_fails_with_its_message__when_reduce_fails),
        UNIT(pairs_are_in_order__when_a_table_is_sorted),
        UNIT(a_future_has_the_table__when_it_is_waited_for),
        UNIT(a_future_has_no_table__when_it_is_of_another_job),
        UNIT(the_table_is_empty__when_nothing_is_emitted),
        UNIT(a_map_reduce_is_refused__when_its_arguments_are_wrong),
        UNIT(the_task_fails__when_what_it_emits_is_wrong),
        UNIT(emitting_is_refused__when_the_job_is_no_map_reduce),
        UNIT(nothing_is_left__when_the_job_fails),
        UNIT(the_call_says_so__when_the_memory_limit_is_reached),
        UNIT(nothing_is_left__when_the_job_is_cancelled_or_the_pool_killed),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
