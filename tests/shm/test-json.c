/* SPDX-License-Identifier: MIT
 *
 * test-json.c: objects as lines of JSON, and text that is no handle.
 */
#include "leak.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/block/shared_memory.h"

static void assert_fails(const void *object, int code)
{
    assert_null(object);
    if (weir_last_error()->code != code)
        fail_msg("%d instead of %d: %s", weir_last_error()->code, code, weir_last_error()->message);
}

static void handle_is_the_object__when_read_back(void **state)
{
    const int64_t shape[] = {2, 3};
    weir_shm *shm = weir_shm_create(leak_name("shm \"\\\xc3\xa9"), 100, 0), *same_shm;
    weir_list *list = weir_list_create_range(leak_name("list"), 0, 5, 1), *same_list;
    weir_array *npy = weir_array_create(leak_name("npy"), WEIR_INT16, 2, shape, WEIR_ARRAY_NPY);
    weir_array *raw = weir_array_create(leak_name("raw"), WEIR_FLOAT64, 2, shape, 0), *same;
    weir_dict *dict = weir_dict_create(leak_name("dict"), NULL), *same_dict;
    weir_value value;
    char *text;

    (void)state;
    text = weir_shm_to_json(shm);
    assert_non_null(text);
    assert_null(strchr(text, '\n'));
    same_shm = weir_shm_from_json(text);
    assert_non_null(same_shm);
    memcpy(weir_shm_buf(same_shm), "live", 5);
    assert_string_equal(weir_shm_buf(shm), "live");
    assert_string_equal(weir_shm_name(same_shm), weir_shm_name(shm));
    assert_fails(weir_list_from_json(text), -EINVAL);
    assert_fails(weir_array_from_json(text), -EINVAL);
    free(text);

    text = weir_list_to_json(list);
    assert_non_null(text);
    same_list = weir_list_from_json(text);
    assert_non_null(same_list);
    assert_int_equal(weir_list_set(same_list, 4, weir_int(-4)), 0);
    assert_int_equal(weir_list_get(list, 4, &value), 0);
    assert_int_equal(value.integer, -4);
    assert_fails(weir_shm_from_json(text), -EINVAL);
    weir_list_close(same_list);
    free(text);

    text = weir_dict_to_json(dict);
    assert_non_null(text);
    same_dict = weir_dict_from_json(text);
    assert_non_null(same_dict);
    assert_int_equal(weir_dict_set(same_dict, weir_int(7), weir_int(8)), 0);
    assert_int_equal(weir_dict_get(dict, weir_int(7), &value, NULL, 0), 0);
    assert_int_equal(value.integer, 8);
    assert_fails(weir_list_from_json(text), -EINVAL);
    weir_dict_close(same_dict);
    weir_shm_unlink(weir_dict_shm(dict));
    assert_fails(weir_dict_from_json(text), -ENOENT);
    weir_dict_close(dict);
    free(text);

    text = weir_array_to_json(npy);
    assert_non_null(text);
    same = weir_array_from_json(text);
    assert_non_null(same);
    ((int16_t *)weir_array_data(same))[5] = 55;
    assert_int_equal(((int16_t *)weir_array_data(npy))[5], 55);
    weir_array_close(same);
    free(text);

    text = weir_array_to_json(raw);
    assert_non_null(text);
    same = weir_array_from_json(text);
    assert_non_null(same);
    assert_int_equal(weir_array_dtype(same), WEIR_FLOAT64);
    assert_memory_equal(weir_array_shape(same), shape, sizeof shape);
    assert_ptr_equal(weir_array_data(same), weir_shm_buf(weir_array_shm(same)));
    weir_array_close(same);
    free(text);

    weir_shm_unlink(shm);
    weir_shm_unlink(weir_list_shm(list));
    weir_shm_unlink(weir_array_shm(npy));
    weir_shm_unlink(weir_array_shm(raw));
    weir_shm_close(shm);
    weir_shm_close(same_shm);
    weir_list_close(list);
    weir_array_close(npy);
    weir_array_close(raw);
    assert_fails(weir_shm_to_json(NULL), -EINVAL);
    assert_fails(weir_list_to_json(NULL), -EINVAL);
    assert_fails(weir_array_to_json(NULL), -EINVAL);
    assert_fails(weir_dict_to_json(NULL), -EINVAL);
    assert_fails(weir_dict_from_json(NULL), -EINVAL);
}

/* Acceptance case 3: a handle written in one process and read in another. */
static void object_is_live__when_another_process_reads_the_handle(void **state)
{
    weir_list *list = weir_list_create_range(leak_name("list"), 0, 3, 1);
    char *text = weir_list_to_json(list), received[WEIR_JSON_MAX + 1] = "";
    int pipe_fds[2], status;
    weir_value value;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    child = fork();
    if (child == 0) {
        weir_list *same;

        close(pipe_fds[1]);
        if (read(pipe_fds[0], received, WEIR_JSON_MAX) <= 0)
            _exit(1);
        same = weir_list_from_json(received);
        _exit(same == NULL || weir_list_set(same, 1, weir_int(99)) < 0);
    }
    assert_int_equal(write(pipe_fds[1], text, strlen(text)), strlen(text));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(weir_list_get(list, 1, &value), 0);
    assert_int_equal(value.integer, 99);
    free(text);
    weir_shm_unlink(weir_list_shm(list));
    weir_list_close(list);
}

static void handle_is_refused__when_its_object_is_dead(void **state)
{
    weir_list *list = weir_list_create_range(leak_name("list"), 0, 3, 1), *other;
    char *text = weir_list_to_json(list);

    (void)state;
    weir_shm_unlink(weir_list_shm(list));
    assert_fails(weir_list_from_json(text), -ENOENT); /* mapped, but without a name */
    other = weir_list_create_range(leak_name("list"), 0, 3, 1);
    assert_non_null(other);
    assert_fails(weir_list_from_json(text), -ENOENT); /* another list has its name */
    weir_list_close(list);
    free(text);
    weir_shm_unlink(weir_list_shm(other));
    weir_list_close(other);
}

/* ---- text by others ------------------------------------------------------------------------- */

/* `format` with the block's name, inode and size in place of $N, $I and $S. */
static char *expand(const char *format, const weir_shm *shm)
{
    static char text[2 * WEIR_JSON_MAX];
    size_t n = 0;

    for (; *format != '\0'; format++) {
        if (format[0] == '$' && format[1] == 'N')
            n += (size_t)sprintf(text + n, "\"%s\"", weir_shm_name(shm));
        else if (format[0] == '$' && format[1] == 'I')
            n += (size_t)sprintf(text + n, "%llu", (unsigned long long)shm->ino);
        else if (format[0] == '$' && format[1] == 'S')
            n += (size_t)sprintf(text + n, "%zu", shm->size);
        else {
            text[n++] = *format;
            continue;
        }
        format++;
    }
    text[n] = '\0';
    return text;
}

#define HEAD(kind) "{\"weir\":1,\"kind\":\"" kind "\",\"name\":$N,\"ino\":$I,\"size\":$S"

static const struct {
    const char *format;
    int code;
} wrong_blocks[] = {
    {"", -EINVAL},
    {"{", -EINVAL},
    {"[]", -EINVAL},
    {"7", -EINVAL},
    {"{}", -EINVAL},
    {HEAD("shm"), -EINVAL},
    {HEAD("shm") "} more", -EINVAL},
    {HEAD("shm") ",\"more\":1}", -EINVAL},
    {HEAD("shm") ",\"size\":$S}", -EINVAL},
    {HEAD("shm") ",\"count\":1}", -EINVAL},
    {HEAD("list") "}", -EINVAL},
    {HEAD("dict") "}", -EINVAL},
    {"{\"weir\":2,\"kind\":\"shm\",\"name\":$N,\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1.0,\"kind\":\"shm\",\"name\":$N,\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":true,\"kind\":\"shm\",\"name\":$N,\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"kind\":\"shm\",\"name\":$N,\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"ino\":$I}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"a kind of some length\",\"name\":$N,\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":7,\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":\"\",\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":\"..\",\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":\"../shm\",\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":\"a\\u0000b\",\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":\"\xff\",\"ino\":$I,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"ino\":0,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"ino\":-1,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"ino\":99999999999999999999,\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"ino\":\"$I\",\"size\":$S}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"ino\":$I,\"size\":0}", -EINVAL},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"ino\":$I,\"size\":101}", -EBADMSG},
    {"{\"weir\":1,\"kind\":\"shm\",\"name\":$N,\"ino\":1$I,\"size\":$S}", -ENOENT},
};

static void text_is_refused__when_it_is_no_block(void **state)
{
    weir_shm *shm = weir_shm_create(leak_name("a"), 100, 0), *same;
    char *text;

    (void)state;
    for (size_t i = 0; i < sizeof wrong_blocks / sizeof *wrong_blocks; i++) {
        same = weir_shm_from_json(expand(wrong_blocks[i].format, shm));
        if (same != NULL || weir_last_error()->code != wrong_blocks[i].code)
            fail_msg("%s: %d", wrong_blocks[i].format, same ? 0 : weir_last_error()->code);
    }
    assert_fails(weir_shm_from_json(NULL), -EINVAL);
    /* In any order, with spaces, up to the longest; and one byte more. */
    text =
        expand(" {\"size\": $S, \"ino\": $I,\n\"name\": $N, \"kind\": \"shm\", \"weir\": 1} ", shm);
    memset(text + strlen(text), ' ', WEIR_JSON_MAX - strlen(text));
    text[WEIR_JSON_MAX] = '\0';
    same = weir_shm_from_json(text);
    assert_non_null(same);
    weir_shm_close(same);
    strcat(text, " ");
    assert_fails(weir_shm_from_json(text), -E2BIG);
    /* Nested as deep as it goes. */
    memset(text, '[', WEIR_JSON_MAX);
    text[WEIR_JSON_MAX] = '\0';
    assert_fails(weir_shm_from_json(text), -EINVAL);
    weir_shm_unlink(shm);
    weir_shm_close(shm);
}

static void text_is_refused__when_it_is_not_what_the_block_holds(void **state)
{
    static const struct {
        const char *format;
        int code;
    } cases[] = {
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[2,3],\"offset\":128}", 0},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[70],\"offset\":0}", 0}, /* all of it, raw */
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[71],\"offset\":0}", -EBADMSG},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[9223372036854775807,9],\"offset\":0}",
         -EBADMSG},
        {HEAD("array") ",\"dtype\":\"uint16\",\"shape\":[2,3],\"offset\":128}", -EBADMSG},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[3,2],\"offset\":128}", -EBADMSG},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[6],\"offset\":128}", -EBADMSG},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[2,3],\"offset\":64}", -EBADMSG},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[2,3],\"offset\":-128}", -EINVAL},
        {HEAD("array") ",\"dtype\":\"int15\",\"shape\":[2,3],\"offset\":128}", -EINVAL},
        {HEAD("array") ",\"dtype\":16,\"shape\":[2,3],\"offset\":128}", -EINVAL},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[2,-3],\"offset\":128}", -EINVAL},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[2,[3]],\"offset\":128}", -EINVAL},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":6,\"offset\":128}", -EINVAL},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"
                       "\"offset\":128}",
         -EINVAL},
        {HEAD("array") ",\"dtype\":\"int16\",\"shape\":[2,3]}", -EINVAL},
        {HEAD("array") ",\"shape\":[2,3],\"offset\":128}", -EINVAL},
        {HEAD("array") ",\"dtype\":\"int16\",\"offset\":128}", -EINVAL},
    };
    const int64_t shape[] = {2, 3};
    weir_array *array = weir_array_create(leak_name("a"), WEIR_INT16, 2, shape, WEIR_ARRAY_NPY);
    weir_list *list = weir_list_create_range(leak_name("b"), 0, 3, 1);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_array *same = weir_array_from_json(expand(cases[i].format, weir_array_shm(array)));

        if ((same ? 0 : weir_last_error()->code) != cases[i].code)
            fail_msg("%s: %d", cases[i].format, same ? 0 : weir_last_error()->code);
        weir_array_close(same);
    }
    assert_fails(weir_list_from_json(expand(HEAD("list") ",\"count\":4}", weir_list_shm(list))),
                 -EBADMSG);
    assert_fails(weir_list_from_json(expand(HEAD("list") ",\"count\":-1}", weir_list_shm(list))),
                 -EINVAL);
    assert_fails(weir_list_from_json(expand(HEAD("list") "}", weir_list_shm(list))), -EINVAL);
    assert_fails(weir_list_from_json(expand(HEAD("list") ",\"count\":3}", weir_array_shm(array))),
                 -EBADMSG);
    weir_shm_unlink(weir_array_shm(array));
    weir_shm_unlink(weir_list_shm(list));
    weir_array_close(array);
    weir_list_close(list);
}

/* Every byte of a handle gets every value: the object, or an error. */
static void text_is_refused_or_right__when_a_byte_is_changed(void **state)
{
    weir_list *list = weir_list_create_range(leak_name("a"), 0, 5, 1);
    char *text = weir_list_to_json(list);
    int opened = 0;

    (void)state;
    for (size_t at = 0; text[at] != '\0'; at++) {
        const char right = text[at];

        for (int value = 1; value < 256; value++) {
            weir_list *same;

            text[at] = (char)value;
            same = weir_list_from_json(text);
            if (same != NULL)
                assert_int_equal(weir_list_len(same), 5);
            opened += same != NULL;
            weir_list_close(same);
        }
        text[at] = right;
    }
    assert_int_equal(opened, strlen(text)); /* the unchanged ones */
    free(text);
    weir_shm_unlink(weir_list_shm(list));
    weir_list_close(list);
}

/* ---- without memory ------------------------------------------------------------------------- */

/* What jansson has now, and how many allocations more it gets. */
static int in_use, allowed;

static void *allocate(size_t size)
{
    void *memory = allowed-- > 0 ? malloc(size) : NULL;

    in_use += memory != NULL;
    return memory;
}

static void give_back(void *memory)
{
    in_use -= memory != NULL;
    free(memory);
}

static void nothing_is_leaked__when_an_allocation_fails(void **state)
{
    const int64_t shape[] = {2, 3, 4};
    weir_array *array = weir_array_create(leak_name("array"), WEIR_INT16, 3, shape, 0), *same;
    int failed = -1;
    char *text = NULL;

    (void)state;
    json_set_alloc_funcs(allocate, give_back);
    for (; text == NULL; failed++) {
        allowed = failed + 1;
        text = weir_array_to_json(array);
        if (text == NULL)
            assert_int_equal(weir_last_error()->code, -ENOMEM);
        assert_int_equal(in_use, text != NULL);
    }
    assert_true(failed > 10);
    for (failed = -1, same = NULL; same == NULL; failed++) {
        allowed = failed + 1;
        same = weir_array_from_json(text);
        /* jansson does not always say that it was the memory. */
        if (same == NULL)
            assert_true(weir_last_error()->code == -ENOMEM || weir_last_error()->code == -EINVAL);
        assert_int_equal(in_use, 1);
    }
    assert_true(failed > 10);
    give_back(text);
    json_set_alloc_funcs(malloc, free);
    weir_array_close(same);
    weir_shm_unlink(weir_array_shm(array));
    weir_array_close(array);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, leak_setup, leak_teardown)
    const struct CMUnitTest tests[] = {
        CASE(handle_is_the_object__when_read_back),
        CASE(object_is_live__when_another_process_reads_the_handle),
        CASE(handle_is_refused__when_its_object_is_dead),
        CASE(text_is_refused__when_it_is_no_block),
        CASE(text_is_refused__when_it_is_not_what_the_block_holds),
        CASE(text_is_refused_or_right__when_a_byte_is_changed),
        CASE(nothing_is_leaked__when_an_allocation_fails),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
