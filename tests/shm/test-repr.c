/* SPDX-License-Identifier: MIT
 *
 * test-repr.c: objects as text: what is written of dictionaries, of some of many items, and of what
 * is damaged. tests/interop compares lists and arrays with Python's and NumPy's own.
 */
#include "dicts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/array/array.h"
#include "shm/list/list.h"

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

static void assert_text(char *text, const char *expected)
{
    if (text == NULL)
        fail_msg("%s", weir_last_error()->message);
    assert_string_equal(text, expected);
    free(text);
}

static void some_are_written_and_the_rest_counted__when_a_list_has_more(void **state)
{
    weir_list *list = weir_list_create_range(leak_name("list"), 0, 250, 1);
    char expected[256];

    (void)state;
    assert_non_null(list);
    snprintf(expected, sizeof expected, "ShareableList([0, 1, 2, ... 247 more], name='%s')",
             weir_shm_name(weir_list_shm(list)));
    assert_text(weir_list_repr(list, 3), expected);
    assert_int_equal(weir_shm_unlink(weir_list_shm(list)), 0);
    weir_list_close(list);
}

static void a_dictionary_is_written_as_a_dict__with_all_its_items(void **state)
{
    weir_dict *dict = make(0);
    char *shown;

    (void)state;
    assert_text(weir_dict_repr(dict, 0), "{}");
    assert_int_equal(weir_dict_set(dict, weir_str("it's"), weir_bytes("\0\377", 2)), 0);
    assert_text(weir_dict_repr(dict, 0), "{\"it's\": b'\\x00\\xff'}");
    assert_int_equal(weir_dict_set(dict, weir_int(-3), weir_float(0.5)), 0);
    shown = weir_dict_repr(dict, 0);
    assert_non_null(shown);
    assert_non_null(strstr(shown, "-3: 0.5"));
    assert_non_null(strstr(shown, "\"it's\": b'\\x00\\xff'"));
    assert_int_equal(strlen(shown), strlen("{\"it's\": b'\\x00\\xff', -3: 0.5}"));
    free(shown);
    drop(dict);
}

static void long_and_many_items_are_written__and_some_when_asked(void **state)
{
    static char value[100001];
    weir_dict *dict = make(0);
    char *shown;
    size_t commas = 0;

    (void)state;
    memset(value, 'v', sizeof value - 1);
    for (int64_t i = 0; i < 500; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(i), i == 250 ? weir_str(value) : weir_none()),
                         0);
    shown = weir_dict_repr(dict, 0);
    assert_non_null(shown);
    assert_non_null(strstr(shown, value));
    for (const char *at = shown; (at = strchr(at, ',')) != NULL; at++)
        commas++;
    assert_int_equal(commas, 499);
    free(shown);
    shown = weir_dict_repr(dict, 2);
    assert_non_null(shown);
    assert_non_null(strstr(shown, ", ... 498 more}"));
    free(shown);
    assert_int_equal(weir_dict_clear(dict), 0);
    drop(dict);
}

static void rows_of_an_array_stand_below_each_other__and_long_axes_are_cut(void **state)
{
    const int64_t shape[] = {2, 3}, length = 9;
    weir_array *array = weir_array_create(leak_name("array"), WEIR_FLOAT32, 2, shape, 0);

    (void)state;
    assert_non_null(array);
    for (int i = 0; i < 6; i++)
        ((float *)weir_array_data(array))[i] = (float)i * 0.1F;
    assert_text(weir_array_repr(array, 0), "array([[0.0, 0.1, 0.2],\n"
                                           "       [0.3, 0.4, 0.5]], dtype=float32)");
    assert_int_equal(weir_shm_unlink(weir_array_shm(array)), 0);
    weir_array_close(array);
    array = weir_array_create(leak_name("array"), WEIR_INT64, 1, &length, WEIR_ARRAY_NPY);
    assert_non_null(array);
    for (int i = 0; i < 9; i++)
        ((int64_t *)weir_array_data(array))[i] = i;
    assert_text(weir_array_repr(array, 8), "array([0, 1, 2, ..., 6, 7, 8])");
    assert_text(weir_array_repr(array, 9), "array([0, 1, 2, 3, 4, 5, 6, 7, 8])");
    assert_int_equal(weir_shm_unlink(weir_array_shm(array)), 0);
    weir_array_close(array);
}

/* The block ends where a page begins that cannot be touched. */
static void nothing_behind_the_last_item_is_read__of_any_type(void **state)
{
    const size_t page = 4096;
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct weir_shm shm = {.buf = memory, .size = page};

    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
    for (int dtype = WEIR_BOOL8; dtype <= WEIR_COMPLEX128; dtype++) {
        const int64_t length = (int64_t)(page / weir_dtype_size((weir_dtype)dtype));
        const struct weir__array_spec spec = {(weir_dtype)dtype, 1, &length, 0};
        struct weir_array array;
        char *shown;

        assert_int_equal(weir__array_kind.bind(&array, &shm, &spec), 0);
        shown = weir_array_repr(&array, 4);
        assert_non_null(shown);
        assert_non_null(strstr(shown, ", ..., "));
        free(shown);
    }
    munmap(memory, 2 * page);
}

static void no_text_is_given__of_what_is_damaged(void **state)
{
    const weir_value values[] = {weir_int(1), weir_str("two"), weir_int(3)};
    weir_list *list = weir_list_create(leak_name("list"), values, 3);
    weir_dict *dict = make(0);
    const size_t header = 4096;

    (void)state;
    assert_non_null(list);
    memset(list->formats, 'x', 3 * 8);
    assert_null(weir_list_repr(list, 0));
    assert_int_equal(weir_last_error()->code, -EBADMSG);
    assert_int_equal(weir_shm_unlink(weir_list_shm(list)), 0);
    weir_list_close(list);
    for (int64_t i = 0; i < 100; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(i), weir_int(i)), 0);
    memset((char *)weir_shm_buf(weir_dict_shm(dict)) + header, 0x5a,
           weir_shm_size(weir_dict_shm(dict)) > 65536 ? 61440 : 0);
    assert_null(weir_dict_repr(dict, 0));
    assert_int_equal(weir_last_error()->code, -EBADMSG);
    drop(dict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(some_are_written_and_the_rest_counted__when_a_list_has_more),
        TEST(a_dictionary_is_written_as_a_dict__with_all_its_items),
        TEST(long_and_many_items_are_written__and_some_when_asked),
        TEST(rows_of_an_array_stand_below_each_other__and_long_axes_are_cut),
        TEST(nothing_behind_the_last_item_is_read__of_any_type),
        TEST(no_text_is_given__of_what_is_damaged),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
