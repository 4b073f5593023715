/* SPDX-License-Identifier: MIT
 *
 * A dictionary in a scope: one pointer for all its processes, and gone with the scope.
 */
#include "child.h"
#include "scoped.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static void pointer_is_valid__when_used_by_processes_of_the_scope(void **state)
{
    weir_dict *dict = weir_scope_dict(scope, NULL), *attached;
    weir_value value;
    int status;

    (void)state;
    assert_non_null(dict);
    for (int i = 0; i < 3; i++) {
        if (fork() == 0) {
            child_reset();
            for (int k = 0; k < 3000; k++)
                if (weir_dict_add(dict, weir_int(k), 1, NULL) < 0)
                    _exit(1);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(weir_dict_len(dict), 3000);
    for (int k = 0; k < 3000; k++) {
        assert_int_equal(weir_dict_get(dict, weir_int(k), &value, NULL, 0), 0);
        assert_int_equal(value.integer, 3);
    }
    attached = weir_dict_attach(weir_shm_name(weir_dict_shm(dict)));
    assert_true((attached != NULL) == !scopes_are_anonymous());
    assert_int_equal(weir_dict_len(attached != NULL ? attached : dict), 3000);
    weir_dict_close(attached);
    weir_dict_close(dict); /* has its name: stays */
    assert_int_equal(weir_dict_len(dict), 3000);
}

static void dictionary_is_gone__when_its_scope_has_ended(void **state)
{
    weir_scope *own = weir_scope_begin(NULL);
    weir_dict *dict = weir_scope_dict(own, &(weir_dict_options){.max_size = 1 << 20});
    char name[WEIR_SHM_NAME_MAX + 1];

    (void)state;
    assert_non_null(dict);
    assert_int_equal(weir_shm_size(weir_dict_shm(dict)), 1 << 20);
    strcpy(name, weir_shm_name(weir_dict_shm(dict)));
    assert_int_equal(weir_scope_end(own), 0);
    assert_null(weir_dict_attach(name));
    assert_int_equal(weir_last_error()->code, -ENOENT);
}

static void memory_comes_back__when_unlinked_and_closed(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        weir_dict *dict = weir_scope_dict(scope, NULL);

        assert_non_null(dict);
        assert_int_equal(weir_dict_len(dict), 0);
        assert_int_equal(weir_dict_set(dict, weir_str("key"), weir_str("value")), 0);
        assert_int_equal(weir_shm_unlink(weir_dict_shm(dict)), 0);
        /* it still grows: its memory needs no name */
        for (int k = 0; k < 3000; k++)
            assert_int_equal(weir_dict_set(dict, weir_int(k), weir_int(k)), 0);
        weir_dict_close(dict);
    }
}

static void making_is_refused__when_it_makes_no_sense(void **state)
{
    (void)state;
    assert_null(weir_scope_dict(NULL, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_dict(scope, &(weir_dict_options){.max_size = 100}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
}

static void full_shm_is_an_error__when_a_dictionary_is_made(void **state)
{
    (void)state;
    ONLY_WITH_NAMES();
    if (!leak_limit_shm(20 << 10))
        skip();
    assert_null(weir_scope_dict(scope, NULL));
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_non_null(strstr(weir_last_error()->message, "/dev/shm"));
    assert_true(leak_limit_shm((size_t)1 << 30));
    assert_non_null(weir_scope_dict(scope, NULL));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pointer_is_valid__when_used_by_processes_of_the_scope),
        TEST(dictionary_is_gone__when_its_scope_has_ended),
        TEST(memory_comes_back__when_unlinked_and_closed),
        TEST(making_is_refused__when_it_makes_no_sense),
        TEST(full_shm_is_an_error__when_a_dictionary_is_made),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
