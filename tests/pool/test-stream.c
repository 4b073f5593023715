/* SPDX-License-Identifier: MIT
 *
 * Streams: every item that was put comes out once, in order or as it ends, whoever dies.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

static _Atomic int *running; /* now, and at most so far */

static int square(weir_task *task, void *arg)
{
    int64_t number = *(int64_t *)arg;

    number *= number;
    return weir_task_result(task, &number, sizeof number);
}

/* The earlier the item, the longer it takes. */
static int square_slowly(weir_task *task, void *arg)
{
    int64_t number = *(int64_t *)arg;

    usleep((useconds_t)(number % 4 == 0 ? 30000 : 100));
    return square(task, arg);
}

static struct gate *gate; /* shared */

static int square_at_gate(weir_task *task, void *arg)
{
    return pass(gate) != 0 ? 1 : square(task, arg);
}

static int count_running(weir_task *task, void *arg)
{
    int now = ++running[0], seen = running[1];

    while (now > seen && !atomic_compare_exchange_weak(&running[1], &seen, now))
        ;
    usleep(3000);
    running[0]--;
    return square(task, arg);
}

static int go_wrong(weir_task *task, void *arg)
{
    int64_t number = *(int64_t *)arg;

    if (number % 10 == 3)
        return weir_task_fail(task, 7, "not %d", (int)number);
    if (number % 10 == 6 && weir_task_attempt(task) == 1)
        kill(getpid(), SIGKILL);
    return square(task, arg);
}

static weir_stream *open_stream(weir_pool *pool, weir_call_fn function,
                                const weir_stream_options *options)
{
    weir_stream *stream = weir_stream_new(pool, function, options);

    if (stream == NULL)
        fail_msg("%s", weir_last_error()->message);
    return stream;
}

#define STREAM(...) (&(weir_stream_options){__VA_ARGS__})

static int64_t number_of(const weir_item *item)
{
    assert_int_equal(item->code, 0);
    assert_null(item->error);
    assert_int_equal(item->size, sizeof(int64_t));
    return *(const int64_t *)item->data;
}

static void results_come_in_order__when_nothing_is_said(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_stream *stream = open_stream(pool, square_slowly, NULL);
    int64_t taken = 0;
    weir_item item;

    (void)state;
    assert_int_equal(weir_stream_next(stream, &item, -1), 0); /* nothing was put */
    for (int64_t i = 0; i < 100; i++) {
        assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
        while (weir_stream_next(stream, &item, 0) == 1) {
            assert_int_equal(item.index, taken);
            assert_int_equal(number_of(&item), taken * taken);
            taken++;
        }
    }
    for (; weir_stream_next(stream, &item, -1) == 1; taken++) {
        assert_int_equal(item.index, taken);
        assert_int_equal(number_of(&item), taken * taken);
    }
    assert_int_equal(taken, 100);
    assert_int_equal(weir_stream_next(stream, &item, -1), 0);
    weir_stream_free(stream);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void results_come_as_they_end__when_unordered(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_stream *stream = open_stream(pool, square_slowly, STREAM(.unordered = true));
    bool seen[100] = {false}, overtaken = false;
    int64_t last = -1;
    weir_item item;
    int taken = 0;

    (void)state;
    for (int64_t i = 0; i < 100; i++)
        assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
    for (; weir_stream_next(stream, &item, -1) == 1; taken++) {
        assert_in_range(item.index, 0, 99);
        assert_false(seen[item.index]);
        seen[item.index] = true;
        assert_int_equal(number_of(&item), item.index * item.index);
        overtaken |= item.index < last;
        last = item.index;
    }
    assert_int_equal(taken, 100);
    assert_true(overtaken);
    weir_stream_free(stream);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void no_more_are_in_flight__than_was_said(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    weir_stream *stream;
    weir_item item;
    int taken = 0;

    (void)state;
    running = shared_memory(4096);
    pool = new_pool(scope, 4);
    stream = open_stream(pool, count_running, STREAM(.in_flight = 2));
    for (int64_t i = 0; i < 60; i++)
        assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
    while (weir_stream_next(stream, &item, -1) == 1)
        taken++;
    assert_int_equal(taken, 60);
    assert_int_equal(running[1], 2);
    weir_stream_free(stream);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(running, 4096);
}

static void a_failed_item_is_one_item__whether_it_fails_or_kills_its_worker(void **state)
{
    (void)state;
    for (int unordered = 0; unordered < 2; unordered++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 2);
        weir_stream *stream = open_stream(pool, go_wrong, STREAM(.unordered = unordered));
        int good = 0, failed = 0, died = 0;
        weir_item item;

        for (int64_t i = 0; i < 50; i++)
            assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
        while (weir_stream_next(stream, &item, -1) == 1) {
            good += item.code == 0;
            failed += item.code == WEIR_EFAILED;
            died += item.code == WEIR_EDIED;
            assert_true((item.code == WEIR_EFAILED) == (item.index % 10 == 3));
            assert_true((item.code == WEIR_EDIED) == (item.index % 10 == 6));
            if (item.code != 0) {
                assert_null(item.data);
                char name[32];

                snprintf(name, sizeof name, " on item %d", (int)item.index);
                assert_int_equal(item.error->code, item.code);
                assert_non_null(strstr(item.error->message, name));
                assert_int_equal(item.error->range.begin, item.index);
                assert_int_equal(item.error->range.end, item.index + 1);
                assert_string_equal(weir_last_error()->message, item.error->message);
            }
            if (item.index == 23)
                assert_non_null(strstr(item.error->message, "not 23"));
        }
        assert_int_equal(good, 40);
        assert_int_equal(failed, 5);
        assert_int_equal(died, 5);
        weir_stream_free(stream);
        weir_pool_free(pool);
        weir_scope_end(scope);
    }
}

/* The first item waits at the gate. */
static int hold_first(weir_task *task, void *arg)
{
    if (*(int64_t *)arg == 0 && pass(gate) != 0)
        return 1;
    return weir_task_result(task, arg, sizeof(int64_t));
}

/* The first item takes long. */
static int wait_at_first(weir_task *task, void *arg)
{
    if (*(int64_t *)arg == 0)
        usleep(100000);
    return weir_task_result(task, arg, sizeof(int64_t));
}

static void a_put_fails_at_once__when_too_many_are_not_taken(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    weir_stream *stream;
    int64_t i = 0;
    weir_item item;

    (void)state;
    gate = shared_memory(sizeof *gate);
    pool = new_pool(scope, 2);
    stream = open_stream(pool, hold_first, STREAM(.in_flight = 2, .untaken = 5));
    for (; i < 5; i++)
        assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
    assert_int_equal(weir_stream_put(stream, &i, sizeof i), -EAGAIN);
    /* the first one has not ended, so none is to be taken */
    assert_int_equal(weir_stream_next(stream, &item, 20), -ETIMEDOUT);
    gate->open = true;
    assert_int_equal(weir_stream_next(stream, &item, -1), 1);
    assert_int_equal(item.index, 0);
    assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
    i++;
    assert_int_equal(weir_stream_put(stream, &i, sizeof i), -EAGAIN);
    for (int64_t k = 1; k < 6; k++) {
        assert_int_equal(weir_stream_next(stream, &item, -1), 1);
        assert_int_equal(item.index, k);
    }
    assert_int_equal(weir_stream_next(stream, &item, -1), 0);
    weir_stream_free(stream);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
}

static void the_loop_ends_and_is_bounded__as_the_header_shows_it(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        const int64_t untaken[] = {1, 3, 40};
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 2);
        weir_stream *stream = open_stream(
            pool, wait_at_first, STREAM(.unordered = i % 2 == 1, .untaken = untaken[i / 2]));
        int64_t put = 0, taken = 0, most = 0, sum = 0;
        weir_item item;
        int result;

        for (; put < 3000; put++) {
            while ((result = weir_stream_put(stream, &put, sizeof put)) == -EAGAIN) {
                if (weir_stream_next(stream, &item, -1) == 1) {
                    taken++;
                    sum += *(const int64_t *)item.data;
                }
            }
            assert_int_equal(result, 0);
            most = put + 1 - taken > most ? put + 1 - taken : most;
            while (weir_stream_next(stream, &item, 0) == 1) {
                taken++;
                sum += *(const int64_t *)item.data;
            }
        }
        while (weir_stream_next(stream, &item, -1) == 1) {
            taken++;
            sum += *(const int64_t *)item.data;
        }
        assert_int_equal(taken, put);
        assert_int_equal(sum, put * (put - 1) / 2);
        assert_true(most <= untaken[i / 2]);
        weir_stream_free(stream);
        weir_pool_free(pool);
        weir_scope_end(scope);
    }
}

static void an_item_is_tried_again__when_the_job_options_say_so(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_stream *stream = open_stream(pool, go_wrong, STREAM(.job = OPTIONS(.retries = 1)));
    weir_item item;
    int good = 0;

    (void)state;
    for (int64_t i = 0; i < 50; i++)
        assert_int_equal(weir_stream_put(stream, &i, sizeof i), 0);
    while (weir_stream_next(stream, &item, -1) == 1)
        good += item.code == 0;
    assert_int_equal(good, 45);
    weir_stream_free(stream);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void next_waits_no_longer__than_it_may(void **state)
{
    (void)state;
    for (int unordered = 0; unordered < 2; unordered++) {
        weir_scope *scope = begin();
        weir_pool *pool;
        weir_stream *stream;
        int64_t number = 4;
        double start;
        weir_item item;

        gate = shared_memory(sizeof *gate);
        pool = new_pool(scope, 1);
        stream = open_stream(pool, square_at_gate, STREAM(.unordered = unordered));
        assert_int_equal(weir_stream_put(stream, &number, sizeof number), 0);
        start = now_ms();
        assert_int_equal(weir_stream_next(stream, &item, 5), -ETIMEDOUT);
        assert_true(now_ms() - start < 5000);
        gate->open = true;
        assert_int_equal(weir_stream_next(stream, &item, -1), 1);
        assert_int_equal(number_of(&item), 16);
        weir_stream_free(stream);
        weir_pool_free(pool);
        weir_scope_end(scope);
        munmap(gate, sizeof *gate);
    }
}

static void the_rest_is_cancelled__when_a_stream_is_freed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_stream *stream = open_stream(pool, square_slowly, STREAM(.in_flight = 200));
    double start = now_ms();
    weir_item item;

    (void)state;
    for (int64_t i = 0; i < 200; i++) {
        int64_t slow = 4 * i;

        assert_int_equal(weir_stream_put(stream, &slow, sizeof slow), 0);
    }
    assert_int_equal(weir_stream_next(stream, &item, -1), 1);
    weir_stream_free(stream);
    assert_true(now_ms() - start < 3000); /* of 6 s */
    weir_stream_free(NULL);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void every_item_has_its_error__when_the_supervisor_is_killed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_stream *stream = open_stream(pool, square_slowly, NULL);
    int64_t number = 4;
    weir_item item;
    int died = 0;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(weir_stream_put(stream, &number, sizeof number), 0);
    kill(weir_pool_supervisor_pid(pool), SIGKILL);
    while (weir_stream_next(stream, &item, -1) == 1)
        died += item.code == WEIR_EDIED;
    assert_true(died >= 4);
    assert_int_equal(weir_stream_put(stream, &number, sizeof number), 0); /* in flight: it says */
    assert_int_equal(weir_stream_next(stream, &item, -1), 1);
    assert_int_equal(item.code, WEIR_EDIED);
    weir_stream_free(stream);
    weir_pool_kill(pool);
    weir_scope_end(scope);
}

static void a_stream_is_refused__when_its_options_are_wrong(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_stream *stream = open_stream(pool, square, NULL);
    int64_t number = 1;
    weir_item item;

    (void)state;
    assert_null(weir_stream_new(NULL, square, NULL));
    assert_null(weir_stream_new(pool, NULL, NULL));
    assert_null(weir_stream_new(pool, square, STREAM(.in_flight = -1)));
    assert_message_has("1024");
    assert_null(weir_stream_new(pool, square, STREAM(.in_flight = 1025)));
    assert_null(weir_stream_new(pool, square, STREAM(.untaken = -1)));
    assert_message_has("untaken is -1");
    assert_null(weir_stream_new(pool, square, STREAM(.reserved = {[1] = 1})));
    assert_null(weir_stream_new(pool, square, STREAM(.job = OPTIONS(.progress = "x"))));
    assert_message_has("`total`");
    assert_null(weir_stream_new(pool, square, STREAM(.job = OPTIONS(.retries = 99))));
    assert_message_has("retries");
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_int_equal(weir_stream_put(NULL, &number, sizeof number), -EINVAL);
    assert_int_equal(weir_stream_put(stream, NULL, sizeof number), -EINVAL);
    assert_int_equal(weir_stream_next(NULL, &item, 0), -EINVAL);
    assert_int_equal(weir_stream_next(stream, NULL, 0), -EINVAL);
    assert_int_equal(weir_stream_next(stream, &item, 0), 0); /* what was refused is not in it */
    weir_stream_free(stream);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(results_come_in_order__when_nothing_is_said),
        UNIT(results_come_as_they_end__when_unordered),
        UNIT(no_more_are_in_flight__than_was_said),
        UNIT(a_failed_item_is_one_item__whether_it_fails_or_kills_its_worker),
        UNIT(a_put_fails_at_once__when_too_many_are_not_taken),
        UNIT(the_loop_ends_and_is_bounded__as_the_header_shows_it),
        UNIT(an_item_is_tried_again__when_the_job_options_say_so),
        UNIT(next_waits_no_longer__than_it_may),
        UNIT(the_rest_is_cancelled__when_a_stream_is_freed),
        UNIT(every_item_has_its_error__when_the_supervisor_is_killed),
        UNIT(a_stream_is_refused__when_its_options_are_wrong),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
