/* SPDX-License-Identifier: MIT
 *
 * which_call: one small problem for each call of a pool.
 *
 *   cc which_call.c $(pkg-config --cflags --libs weir) -o which_call && ./which_call
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define N 1000

static int64_t *shared; /* made before the pool, so workers have the pointer */

/* ---- weir_pool_for: change what is shared ----------------------------------------------------*/

static int fill(weir_task *task, weir_range range, void *arg)
{
    int64_t *items = arg;

    (void)task;
    WEIR_EACH (i, range)
        items[i] = i;
    return 0;
}

/* ---- weir_pool_map: an output for each input -------------------------------------------------*/

static int square(weir_task *task, const void *in, void *out, void *arg)
{
    const int *number = in;

    (void)task;
    (void)arg;
    *(int *)out = *number * *number;
    return 0;
}

/* ---- weir_pool_reduce: one result of all -----------------------------------------------------*/

struct extremes {
    int64_t least, most;
};

static void begin(void *accumulator, void *arg)
{
    (void)arg;
    *(struct extremes *)accumulator = (struct extremes){INT64_MAX, INT64_MIN};
}

static void widen(struct extremes *all, int64_t least, int64_t most)
{
    all->least = least < all->least ? least : all->least;
    all->most = most > all->most ? most : all->most;
}

static int find(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const int64_t *items = arg;

    (void)task;
    WEIR_EACH (i, range)
        widen(accumulator, items[i], items[i]);
    return 0;
}

static void join(void *into, const void *from, void *arg)
{
    const struct extremes *part = from;

    (void)arg;
    widen(into, part->least, part->most);
}

/* ---- weir_pool_map_reduce: a result for each key ---------------------------------------------*/

static int emit_digit(weir_task *task, weir_range range, void *arg)
{
    const int64_t *items = arg;

    WEIR_EACH (i, range) {
        const char digit[] = {(char)('0' + items[i] % 10), '\0'};

        weir_emit_str(task, digit, &items[i], sizeof(items[i]));
    }
    return 0;
}

/* ---- weir_pool_submit, weir_stream_put: single calls -----------------------------------------*/

static int length(weir_task *task, void *text)
{
    const size_t size = strlen(text);

    return weir_task_result(task, &size, sizeof(size));
}

/* ---- weir_pool_each: once in each worker -----------------------------------------------------*/

static int64_t table[10];

static int load(weir_task *task, void *arg)
{
    (void)task;
    for (int i = 0; i < 10; i++)
        table[i] = *(const int64_t *)arg * i;
    return 0;
}

static int use(weir_task *task, weir_range range, void *arg)
{
    int64_t *items = arg;

    (void)task;
    WEIR_EACH (i, range)
        items[i] += table[i % 10];
    return 0;
}

/* ----------------------------------------------------------------------------------------------*/

static int ranges(weir_pool *pool)
{
    const weir_range all = weir_range_of(N);
    const weir_reduction extremes = {
        .size = sizeof(struct extremes), .init = begin, .fold = find, .combine = join};
    const weir_map_reduction by_digit = {
        .map = emit_digit, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    const int numbers[] = {2, 3, 5};
    struct extremes found;
    weir_pair pair;
    int squares[3];

    if (weir_pool_for(pool, all, fill, shared, NULL) < 0)
        return -1;
    if (weir_pool_map(pool, square, numbers, sizeof(int), squares, sizeof(int), 3, NULL, NULL) < 0)
        return -1;
    printf("map: %d %d %d\n", squares[0], squares[1], squares[2]);
    if (weir_pool_reduce(pool, all, &extremes, &found, shared, NULL) < 0)
        return -1;
    printf("reduce: from %" PRId64 " to %" PRId64 "\n", found.least, found.most);
    weir_table *sums = weir_pool_map_reduce(pool, all, &by_digit, shared, NULL);
    if (sums == NULL || weir_table_get(sums, "7", 1, &pair) < 0)
        return -1;
    printf("map-reduce: %" PRId64 "\n", *(const int64_t *)pair.value);
    weir_table_free(sums);
    return 0;
}

static int calls(weir_pool *pool)
{
    const char *const texts[] = {"one", "three", "seventeen"};
    weir_item item;

    weir_future *future = weir_pool_submit(pool, length, "text", sizeof("text"), NULL);
    const size_t *size = weir_future_result(future, NULL);
    if (size == NULL)
        return -1;
    printf("submit: %zu\n", *size);
    weir_future_free(future);

    weir_stream *stream = weir_stream_new(pool, length, NULL);
    for (int i = 0; i < 3; i++)
        if (weir_stream_put(stream, texts[i], strlen(texts[i]) + 1) < 0)
            return -1;
    while (weir_stream_next(stream, &item, -1) == 1)
        printf("stream: item %" PRId64 " has %zu\n", item.index, *(const size_t *)item.data);
    weir_stream_free(stream);
    return 0;
}

static int each(weir_pool *pool)
{
    const int64_t factor = 100;

    if (weir_pool_each(pool, load, &factor, &(weir_job_options){.arg_size = sizeof(factor)}) < 0 ||
        weir_pool_for(pool, weir_range_of(N), use, shared, NULL) < 0)
        return -1;
    printf("each: %" PRId64 "\n", shared[N - 1]);
    return 0;
}

static int target(void *arg)
{
    *(int64_t *)arg = -1;
    return 3; /* the exit status */
}

static int process(weir_scope *scope)
{
    int status;

    weir_process *process = weir_process_start(scope, target, shared);
    if (weir_process_join(process, -1, &status) < 0)
        return -1;
    printf("process: status %d, and left %" PRId64 "\n", status, shared[0]);
    weir_process_free(process);
    return 0;
}

static int run(weir_scope *scope)
{
    shared = weir_scope_int64s(scope, N);
    weir_pool *pool = weir_pool_new(scope, NULL);
    if (shared == NULL || pool == NULL)
        return -1;
    return ranges(pool) < 0 || calls(pool) < 0 || each(pool) < 0 || process(scope) < 0 ? -1 : 0;
}

int main(void)
{
    int status = -1;

    WEIR_SCOPE (scope, NULL) {
        status = run(scope);
    }
    if (status < 0)
        fprintf(stderr, "which_call: %s\n", weir_last_error()->message);
    return status < 0;
}
