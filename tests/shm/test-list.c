/* SPDX-License-Identifier: MIT
 *
 * test-list.c: ShareableList: every type, exact lengths, refusals, adding, searching.
 */
#include "leak.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/list/list.h"

static void assert_fails(const void *object, int code)
{
    assert_null(object);
    assert_int_equal(weir_last_error()->code, code);
    assert_true(weir_last_error()->message[0] != '\0');
}

static void drop(weir_list *list)
{
    assert_non_null(list);
    assert_int_equal(weir_shm_unlink(weir_list_shm(list)), 0);
    weir_list_close(list);
}

static weir_list *create(const weir_value *values, size_t count)
{
    weir_list *list = weir_list_create(NULL, values, count);

    if (list == NULL)
        fail_msg("%s", weir_last_error()->message);
    return list;
}

static weir_value at(const weir_list *list, int64_t index)
{
    weir_value value = {.type = (weir_type)99};

    if (weir_list_get(list, index, &value) != 0)
        fail_msg("element %lld: %s", (long long)index, weir_last_error()->message);
    return value;
}

/* The same type and the same content; a NaN equals itself. */
static void assert_value(weir_value got, weir_value expected)
{
    assert_string_equal(weir_type_name(got.type), weir_type_name(expected.type));
    assert_int_equal(got.size, expected.size);
    switch (expected.type) {
    case WEIR_BOOL:
        assert_int_equal(got.boolean, expected.boolean);
        break;
    case WEIR_INT:
        assert_true(got.integer == expected.integer);
        break;
    case WEIR_FLOAT:
        assert_memory_equal(&got.real, &expected.real, sizeof got.real);
        break;
    case WEIR_STR:
    case WEIR_BYTES:
        assert_memory_equal(got.data, expected.data, expected.size);
        break;
    case WEIR_NONE:
        break;
    }
}

/* The list of CPython's own tests. */
enum { HOWDY = 7 };

static void fill_howdy(weir_value values[HOWDY])
{
    values[0] = weir_str("howdy");
    values[1] = weir_bytes("HoWdY", 5);
    values[2] = weir_float(-273.154);
    values[3] = weir_int(100);
    values[4] = weir_none();
    values[5] = weir_bool(true);
    values[6] = weir_int(42);
}

static weir_list *create_howdy(void)
{
    weir_value values[HOWDY];

    fill_howdy(values);
    return create(values, HOWDY);
}

static void assert_howdy_but(const weir_list *list, int changed)
{
    weir_value values[HOWDY];

    fill_howdy(values);
    for (int i = 0; i < HOWDY; i++)
        if (i != changed)
            assert_value(at(list, i), values[i]);
}

static void elements_are_as_given__for_all_types(void **state)
{
    weir_list *list = create_howdy(), *other;
    weir_value values[HOWDY];

    (void)state;
    assert_int_equal(weir_list_len(list), HOWDY);
    assert_howdy_but(list, -1);
    fill_howdy(values);
    for (int i = 0; i < HOWDY; i++)
        assert_value(at(list, i - HOWDY), values[i]);
    other = weir_list_attach(weir_shm_name(weir_list_shm(list)));
    assert_non_null(other);
    assert_int_equal(weir_list_len(other), HOWDY);
    assert_howdy_but(other, -1);
    weir_list_close(other);
    drop(list);
}

static void an_index_outside_is_refused(void **state)
{
    static const int64_t outside[] = {HOWDY,     HOWDY + 1, -HOWDY - 1, -2 * HOWDY,
                                      INT64_MAX, INT64_MIN, -10};
    weir_list *list = create_howdy();

    (void)state;
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        weir_value value = weir_int(77);

        assert_int_equal(weir_list_get(list, outside[i], &value), -ERANGE);
        assert_value(value, weir_int(77));
        assert_int_equal(weir_list_get_data(list, outside[i], NULL, 0), -ERANGE);
        assert_int_equal(weir_list_set(list, outside[i], value), -ERANGE);
        assert_int_equal(weir_list_add(list, outside[i], 1, NULL), -ERANGE);
        assert_int_equal(weir_last_error()->code, -ERANGE);
    }
    assert_howdy_but(list, -1);
    drop(list);
}

static void an_element_becomes_any_type__and_its_neighbours_stay(void **state)
{
    const weir_value others[] = {
        weir_none(),
        weir_bool(false),
        weir_bool(true),
        weir_int(INT64_MIN),
        weir_float(-0.0),
        weir_float(NAN),
        weir_str(""),
        weir_str("dry ice"),
        weir_str("encod\xc3\xa9s"),
        weir_bytes("\0\0", 2),
        weir_bytes(NULL, 0),
        weir_bytes("\xff\xfe", 2),
        weir_str("12345678"),
        weir_bytes("\0\0\0\0\0\0\0\0", 8),
        weir_float(INFINITY),
        weir_int(113),
    };
    weir_list *list = create_howdy();

    (void)state;
    for (int i = 0; i < HOWDY; i++) {
        weir_value values[HOWDY];

        for (size_t j = 0; j < sizeof others / sizeof *others; j++)
            for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
                assert_int_equal(weir_list_set(list, i, others[j]), 0);
                assert_value(at(list, i), others[j]);
                assert_int_equal(weir_list_set(list, i - HOWDY, others[k]), 0);
                assert_value(at(list, i), others[k]);
                assert_howdy_but(list, i);
            }
        fill_howdy(values);
        assert_int_equal(weir_list_set(list, i, values[i]), 0);
    }
    assert_howdy_but(list, -1);
    drop(list);
}

static void a_longer_value_is_refused__and_the_old_one_kept(void **state)
{
    weir_list *list = create_howdy();

    (void)state;
    /* 8 bytes of "encodés" fit, 9 of "encodées" do not. */
    assert_int_equal(weir_list_set(list, 0, weir_str("encod\xc3\xa9s")), 0);
    assert_int_equal(weir_list_set(list, 0,
                                   weir_str("encod\xc3\xa9"
                                            "es")),
                     -E2BIG);
    assert_non_null(strstr(weir_last_error()->message, "9 bytes"));
    assert_non_null(strstr(weir_last_error()->message, "8 bytes"));
    assert_value(at(list, 0), weir_str("encod\xc3\xa9s"));
    assert_int_equal(weir_list_set(list, 6, weir_bytes("123456789", 9)), -E2BIG);
    assert_value(at(list, 6), weir_int(42));
    assert_int_equal(weir_list_set(list, 6, weir_bytes("", SIZE_MAX)), -E2BIG);
    assert_howdy_but(list, 0);
    drop(list);
}

static void a_wrong_value_is_refused__and_the_old_one_kept(void **state)
{
    weir_value wild = {.type = (weir_type)6}, null = weir_bytes(NULL, 3);
    weir_list *list = create_howdy();

    (void)state;
    for (int i = 0; i < HOWDY; i++) {
        assert_int_equal(weir_list_set(list, i, wild), -EINVAL);
        assert_int_equal(weir_list_set(list, i, null), -EINVAL);
        assert_int_equal(weir_list_set(list, i, weir_str("\xed\xa0\x80")), -EINVAL);
    }
    assert_int_equal(weir_list_index(list, wild), -EINVAL);
    assert_int_equal(weir_list_count(list, null), -EINVAL);
    assert_howdy_but(list, -1);
    assert_fails(weir_list_create(NULL, &wild, 1), -EINVAL);
    assert_fails(weir_list_create(NULL, &null, 1), -EINVAL);
    assert_fails(weir_list_create(NULL, NULL, 1), -EINVAL);
    drop(list);
}

static void an_empty_list_has_nothing(void **state)
{
    weir_list *list = create(NULL, 0), *other;
    weir_value value;
    char text[4] = "abc";

    (void)state;
    assert_int_equal(weir_shm_size(weir_list_shm(list)), 16);
    other = weir_list_attach(weir_shm_name(weir_list_shm(list)));
    assert_int_equal(weir_list_len(other), 0);
    assert_int_equal(weir_list_get(other, 0, &value), -ERANGE);
    assert_int_equal(weir_list_get(other, -1, &value), -ERANGE);
    assert_int_equal(weir_list_format(other, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(weir_list_count(other, weir_none()), 0);
    assert_int_equal(weir_list_index(other, weir_none()), -ENOENT);
    weir_list_close(other);
    drop(list);
}

/* ---- exact lengths -------------------------------------------------------------------------- */

static void every_length_is_exact__with_nuls_or_without(void **state)
{
    enum { MOST = 70 };
    char data[MOST];

    (void)state;
    for (size_t room = 0; room <= MOST; room++) {
        /* Three neighbours, all of the same room. */
        weir_value values[3];
        weir_list *list;

        memset(data, 'o', sizeof data);
        for (int i = 0; i < 3; i++)
            values[i] = weir_bytes(data, room);
        list = create(values, 3);
        for (size_t size = 0; size <= 8 * (room / 8 + 1) && size <= MOST; size++)
            for (int fill = 0; fill < 2; fill++) {
                weir_value bytes = weir_bytes(data, size), text = bytes;

                memset(data, fill ? 'x' : '\0', sizeof data);
                text.type = WEIR_STR;
                assert_int_equal(weir_list_set(list, 1, bytes), 0);
                assert_value(at(list, 1), bytes);
                assert_int_equal(weir_list_set(list, 1, text), 0);
                assert_value(at(list, 1), text);
                memset(data, 'o', sizeof data);
                assert_value(at(list, 0), values[0]);
                assert_value(at(list, 2), values[2]);
            }
        drop(list);
    }
}

static void long_values_are_exact(void **state)
{
    static const size_t sizes[] = {99991, 99999, 100000, 999999, 1000000, WEIR_LIST_VALUE_MAX};
    char *data = malloc(WEIR_LIST_VALUE_MAX + 1);

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int ends_in_nul = 0; ends_in_nul < 2; ends_in_nul++) {
            weir_value values[3];
            weir_list *list;

            memset(data, 'x', sizes[i]);
            if (ends_in_nul)
                data[sizes[i] - 1] = '\0';
            values[0] = weir_bytes(data, sizes[i]);
            values[1] = weir_int(7);
            values[2] = values[0];
            values[2].type = WEIR_STR;
            if (ends_in_nul && sizes[i] >= 1000000) {
                assert_fails(weir_list_create(NULL, values, 3), -ENOTSUP);
                continue;
            }
            list = create(values, 3);
            for (int j = 0; j < 3; j++)
                assert_value(at(list, j), values[j]);
            /* A shorter one, and the old one again. */
            assert_int_equal(weir_list_set(list, 0, weir_bytes("short\0", 6)), 0);
            assert_value(at(list, 0), weir_bytes("short\0", 6));
            assert_int_equal(weir_list_set(list, 0, values[2]), 0);
            assert_value(at(list, 0), values[2]);
            assert_value(at(list, 1), values[1]);
            drop(list);
        }
    free(data);
}

static void nothing_of_a_longer_value_comes_back__when_it_was_a_million_bytes(void **state)
{
    size_t size = 1200000;
    char *data = calloc(1, size);
    weir_value value = weir_bytes(data, size);
    weir_list *list;

    (void)state;
    assert_non_null(data);
    memset(data, 'x', size);
    list = create(&value, 1);
    value = weir_bytes(data, 1000001);
    assert_int_equal(weir_list_set(list, 0, value), 0);
    assert_value(at(list, 0), value);
    data[1000000] = '\0';
    assert_int_equal(weir_list_set(list, 0, value), -ENOTSUP);
    data[1000000] = 'x';
    assert_value(at(list, 0), value);
    drop(list);
    free(data);
}

static void a_value_too_long_for_any_list_is_refused(void **state)
{
    char *data = calloc(1, WEIR_LIST_VALUE_MAX + 1);
    weir_value value;

    (void)state;
    assert_non_null(data);
    memset(data, 'x', WEIR_LIST_VALUE_MAX + 1);
    value = weir_bytes(data, WEIR_LIST_VALUE_MAX + 1);
    assert_fails(weir_list_create(NULL, &value, 1), -E2BIG);
    value = weir_bytes(data, SIZE_MAX);
    assert_fails(weir_list_create(NULL, &value, 1), -E2BIG);
    free(data);
}

static void an_element_can_be_set_to_its_own_data(void **state)
{
    weir_value value = weir_str("0123456789"), own;
    weir_list *list = create(&value, 1);

    (void)state;
    own = at(list, 0);
    own.data += 3;
    own.size -= 3;
    assert_int_equal(weir_list_set(list, 0, own), 0);
    assert_value(at(list, 0), weir_str("3456789"));
    drop(list);
}

static void data_is_copied_and_ended__as_snprintf_does(void **state)
{
    const weir_value values[] = {weir_str("caf\xc3\xa9"), weir_bytes("a\0b", 3), weir_int(5)};
    weir_list *list = create(values, 3);
    char buf[8];

    (void)state;
    for (size_t size = 0; size <= sizeof buf; size++) {
        memset(buf, '#', sizeof buf);
        assert_int_equal(weir_list_get_data(list, 0, size == 0 ? NULL : buf, size), 5);
        if (size > 0) {
            size_t copied = size > 5 ? 5 : size - 1;

            assert_memory_equal(buf, "caf\xc3\xa9", copied);
            assert_int_equal(buf[copied], '\0');
        }
        for (size_t i = size; i < sizeof buf; i++)
            assert_int_equal(buf[i], '#');
    }
    assert_int_equal(weir_list_get_data(list, -2, buf, sizeof buf), 3);
    assert_memory_equal(buf, "a\0b\0", 4);
    assert_int_equal(weir_list_get_data(list, 2, buf, sizeof buf), -EINVAL);
    assert_int_equal(weir_list_get_data(list, 0, NULL, 5), -EINVAL);
    drop(list);
}

/* ---- ranges --------------------------------------------------------------------------------- */

static void ranges_are_pythons(void **state)
{
    static const struct {
        int64_t start, stop, step, count, last;
    } cases[] = {
        {0, 2000, 1, 2000, 1999},
        {0, 0, 1, 0, 0},
        {5, 0, 1, 0, 0},
        {0, 5, -1, 0, 0},
        {0, 10, 3, 4, 9},
        {0, 9, 3, 3, 6},
        {10, 0, -3, 4, 1},
        {-5, 6, 5, 3, 5},
        {INT64_MAX - 5, INT64_MAX, 2, 3, INT64_MAX - 1},
        {INT64_MIN, INT64_MAX, INT64_MAX, 3, INT64_MAX - 1},
        {INT64_MAX, INT64_MIN, INT64_MIN, 2, -1},
        {INT64_MIN, INT64_MIN + 1, INT64_MAX, 1, INT64_MIN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_list *list =
            weir_list_create_range(NULL, cases[i].start, cases[i].stop, cases[i].step);

        assert_non_null(list);
        assert_int_equal(weir_list_len(list), cases[i].count);
        for (int64_t j = 0; j < cases[i].count; j++)
            assert_value(at(list, j), weir_int((int64_t)((uint64_t)cases[i].start +
                                                         (uint64_t)j * (uint64_t)cases[i].step)));
        if (cases[i].count > 0)
            assert_value(at(list, -1), weir_int(cases[i].last));
        drop(list);
    }
}

static void impossible_ranges_are_refused(void **state)
{
    (void)state;
    assert_fails(weir_list_create_range(NULL, 0, 5, 0), -EINVAL);
    assert_fails(weir_list_create_range(NULL, INT64_MIN, INT64_MAX, 1), -E2BIG);
    assert_fails(weir_list_create_range(NULL, INT64_MAX, INT64_MIN, -1), -E2BIG);
    assert_fails(weir_list_create_range(NULL, 0, INT64_MAX, 20), -E2BIG);
    assert_fails(weir_list_create(NULL, (const weir_value *)state, SIZE_MAX / 2), -E2BIG);
    assert_fails(weir_list_create(NULL, (const weir_value *)state, SIZE_MAX), -E2BIG);
    assert_fails(weir_list_create_range(NULL, 0, INT64_MAX, 100), -ENOSPC);
}

/* ---- adding --------------------------------------------------------------------------------- */

static void adding_gives_the_sum__and_refuses_what_does_not_fit(void **state)
{
    weir_list *list = create_howdy();
    int64_t after = 5;

    (void)state;
    assert_int_equal(weir_list_add(list, 3, 11, &after), 0);
    assert_int_equal(after, 111);
    assert_int_equal(weir_list_add(list, -1, -50, NULL), 0);
    assert_value(at(list, 6), weir_int(-8));
    for (int i = 0; i < HOWDY; i++)
        if (i != 3 && i != 6)
            assert_int_equal(weir_list_add(list, i, 1, &after), -EINVAL);
    assert_int_equal(weir_list_set(list, 3, weir_int(INT64_MAX - 1)), 0);
    assert_int_equal(weir_list_add(list, 3, 1, &after), 0);
    assert_true(after == INT64_MAX);
    assert_int_equal(weir_list_add(list, 3, 1, &after), -EOVERFLOW);
    assert_int_equal(weir_list_add(list, 3, INT64_MIN, &after), 0);
    assert_true(after == -1);
    assert_int_equal(weir_list_add(list, 3, INT64_MIN, &after), -EOVERFLOW);
    assert_true(after == -1);
    assert_value(at(list, 3), weir_int(-1));
    drop(list);
}

static void no_addition_is_lost__between_processes(void **state)
{
    enum { PROCESSES = 4, ADDITIONS = 50000 };
    weir_list *list = weir_list_create_range(NULL, 0, 3, 1);
    int status;

    (void)state;
    assert_non_null(list);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            for (int j = 0; j < ADDITIONS; j++)
                if (weir_list_add(list, 1, 3, NULL) < 0)
                    _exit(1);
            _exit(0);
        }
    for (int i = 0; i < PROCESSES; i++)
        assert_true(wait(&status) > 0 && status == 0);
    assert_value(at(list, 0), weir_int(0));
    assert_value(at(list, 1), weir_int(1 + 3 * PROCESSES * ADDITIONS));
    assert_value(at(list, 2), weir_int(2));
    drop(list);
}

/* ---- searching ------------------------------------------------------------------------------ */

static void searching_follows_pythons_equality(void **state)
{
    const weir_value values[] = {weir_int(0),      weir_int(1),        weir_bool(true),
                                 weir_float(1.0),  weir_str("1"),      weir_none(),
                                 weir_float(NAN),  weir_bytes("1", 1), weir_float(-0.0),
                                 weir_str("a\0b"), weir_int(1)};
    const size_t count = sizeof values / sizeof *values;
    weir_list *list = create(values, count);

    (void)state;
    assert_int_equal(weir_list_count(list, weir_int(1)), 4);
    assert_int_equal(weir_list_count(list, weir_bool(true)), 4);
    assert_int_equal(weir_list_count(list, weir_float(1.0)), 4);
    assert_int_equal(weir_list_index(list, weir_float(1.0)), 1);
    assert_int_equal(weir_list_count(list, weir_bool(false)), 2);
    assert_int_equal(weir_list_index(list, weir_str("1")), 4);
    assert_int_equal(weir_list_index(list, weir_bytes("1", 1)), 7);
    assert_int_equal(weir_list_index(list, weir_none()), 5);
    assert_int_equal(weir_list_count(list, weir_float(NAN)), 0);
    assert_int_equal(weir_list_index(list, weir_float(NAN)), -ENOENT);
    assert_int_equal(weir_list_index(list, weir_str("2")), -ENOENT);
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_int_equal(weir_list_count(list, weir_int(2)), 0);
    drop(list);
}

/* ---- formats -------------------------------------------------------------------------------- */

static void formats_are_joined__and_cut_as_snprintf_does(void **state)
{
    static const char expected[] = "5s3x5s3xdqxxxxxx?xxxxxxxx?q";
    weir_list *list = create_howdy();
    char text[64];

    (void)state;
    for (size_t size = 0; size < sizeof text; size++) {
        memset(text, '#', sizeof text);
        assert_int_equal(weir_list_format(list, size == 0 ? NULL : text, size),
                         sizeof expected - 1);
        if (size > 0) {
            size_t kept = size > sizeof expected - 1 ? sizeof expected - 1 : size - 1;

            assert_memory_equal(text, expected, kept);
            assert_int_equal(text[kept], '\0');
        }
        for (size_t i = size; i < sizeof text; i++)
            assert_int_equal(text[i], '#');
    }
    assert_int_equal(weir_list_format(list, NULL, 1), -EINVAL);
    drop(list);
}

/* ---- the bytes ------------------------------------------------------------------------------ */

static void the_bytes_are_cpythons(void **state)
{
    const weir_value values[] = {weir_int(-2), weir_str("h\xc3\xa9llo wo"), weir_bool(true),
                                 weir_none()};
    const unsigned char head[] = {
        4,  0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 8,  0, 0, 0, 0, 0, 0, 0,
        24, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0,
    };
    static const char data[] = "\xfe\xff\xff\xff\xff\xff\xff\xff"
                               "h\xc3\xa9llo wo\0\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\1"
                               "\0\0\0\0\0\0\0\0";
    static const char tail[] = "q\0\0\0\0\0\0\0"
                               "9s7x\0\0\0\0"
                               "xxxxxxx?"
                               "xxxxxx?x"
                               "\0\1\0\3";
    weir_list *list = create(values, 4);
    const unsigned char *bytes = weir_shm_buf(weir_list_shm(list));

    (void)state;
    assert_int_equal(weir_shm_size(weir_list_shm(list)), sizeof head + 40 + sizeof tail - 1);
    assert_memory_equal(bytes, head, sizeof head);
    assert_memory_equal(bytes + sizeof head, data, 40);
    assert_memory_equal(bytes + sizeof head + 40, tail, sizeof tail - 1);
    drop(list);
}

/* ---- concurrent change ---------------------------------------------------------------------- */

/* A reader that meets a change of type gets the old, the new or a mixture or -EBADMSG; an int that
 * stays an int is never torn. */
static void readers_get_whole_ints_and_no_harm__while_another_process_writes(void **state)
{
    weir_value values[2] = {weir_int(0), weir_str("0123456789abcdef")};
    weir_list *list = create(values, 2);
    int64_t ints = 0, seen = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        for (uint32_t i = 0;; i++) {
            if (weir_list_set(list, 0, weir_int((int64_t)i << 32 | i)) < 0 ||
                weir_list_set(list, 1, i % 2 ? weir_str("0123456789abcdef01234") : weir_int(i)) < 0)
                _exit(1);
        }
    }
    while (ints < 300000) {
        weir_value value = at(list, 0);

        assert_int_equal(value.integer >> 32, value.integer & 0xffffffff);
        seen += value.integer != 0;
        ints++;
        if (weir_list_get(list, 1, &value) == 0)
            assert_true(value.type == WEIR_INT || value.size <= 24);
        else
            assert_int_equal(weir_last_error()->code, -EBADMSG);
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(seen > 0);
    assert_int_equal(weir_list_set(list, 1, weir_str("set again")), 0);
    assert_value(at(list, 1), weir_str("set again"));
    drop(list);
}

static void a_release_store_carries_the_rest__when_an_int_says_so(void **state)
{
    enum { ROUNDS = 20000 };
    weir_value values[2] = {weir_int(0), weir_float(0)};
    weir_list *list = create(values, 2);
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        for (int i = 1; i <= ROUNDS; i++) {
            weir_value turn;

            if (weir_list_set(list, 1, weir_float(i)) < 0 ||
                weir_list_set(list, 0, weir_int(i)) < 0)
                _exit(1);
            while (weir_list_get(list, 0, &turn) == 0 && turn.integer != -i)
                sched_yield();
        }
        _exit(0);
    }
    for (int i = 1; i <= ROUNDS; i++) {
        while (at(list, 0).integer != i)
            sched_yield();
        assert_value(at(list, 1), weir_float(i));
        assert_int_equal(weir_list_set(list, 0, weir_int(-i)), 0);
    }
    assert_true(waitpid(child, &status, 0) == child && status == 0);
    drop(list);
}

/* ---- handles -------------------------------------------------------------------------------- */

static void null_is_an_error_and_no_crash(void **state)
{
    weir_list *list = create_howdy();
    weir_value value = weir_none();
    char text[4];

    (void)state;
    weir_list_close(NULL);
    assert_int_equal(weir_list_get(NULL, 0, &value), -EINVAL);
    assert_int_equal(weir_list_get(list, 0, NULL), -EINVAL);
    assert_int_equal(weir_list_get_data(NULL, 0, text, sizeof text), -EINVAL);
    assert_int_equal(weir_list_set(NULL, 0, value), -EINVAL);
    assert_int_equal(weir_list_add(NULL, 0, 1, NULL), -EINVAL);
    assert_int_equal(weir_list_len(NULL), -EINVAL);
    assert_int_equal(weir_list_index(NULL, value), -EINVAL);
    assert_int_equal(weir_list_count(NULL, value), -EINVAL);
    assert_int_equal(weir_list_format(NULL, text, sizeof text), -EINVAL);
    weir_clear_error();
    assert_fails(weir_list_shm(NULL), -EINVAL);
    drop(list);
}

static void a_copy_is_independent(void **state)
{
    weir_list *list = create_howdy(), *copy;
    weir_value values[HOWDY];

    (void)state;
    for (int i = 0; i < HOWDY; i++)
        values[i] = at(list, i);
    copy = create(values, HOWDY);
    assert_int_equal(weir_list_set(copy, 0, weir_str("other")), 0);
    assert_howdy_but(list, -1);
    assert_howdy_but(copy, 0);
    drop(list);
    drop(copy);
}

static void a_list_lives_on__when_its_name_is_gone(void **state)
{
    weir_list *list = create_howdy();

    (void)state;
    assert_int_equal(weir_shm_unlink(weir_list_shm(list)), 0);
    assert_int_equal(weir_list_set(list, 0, weir_str("alive")), 0);
    assert_value(at(list, 0), weir_str("alive"));
    assert_howdy_but(list, 0);
    assert_int_equal(weir_shm_unlink(weir_list_shm(list)), -ENOENT);
    weir_list_close(list);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(elements_are_as_given__for_all_types),
        TEST(an_index_outside_is_refused),
        TEST(an_element_becomes_any_type__and_its_neighbours_stay),
        TEST(a_longer_value_is_refused__and_the_old_one_kept),
        TEST(a_wrong_value_is_refused__and_the_old_one_kept),
        TEST(an_empty_list_has_nothing),
        TEST(every_length_is_exact__with_nuls_or_without),
        TEST(long_values_are_exact),
        TEST(nothing_of_a_longer_value_comes_back__when_it_was_a_million_bytes),
        TEST(a_value_too_long_for_any_list_is_refused),
        TEST(an_element_can_be_set_to_its_own_data),
        TEST(data_is_copied_and_ended__as_snprintf_does),
        TEST(ranges_are_pythons),
        TEST(impossible_ranges_are_refused),
        TEST(adding_gives_the_sum__and_refuses_what_does_not_fit),
        TEST(no_addition_is_lost__between_processes),
        TEST(searching_follows_pythons_equality),
        TEST(formats_are_joined__and_cut_as_snprintf_does),
        TEST(the_bytes_are_cpythons),
        TEST(readers_get_whole_ints_and_no_harm__while_another_process_writes),
        TEST(a_release_store_carries_the_rest__when_an_int_says_so),
        TEST(null_is_an_error_and_no_crash),
        TEST(a_copy_is_independent),
        TEST(a_list_lives_on__when_its_name_is_gone),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
