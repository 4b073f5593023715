/* SPDX-License-Identifier: MIT
 *
 * WEIR_DEBUG: an argument that points to private memory is compared between program and worker.
 * What has changed is refused, what has not passes, and a task that writes there is told.
 */
#include "ear.h"
#include "sanitizer.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>

static double samples[100];
static int64_t counter;
static const int table[] = {2, 3, 5, 7};
static int settings[64] = {1, 2, 3};

static int nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int nothing_called(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static int nothing_mapped(weir_task *task, const void *in, void *out, void *arg)
{
    (void)task;
    (void)arg;
    *(int *)out = *(const int *)in;
    return 0;
}

static int nothing_folded(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)accumulator;
    return nothing(task, range, arg);
}

static void combine_nothing(void *into, const void *from, void *arg)
{
    (void)into;
    (void)from;
    (void)arg;
}

static const weir_range some = {0, 8};

static weir_pool *checking_pool(weir_scope *scope)
{
    weir_pool *pool;

    setenv("WEIR_DEBUG", "1", 1);
    pool = new_pool(scope, 2);
    unsetenv("WEIR_DEBUG");
    return pool;
}

static void end(weir_scope *scope, weir_pool *pool)
{
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void assert_passes(weir_pool *pool, const void *arg)
{
    if (weir_pool_for(pool, some, nothing, (void *)arg, NULL) != 0)
        fail_msg("refused: %s", weir_last_error()->message);
}

static void assert_refused(weir_pool *pool, const void *arg, const char *part)
{
    assert_int_equal(weir_pool_for(pool, some, nothing, (void *)arg, NULL), -EINVAL);
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_message_has("`arg` points to ");
    assert_message_has(part);
    assert_message_has("weir_scope_alloc()");
}

/* How a block is described: malloc() rounds up, by how much depends on what was freed before. */
static const char *bytes_of_malloc(void *block)
{
    static char text[64];

    snprintf(text, sizeof text, "points to %zu bytes of malloc()", malloc_usable_size(block));
    return text;
}

/* ---- what has changed ------------------------------------------------------------------------ */

static void static_memory_is_refused__when_it_has_changed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = checking_pool(scope);

    (void)state;
    assert_passes(pool, samples);
    samples[99] = 0.5;
    assert_refused(pool, samples, "`samples`, 800 bytes of static memory");
    assert_refused(pool, samples, "has changed since the pool was made");
    assert_refused(pool, &samples[50], "`samples`");
    counter++;
    assert_refused(pool, &counter, "`counter`, 8 bytes");
    samples[99] = 0;
    counter = 0;
    assert_passes(pool, samples);
    end(scope, pool);
}

static void malloced_memory_is_refused__when_it_has_changed_or_is_younger(void **state)
{
    enum { SMALL = 200, LARGE = 4 << 20 };
    const char *const what = ADDRESS_SANITIZER ? "memory" : "malloc()";
    weir_scope *scope = begin();
    char *before = calloc(1, SMALL), *large_before = calloc(1, LARGE), *small, *large;
    weir_pool *pool = checking_pool(scope);

    (void)state;
    assert_passes(pool, before);
    assert_passes(pool, large_before);
    large_before[0] = before[0] = 1;
    assert_refused(pool, before, what);
    assert_refused(pool, large_before, what);
    large_before[0] = before[0] = 0;
    if (!ADDRESS_SANITIZER) {
        before[SMALL - 1] = 1;
        assert_refused(pool, before, bytes_of_malloc(before));
    }
    small = malloc(SMALL);
    memset(small, 7, SMALL);
    assert_refused(pool, small, what);
    large = calloc(1, LARGE);
    assert_refused(pool, large, "younger than the pool");
    free(before);
    free(large_before);
    free(small);
    free(large);
    end(scope, pool);
}

__attribute__((noinline)) static void refuse_younger(weir_pool *pool)
{
    int younger[16] = {0};

    assert_refused(pool, younger, "a variable on the stack that is younger than the pool");
}

static void the_stack_is_refused__when_a_variable_has_changed_or_is_younger(void **state)
{
    volatile struct {
        int64_t number;
        double fraction, other;
        int small;
    } mine = {1, 0.5, 0, 3};
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    setenv("WEIR_DEBUG", "1", 1);
    pool = weir_pool_new(scope, NULL); /* here: its caller's stack is what it knows */
    unsetenv("WEIR_DEBUG");
    assert_non_null(pool);
    assert_passes(pool, (void *)&mine);
    mine.number = 2;
    assert_refused(pool, (void *)&mine, "a variable on the stack, which has changed");
    mine.fraction = 0.25; /* only the upper half has other bits */
    assert_refused(pool, (void *)&mine.fraction, "a variable on the stack, which has changed");
    mine.fraction = 0;
    assert_refused(pool, (void *)&mine.fraction, "a variable on the stack, which has changed");
    mine.small = 4;
    assert_refused(pool, (void *)&mine.small, "a variable on the stack, which has changed");
    refuse_younger(pool);
    end(scope, pool);
}

static void mapped_memory_is_refused__when_it_is_younger(void **state)
{
    weir_scope *scope = begin();
    int *before = shared_memory(4096), *after;
    weir_pool *pool = checking_pool(scope);

    (void)state;
    after = shared_memory(4096);
    before[0] = after[0] = 1;
    assert_passes(pool, before);
    assert_refused(pool, after, "mapped after the pool was made");
    munmap(before, 4096);
    munmap(after, 4096);
    end(scope, pool);
}

static void all_kinds_of_calls_refuse__when_an_argument_has_changed(void **state)
{
    const weir_reduction reduction = {
        .size = 8, .fold = nothing_folded, .combine = combine_nothing};
    weir_scope *scope = begin();
    weir_pool *pool = checking_pool(scope);
    int in[4] = {1}, out[4];
    int64_t result;
    weir_future *future;

    (void)state;
    counter = 1;
    assert_int_equal(weir_pool_map(pool, nothing_mapped, in, 4, out, 4, 4, &counter, NULL),
                     -EINVAL);
    assert_message_has("`counter`");
    assert_int_equal(weir_pool_reduce(pool, some, &reduction, &result, &counter, NULL), -EINVAL);
    assert_message_has("`counter`");
    future = weir_pool_submit(pool, nothing_called, &counter, 0, NULL);
    assert_int_equal(weir_future_wait(future, -1), -EINVAL);
    assert_message_has("`counter`");
    weir_future_free(future);
    future = weir_pool_submit(pool, nothing_called, &counter, sizeof counter, NULL);
    assert_int_equal(weir_future_wait(future, -1), 0);
    weir_future_free(future);
    counter = 0;
    assert_int_equal(weir_pool_map(pool, nothing_mapped, in, 4, out, 4, 4, NULL, NULL), 0);
    assert_int_equal(
        weir_pool_map(pool, nothing_mapped, in, 4, out, 4, 4, NULL, OPTIONS(.shared = true)),
        -EINVAL);
    assert_message_has("in is private memory");
    end(scope, pool);
}

/* ---- what has not ---------------------------------------------------------------------------- */

static void an_argument_passes__when_it_has_not_changed_or_is_no_pointer(void **state)
{
    volatile struct {
        int before;
        struct {
            int64_t a;
            int b;
        } mine;
        int after;
        int64_t alone;
    } locals = {1, {2, 3}, 4, 5};
    char *heap[3] = {malloc(40), malloc(40), malloc(40)};
    FILE *file = fopen("/dev/null", "we");
    weir_scope *scope = begin();
    int *shared = shared_memory(4096);
    double *items;
    weir_pool *pool;

    (void)state;
    memset(heap[1], 1, 40);
    setenv("WEIR_DEBUG", "1", 1);
    pool = new_pool(scope, 2);
    unsetenv("WEIR_DEBUG");
    items = weir_scope_doubles(scope, 1000);
    items[0] = shared[0] = 9;
    memset(heap[0], 2, 40);
    memset(heap[2], 2, 40);
    free(malloc(100000));
    locals.before = 10;
    locals.after = 40;
    fprintf(file, "buffered");
    printf("%s", "");
    assert_passes(pool, (void *)&locals.mine);
    assert_passes(pool, (void *)&locals.alone);
    assert_passes(pool, table);
    assert_passes(pool, settings);
    assert_passes(pool, heap[1]);
    assert_passes(pool, shared);
    assert_passes(pool, items);
    assert_passes(pool, &items[999]);
    assert_passes(pool, scope);
    assert_passes(pool, file);
    assert_passes(pool, stdout);
    assert_passes(pool, NULL);
    assert_passes(pool, (void *)(intptr_t)5);
    assert_passes(pool, (void *)(intptr_t)-1);
    assert_passes(pool, (void *)(uintptr_t)0x123456789abc);
    assert_passes(pool, "a literal");
    assert_passes(pool, (void *)(uintptr_t)nothing);
    counter = 3;
    assert_int_equal(
        weir_pool_for(pool, some, nothing, &counter, OPTIONS(.arg_size = sizeof counter)), 0);
    counter = 0;
    fclose(file);
    for (int i = 0; i < 3; i++)
        free(heap[i]);
    munmap(shared, 4096);
    end(scope, pool);
}

static void nothing_is_looked_at__when_not_asked_for(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    setenv("WEIR_DEBUG", "0", 1);
    pool = new_pool(scope, 2);
    unsetenv("WEIR_DEBUG");
    samples[0] = 1;
    assert_passes(pool, samples);
    samples[0] = 0;
    end(scope, pool);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_there(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    ((int64_t *)arg)[1] = range.begin + 1;
    return 0;
}

/* What comes out on stderr while two jobs of one worker write to `arg`. */
static const char *stderr_of_writing(void *arg)
{
    static struct ear ear;
    weir_scope *scope = begin();
    weir_pool *pool;

    ear_open(&ear);
    setenv("WEIR_DEBUG", "1", 1);
    pool = new_pool(scope, 1);
    unsetenv("WEIR_DEBUG");
    ear_close(&ear);
    for (int i = 0; i < 2; i++)
        assert_int_equal(weir_pool_for(pool, some, write_there, arg, NULL), 0);
    end(scope, pool);
    return ear_read(&ear);
}

/* One line, with all of this in it. */
static void assert_told(const char *text, const char *what)
{
    const char *end_of_line = strchr(text, '\n');

    if (strncmp(text, "weir: worker 0 wrote to private memory: `arg` points to ", 56) != 0 ||
        strstr(text, what) == NULL || end_of_line == NULL || end_of_line[1] != '\0')
        fail_msg("not told once of %s: %s", what, text);
}

static void a_task_is_told__when_it_writes_to_private_memory(void **state)
{
    int64_t local[4] = {0}, *heap = calloc(4, 8), *shared = shared_memory(4096);
    const char *given = bytes_of_malloc(heap);

    (void)state;
    assert_told(stderr_of_writing(settings), "`settings`, 256 bytes of static memory");
    assert_told(stderr_of_writing(local), "a variable on the stack");
    if (!ADDRESS_SANITIZER)
        assert_told(stderr_of_writing(heap), given);
    assert_string_equal(stderr_of_writing(shared), "");
    assert_int_not_equal(shared[1], 0);
    assert_int_equal(local[1] + heap[1], 0);
    free(heap);
    munmap(shared, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(static_memory_is_refused__when_it_has_changed),
        UNIT(malloced_memory_is_refused__when_it_has_changed_or_is_younger),
        UNIT(the_stack_is_refused__when_a_variable_has_changed_or_is_younger),
        UNIT(mapped_memory_is_refused__when_it_is_younger),
        UNIT(all_kinds_of_calls_refuse__when_an_argument_has_changed),
        UNIT(an_argument_passes__when_it_has_not_changed_or_is_no_pointer),
        UNIT(nothing_is_looked_at__when_not_asked_for),
        UNIT(a_task_is_told__when_it_writes_to_private_memory),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
