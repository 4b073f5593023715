/* SPDX-License-Identifier: MIT
 *
 * ops_map_reduce.c: keyed map-reduces beside sums of the model, and texts.
 */
#include <inttypes.h>

#include "job.h"
#include "ops.h"

#define KEYS 37

/* Item i has the key "key <i mod KEYS>" and the value i * i. */
static void name_key(char *buf, size_t size, int64_t item)
{
    snprintf(buf, size, "key %" PRId64, item % KEYS);
}

static int emit_items(weir_task *task, weir_range range, void *arg)
{
    const struct work *work = arg;
    char key[32];

    for (int64_t i = range.begin; i < range.end; i++) {
        if (i == work->at && work->deed == FAILS)
            return weir_task_fail(task, work->code, "item %lld fails", (long long)i);
        if (i == work->at && work->deed == DIES && weir_task_attempt(task) <= work->attempts) {
            COUNT(deaths);
            _exit(3);
        }
        name_key(key, sizeof key, i);
        if (weir_emit_int64(task, key, strlen(key), i * i) < 0)
            return -1;
    }
    return 0;
}

/* Odd keys are not to be in the table. */
static int skip_odd(weir_task *task, weir_pair *pair, void *arg)
{
    (void)task;
    (void)arg;
    return atoi(pair->key + 4) % 2 == 1 ? WEIR_SKIP : 0;
}

static void check_table(weir_table *table, int64_t length, bool skips)
{
    int64_t sums[KEYS] = {0}, count = 0;
    weir_table_cursor cursor = {0};
    weir_pair pair, *sorted;
    size_t pairs;
    int got;

    for (int64_t i = 0; i < length; i++)
        sums[i % KEYS] += i * i;
    while ((got = weir_table_next(table, &cursor, &pair)) == 1) {
        int64_t value;

        MUST(pair.key[pair.key_size] == '\0' && pair.value_size == 8, "key %s", pair.key);
        memcpy(&value, pair.value, sizeof value);
        MUST(value == sums[atoi(pair.key + 4)], "%s: %lld", pair.key, (long long)value);
        count++;
    }
    SUCCEEDS(got);
    MUST(weir_table_len(table) == count, "length");
    for (int64_t k = 0; k < KEYS; k++) {
        char key[32];

        name_key(key, sizeof key, k);
        got = weir_table_get(table, key, strlen(key), &pair);
        MUST(got == (k < length && !(skips && k % 2 == 1) ? 0 : -ENOENT), "%s: %d", key, got);
        count -= got == 0;
    }
    MUST(count == 0, "more keys than there are");
    sorted = weir_table_sorted(table, weir_pair_by_int64, 0, &pairs);
    MUST(sorted != NULL && (int64_t)pairs == weir_table_len(table), "sorted");
    for (size_t i = 1; i < pairs; i++)
        MUST(*(int64_t *)sorted[i - 1].value >= *(int64_t *)sorted[i].value, "order");
    free(sorted);
}

static void map_reduce(struct lane *lane, const struct op *op)
{
    static const enum deed deeds[] = {CALM, CALM, CALM, FAILS, DIES};
    struct pool_place *pool = pool_of(op->n[0]);
    const int64_t length = one_in(&lane->seed, 6) ? 0 : (int64_t)draw(&lane->seed, 3000);
    struct work work = {.at = draw(&lane->seed, 3000), .code = 77, .attempts = 1 + pick(op, 1, 2)};
    weir_job_options options = {.arg_size = sizeof work};
    weir_map_reduction reduction = {.map = emit_items, .value_size = 8, .combine = weir_sum_int64};
    unsigned kills, cancels;
    bool is_async = one_in(&lane->seed, 2), hit;
    weir_future *future = NULL;
    weir_table *table;

    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    work.deed = (uint8_t)deeds[draw(&lane->seed, 5)];
    options.chunks = one_in(&lane->seed, 2) ? 1 + (int64_t)draw(&lane->seed, 100) : 0;
    reduction.reduce = one_in(&lane->seed, 2) ? skip_odd : NULL;
    kills = atomic_load(&pool->kills.over);
    cancels = atomic_load(&pool->cancels.over);
    say(lane, "map-reduce of %lld items, deed %d at %lld, %d attempts", (long long)length,
        work.deed, (long long)work.at, work.attempts);
    if (is_async) {
        future = weir_pool_map_reduce_async(pool->pool, weir_range_of(length), &reduction, &work,
                                            &options);
        table = weir_future_table(future);
    } else {
        table =
            weir_pool_map_reduce(pool->pool, weir_range_of(length), &reduction, &work, &options);
    }
    hit = work.at < length;
    if (table == NULL) {
        const int code = weir_last_error()->code;

        check_code(__FILE__, __LINE__, "map-reduce", code,
                   (const int[]){WEIR_EFAILED, WEIR_EDIED, -ECANCELED, 0});
        MUST((code == WEIR_EFAILED && hit && work.deed == FAILS) ||
                 (code == WEIR_EDIED && hit && work.deed == DIES && work.attempts > 1) ||
                 (code == WEIR_EDIED && atomic_load(&pool->kills.begun) != kills) ||
                 (code == -ECANCELED && atomic_load(&pool->cancels.begun) != cancels),
             "%d", code);
    } else {
        MUST(!hit || work.deed == CALM || (work.deed == DIES && work.attempts == 1),
             "it succeeded");
        check_table(table, length, reduction.reduce != NULL);
    }
    weir_future_free(future);
    weir_table_free(table);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static int count_words(weir_task *task, weir_range range, void *arg)
{
    const weir_text *text = *(weir_text *const *)arg;
    weir_text_record record;
    weir_text_cursor cursor;

    if (weir_text_slice(text, range, WEIR_TEXT_WORDS, &cursor) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    while (weir_text_next(&cursor, &record) == 1)
        weir_emit_int64(task, record.data, record.size, 1);
    return 0;
}

/* The words of runner.c, twice. */
static void count_text(struct lane *lane, const struct op *op)
{
    static const char *const words[] = {"one", "two", "three", "four", "five", "six"};
    static const int64_t counts[] = {1, 2, 3, 4, 1, 0};
    struct pool_place *pool = pool_of(op->n[0]);
    const char *path = world.record->text_path, *paths[] = {path, path};
    weir_map_reduction reduction = {.map = count_words, .value_size = 8, .combine = weir_sum_int64};
    weir_job_options options = {.chunks = 1 + pick(op, 1, 60), .arg_size = sizeof(weir_text *)};
    weir_table *table;
    weir_text *text;

    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    REFUSED_NULL("weir_text_open", weir_text_open(pool->scope->scope, "/tmp/weir-random-none"),
                 -ENOENT);
    MUST(message_has("/tmp/weir-random-none"), "the file");
    text = weir_text_open_many(pool->scope->scope, paths, 2);
    MUST(text != NULL && weir_text_files(text) == 2, "text");
    MUST(strcmp(weir_text_path(text, 1), path) == 0, "path");
    REFUSED_NULL("weir_text_path", weir_text_path(text, 2), -ERANGE);
    table = weir_pool_map_reduce(pool->pool, weir_text_range(text), &reduction, &text, &options);
    if (table == NULL)
        ALLOW("map-reduce", weir_last_error()->code, -ECANCELED, WEIR_EDIED);
    for (int w = 0; w < 6 && table != NULL; w++) {
        weir_pair pair;
        int got = weir_table_get(table, words[w], strlen(words[w]), &pair);

        MUST(got == (counts[w] > 0 ? 0 : -ENOENT), "%s: %d", words[w], got);
        MUST(got != 0 || *(int64_t *)pair.value == 2 * counts[w], "%s: %lld", words[w],
             (long long)*(int64_t *)pair.value);
    }
    weir_table_free(table);
    weir_text_close(text);
    (void)lane;
}

static const struct kind kinds[] = {
    {"map_reduce", 3, false, false, map_reduce},
    {"count_text", 1, false, false, count_text},
    {0},
};

const struct family map_reduce_family = {.name = "map_reduce", .kinds = kinds, .weight = 1};
