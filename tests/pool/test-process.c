/* SPDX-License-Identifier: MIT
 *
 * weir_process: as Python's Process, and what happens to it when others end.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

static int return_it(void *arg)
{
    return *(int *)arg;
}

static weir_process *start(weir_scope *scope, int (*target)(void *), void *arg)
{
    weir_process *process = weir_process_start(scope, target, arg);

    if (process == NULL)
        fail_msg("weir_process_start: %s", weir_last_error()->message);
    return process;
}

static void a_process_is_refused__when_its_arguments_are_wrong(void **state)
{
    weir_scope *scope = begin();
    int code = 55;

    (void)state;
    assert_null(weir_process_start(NULL, return_it, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_process_start(scope, NULL, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_message_has("target");
    assert_int_equal(weir_process_join(NULL, 0, &code), -EINVAL);
    assert_int_equal(code, 55);
    assert_int_equal(weir_process_pid(NULL), -EINVAL);
    weir_process_free(NULL);
    weir_scope_end(scope);
    assert_null(weir_process_start(scope, return_it, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
}

static void the_exit_code_is_what_the_target_returned__modulo_256(void **state)
{
    static const int codes[][2] = {{0, 0},     {1, 1},   {77, 77}, {111, 111},
                                   {255, 255}, {256, 0}, {-1, 255}};
    weir_scope *scope = begin();

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        int returned = codes[i][0], code = -77;
        weir_process *process = start(scope, return_it, &returned);

        assert_int_equal(weir_process_join(process, -1, &code), 0);
        assert_int_equal(code, codes[i][1]);
        code = -77;
        assert_int_equal(weir_process_join(process, 0, &code), 0); /* again */
        assert_int_equal(code, codes[i][1]);
        assert_int_equal(weir_process_join(process, 0, NULL), 0);
        weir_process_free(process);
    }
    weir_scope_end(scope);
}

static int kill_self(void *arg)
{
    kill(getpid(), *(int *)arg);
    return 5;
}

static int sleep_long(void *arg)
{
    (void)arg;
    while (pause() < 0)
        ;
    return 0;
}

static void a_process_gets_the_signal__that_it_is_sent(void **state)
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGUSR2};
    weir_scope *scope = begin();
    weir_process *process;
    int code = 55;

    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        process = start(scope, sleep_long, NULL);
        assert_int_equal(weir_process_kill(process, SIGINT), 0); /* ignored there */
        assert_int_equal(weir_process_join(process, 50, &code), -ETIMEDOUT);
        assert_int_equal(weir_process_kill(process, signals[i]), 0);
        assert_int_equal(weir_process_join(process, 5000, &code), 0);
        assert_int_equal(code, -signals[i]);
        assert_int_equal(weir_process_kill(process, SIGTERM), -ESRCH);
        assert_message_has("has ended");
        weir_process_free(process);
    }
    assert_int_equal(weir_process_kill(NULL, SIGTERM), -EINVAL);
    process = start(scope, sleep_long, NULL);
    assert_int_equal(weir_process_kill(process, 0), -EINVAL);
    assert_int_equal(weir_process_kill(process, 65), -EINVAL);
    assert_message_has("signal is 65; it must be from 1 to 64");
    weir_process_free(process);
    weir_scope_end(scope);
}

static int call_exit(void *arg)
{
    exit(*(int *)arg);
}

static void the_exit_code_is_minus_the_signal__when_killed(void **state)
{
    static const int signals[] = {SIGKILL, SIGSEGV, SIGTERM, SIGUSR1};
    weir_scope *scope = begin();
    int code, number;
    weir_process *process;

    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        number = signals[i];
        process = start(scope, kill_self, &number);
        assert_int_equal(weir_process_join(process, 5000, &code), 0);
        assert_int_equal(code, -number);
        weir_process_free(process);
    }
    number = SIGINT; /* ignored: the program decides what Ctrl-C means */
    process = start(scope, kill_self, &number);
    assert_int_equal(weir_process_join(process, 5000, &code), 0);
    assert_int_equal(code, 5);
    weir_process_free(process);
    number = 42;
    process = start(scope, call_exit, &number);
    assert_int_equal(weir_process_join(process, 5000, &code), 0);
    assert_int_equal(code, 42);
    weir_process_free(process);
    weir_scope_end(scope);
}

static int sleep_ms(void *arg)
{
    usleep((useconds_t) * (int *)arg * 1000);
    return 0;
}

static int run_to_gate(void *gate)
{
    return pass(gate);
}

static void joining_gives_up__when_the_time_is_over(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = shared_memory(sizeof *gate);
    int code = 55;
    weir_process *process = start(scope, run_to_gate, gate);
    double begun = now_ms();

    (void)state;
    assert_int_equal(weir_process_join(process, 0, &code), -ETIMEDOUT);
    assert_true(now_ms() - begun < 5000);
    assert_int_equal(weir_process_join(process, 120, &code), -ETIMEDOUT);
    assert_true(now_ms() - begun >= 120);
    assert_message_has("120 ms");
    assert_int_equal(code, 55);
    gate->open = true;
    assert_int_equal(weir_process_join(process, 20000, &code), 0);
    assert_int_equal(code, 0);
    weir_process_free(process);
    weir_scope_end(scope);
    munmap(gate, sizeof *gate);
}

static void a_running_process_is_killed__when_freed_or_when_its_scope_ends(void **state)
{
    int duration = 60000;

    (void)state;
    for (int freed = 0; freed < 2; freed++) {
        weir_scope *scope = begin();
        weir_process *process = start(scope, sleep_ms, &duration);
        pid_t pid = weir_process_pid(process);
        double begun = now_ms();

        assert_int_equal(kill(pid, 0), 0);
        if (freed)
            weir_process_free(process);
        else
            weir_scope_end(scope);
        assert_false(is_alive(pid));
        assert_true(now_ms() - begun < 1500);
        if (freed)
            weir_scope_end(scope);
    }
}

static void joining_reports_it__when_the_supervisor_was_killed(void **state)
{
    weir_scope *scope = begin();
    int duration = 60000, code = 55;
    weir_process *process = start(scope, sleep_ms, &duration);
    pid_t pid = weir_process_pid(process);
    double begun = now_ms();

    (void)state;
    kill(parent_of(pid), SIGKILL);
    assert_int_equal(weir_process_join(process, 5000, &code), WEIR_EDIED);
    assert_true(now_ms() - begun < 1000);
    assert_int_equal(code, 55);
    assert_message_has("supervisor");
    WAIT_UNTIL(!is_alive(pid), 1000);
    weir_process_free(process);
    weir_scope_end(scope);
}

static int fill_list(void *arg)
{
    weir_list *list = arg;

    for (int64_t i = 0; i < weir_list_len(list); i++) {
        if (weir_list_set(list, i, weir_int(i * 2)) < 0)
            return 1;
    }
    return 0;
}

static void a_list_is_filled__by_many_processes_at_once(void **state)
{
    weir_scope *scope = begin();
    weir_process *processes[20];
    weir_list *lists[20];

    (void)state;
    for (int i = 0; i < 20; i++) {
        lists[i] = weir_scope_list_range(scope, 0, 300, 1);
        processes[i] = start(scope, fill_list, lists[i]);
    }
    for (int i = 19; i >= 0; i--) {
        weir_value value;

        assert_int_equal(weir_process_join(processes[i], 10000, NULL), 0);
        assert_int_equal(weir_list_get(lists[i], 299, &value), 0);
        assert_int_equal(value.integer, 598);
        weir_process_free(processes[i]);
    }
    weir_scope_end(scope);
}

static void a_process_lives_on__when_a_forked_child_frees_it(void **state)
{
    weir_scope *scope = begin();
    int duration = 300, code = 55, status;
    weir_process *process = start(scope, sleep_ms, &duration);
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        weir_process_free(process);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(weir_process_join(process, 5000, &code), 0);
    assert_int_equal(code, 0); /* it was not killed */
    weir_process_free(process);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_process_is_refused__when_its_arguments_are_wrong),
        UNIT(the_exit_code_is_what_the_target_returned__modulo_256),
        UNIT(a_process_gets_the_signal__that_it_is_sent),
        UNIT(the_exit_code_is_minus_the_signal__when_killed),
        UNIT(joining_gives_up__when_the_time_is_over),
        UNIT(a_running_process_is_killed__when_freed_or_when_its_scope_ends),
        UNIT(joining_reports_it__when_the_supervisor_was_killed),
        UNIT(a_list_is_filled__by_many_processes_at_once),
        UNIT(a_process_lives_on__when_a_forked_child_frees_it),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
