/* SPDX-License-Identifier: MIT
 *
 * from_python [killed]: what from_python.py does, with weir.
 *
 *   cc from_python.c $(pkg-config --cflags --libs weir) -lm -o from_python && ./from_python
 */
#include <weir.h>

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(weir_task *task)
{
    return weir_task_fail(task, 1, "%s", weir_last_error()->message);
}

/* ---- pool.map --------------------------------------------------------------------------------*/

static int root(weir_task *task, const void *in, void *out, void *arg)
{
    const int64_t *i = in;

    (void)arg;
    if (*i < 0)
        return weir_task_fail(task, 1, "no root of %" PRId64, *i);
    *(double *)out = sqrt((double)*i);
    return 0;
}

static int map(weir_pool *pool)
{
    int64_t numbers[1000];
    double roots[1000], sum = 0;

    for (int i = 0; i < 1000; i++)
        numbers[i] = i;
    if (weir_pool_map(pool, root, numbers, sizeof(*numbers), roots, sizeof(*roots), 1000, NULL,
                      &(weir_job_options){.grain = 100}) < 0)
        return -1;
    for (int i = 0; i < 1000; i++)
        sum += roots[i];
    printf("roots %.6f\n", sum);
    return 0;
}

/* ---- executor.submit, as_completed -----------------------------------------------------------*/

static int one_root(weir_task *task, void *arg)
{
    double result;

    return root(task, arg, &result, NULL) ? 1 : weir_task_result(task, &result, sizeof(result));
}

static int submit(weir_pool *pool)
{
    const int64_t numbers[] = {16, -4, 9};
    weir_waiter *waiter = weir_waiter_new(pool);
    weir_future *future;

    for (int i = 0; i < 3; i++) {
        future = WEIR_SUBMIT(pool, one_root, numbers[i], NULL);
        if (weir_waiter_add(waiter, future, NULL) < 0)
            return -1;
    }
    while (weir_waiter_next(waiter, &future, NULL, -1) == 1) {
        if (weir_future_wait(future, 0) < 0)
            printf("failed: %s\n", weir_future_error(future)->message);
        weir_future_free(future);
    }
    weir_waiter_free(waiter);
    return 0;
}

/* ---- SharedMemoryManager, ShareableList ------------------------------------------------------*/

static int list(weir_scope *scope)
{
    const weir_value values[] = {weir_int(1), weir_float(2.5), weir_str("three")};
    weir_list *list = weir_scope_list(scope, values, 3);
    char text[8];

    if (weir_list_set(list, 2, weir_str("four")) < 0 || weir_list_get_data(list, 2, text, 8) < 0)
        return -1;
    printf("%s %" PRId64 "\n", text, weir_list_len(list));
    return 0;
}

/* ---- Manager().dict(), Counter ---------------------------------------------------------------*/

static const char *const words[] = {"a", "scope", "begins", "and", "a", "scope", "ends"};

static int count_letter(weir_task *task, weir_range range, void *arg)
{
    WEIR_EACH (i, range) {
        const char letter[] = {words[i][0], '\0'};

        if (weir_dict_add(arg, weir_str(letter), 1, NULL) < 0) /* atomic */
            return fail(task);
    }
    return 0;
}

static int dict(weir_scope *scope, weir_pool *pool)
{
    weir_dict *letters = weir_scope_dict(scope, NULL);
    weir_value a, s;

    if (weir_pool_for(pool, weir_range_of(7), count_letter, letters, NULL) < 0)
        return -1;
    if (weir_dict_get(letters, weir_str("a"), &a, NULL, 0) < 0 ||
        weir_dict_get(letters, weir_str("s"), &s, NULL, 0) < 0)
        return -1;
    printf("a: %" PRId64 ", s: %" PRId64 "\n", a.integer, s.integer);
    return 0;
}

static int count_length(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    WEIR_EACH (i, range) {
        const uint64_t length = strlen(words[i]);

        weir_emit_int64(task, &length, sizeof(length), 1);
    }
    return 0;
}

static int counter(weir_pool *pool)
{
    const weir_map_reduction counting = {
        .map = count_length, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    weir_table *lengths = weir_pool_map_reduce(pool, weir_range_of(7), &counting, NULL, NULL);
    const uint64_t five = 5;
    weir_pair pair;

    if (lengths == NULL || weir_table_get(lengths, &five, sizeof(five), &pair) < 0)
        return -1;
    printf("words of five letters: %" PRId64 "\n", *(const int64_t *)pair.value);
    weir_table_free(lengths);
    return 0;
}

/* ---- a worker that is killed -----------------------------------------------------------------*/

static int die(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return kill(getpid(), SIGKILL);
}

static int run(weir_scope *scope, bool killed)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});

    if (pool == NULL || map(pool) < 0 || submit(pool) < 0 || list(scope) < 0 ||
        dict(scope, pool) < 0 || counter(pool) < 0)
        return -1;
    return killed ? weir_pool_for(pool, weir_range_of(4), die, NULL, NULL) : 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    WEIR_SCOPE (scope, NULL) {
        status = run(scope, argc > 1 && strcmp(argv[1], "killed") == 0);
    }
    if (status < 0)
        fprintf(stderr, "from_python: %s\n", weir_last_error()->message);
    return status < 0;
}
