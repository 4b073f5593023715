/* SPDX-License-Identifier: MIT
 *
 * Connecting by what the environment says: WEIR_ADDRESS and WEIR_KEY_FILE.
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listening.h"
#include "manager/wire/auth.h"

#define KEY "a key, with\0a NUL and a newline\n"

static char key_path[120];

static int remove_environment(void **state)
{
    unsetenv("WEIR_ADDRESS");
    unsetenv("WEIR_KEY_FILE");
    unlink(key_path);
    return close_door(state);
}

static int set_environment(void **state)
{
    if (open_door(state))
        return -1;
    snprintf(key_path, sizeof(key_path), "%s/key", folder);
    return setenv("WEIR_ADDRESS", address, 1);
}

static void write_key(const void *key, size_t size, mode_t mode)
{
    int fd;

    unlink(key_path);
    fd = open(key_path, O_WRONLY | O_CREAT | O_EXCL, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, key, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    assert_int_equal(setenv("WEIR_KEY_FILE", key_path, 1), 0);
}

static int set_environment_with_key(void **state)
{
    if (make_folder(state))
        return -1;
    snprintf(key_path, sizeof(key_path), "%s/key", folder);
    if (!weir__auth_available())
        return 0;
    scope = weir_scope_begin(
        &(weir_scope_options){.address = address, .authkey = KEY, .authkey_size = sizeof(KEY)});
    return scope ? setenv("WEIR_ADDRESS", address, 1) : -1;
}

#define NEEDS_KEYS                                                                                 \
    if (!weir__auth_available())                                                                   \
    skip()

static void assert_connects(const char *to, const void *key, size_t size)
{
    weir_scope *outside = weir_scope_connect(to, key, size);

    if (!outside)
        print_error("%s\n", weir_last_error()->message);
    assert_non_null(outside);
    weir_scope_disconnect(outside);
}

/* With a message that has both in it. */
static void assert_refused(int code, const char *variable, const char *reason)
{
    assert_null(weir_scope_connect(NULL, NULL, 0));
    if (weir_last_error()->code != code || !strstr(weir_last_error()->message, reason))
        print_error("%s\n", weir_last_error()->message);
    assert_int_equal(weir_last_error()->code, code);
    assert_non_null(strstr(weir_last_error()->message, variable));
    assert_non_null(strstr(weir_last_error()->message, reason));
}

static void program_connects__when_the_environment_names_the_address(void **state)
{
    (void)state;
    assert_connects(NULL, NULL, 0);
}

static void message_names_the_variable__when_it_is_not_set(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("WEIR_ADDRESS"), 0);
    assert_refused(-EINVAL, "WEIR_ADDRESS", "not set");
    assert_int_equal(setenv("WEIR_ADDRESS", "", 1), 0);
    assert_refused(-EINVAL, "WEIR_ADDRESS", "not set");
}

static void message_names_the_variable__when_its_address_is_wrong(void **state)
{
    char longest[200];

    (void)state;
    memset(longest, '/', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    setenv("WEIR_ADDRESS", "door", 1);
    assert_refused(-EINVAL, "WEIR_ADDRESS", "not the absolute path");
    setenv("WEIR_ADDRESS", longest, 1);
    assert_refused(-ENAMETOOLONG, "WEIR_ADDRESS", "at most");
    setenv("WEIR_ADDRESS", "/tmp", 1);
    assert_refused(-ECONNREFUSED, "WEIR_ADDRESS", "/tmp");
}

static void message_says_that_the_scope_has_ended__when_it_has(void **state)
{
    (void)state;
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_refused(-ENOENT, "WEIR_ADDRESS", "has ended");
}

static void environment_is_not_asked__when_an_address_is_given(void **state)
{
    (void)state;
    setenv("WEIR_ADDRESS", "/nowhere/door", 1);
    setenv("WEIR_KEY_FILE", "/nowhere/key", 1);
    assert_connects(address, NULL, 0);
}

static void key_is_all_of_the_file__when_the_environment_names_one(void **state)
{
    (void)state;
    NEEDS_KEYS;
    write_key(KEY, sizeof(KEY), 0600);
    assert_connects(NULL, NULL, 0);
    write_key(KEY, sizeof(KEY), 0400);
    assert_connects(NULL, NULL, 0);
    write_key(KEY, sizeof(KEY) - 1, 0600);
    assert_refused(-EACCES, "WEIR_ADDRESS", "key");
    assert_connects(NULL, KEY, sizeof(KEY)); /* the one that is given counts */
    assert_int_equal(unsetenv("WEIR_KEY_FILE"), 0);
    assert_refused(-EACCES, "WEIR_ADDRESS", "key");
}

static void key_file_is_refused__when_it_is_others_or_no_key(void **state)
{
    char large[WEIR__AUTH_KEY_MAX + 1] = "";

    (void)state;
    NEEDS_KEYS;
    for (mode_t bit = 1; bit <= 040; bit <<= 1) {
        write_key(KEY, sizeof(KEY), 0600 | bit);
        assert_refused(-EPERM, "WEIR_KEY_FILE", "others may open it");
    }
    write_key(KEY, 0, 0600);
    assert_refused(-EINVAL, "WEIR_KEY_FILE", "is empty");
    write_key(large, sizeof(large), 0600);
    assert_refused(-EINVAL, "WEIR_KEY_FILE", "is too long");
    setenv("WEIR_KEY_FILE", folder, 1);
    assert_refused(-EINVAL, "WEIR_KEY_FILE", "not a regular file");
    setenv("WEIR_KEY_FILE", "/nowhere/key", 1);
    assert_refused(-ENOENT, "WEIR_KEY_FILE", "/nowhere/key");
    assert_int_equal(unlink(key_path), 0);
    assert_int_equal(mkfifo(key_path, 0600), 0);
    setenv("WEIR_KEY_FILE", key_path, 1);
    assert_refused(-EINVAL, "WEIR_KEY_FILE", "not a regular file");
    if (geteuid() == 0) {
        write_key(KEY, sizeof(KEY), 0600);
        assert_int_equal(chown(key_path, 65534, 65534), 0);
        assert_refused(-EPERM, "WEIR_KEY_FILE", "belongs to user 65534");
    }
}

#define SET(name) cmocka_unit_test_setup_teardown(name, set_environment, remove_environment)
#define KEYED(name)                                                                                \
    cmocka_unit_test_setup_teardown(name, set_environment_with_key, remove_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SET(program_connects__when_the_environment_names_the_address),
        SET(message_names_the_variable__when_it_is_not_set),
        SET(message_names_the_variable__when_its_address_is_wrong),
        SET(message_says_that_the_scope_has_ended__when_it_has),
        SET(environment_is_not_asked__when_an_address_is_given),
        KEYED(key_is_all_of_the_file__when_the_environment_names_one),
        KEYED(key_file_is_refused__when_it_is_others_or_no_key),
    };

    if (!leak_isolate()) {
        print_message("skipped: needs root or user namespaces for a /dev/shm of its own\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
