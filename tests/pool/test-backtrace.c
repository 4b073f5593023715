/* SPDX-License-Identifier: MIT
 *
 * Backtraces: a crash says where on stderr if that was asked for, and is reported the same; so does
 * a worker that has passed its deadline, or that is asked.
 */
#include "ear.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static int write_nowhere(weir_task *task, weir_range range, void *arg)
{
    int *volatile nowhere = (int *)(uintptr_t)0xbad0;

    (void)task;
    (void)range;
    (void)arg;
    *nowhere = 1;
    return 0;
}

static int give_up(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    abort();
}

static int be_killed(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    raise(SIGKILL);
    return 0;
}

static int go_down(int depth, volatile char *above)
{
    volatile char memory[4096];

    memory[0] = above != NULL ? above[0] : 1;
    return depth < 1000000000 ? go_down(depth + 1, memory) + memory[0] : 0;
}

static int use_up_the_stack(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return go_down(0, NULL);
}

static int spin(weir_task *task, weir_range range, void *arg)
{
    volatile int turns = 0;

    (void)range;
    (void)arg;
    while (!weir_task_cancelled(task) || turns < 2)
        turns = 1;
    return 0;
}

static int stand_still(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return raise(SIGSTOP);
}

static int ask_oneself(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return kill(getpid(), SIGQUIT) == 0 ? 0 : 1; /* not the last call: it would leave no frame */
}

/* Runs the job with stderr in a pipe. Returns what came out of it; *code gets what the call
 * returned, or the signal that the worker died of. */
static const char *stderr_of(weir_task_fn function, bool backtrace, int *code)
{
    static struct ear ear;
    weir_scope *scope = begin();
    weir_pool *pool;

    ear_open(&ear);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1, .backtrace = backtrace});
    ear_close(&ear);
    assert_non_null(pool);
    *code = weir_pool_for(
        pool, (weir_range){0, 1}, function, NULL,
        OPTIONS(.chunk_timeout_ms = function == spin || function == stand_still ? 50 : 0));
    if (*code == WEIR_EDIED)
        *code = weir_last_error()->signal;
    weir_pool_free(pool);
    weir_scope_end(scope);
    return ear_read(&ear);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no \"%s\" in: %s", part, text);
}

static void a_crash_says_where__when_backtraces_are_asked_for(void **state)
{
    int number;
    const char *text = stderr_of(write_nowhere, true, &number);

    (void)state;
    assert_int_equal(number, SIGSEGV);
    assert_has(text, "weir-worker-0 (pid ");
    assert_has(text, "crashed by SIGSEGV at address 0xbad0:\n");
    assert_has(text, "\n    write_nowhere+0x"); /* a static function of this program */
    assert_has(text, "test-backtrace+0x");
    assert_has(text, "\n    weir__task_run+0x");
    assert_null(strstr(text, "\n    main+0x")); /* what led to weir_pool_new() */
    assert_int_equal(text[strlen(text) - 1], '\n');
    text = stderr_of(give_up, true, &number);
    assert_int_equal(number, SIGABRT);
    assert_has(text, "crashed by SIGABRT:\n");
    assert_has(text, "\n    give_up+0x"); /* it ends with the call that does not return */
}

static void a_crash_says_where__when_the_stack_is_used_up(void **state)
{
    int number;
    const char *text = stderr_of(use_up_the_stack, true, &number);

    (void)state;
    assert_int_equal(number, SIGSEGV);
    assert_has(text, "crashed by SIGSEGV at address 0x");
    assert_has(text, "\n    go_down");
}

static void nothing_is_written__when_not_asked_for_or_killed(void **state)
{
    int number;

    (void)state;
    assert_string_equal(stderr_of(give_up, false, &number), "");
    assert_int_equal(number, SIGABRT);
    assert_string_equal(stderr_of(be_killed, true, &number), "");
    assert_int_equal(number, SIGKILL);
}

static void a_late_chunk_says_where_it_is__before_its_worker_is_killed(void **state)
{
    int code;
    const char *text = stderr_of(spin, true, &code);

    (void)state;
    assert_int_equal(code, -ETIMEDOUT);
    assert_has(text, "weir-worker-0 (pid ");
    assert_has(text, ") was asked where it is:\n");
    assert_has(text, "\n    spin+0x");
    assert_has(text, "\n    weir__task_run+0x");
    assert_string_equal(stderr_of(spin, false, &code), "");
    assert_int_equal(code, -ETIMEDOUT);
}

static void a_late_worker_is_killed__when_it_cannot_say_where_it_is(void **state)
{
    int code;

    (void)state;
    assert_string_equal(stderr_of(stand_still, true, &code), "");
    assert_int_equal(code, -ETIMEDOUT);
}

static void a_worker_goes_on__when_it_is_asked_where_it_is(void **state)
{
    int code;
    const char *text = stderr_of(ask_oneself, true, &code);

    (void)state;
    assert_int_equal(code, 0);
    assert_has(text, ") was asked where it is:\n");
    assert_has(text, "\n    ask_oneself+0x");
    assert_string_equal(stderr_of(ask_oneself, false, &code), "");
    assert_int_equal(code, 0);
}

/* As in what a shell starts in the background. */
static void a_worker_says_where_it_is__when_the_program_ignores_the_signal(void **state)
{
    int code;

    (void)state;
    signal(SIGQUIT, SIG_IGN);
    assert_has(stderr_of(ask_oneself, true, &code), ") was asked where it is:\n");
    assert_int_equal(code, 0);
    assert_has(stderr_of(spin, true, &code), ") was asked where it is:\n");
    assert_int_equal(code, -ETIMEDOUT);
    assert_true(signal(SIGQUIT, SIG_DFL) == SIG_IGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_crash_says_where__when_backtraces_are_asked_for),
        UNIT(a_crash_says_where__when_the_stack_is_used_up),
        UNIT(nothing_is_written__when_not_asked_for_or_killed),
        UNIT(a_late_chunk_says_where_it_is__before_its_worker_is_killed),
        UNIT(a_late_worker_is_killed__when_it_cannot_say_where_it_is),
        UNIT(a_worker_goes_on__when_it_is_asked_where_it_is),
        UNIT(a_worker_says_where_it_is__when_the_program_ignores_the_signal),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
