/* SPDX-License-Identifier: MIT
 *
 * Calls on a pool that its own tasks make (weir_pool_options.nested).
 */
#include "reductions.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define ITEMS 10007

/* What the tasks share with the program. */
struct shared {
    weir_pool *pool; /* the program's handle */
    weir_scope *scope;
    double sum, squares[ITEMS];
    _Atomic int items[ITEMS];
    _Atomic int begun, stop, strange;
    weir_error error;
    int codes[16];
    char text[64];
    uint64_t words;
};

static weir_pool *new_nested(weir_scope *scope, int workers, struct shared *shared)
{
    weir_pool *pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = workers, .nested = WEIR_NESTED_SERIAL});

    if (pool == NULL)
        fail_msg("weir_pool_new: %s", weir_last_error()->message);
    shared->pool = pool;
    shared->scope = scope;
    return pool;
}

/* Runs one task of the pool, with `shared` as its argument. */
static int run_task(weir_pool *pool, weir_task_fn function, struct shared *shared)
{
    return weir_pool_for(pool, (weir_range){0, 1}, function, shared, NULL);
}

#define WITH(workers)                                                                              \
    struct shared *shared = shared_memory(sizeof *shared);                                         \
    weir_scope *scope = begin();                                                                   \
    weir_pool *pool = new_nested(scope, workers, shared);                                          \
    (void)state

#define DONE()                                                                                     \
    do {                                                                                           \
        weir_pool_free(pool);                                                                      \
        weir_scope_end(scope);                                                                     \
        munmap(shared, sizeof *shared);                                                            \
    } while (0)

/* ---- results -------------------------------------------------------------------------------- */

static int nested_reduce(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;
    double null = 0;

    (void)task;
    (void)range;
    if (weir_pool_reduce(shared->pool, (weir_range){0, ITEMS}, &sum_awkward, &shared->sum, NULL,
                         NULL) < 0)
        return 1;
    /* the handle is often NULL in a worker */
    if (weir_pool_reduce(NULL, (weir_range){0, ITEMS}, &sum_awkward, &null, NULL, NULL) < 0)
        return 2;
    return memcmp(&null, &shared->sum, sizeof null) != 0;
}

static void a_reduction_has_the_same_bits__when_it_is_nested(void **state)
{
    double sum = 0;
    WITH(3);

    assert_int_equal(weir_pool_reduce(pool, (weir_range){0, ITEMS}, &sum_awkward, &sum, NULL, NULL),
                     0);
    assert_int_equal(run_task(pool, nested_reduce, shared), 0);
    assert_memory_equal(&sum, &shared->sum, sizeof sum);
    DONE();
}

static int square(weir_task *task, const void *in, void *out, void *arg)
{
    const double x = *(const double *)in;

    (void)task;
    (void)arg;
    *(double *)out = x * x;
    return 0;
}

static int nested_map(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;
    double *in = malloc(ITEMS * sizeof *in), *out = malloc(ITEMS * sizeof *out);
    int result;

    (void)task;
    (void)range;
    for (int i = 0; i < ITEMS; i++)
        in[i] = i;
    result =
        weir_pool_map(shared->pool, square, in, sizeof *in, out, sizeof *out, ITEMS, NULL, NULL);
    memcpy(shared->squares, out, sizeof shared->squares);
    free(in);
    free(out);
    return result;
}

static void private_arrays_are_those_of_the_worker__when_a_map_is_nested(void **state)
{
    WITH(2);

    assert_int_equal(run_task(pool, nested_map, shared), 0);
    for (int i = 0; i < ITEMS; i++)
        assert_true(shared->squares[i] == (double)i * i);
    DONE();
}

static int note_order(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    shared->strange += weir_task_worker(task) != weir_worker_index() ||
                       weir_task_attempt(task) != 1 || shared->begun != range.begin;
    shared->begun = (int)range.end;
    return count_items(task, range, shared->items);
}

static int nested_for(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    (void)task;
    (void)range;
    return weir_pool_for(shared->pool, (weir_range){0, ITEMS}, note_order, shared, NULL);
}

static void chunks_run_in_their_order_in_the_worker__when_a_call_is_nested(void **state)
{
    WITH(3);

    assert_int_equal(run_task(pool, nested_for, shared), 0);
    assert_int_equal(shared->strange, 0);
    for (int i = 0; i < ITEMS; i++)
        assert_int_equal(shared->items[i], 1);
    DONE();
}

static int emit_digits(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    WEIR_EACH (i, range) {
        char key[24];

        snprintf(key, sizeof key, "%d", (int)(i % 1009));
        if (weir_emit_int64(task, key, strlen(key), i) != 0)
            return 1;
    }
    return 0;
}

static const weir_map_reduction digits = {
    .map = emit_digits, .combine = weir_sum_int64, .value_size = sizeof(int64_t)};

/* Over all pairs, in the table's order. */
static uint64_t mix_table(const weir_table *table)
{
    weir_table_cursor at = {0};
    weir_pair pair;
    uint64_t mixed = 0;

    while (weir_table_next(table, &at, &pair) == 1)
        mixed = mixed * 31 + *(const uint64_t *)pair.value + ((const unsigned char *)pair.key)[0];
    return mixed;
}

static int nested_map_reduce(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;
    weir_table *table =
        weir_pool_map_reduce(shared->pool, (weir_range){0, ITEMS}, &digits, NULL, NULL);
    weir_future *future =
        weir_pool_map_reduce_async(shared->pool, (weir_range){0, ITEMS}, &digits, NULL, NULL);
    weir_table *second = future != NULL ? weir_future_table(future) : NULL;
    int result = 1;

    (void)task;
    (void)range;
    if (table != NULL && second != NULL) {
        shared->words = mix_table(table);
        result = shared->words != mix_table(second);
    }
    weir_table_free(table);
    weir_table_free(second);
    weir_future_free(future);
    return result;
}

static void a_table_has_the_same_order__when_a_map_reduce_is_nested(void **state)
{
    weir_table *table;
    WITH(2);

    table = weir_pool_map_reduce(pool, (weir_range){0, ITEMS}, &digits, NULL, NULL);
    assert_non_null(table);
    assert_int_equal(run_task(pool, nested_map_reduce, shared), 0);
    assert_true(shared->words == mix_table(table));
    weir_table_free(table);
    DONE();
}

static int double_it(weir_task *task, void *arg)
{
    char large[100] = {0};
    const int twice = 2 * *(int *)arg;

    memcpy(large, &twice, sizeof twice);
    return weir_task_result(task, large, twice % 4 == 0 ? sizeof large : sizeof twice);
}

static int nested_futures(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;
    weir_future *futures[10], *future;
    weir_waiter *waiter = weir_waiter_new(shared->pool);
    int good = 0;

    (void)task;
    (void)range;
    for (int i = 0; i < 10; i++) {
        futures[i] = WEIR_SUBMIT(shared->pool, double_it, i, NULL);
        if (futures[i] == NULL || !weir_future_done(futures[i]) ||
            weir_waiter_add(waiter, futures[i], NULL) < 0)
            return 1;
        good += *(const int *)weir_future_result(futures[i], NULL) == 2 * i;
    }
    good += weir_future_wait_many(futures, 10, WEIR_WHEN_ALL, -1) == 10;
    while (weir_waiter_next(waiter, &future, NULL, -1) == 1)
        good++;
    for (int i = 0; i < 10; i++)
        weir_future_free(futures[i]);
    weir_waiter_free(waiter);
    future = weir_pool_reduce_async(NULL, (weir_range){0, ITEMS}, &sum_awkward, NULL, NULL);
    shared->sum = *(const double *)weir_future_result(future, NULL);
    shared->codes[0] = weir_future_then(future, NULL, NULL);
    weir_future_free(future);
    return good == 21 ? 0 : 100 + good;
}

static int nested_stream(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;
    weir_stream *stream = weir_stream_new(shared->pool, double_it, NULL);
    weir_item item;
    int good = 0, i;

    (void)task;
    (void)range;
    for (i = 0; i < 100; i++) {
        if (weir_stream_put(stream, &i, sizeof i) < 0)
            return 1;
    }
    while (weir_stream_next(stream, &item, -1) == 1)
        good += item.code == 0 && *(const int *)item.data == 2 * (int)item.index;
    weir_stream_free(stream);
    return good != 100;
}

static void futures_have_ended__when_nested_calls_return(void **state)
{
    double sum = 0;
    WITH(2);

    assert_int_equal(weir_pool_reduce(pool, (weir_range){0, ITEMS}, &sum_awkward, &sum, NULL, NULL),
                     0);
    assert_int_equal(run_task(pool, nested_futures, shared), 0);
    assert_memory_equal(&sum, &shared->sum, sizeof sum);
    assert_int_equal(run_task(pool, nested_stream, shared), 0);
    DONE();
}

static int nested_twice(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    (void)task;
    (void)range;
    return weir_pool_for(shared->pool, (weir_range){0, 1}, nested_for, shared, NULL);
}

static void a_nested_call_runs__when_a_nested_task_makes_it(void **state)
{
    WITH(1);

    assert_int_equal(run_task(pool, nested_twice, shared), 0);
    assert_int_equal(shared->items[ITEMS - 1], 1);
    DONE();
}

/* ---- failures ------------------------------------------------------------------------------- */

static int fail_in_the_middle(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    if (range.begin <= 5000 && 5000 < range.end)
        return weir_task_fail(task, 9, "no such row");
    return 0;
}

static int nested_failure(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;
    weir_job_report report = {.failures = NULL};
    int code = weir_pool_for(shared->pool, (weir_range){0, ITEMS}, fail_in_the_middle, NULL,
                             OPTIONS(.keep_going = true, .report = &report));

    (void)range;
    shared->error = *weir_last_error();
    shared->codes[0] = code;
    shared->codes[1] = shared->error.worker == weir_task_worker(task);
    shared->codes[2] = shared->error.pid == getpid();
    shared->codes[3] = report.done == 63 && report.failed == 1;
    return 0;
}

static void a_failure_says_what_it_says_in_a_pool__when_it_is_nested(void **state)
{
    weir_error outside;
    WITH(2);

    assert_int_equal(weir_pool_for(pool, (weir_range){0, ITEMS}, fail_in_the_middle, NULL, NULL),
                     WEIR_EFAILED);
    outside = *weir_last_error();
    assert_int_equal(run_task(pool, nested_failure, shared), 0);
    assert_int_equal(shared->codes[0], WEIR_EFAILED);
    assert_true(shared->codes[1] && shared->codes[2] && shared->codes[3]);
    assert_string_equal(shared->error.message, outside.message);
    assert_int_equal(shared->error.task_code, 9);
    assert_int_equal(shared->error.range.begin, outside.range.begin);
    assert_int_equal(shared->error.range.end, outside.range.end);
    DONE();
}

static int crash_once(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    (void)task;
    if (range.begin == 0 && shared->begun++ == 0)
        raise(SIGKILL);
    return count_items(task, range, shared->items);
}

static int nested_crash(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    (void)task;
    (void)range;
    return weir_pool_for(shared->pool, (weir_range){0, 100}, crash_once, shared, NULL);
}

static void a_crash_is_one_of_the_worker__when_it_is_nested(void **state)
{
    WITH(2);

    assert_int_equal(run_task(pool, nested_crash, shared), WEIR_EDIED);
    assert_int_equal(weir_last_error()->signal, SIGKILL);
    shared->begun = 0;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 1}, nested_crash, shared, OPTIONS(.retries = 1)), 0);
    assert_int_equal(shared->items[99], 1);
    DONE();
}

static int wait_until_stopped(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    (void)range;
    shared->begun++;
    while (!weir_task_cancelled(task) && shared->begun < 1000000)
        usleep(1000);
    return 0;
}

static int nested_wait(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    (void)task;
    (void)range;
    shared->codes[0] =
        weir_pool_for(shared->pool, (weir_range){0, 100}, wait_until_stopped, shared, NULL);
    return 0;
}

static void a_nested_call_is_cancelled__when_the_job_around_it_is(void **state)
{
    weir_future *future;
    WITH(1);

    future = weir_pool_for_async(pool, (weir_range){0, 1}, nested_wait, shared, NULL);
    assert_non_null(future);
    WAIT_UNTIL(shared->begun > 0, 20000);
    weir_future_cancel(future);
    assert_int_equal(weir_future_wait(future, -1), 0); /* its only chunk had begun */
    assert_int_equal(shared->codes[0], -ECANCELED);
    assert_int_equal(shared->begun, 1);
    weir_future_free(future);
    DONE();
}

static int sleep_a_while(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    usleep(20000);
    return 0;
}

static int nested_late(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    (void)task;
    (void)range;
    shared->codes[0] = weir_pool_for(shared->pool, (weir_range){0, 1000}, sleep_a_while, NULL,
                                     OPTIONS(.grain = 1, .timeout_ms = 50));
    return 0;
}

static void a_nested_call_ends_between_two_chunks__when_it_is_late(void **state)
{
    WITH(1);

    assert_int_equal(run_task(pool, nested_late, shared), 0);
    assert_int_equal(shared->codes[0], -ETIMEDOUT);
    DONE();
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void callback(weir_future *future, void *arg)
{
    (void)future;
    (void)arg;
}

static int no_call(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static int call_other_things(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;
    weir_pool *pool = shared->pool;
    weir_future *future = weir_pool_submit(pool, no_call, NULL, 0, NULL);
    weir_pool_stats stats;
    int *code = shared->codes;
    pid_t pid;
    int status;

    (void)task;
    (void)range;
    *code++ = weir_future_then(future, callback, NULL);
    weir_future_free(future);
    *code++ = weir_pool_each(pool, no_call, NULL, NULL);
    *code++ = weir_pool_each(NULL, no_call, NULL, NULL);
    *code++ = weir_pool_get_stats(pool, &stats);
    *code++ = weir_pool_fd(pool);
    *code++ = weir_pool_dispatch(pool);
    *code++ = weir_pool_workers(pool);
    *code++ = weir_pool_new(shared->scope, NULL) == NULL ? weir_last_error()->code : 0;
    pid = fork();
    if (pid == 0)
        _exit(weir_pool_for(pool, (weir_range){0, 1}, sleep_a_while, NULL, NULL) == -EDEADLK);
    waitpid(pid, &status, 0);
    *code++ = WIFEXITED(status) && WEXITSTATUS(status) == 1 ? -EDEADLK : 0;
    weir_pool_free(pool); /* nothing */
    weir_pool_kill(pool);
    return weir_pool_for(pool, (weir_range){0, 1}, sleep_a_while, NULL, NULL);
}

static void other_calls_are_refused__when_a_task_makes_them(void **state)
{
    WITH(1);

    assert_int_equal(run_task(pool, call_other_things, shared), 0);
    for (int i = 0; i < 9; i++)
        assert_int_equal(shared->codes[i], -EDEADLK);
    DONE();
}

static int call_pool(weir_task *task, weir_range range, void *arg)
{
    struct shared *shared = arg;

    (void)task;
    (void)range;
    shared->codes[0] = weir_pool_for(shared->pool, (weir_range){0, 1}, sleep_a_while, NULL, NULL);
    shared->codes[1] = weir_pool_for(NULL, (weir_range){0, 1}, sleep_a_while, NULL, NULL);
    return 0;
}

static void calls_are_refused__when_the_pool_is_another_one_or_does_not_say_so(void **state)
{
    struct shared *shared = shared_memory(sizeof *shared);
    weir_scope *scope = begin();
    weir_pool *refusing = new_pool(scope, 1), *pool = new_nested(scope, 1, shared);
    weir_pool *younger = new_pool(scope, 1); /* has a copy of the record of `pool` */

    (void)state;
    assert_int_equal(run_task(younger, call_pool, shared),
                     0); /* of a pool that lets no task call */
    assert_int_equal(shared->codes[0], -EDEADLK);
    assert_int_equal(shared->codes[1], -EDEADLK);
    shared->pool = refusing;
    assert_int_equal(run_task(pool, call_pool, shared), 0);
    assert_int_equal(shared->codes[0], -EDEADLK);
    assert_int_equal(shared->codes[1], 0);
    assert_null(weir_pool_new(scope, &(weir_pool_options){.nested = (weir_nested)7}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_message_has("7");
    weir_pool_free(refusing);
    weir_pool_free(younger);
    DONE();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_reduction_has_the_same_bits__when_it_is_nested),
        UNIT(private_arrays_are_those_of_the_worker__when_a_map_is_nested),
        UNIT(chunks_run_in_their_order_in_the_worker__when_a_call_is_nested),
        UNIT(a_table_has_the_same_order__when_a_map_reduce_is_nested),
        UNIT(futures_have_ended__when_nested_calls_return),
        UNIT(a_nested_call_runs__when_a_nested_task_makes_it),
        UNIT(a_failure_says_what_it_says_in_a_pool__when_it_is_nested),
        UNIT(a_crash_is_one_of_the_worker__when_it_is_nested),
        UNIT(a_nested_call_is_cancelled__when_the_job_around_it_is),
        UNIT(a_nested_call_ends_between_two_chunks__when_it_is_late),
        UNIT(other_calls_are_refused__when_a_task_makes_them),
        UNIT(calls_are_refused__when_the_pool_is_another_one_or_does_not_say_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
