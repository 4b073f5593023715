/* SPDX-License-Identifier: MIT
 *
 * Keyed map-reduce: nothing emitted, wrong arguments, failures, deaths and limits.
 */
#include "map-reduce.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* ---- nothing, and bad input ------------------------------------------------------------------ */

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
    assert_refused(pool, COUNTING(.map = emit_items, .reserved = {[2] = 1}), NULL, -EINVAL,
                   "reserved");
    assert_refused(pool, &(weir_map_reduction){.map = emit_items, .value_size = 8}, NULL, -EINVAL,
                   "combine is NULL");
    assert_refused(pool, &(weir_map_reduction){.map = emit_items, .combine = weir_sum_int64}, NULL,
                   -EINVAL, "combine must be NULL");
    assert_refused(pool, &(weir_map_reduction){.map = emit_items, .any_order = true}, NULL, -EINVAL,
                   "any_order is set");
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
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 3}, emit_elsewhere, NULL, NULL),
                     WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, -EINVAL);
    assert_message_has("can emit");
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- values that would become longer --------------------------------------------------------- */

#define NEIGHBOURS 50

/* Keys "key<i>" with 8 bytes each, in one chunk and so in one table after the other. */
static int emit_neighbours(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        char key[32];
        int size = snprintf(key, sizeof key, "key%d", (int)(i % NEIGHBOURS));

        weir_emit_int64(task, key, (size_t)size, 1);
    }
    return 0;
}

/* Writes 40 bytes where 8 are, of one key; every other key must be as it was emitted. */
static int reduce_past_the_end(weir_task *task, weir_pair *pair, void *arg)
{
    char expected[32];
    int number = -1;

    if (sscanf(pair->key, "key%d", &number) != 1)
        number = -1;
    snprintf(expected, sizeof expected, "key%d", number);
    if (strcmp(pair->key, expected) != 0 || pair->key_size != strlen(expected))
        return weir_task_fail(task, 99, "another key was overwritten: \"%.20s\"", pair->key);
    if (number == 7)
        memset(pair->value, 'w', 40);
    if (arg != NULL && number == 7)
        pair->value_size = 40;
    return 0;
}

static void combine_past_the_end(void *into, const void *from, void *arg)
{
    (void)from;
    (void)arg;
    memset(into, 'w', 40);
}

static void assert_too_long(weir_pool *pool, const weir_map_reduction *reduction, void *arg,
                            const char *message)
{
    assert_null(weir_pool_map_reduce(pool, (weir_range){0, 4 * NEIGHBOURS}, reduction, arg,
                                     OPTIONS(.keep_going = true)));
    assert_int_equal(weir_last_error()->code, WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, -EINVAL);
    assert_message_has(message);
}

static void the_task_fails__when_a_value_becomes_longer(void **state)
{
    static int longer;
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_too_long(pool, COUNTING(.map = emit_neighbours, .reduce = reduce_past_the_end), NULL,
                    "reduce wrote past the value of the key \"key7\", which has 8 bytes");
    assert_too_long(pool, COUNTING(.map = emit_neighbours, .reduce = reduce_past_the_end), &longer,
                    "from 8 to 40 bytes");
    assert_too_long(pool,
                    &(weir_map_reduction){.map = emit_neighbours, .reduce = reduce_past_the_end},
                    &longer, "from 32 to 40 bytes");
    assert_too_long(pool,
                    &(weir_map_reduction){
                        .map = emit_neighbours, .value_size = 8, .combine = combine_past_the_end},
                    NULL, "combine wrote past a value, which has 8 bytes");
    /* and the worker is the same, and works */
    weir_table_free(must(weir_pool_map_reduce(pool, (weir_range){0, ITEMS},
                                              COUNTING(.map = emit_items), NULL, NULL)));
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
    assert_int_equal(weir_scope_sync(scope), 0);
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
        UNIT(the_table_is_empty__when_nothing_is_emitted),
        UNIT(a_map_reduce_is_refused__when_its_arguments_are_wrong),
        UNIT(the_task_fails__when_what_it_emits_is_wrong),
        UNIT(emitting_is_refused__when_the_job_is_no_map_reduce),
        UNIT(the_task_fails__when_a_value_becomes_longer),
        UNIT(nothing_is_left__when_the_job_fails),
        UNIT(the_call_says_so__when_the_memory_limit_is_reached),
        UNIT(nothing_is_left__when_the_job_is_cancelled_or_the_pool_killed),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
