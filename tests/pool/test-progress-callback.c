/* SPDX-License-Identifier: MIT
 *
 * Progress: what the program's own callback sees of it, and in which thread.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>

static int nap(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    usleep((useconds_t)((range.end - range.begin) * *(const int *)arg * 1000));
    return 0;
}

struct seen {
    pthread_t thread;
    uint64_t done;
    int calls, ends;
    int tenths; /* calls in the last tenth, before the end */
    bool wrong;
    const char *label;
    weir_pool *cancel;
    weir_progress last;
};

static void look(const weir_progress *progress, void *arg)
{
    struct seen *seen = arg;

    seen->wrong |=
        progress->done < seen->done || progress->done + progress->failed > progress->total;
    seen->wrong |= !pthread_equal(pthread_self(), seen->thread) || progress->elapsed_ms < 0;
    seen->wrong |= (progress->label == NULL) != (seen->label == NULL);
    seen->done = progress->done;
    seen->calls++;
    seen->ends += progress->ended;
    seen->tenths +=
        !progress->ended && progress->done + progress->total / 10 + 1 >= progress->total;
    seen->last = *progress;
    if (seen->cancel != NULL && progress->done > 0)
        weir_pool_cancel(seen->cancel);
}

static void the_callback_sees_all_of_a_job__in_the_thread_that_waits(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    struct seen seen = {.thread = pthread_self(), .label = "x"};
    int nap_ms = 5;

    (void)state;
    /* 17 does not divide 103: the last chunk is shorter */
    assert_int_equal(weir_pool_for(pool, (weir_range){-3, 100}, nap, &nap_ms,
                                   OPTIONS(.grain = 17, .arg_size = sizeof nap_ms, .progress = "x",
                                           .on_progress = look, .on_progress_arg = &seen)),
                     0);
    assert_false(seen.wrong);
    assert_in_range(seen.calls, 2, 20);
    assert_int_equal(seen.ends, 1);
    assert_true(seen.last.ended);
    assert_int_equal(seen.last.done, 103);
    assert_int_equal(seen.last.total, 103);
    assert_int_equal(seen.last.left_ms, 0);
    assert_true(seen.last.rate > 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static weir_future *nap_async(weir_pool *pool, int count, int *nap_ms, const weir_job_options *how)
{
    weir_job_options all = *how;

    all.grain = 1;
    all.arg_size = sizeof *nap_ms;
    return weir_pool_for_async(pool, (weir_range){0, count}, nap, nap_ms, &all);
}

static void the_callbacks_see_all_of_their_jobs__when_several_are_waited_for(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    struct seen seen[2] = {{.thread = pthread_self()}, {.thread = pthread_self()}};
    int nap_ms = 20;
    weir_future *futures[3];

    (void)state;
    for (int i = 0; i < 2; i++)
        futures[i] = nap_async(pool, i == 0 ? 30 : 15, &nap_ms,
                               OPTIONS(.on_progress = look, .on_progress_arg = &seen[i]));
    futures[2] = nap_async(pool, 5, &nap_ms, OPTIONS(.chunks = 0));
    assert_int_equal(weir_future_wait_many(futures, 3, WEIR_WHEN_ALL, 30), -ETIMEDOUT);
    assert_int_equal(seen[0].ends + seen[1].ends, 0);
    for (int round = 0; round < 2; round++) { /* the second finds them ended */
        assert_int_equal(weir_future_wait_many(futures, 3, WEIR_WHEN_ALL, -1), 3);
        for (int i = 0; i < 2; i++) {
            assert_false(seen[i].wrong);
            assert_in_range(seen[i].calls, 3, 12);
            assert_int_equal(seen[i].ends, 1);
            assert_true(seen[i].last.ended);
            assert_int_equal(seen[i].last.done, i == 0 ? 30 : 15);
        }
    }
    for (int i = 0; i < 3; i++)
        weir_future_free(futures[i]);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int emit_slowly(weir_task *task, weir_range range, void *arg)
{
    usleep(40000);
    for (int64_t i = range.begin; i<range.end &&*(const int *)arg> 0; i++)
        weir_emit_int64(task, &i, sizeof i, i);
    return 0;
}

static int reduce_slowly(weir_task *task, weir_pair *pair, void *arg)
{
    (void)pair;
    usleep(300);
    return *(const int *)arg == 2 ? weir_task_fail(task, 4, "not this key") : 0;
}

static weir_table *map_reduce_shown(weir_pool *pool, struct seen *seen, int how, bool wait_many)
{
    const weir_map_reduction reduction = {.map = emit_slowly,
                                          .value_size = sizeof(int64_t),
                                          .combine = weir_sum_int64,
                                          .reduce = reduce_slowly};
    weir_future *future;
    weir_table *table;

    *seen = (struct seen){.thread = pthread_self()};
    if (!wait_many)
        return weir_pool_map_reduce(
            pool, (weir_range){0, 1003}, &reduction, &how,
            OPTIONS(.arg_size = sizeof how, .on_progress = look, .on_progress_arg = seen));
    future = weir_pool_map_reduce_async(
        pool, (weir_range){0, 1003}, &reduction, &how,
        OPTIONS(.arg_size = sizeof how, .on_progress = look, .on_progress_arg = seen));
    assert_int_equal(weir_future_wait_many(&future, 1, WEIR_WHEN_ANY, -1), 0);
    table = weir_future_table(future);
    weir_future_free(future);
    return table;
}

static void the_callback_sees_both_jobs_as_one__of_a_map_reduce(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    struct seen seen;

    (void)state;
    for (int many = 0; many < 2; many++) {
        for (int emits = 0; emits < 2; emits++) {
            weir_table *table = map_reduce_shown(pool, &seen, emits, many);

            assert_int_equal(weir_table_len(table), emits ? 1003 : 0);
            weir_table_free(table);
            assert_false(seen.wrong);
            assert_in_range(seen.calls, 3, 20);
            assert_int_equal(seen.ends, 1);
            assert_true(seen.last.ended);
            assert_int_equal(seen.last.done, 1003);
            assert_int_equal(seen.last.total, 1003);
            /* 300 ms of mapping and, with keys, as many of merging, both looked at */
            assert_in_range(seen.tenths, emits ? 1 : 0, 10);
        }
        assert_null(map_reduce_shown(pool, &seen, 2, many));
        assert_int_equal(seen.ends, 1);
        assert_int_equal(seen.last.failed, 101);
        assert_int_equal(seen.last.done, 902);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int fail_first(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    return range.begin == 0;
}

static void failed_items_are_told__when_a_job_keeps_going(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    struct seen seen = {.thread = pthread_self()};

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, fail_first, NULL,
                                   OPTIONS(.chunks = 3, .keep_going = true, .on_progress = look,
                                           .on_progress_arg = &seen)),
                     WEIR_EFAILED);
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.last.failed, 34);
    assert_int_equal(seen.last.done, 66);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_job_can_be_cancelled__from_its_callback(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    struct seen seen = {.thread = pthread_self(), .cancel = pool};
    int nap_ms = 20;

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1000}, nap, &nap_ms,
                                   OPTIONS(.grain = 1, .arg_size = sizeof nap_ms,
                                           .on_progress = look, .on_progress_arg = &seen)),
                     -ECANCELED);
    assert_int_equal(seen.ends, 1);
    assert_true(seen.last.done < 1000);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static struct gate *gate; /* shared */

/* The last item waits at the gate. */
static int nap_and_wait(weir_task *task, weir_range range, void *arg)
{
    return range.end == 80 ? pass(gate) : nap(task, range, arg);
}

static void a_future_shows_it_while_it_is_waited_for__and_only_then(void **state)
{
    static int nap_ms = 5;
    weir_scope *scope = begin();
    weir_pool *pool;
    struct seen seen = {.thread = pthread_self()};
    weir_future *future;

    (void)state;
    gate = shared_memory(sizeof *gate);
    pool = new_pool(scope, 2);
    future =
        weir_pool_for_async(pool, (weir_range){0, 80}, nap_and_wait, &nap_ms,
                            OPTIONS(.grain = 1, .on_progress = look, .on_progress_arg = &seen));
    assert_non_null(future);
    usleep(150000);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(weir_future_wait(future, 50), -ETIMEDOUT);
    assert_int_equal(seen.ends, 0);
    gate->open = true;
    assert_int_equal(weir_future_wait(future, -1), 0);
    assert_int_equal(seen.ends, 1);
    assert_false(seen.wrong);
    weir_future_free(future);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
}

static void lines_are_refused__without_a_label(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 1}, fail_first, NULL, OPTIONS(.progress_lines = true)),
        -EINVAL);
    assert_message_has("progress_lines");
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static int nap_or_fail(weir_task *task, void *arg)
{
    const int number = *(const int *)arg;

    usleep(20000);
    return number == 5 ? weir_task_fail(task, 1, "five") : 0;
}

/* Puts `count` numbers and takes all results. */
static void run_stream(weir_stream *stream, int count)
{
    weir_item item;

    for (int i = 0; i < count; i++) {
        assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
        while (weir_stream_next(stream, &item, 0) == 1)
            ;
    }
    while (weir_stream_next(stream, &item, -1) == 1)
        ;
}

static void a_stream_is_one_job__when_its_total_is_told(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int unordered = 0; unordered < 2; unordered++) {
        struct seen seen = {.thread = pthread_self(), .label = "x"};
        weir_stream *stream = weir_stream_new(
            pool, nap_or_fail,
            &(weir_stream_options){
                .total = 40,
                .unordered = unordered,
                .job = OPTIONS(.progress = "x", .on_progress = look, .on_progress_arg = &seen)});

        run_stream(stream, 40);
        assert_int_equal(seen.ends, 1); /* with the last result, not only when it is freed */
        weir_stream_free(stream);
        assert_false(seen.wrong);
        assert_true(seen.calls >= 3); /* in 0.4 s */
        assert_int_equal(seen.ends, 1);
        assert_int_equal(seen.last.done, 39);
        assert_int_equal(seen.last.failed, 1);
        assert_int_equal(seen.last.total, 40);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_stream_says_that_it_ends__when_fewer_items_came_or_its_pool_is_gone(void **state)
{
    weir_scope *scope = begin();

    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct seen seen = {.thread = pthread_self()};
        weir_pool *pool = new_pool(scope, 2);
        weir_stream *stream = weir_stream_new(
            pool, nap_or_fail,
            &(weir_stream_options){.total = 100,
                                   .job = OPTIONS(.on_progress = look, .on_progress_arg = &seen)});

        run_stream(stream, 4);
        assert_int_equal(seen.ends, 0);
        if (gone)
            weir_pool_free(pool);
        weir_stream_free(stream);
        if (!gone)
            weir_pool_free(pool);
        assert_false(seen.wrong);
        assert_int_equal(seen.ends, 1);
        assert_int_equal(seen.last.done, 4);
        assert_int_equal(seen.last.total, 100);
    }
    weir_scope_end(scope);
}

/* Nothing of the waiting that progress cuts short is seen. */
static void a_wait_ends_in_time__when_a_stream_shows_progress(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    struct seen seen = {.thread = pthread_self()};
    weir_stream *stream = weir_stream_new(
        pool, nap_or_fail,
        &(weir_stream_options){.total = 50,
                               .in_flight = 50,
                               .unordered = true,
                               .job = OPTIONS(.on_progress = look, .on_progress_arg = &seen)});
    double start = now_ms();
    weir_item item;
    int code, got = 0;

    (void)state;
    for (int i = 0; i < 50; i++)
        assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
    while ((code = weir_stream_next(stream, &item, 3)) != 0) {
        got += code == 1;
        if (code < 0) {
            assert_int_equal(code, -ETIMEDOUT);
            assert_message_has("within 3 ms");
        }
    }
    assert_int_equal(got, 50);
    assert_true(now_ms() - start >= 990);
    assert_true(seen.calls >= 3);
    weir_stream_free(stream);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_callbacks_see_all_of_their_jobs__when_several_are_waited_for),
        UNIT(the_callback_sees_both_jobs_as_one__of_a_map_reduce),
        UNIT(the_callback_sees_all_of_a_job__in_the_thread_that_waits),
        UNIT(failed_items_are_told__when_a_job_keeps_going),
        UNIT(a_job_can_be_cancelled__from_its_callback),
        UNIT(a_future_shows_it_while_it_is_waited_for__and_only_then),
        UNIT(a_stream_is_one_job__when_its_total_is_told),
        UNIT(a_stream_says_that_it_ends__when_fewer_items_came_or_its_pool_is_gone),
        UNIT(a_wait_ends_in_time__when_a_stream_shows_progress),
        UNIT(lines_are_refused__without_a_label),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
