/* SPDX-License-Identifier: MIT
 *
 * test-error.c: the thread's last error.
 */
#include "leak.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shm/error.h"

static void nothing_failed__at_first(void **state)
{
    const weir_error *error = weir_last_error();

    (void)state;
    assert_int_equal(error->code, 0);
    assert_int_equal(error->worker, -1);
    assert_int_equal(error->exit_status, -1);
    assert_string_equal(error->message, "");
}

static void every_field_is_set__when_a_call_fails(void **state)
{
    const weir_error *error = weir_last_error();
    weir_error full = {.code = WEIR_EDIED,
                       .worker = 3,
                       .pid = 42,
                       .signal = 9,
                       .exit_status = 7,
                       .attempt = 2,
                       .task_code = 5,
                       .range = {10, 20},
                       .message = "about a worker"};

    (void)state;
    assert_int_equal(weir__fail_with(&full), WEIR_EDIED);
    assert_memory_equal(weir_last_error(), &full, sizeof full);
    errno = EPIPE;
    assert_int_equal(weir__fail(-ENOENT, "no %s of %d", "such", 7), -ENOENT);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(error->code, -ENOENT);
    assert_string_equal(error->message, "no such of 7");
    assert_int_equal(error->worker, -1);
    assert_int_equal(error->exit_status, -1);
    assert_int_equal(error->pid | error->signal | error->attempt | error->task_code, 0);
    assert_true(error->range.begin == 0 && error->range.end == 0);
}

static void a_pointer_is_null__when_it_cannot_be_given(void **state)
{
    (void)state;
    errno = EPIPE;
    assert_null(weir__fail_null(-ENOMEM, "no %s\n", "memory"));
    assert_int_equal(errno, EPIPE);
    assert_int_equal(weir_last_error()->code, -ENOMEM);
    assert_string_equal(weir_last_error()->message, "no memory?");
}

static void a_reserved_word_is_refused__when_it_is_not_zero(void **state)
{
    uint64_t reserved[] = {0, 0, 1};

    (void)state;
    weir_clear_error();
    assert_int_equal(weir__check_reserved(reserved, 2, "some_options"), 0);
    assert_int_equal(weir_last_error()->code, 0);
    assert_int_equal(weir__check_reserved(reserved, 3, "some_options"), -EINVAL);
    assert_string_equal(weir_last_error()->message, "some_options.reserved must be zero");
}

static void a_message_is_one_line_that_fits__when_it_is_long_or_wild(void **state)
{
    char text[2 * WEIR_ERROR_MESSAGE_SIZE];

    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    weir__fail(-EINVAL, "%s", text);
    assert_int_equal(strlen(weir_last_error()->message), WEIR_ERROR_MESSAGE_SIZE - 1);
    weir__fail(-EINVAL, "a\nb\x1b[31m\x7f%s", "\t\xc3\xa9");
    assert_string_equal(weir_last_error()->message, "a?b?[31m??\xc3\xa9");
}

static void a_record_is_terminated__when_it_comes_without_an_end(void **state)
{
    weir_error error = {.code = WEIR_EFAILED};

    (void)state;
    memset(error.message, 'x', sizeof error.message);
    weir__fail_with(&error);
    assert_int_equal(strlen(weir_last_error()->message), WEIR_ERROR_MESSAGE_SIZE - 1);
}

static void a_message_can_wrap_the_one_before(void **state)
{
    (void)state;
    weir__fail(-EINVAL, "inner");
    weir__fail(-EIO, "outer: %s", weir_last_error()->message);
    assert_string_equal(weir_last_error()->message, "outer: inner");
}

static void nothing_failed__when_cleared(void **state)
{
    (void)state;
    weir__fail(-EINVAL, "something");
    weir_clear_error();
    nothing_failed__at_first(state);
}

static void *fail_in_thread(void *arg)
{
    *(int *)arg = weir_last_error()->code;
    weir__fail(-EBUSY, "in the thread");
    return NULL;
}

static void errors_are_apart__when_threads_fail(void **state)
{
    pthread_t thread;
    int seen = 1;

    (void)state;
    weir__fail(-EINVAL, "in main");
    assert_int_equal(pthread_create(&thread, NULL, fail_in_thread, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(seen, 0);
    assert_string_equal(weir_last_error()->message, "in main");
}

static void every_code_has_a_text(void **state)
{
    char unknown[64];

    (void)state;
    errno = EPIPE;
    assert_string_equal(weir_strerror(0), "no error");
    assert_string_equal(weir_strerror(-ENOSPC), strerror(ENOSPC));
    assert_string_equal(weir_strerror(WEIR_EFAILED), "a task reported failure");
    assert_string_equal(weir_strerror(WEIR_EDIED), "a worker or process died");
    assert_string_equal(weir_strerror(12), "unknown code 12");
    snprintf(unknown, sizeof unknown, "unknown code %d", INT_MIN);
    assert_string_equal(weir_strerror(INT_MIN), unknown);
    assert_non_null(strstr(weir_strerror(-99999), "99999"));
    assert_int_equal(errno, EPIPE);
}

static void version_is_the_projects(void **state)
{
    (void)state;
    assert_string_equal(weir_version(), PROJECT_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_failed__at_first),
        cmocka_unit_test(every_field_is_set__when_a_call_fails),
        cmocka_unit_test(a_pointer_is_null__when_it_cannot_be_given),
        cmocka_unit_test(a_reserved_word_is_refused__when_it_is_not_zero),
        cmocka_unit_test(a_message_is_one_line_that_fits__when_it_is_long_or_wild),
        cmocka_unit_test(a_record_is_terminated__when_it_comes_without_an_end),
        cmocka_unit_test(a_message_can_wrap_the_one_before),
        cmocka_unit_test(nothing_failed__when_cleared),
        cmocka_unit_test(errors_are_apart__when_threads_fail),
        cmocka_unit_test(every_code_has_a_text),
        cmocka_unit_test(version_is_the_projects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
