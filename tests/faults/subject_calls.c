/* SPDX-License-Identifier: MIT
 *
 * What a life has none of: futures, streams, keyed map-reduce, texts, handles, named blocks, an
 * arena, progress, and a second program's connection.
 *
 *     subject calls [FOLDER]    FOLDER: for the socket that is connected to
 *
 * Each call does what it must, or fails with an error; what comes after it is tried all the same.
 */
#include "subject.h"

#define KEY "a key"

static int failures;

/* Whether it went well; otherwise it has said why not. */
static bool good(const char *what, bool result)
{
    if (!result) {
        give_up(what);
        failures++;
    }
    weir_clear_error();
    return result;
}

/* ---- objects -------------------------------------------------------------------------------- */

static void handles(weir_scope *scope)
{
    weir_list *list = weir_scope_list_range(scope, 0, 10, 1), *other = NULL;
    char *text = NULL;
    weir_value value;

    if (good("a list", list != NULL))
        text = weir_list_to_json(list);
    if (list != NULL && good("a handle", text != NULL)) {
        other = weir_list_from_json(text);
        if (good("a list from its handle", other != NULL))
            MUST(weir_list_get(other, 3, &value) == 0 && value.integer == 3);
    }
    free(text);
    weir_list_close(other);
}

static void fill(weir_scope *scope)
{
    const weir_value values[] = {weir_int(1), weir_str("two"), weir_bytes("three", 5), weir_none()};
    weir_dict *dict = weir_scope_dict(scope, NULL);
    weir_arena *arena;
    weir_list *list;

    if (good("a dictionary", dict != NULL)) {
        for (int i = 0; i < 300; i++)
            if (!good("a key", weir_dict_set(dict, weir_int(i), weir_int(i)) == 0))
                break;
            else
                MUST(weir_dict_len(dict) == i + 1);
    }
    list = weir_scope_list_named(scope, "faults-named", values, 4);
    if (good("a named list", list != NULL))
        MUST(weir_list_len(list) == 4 && weir_list_index(list, weir_str("two")) == 1);
    arena = weir_scope_arena(scope, 4096);
    if (good("an arena", arena != NULL))
        for (int i = 0; i < 10 && good("memory", weir_arena_alloc(arena, 1000) != NULL); i++)
            ;
    weir_arena_free(arena);
}

static void ask(weir_scope *scope, const char *address)
{
    weir_scope *other = address == NULL ? NULL : weir_scope_connect(address, KEY, strlen(KEY));
    weir_shm *block = NULL;

    if (address != NULL && good("weir_scope_connect", other != NULL)) {
        block = weir_scope_shm(other, 5000);
        good("a block of another program", block != NULL);
    }
    good("the blocks", weir_scope_blocks(scope, NULL, 0) >= 0);
    if (block != NULL)
        good("a look-up", weir_scope_lookup(scope, weir_shm_name(block), NULL) == 0);
    weir_shm_close(block);
    weir_scope_disconnect(other);
    block = weir_shm_create(NULL, 5000, 0);
    if (good("a block of nobody's", block != NULL)) {
        if (good("to track", weir_scope_track(scope, weir_shm_name(block)) == 0))
            good("to release", weir_scope_release(scope, weir_shm_name(block)) == 0);
        weir_shm_unlink(block);
        weir_shm_close(block);
    }
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static int twice(weir_task *task, void *arg)
{
    int64_t result = *(int64_t *)arg * 2;

    return weir_task_result(task, &result, sizeof(result));
}

static int emit_lines(weir_task *task, weir_range range, void *text)
{
    weir_text_cursor lines;
    weir_text_record line;
    int result = weir_text_slice(text, range, WEIR_TEXT_LINES, &lines);

    while (result == 0 && weir_text_next(&lines, &line) == 1)
        result = weir_emit_int64(task, line.data, line.size, 1);
    return result == 0 ? 0 : weir_task_fail(task, 1, "%s", weir_last_error()->message);
}

static void count_lines(weir_scope *scope, weir_pool *pool)
{
    const weir_map_reduction counting = {
        .map = emit_lines, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    weir_text *text = weir_text_open(scope, "/etc/passwd");
    weir_table *table = NULL;
    weir_pair *pairs = NULL;
    size_t found = 0;

    if (good("a text", text != NULL)) {
        table = weir_pool_map_reduce(pool, weir_text_range(text), &counting, text,
                                     &(weir_job_options){.chunks = 4});
        if (good("a map-reduce", table != NULL)) {
            MUST(weir_table_len(table) > 0);
            pairs = weir_table_sorted(table, weir_pair_by_key, 0, &found);
            good("its pairs", pairs != NULL);
        }
    }
    free(pairs);
    weir_table_free(table);
    weir_text_close(text);
}

static void futures(weir_pool *pool)
{
    weir_future *all[3] = {NULL};
    const int64_t *result;
    size_t size;

    for (int64_t i = 0; i < 3; i++) {
        all[i] = weir_pool_submit(pool, twice, &i, sizeof(i), NULL);
        good("a future", all[i] != NULL);
    }
    good("a wait for all", weir_future_wait_many(all, 3, WEIR_WHEN_ALL, 5000) >= 0);
    for (int64_t i = 0; i < 3; i++) {
        if (all[i] != NULL && good("a call", weir_future_wait(all[i], 5000) == 0)) {
            result = weir_future_result(all[i], &size);
            if (good("a result", result != NULL))
                MUST(size == sizeof(i) && *result == 2 * i);
        }
        weir_future_free(all[i]);
    }
}

static void stream(weir_pool *pool)
{
    weir_stream *stream = weir_stream_new(pool, twice, NULL);
    weir_item item;
    int64_t next = 0, put = 0;

    if (!good("a stream", stream != NULL))
        return;
    while (put < 12 && good("to put", weir_stream_put(stream, &put, sizeof(put)) == 0))
        put++;
    while (weir_stream_next(stream, &item, 5000) == 1) {
        MUST(item.index == next && (item.code != 0 || *(const int64_t *)item.data == 2 * next));
        if (item.code != 0) {
            fprintf(stderr, "an item: code %d\n", item.code);
            failures++;
        }
        next++;
    }
    good("the end of a stream", next == put);
    weir_stream_free(stream);
}

static int double_it(weir_task *task, const void *in, void *out, void *arg)
{
    (void)task;
    (void)arg;
    *(int64_t *)out = *(const int64_t *)in * 2;
    return 0;
}

static void called(weir_future *future, void *arg)
{
    *(bool *)arg = true;
    weir_future_free(future);
}

static void told(const weir_progress *progress, void *arg)
{
    *(bool *)arg = progress->ended;
}

static void maps(weir_pool *pool)
{
    int64_t in[50], out[50];
    bool done = false, ended = false;
    weir_future *future;

    for (int i = 0; i < 50; i++)
        in[i] = i;
    if (good("a map", weir_pool_map(pool, double_it, in, 8, out, 8, 50, NULL,
                                    &(weir_job_options){.chunks = 5,
                                                        .progress = "map",
                                                        .on_progress = told,
                                                        .on_progress_arg = &ended}) == 0))
        MUST(out[49] == 98 && ended);
    future = weir_pool_map_async(pool, double_it, in, 8, out, 8, 50, NULL, NULL);
    if (!good("a map", future != NULL))
        return;
    if (!good("a callback", weir_future_then(future, called, &done) == 0)) {
        weir_future_free(future);
        return;
    }
    for (int i = 0; !done && i < 2000; i++) {
        if (!good("to dispatch", weir_pool_dispatch(pool) >= 0))
            break;
        sleep_ms(1);
    }
    if (!done)
        weir_future_free(future); /* before what it writes to is gone */
}

/* ---- all ------------------------------------------------------------------------------------ */

static int calls(int argc, char **argv)
{
    char address[200] = "";
    weir_scope_options options = {.timeout_ms = 1000};
    weir_scope *scope;
    weir_pool *pool;

    if (argc > 0) {
        snprintf(address, sizeof(address), "%s/socket", argv[0]);
        options.address = address;
        options.authkey = KEY;
        options.authkey_size = strlen(KEY);
    }
    mark(1);
    scope = weir_scope_begin(&options);
    if (good("weir_scope_begin", scope != NULL)) {
        handles(scope);
        fill(scope);
        ask(scope, argc > 0 ? address : NULL);
        pool = new_pool(scope, 2);
        if (good("weir_pool_new", pool != NULL)) {
            futures(pool);
            stream(pool);
            maps(pool);
            count_lines(scope, pool);
        }
        weir_pool_free(pool);
        good("weir_scope_end", weir_scope_end(scope) == 0);
    }
    mark(0);
    return failures > 0 ? GAVE_UP : 0;
}

const struct mode others[] = {{"calls", calls}, {NULL, NULL}};
