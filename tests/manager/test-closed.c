/* SPDX-License-Identifier: MIT
 *
 * A program closes descriptors that a scope has, as daemons do with all from 3 on, and opens files
 * of its own: these are left alone, the calls say what is wrong, and the end leaves nothing.
 */
#include "leak.h"
#include "taken.h"

#include <stdlib.h>
#include <weir-scope.h>

#define UNIT(test) cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)

static int count_scope_numbers(const bool *before, const bool *after, int numbers[TAKEN_MAX])
{
    int count = 0;

    for (int fd = 0; fd < TAKEN_MAX; fd++) {
        if (after[fd] && !before[fd])
            numbers[count++] = fd;
    }
    return count;
}

static weir_scope *begin_and_count(int numbers[TAKEN_MAX], int *count)
{
    bool before[TAKEN_MAX], after[TAKEN_MAX];
    weir_scope *scope;

    open_numbers(before);
    scope = weir_scope_begin(&(weir_scope_options){.timeout_ms = 1000});
    assert_non_null(scope);
    open_numbers(after);
    *count = count_scope_numbers(before, after, numbers);
    assert_in_range(*count, 4, 5);
    return scope;
}

static void check(struct taken *taken)
{
    const char *wrong = look_at_taken(taken);

    if (wrong != NULL)
        fail_msg("descriptor %d, kind %d: %s", taken->fd, taken->kind, wrong);
}

static void use_objects(weir_scope *scope, weir_shm *made, weir_shm *unlinked)
{
    weir_block_info info;

    /* also when the manager, whose connection it was, has cleaned up in between */
    for (int i = 0; i < 2; i++) {
        if (weir_scope_shm(scope, 5000) == NULL)
            assert_int_equal(weir_last_error()->code, -EBADF);
        usleep(30000);
    }
    (void)!weir_scope_sync(scope);
    (void)!weir_scope_lookup(scope, "x", &info);
    (void)!weir_scope_array_at(scope, weir_shm_buf(made));
    memset(weir_shm_buf(made), 1, 5000);
    weir_shm_close(unlinked);
    (void)!weir_shm_unlink(made);
    weir_shm_close(made);
}

static void nothing_of_the_programs_is_touched__when_it_has_closed_all_from_3_on(void **state)
{
    (void)state;
    for (enum taken_kind kind = TAKEN_NOT; kind < TAKEN_KINDS; kind++) {
        int numbers[TAKEN_MAX], count;
        weir_scope *scope = begin_and_count(numbers, &count);
        weir_shm *made = weir_scope_shm(scope, 5000), *unlinked = weir_scope_shm(scope, 5000);
        struct taken taken[TAKEN_MAX];

        assert_non_null(made);
        assert_non_null(unlinked);
        assert_int_equal(weir_shm_unlink(unlinked), 0);
        for (int i = 0; i < count; i++)
            assert_true(take_over(&taken[i], numbers[i], kind));
        assert_null(weir_scope_shm(scope, 5000));
        assert_int_equal(weir_last_error()->code, -EBADF);
        use_objects(scope, made, unlinked);
        assert_int_equal(weir_scope_end(scope), -EBADF);
        assert_non_null(strstr(weir_last_error()->message, "the scope file"));
        assert_non_null(strstr(weir_last_error()->message, "the connection to the manager"));
        for (int i = 0; i < count; i++)
            check(&taken[i]);
    }
}

static void the_end_names_it__when_one_descriptor_was_closed(void **state)
{
    int numbers[TAKEN_MAX], count = 4;

    (void)state;
    for (int i = 0; i < 2 * count; i++) {
        weir_scope *scope = begin_and_count(numbers, &count);
        weir_shm *made = weir_scope_shm(scope, 5000), *unlinked = weir_scope_shm(scope, 5000);
        struct taken taken;
        char number[20];

        assert_int_equal(weir_shm_unlink(unlinked), 0);
        assert_true(take_over(&taken, numbers[i % count], i < count ? TAKEN_FILE : TAKEN_SOCKET));
        snprintf(number, sizeof number, ": %d (", numbers[i % count]);
        use_objects(scope, made, unlinked);
        assert_int_equal(weir_scope_end(scope), -EBADF);
        if (strstr(weir_last_error()->message, number) == NULL)
            fail_msg("no \"%s\" in %s", number, weir_last_error()->message);
        check(&taken);
    }
}

static void an_unlinked_objects_descriptor_is_told__when_it_was_closed(void **state)
{
    bool before[TAKEN_MAX], after[TAKEN_MAX];
    weir_scope *scope = weir_scope_begin(NULL);
    weir_shm *block = weir_scope_shm(scope, 5000);
    int numbers[TAKEN_MAX], count;
    struct taken taken;

    (void)state;
    open_numbers(before);
    assert_int_equal(weir_shm_unlink(block), 0);
    open_numbers(after);
    count = count_scope_numbers(before, after, numbers);
    if (count == 0) { /* of an anonymous scope none is kept */
        assert_int_equal(weir_scope_end(scope), 0);
        return;
    }
    assert_true(take_over(&taken, numbers[0], TAKEN_FILE));
    assert_int_equal(weir_scope_end(scope), -EBADF);
    check(&taken);
}

static void a_forked_child_ends_its_copy_quietly__when_it_has_closed_all(void **state)
{
    int numbers[TAKEN_MAX], count, status = -1;
    weir_scope *scope = begin_and_count(numbers, &count);
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        struct taken taken[TAKEN_MAX];
        int wrong = 0;

        for (int i = 0; i < count; i++)
            wrong |= !take_over(&taken[i], numbers[i], TAKEN_FILE);
        wrong |= weir_scope_shm(scope, 5000) != NULL || weir_scope_end(scope) != 0;
        for (int i = 0; i < count; i++)
            wrong |= look_at_taken(&taken[i]) != NULL;
        _exit(wrong);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_non_null(weir_scope_shm(scope, 5000));
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_connected_program_is_told__when_it_has_closed_its_connection(void **state)
{
    char folder[] = "/tmp/weirtest-closed-XXXXXX", address[100];
    weir_scope *scope, *connected;
    struct taken taken;
    bool before[TAKEN_MAX], after[TAKEN_MAX];
    int numbers[TAKEN_MAX];

    (void)state;
    if (getenv("WEIR_TEST_ANONYMOUS") != NULL) {
        print_message("skipped: anonymous scopes are not listened for here\n");
        skip();
    }
    assert_non_null(mkdtemp(folder));
    snprintf(address, sizeof address, "%s/door", folder);
    scope = weir_scope_begin(&(weir_scope_options){.address = address});
    assert_non_null(scope);
    for (enum taken_kind kind = TAKEN_NOT; kind < TAKEN_KINDS; kind++) {
        weir_block_info info;

        open_numbers(before);
        connected = weir_scope_connect(address, NULL, 0);
        assert_non_null(connected);
        open_numbers(after);
        assert_int_equal(count_scope_numbers(before, after, numbers), 1);
        assert_true(take_over(&taken, numbers[0], kind));
        assert_int_equal(weir_scope_lookup(connected, "x", &info), -EBADF);
        assert_null(weir_scope_shm(connected, 5000));
        assert_int_equal(weir_last_error()->code, -EBADF);
        weir_scope_disconnect(connected);
        assert_int_equal(weir_last_error()->code, -EBADF);
        check(&taken);
    }
    assert_int_equal(weir_scope_end(scope), 0);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(nothing_of_the_programs_is_touched__when_it_has_closed_all_from_3_on),
        UNIT(the_end_names_it__when_one_descriptor_was_closed),
        UNIT(an_unlinked_objects_descriptor_is_told__when_it_was_closed),
        UNIT(a_forked_child_ends_its_copy_quietly__when_it_has_closed_all),
        UNIT(a_connected_program_is_told__when_it_has_closed_its_connection),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
