/* SPDX-License-Identifier: MIT
 *
 * weir_pool_map() and weir_pool_reduce().
 */
#include "support.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>

#define COUNT 10000

/* ---- map ------------------------------------------------------------------------------------ */

struct trap {
    int64_t element; /* that fails or kills, in its first attempt or always */
    int attempts;    /* that it does so */
    _Atomic int seen;
};

static int square(weir_task *task, const void *in, void *out, void *arg)
{
    (void)task;
    (void)arg;
    *(double *)out = sqrt((double)*(const int64_t *)in);
    return 0;
}

static int fail_at(weir_task *task, const void *in, void *out, void *arg)
{
    const struct trap *trap = arg;

    if (*(const int64_t *)in == trap->element)
        return weir_task_fail(task, 9, "element %d", (int)trap->element);
    return square(task, in, out, NULL);
}

static int die_at(weir_task *task, const void *in, void *out, void *arg)
{
    struct trap *trap = arg;

    if (*(const int64_t *)in == trap->element && weir_task_attempt(task) <= trap->attempts)
        raise(SIGKILL);
    return square(task, in, out, NULL);
}

static int64_t *numbers(void)
{
    int64_t *in = calloc(COUNT, sizeof(*in));

    assert_non_null(in);
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = i;
    return in;
}

static void assert_roots(const double *out, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        assert_true(out[i] == sqrt((double)i));
}

static void private_arrays_are_copied_in_and_out(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 3);
    int64_t *in = numbers(); /* made after the pool: no worker has it */
    double *out = calloc(COUNT, sizeof(*out));

    (void)state;
    assert_int_equal(
        weir_pool_map(pool, square, in, sizeof(*in), out, sizeof(*out), COUNT, NULL, NULL), 0);
    assert_roots(out, 0, COUNT);
    free(in);
    free(out);
    weir_scope_end(scope);
}

static void arrays_of_the_scope_are_used_in_place(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    weir_shm *block = weir_scope_shm(scope, COUNT * 16);
    int64_t *in = weir_shm_buf(block);
    double *out = (double *)(in + COUNT);
    struct trap trap = {.element = 7};

    (void)state;
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = i;
    /* One chunk an element, one after the other until the failure: those before it stay written. */
    assert_int_equal(weir_pool_map(pool, fail_at, in, 8, out, 8, COUNT, &trap,
                                   OPTIONS(.grain = COUNT, .arg_size = sizeof(trap))),
                     WEIR_EFAILED);
    assert_roots(out, 0, 7);
    assert_int_equal(weir_pool_map(pool, square, in, 8, out, 8, COUNT, NULL, NULL), 0);
    assert_roots(out, 0, COUNT);
    weir_scope_end(scope);
}

static void a_failed_map_leaves_private_output_alone(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    int64_t *in = numbers();
    double *out = calloc(COUNT, sizeof(*out));
    struct trap trap = {.element = 5000};

    (void)state;
    assert_int_equal(weir_pool_map(pool, fail_at, in, 8, out, 8, COUNT, &trap,
                                   OPTIONS(.arg_size = sizeof(trap))),
                     WEIR_EFAILED);
    assert_message_has("element 5000");
    assert_int_equal(weir_last_error()->range.begin, 5000);
    assert_int_equal(weir_last_error()->range.end, 5001);
    assert_int_equal(weir_last_error()->task_code, 9);
    for (int i = 0; i < COUNT; i++)
        assert_true(out[i] == 0);

    /* keep_going: what was done is there, and only the failed chunk (of 100) is not */
    assert_int_equal(
        weir_pool_map(pool, fail_at, in, 8, out, 8, COUNT, &trap,
                      OPTIONS(.arg_size = sizeof(trap), .grain = 100, .keep_going = true)),
        WEIR_EFAILED);
    assert_roots(out, 0, 5000);
    for (int i = 5000; i < 5100; i++)
        assert_true(out[i] == 0);
    assert_roots(out, 5100, COUNT);
    free(in);
    free(out);
    weir_scope_end(scope);
}

static void a_chunk_of_a_map_is_retried_once__when_its_worker_dies(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    int64_t *in = numbers();
    double *out = calloc(COUNT, sizeof(*out));
    struct trap once = {.element = 123, .attempts = 1}, twice = {.element = 123, .attempts = 2};

    (void)state;
    assert_int_equal(
        weir_pool_map(pool, die_at, in, 8, out, 8, COUNT, &once, OPTIONS(.arg_size = sizeof(once))),
        0);
    assert_roots(out, 0, COUNT);
    assert_int_equal(weir_pool_map(pool, die_at, in, 8, out, 8, COUNT, &twice,
                                   OPTIONS(.arg_size = sizeof(twice))),
                     WEIR_EDIED);
    assert_int_equal(weir_last_error()->signal, SIGKILL);
    assert_int_equal(weir_last_error()->attempt, 2);
    assert_int_equal(weir_pool_map(pool, die_at, in, 8, out, 8, COUNT, &once,
                                   OPTIONS(.arg_size = sizeof(once), .retries = WEIR_RETRIES_NONE)),
                     WEIR_EDIED);
    assert_int_equal(weir_last_error()->attempt, 1);
    free(in);
    free(out);
    weir_scope_end(scope);
}

static int fill(weir_task *task, const void *in, void *out, void *arg)
{
    (void)task;
    (void)in;
    (void)arg;
    memset(out, 'x', 64);
    return 0;
}

/* 300 MiB of output: more than the arena has, so it travels in a block of the scope. */
static void large_private_arrays_are_copied__when_the_arena_is_too_small(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    size_t count = (size_t)300 << 14;
    char *out = malloc(count * 64);

    (void)state;
    assert_non_null(out);
    assert_int_equal(weir_pool_map(pool, fill, NULL, 0, out, 64, count, NULL, NULL), 0);
    for (size_t i = 0; i < count * 64; i += 4099)
        assert_int_equal(out[i], 'x');
    free(out);
    weir_scope_end(scope);
}

static void a_map_is_refused__when_its_arrays_are_wrong(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    int64_t in[1] = {0};
    double out[1];

    (void)state;
    assert_int_equal(weir_pool_map(pool, square, NULL, 8, out, 8, 1, NULL, NULL), -EINVAL);
    assert_message_has("in is NULL");
    assert_int_equal(weir_pool_map(pool, square, in, 8, NULL, 8, 1, NULL, NULL), -EINVAL);
    assert_message_has("out is NULL");
    assert_int_equal(weir_pool_map(pool, square, in, SIZE_MAX, out, 8, 3, NULL, NULL), -E2BIG);
    assert_int_equal(weir_pool_map(pool, NULL, in, 8, out, 8, 1, NULL, NULL), -EINVAL);
    assert_int_equal(weir_pool_map(NULL, square, in, 8, out, 8, 1, NULL, NULL), -EINVAL);
    assert_int_equal(weir_pool_map(pool, square, NULL, 8, NULL, 8, 0, NULL, NULL), 0);
    weir_scope_end(scope);
}

/* ---- reduce --------------------------------------------------------------------------------- */

/* Sums whose bits depend on the order of the additions. */
static int add_up(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const struct trap *trap = arg;
    double *sum = accumulator;

    for (int64_t i = range.begin; i < range.end; i++) {
        *sum += (i % 3 == 0 ? 1e16 : 1.0) / (double)(i + 1);
        if (trap != NULL && i == trap->element && weir_task_attempt(task) <= trap->attempts)
            raise(SIGKILL); /* with a half-done sum in the accumulator */
    }
    return 0;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

static const weir_reduction sum = {.size = sizeof(double), .fold = add_up, .combine = add};

static uint64_t reduce_bits(int workers, struct trap *trap, const weir_job_options *options)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, workers);
    uint64_t bits;
    double result;

    if (weir_pool_reduce(pool, (weir_range){0, 1000003}, &sum, &result, trap, options) != 0)
        fail_msg("%s", weir_last_error()->message);
    memcpy(&bits, &result, sizeof(bits));
    weir_scope_end(scope);
    return bits;
}

static void a_reduction_has_the_same_bits__whatever_the_workers(void **state)
{
    const weir_job_options *cuts[] = {NULL, OPTIONS(.chunks = 1000), OPTIONS(.grain = 777)};
    struct trap trap = {.element = 500000, .attempts = 1};
    uint64_t seen[3];

    (void)state;
    for (int c = 0; c < 3; c++) {
        weir_job_options with_arg = cuts[c] != NULL ? *cuts[c] : (weir_job_options){0};

        with_arg.arg_size = sizeof(trap);
        seen[c] = reduce_bits(1, NULL, cuts[c]);
        for (int workers = 2; workers <= 9; workers++)
            assert_true(reduce_bits(workers, NULL, cuts[c]) == seen[c]);
        assert_true(reduce_bits(3, &trap, &with_arg) == seen[c]);
    }
    /* The order does matter in these sums, or the above says nothing. */
    assert_true(seen[0] != seen[1] || seen[1] != seen[2]);
}

static void set_one(void *accumulator, void *arg)
{
    (void)arg;
    *(int64_t *)accumulator = 1;
}

static int multiply_up(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)task;
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++)
        *(int64_t *)accumulator *= i;
    return 0;
}

static void multiply(void *into, const void *from, void *arg)
{
    (void)arg;
    *(int64_t *)into *= *(const int64_t *)from;
}

static void an_empty_reduction_gives_the_neutral_element(void **state)
{
    weir_reduction product = {.size = 8, .init = set_one, .fold = multiply_up, .combine = multiply};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    int64_t result = -1;
    weir_future *future;
    size_t size;

    (void)state;
    assert_int_equal(weir_pool_reduce(pool, (weir_range){5, 5}, &product, &result, NULL, NULL), 0);
    assert_int_equal(result, 1);
    assert_int_equal(weir_pool_reduce(pool, (weir_range){1, 16}, &product, &result, NULL, NULL), 0);
    assert_int_equal(result, 1307674368000);
    future = weir_pool_reduce_async(pool, (weir_range){5, 5}, &product, NULL, NULL);
    assert_int_equal(*(const int64_t *)weir_future_result(future, &size), 1);
    assert_int_equal(size, 8);
    weir_future_free(future);
    future = weir_pool_reduce_async(pool, (weir_range){1, 16}, &product, NULL, NULL);
    assert_int_equal(*(const int64_t *)weir_future_result(future, NULL), 1307674368000);
    weir_future_free(future);
    weir_scope_end(scope);
}

/* The word order is kept: combine gets neighbours, the earlier one first. */
static int first_and_last(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    weir_range *seen = accumulator;

    (void)task;
    (void)arg;
    *seen = range;
    return 0;
}

static void join(void *into, const void *from, void *arg)
{
    weir_range *left = into;
    const weir_range *right = from;

    (void)arg;
    left->begin = left->end == right->begin ? left->begin : INT64_MIN;
    left->end = right->end;
}

static void neighbours_are_combined_in_order(void **state)
{
    weir_reduction joined = {.size = sizeof(weir_range), .fold = first_and_last, .combine = join};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 3);
    weir_range result;

    (void)state;
    for (int chunks = 1; chunks < 40; chunks++) {
        assert_int_equal(weir_pool_reduce(pool, (weir_range){-20, 1000}, &joined, &result, NULL,
                                          OPTIONS(.chunks = chunks)),
                         0);
        assert_int_equal(result.begin, -20);
        assert_int_equal(result.end, 1000);
    }
    weir_scope_end(scope);
}

static int fail_late(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)arg;
    (void)accumulator;
    return range.end > 900 ? weir_task_fail(task, 5, "late") : 0;
}

static void a_reduction_is_refused__when_it_is_wrong(void **state)
{
    weir_reduction wrong = sum;
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    weir_range range = {0, 1000};
    double result = 42;

    (void)state;
    assert_int_equal(weir_pool_reduce(pool, range, NULL, &result, NULL, NULL), -EINVAL);
    assert_int_equal(weir_pool_reduce(pool, range, &sum, NULL, NULL, NULL), -EINVAL);
    wrong.size = 0;
    assert_int_equal(weir_pool_reduce(pool, range, &wrong, &result, NULL, NULL), -EINVAL);
    assert_message_has("size is 0");
    wrong = sum;
    wrong.combine = NULL;
    assert_int_equal(weir_pool_reduce(pool, range, &wrong, &result, NULL, NULL), -EINVAL);
    assert_message_has("combine");
    wrong = sum;
    wrong.fold = NULL;
    assert_int_equal(weir_pool_reduce(pool, range, &wrong, &result, NULL, NULL), -EINVAL);
    assert_message_has("fold");
    wrong = sum;
    wrong.reserved[3] = 1;
    assert_int_equal(weir_pool_reduce(pool, range, &wrong, &result, NULL, NULL), -EINVAL);
    wrong = sum;
    wrong.fold = fail_late;
    assert_int_equal(weir_pool_reduce(pool, range, &wrong, &result, NULL, NULL), WEIR_EFAILED);
    assert_true(result == 42);
    weir_scope_end(scope);
}

/* Accumulators of so many bytes; what writes past them writes one byte. */
struct overrun {
    size_t size;
    bool init, fold, combine;
};

static void init_too_far(void *accumulator, void *arg)
{
    const struct overrun *overrun = arg;

    memset(accumulator, 0, overrun->size + overrun->init);
}

static int fold_too_far(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const struct overrun *overrun = arg;

    (void)task;
    (void)range;
    memset(accumulator, 1, overrun->size + overrun->fold);
    return 0;
}

static void combine_too_far(void *into, const void *from, void *arg)
{
    const struct overrun *overrun = arg;

    (void)from;
    memset(into, 2, overrun->size + overrun->combine);
}

/* The bytes that round a size up to 8 are nothing that anybody reads. */
static void a_reduction_fails__when_it_writes_past_an_accumulator(void **state)
{
    static const size_t sizes[] = {8, 56, 64, 128, 4096};
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    unsigned char result[4096];

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const weir_reduction too_far = {.size = sizes[i],
                                        .init = init_too_far,
                                        .fold = fold_too_far,
                                        .combine = combine_too_far};
        struct overrun none = {sizes[i], false, false, false}, init = none, fold = none,
                       combine = none;
        const weir_job_options *options = OPTIONS(.chunks = 4, .arg_size = sizeof none);
        const weir_range range = {0, 100};

        init.init = fold.fold = combine.combine = true;
        assert_int_equal(weir_pool_reduce(pool, range, &too_far, result, &none, options), 0);
        result[0] = 42;
        assert_int_equal(weir_pool_reduce(pool, range, &too_far, result, &init, options),
                         WEIR_EFAILED);
        assert_int_equal(weir_last_error()->task_code, -EINVAL);
        assert_int_equal(weir_pool_reduce(pool, range, &too_far, result, &fold, options),
                         WEIR_EFAILED);
        assert_message_has("wrote past its accumulator");
        assert_int_equal(weir_pool_reduce(pool, range, &too_far, result, &combine, options),
                         -EINVAL);
        assert_message_has("combine wrote past an accumulator");
        assert_int_equal(result[0], 42);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(private_arrays_are_copied_in_and_out),
        UNIT(arrays_of_the_scope_are_used_in_place),
        UNIT(a_failed_map_leaves_private_output_alone),
        UNIT(a_chunk_of_a_map_is_retried_once__when_its_worker_dies),
        UNIT(large_private_arrays_are_copied__when_the_arena_is_too_small),
        UNIT(a_map_is_refused__when_its_arrays_are_wrong),
        UNIT(a_reduction_has_the_same_bits__whatever_the_workers),
        UNIT(an_empty_reduction_gives_the_neutral_element),
        UNIT(neighbours_are_combined_in_order),
        UNIT(a_reduction_is_refused__when_it_is_wrong),
        UNIT(a_reduction_fails__when_it_writes_past_an_accumulator),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
