/* SPDX-License-Identifier: MIT
 *
 * weir_dict: every call, every type, every error.
 */
#include "dicts.h"
#include "random.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shm/block/populate.h"
#include "shm/dict/layout.h"

static bool isolated;
static char buf[8192];

static int code(int result)
{
    if (result < 0) {
        assert_int_equal(weir_last_error()->code, result);
        assert_true(weir_last_error()->message[0] != '\0');
    }
    return result;
}

static void assert_same(const weir_value *found, const weir_value *wanted)
{
    assert_int_equal(found->type, wanted->type);
    assert_int_equal(found->size, wanted->size);
    if (wanted->type == WEIR_STR || wanted->type == WEIR_BYTES) {
        assert_memory_equal(found->data, wanted->data == NULL ? "" : wanted->data, wanted->size);
        assert_int_equal(found->data[found->size], '\0');
    } else if (wanted->type == WEIR_BOOL) {
        assert_true(found->boolean == wanted->boolean);
    } else if (wanted->type != WEIR_NONE) {
        assert_true(found->integer == wanted->integer); /* of a float: its bits */
    }
}

static void assert_int_at(const weir_dict *dict, weir_value key, int64_t wanted)
{
    weir_value value = weir_none();

    assert_int_equal(weir_dict_get(dict, key, &value, NULL, 0), 0);
    assert_int_equal(value.type, WEIR_INT);
    assert_true(value.integer == wanted);
}

/* ---- values and keys ------------------------------------------------------------------------ */

static size_t some_values(weir_value *values)
{
    static char long_text[1000];
    size_t n = 0;

    memset(long_text, 'x', sizeof long_text);
    values[n++] = weir_none();
    values[n++] = weir_bool(false);
    values[n++] = weir_bool(true);
    for (unsigned bits = 0; bits < 63; bits++) {
        values[n++] = weir_int((int64_t)1 << bits);
        values[n++] = weir_int(-((int64_t)1 << bits) - 1);
    }
    values[n++] = weir_int(0);
    values[n++] = weir_int(INT64_MAX);
    values[n++] = weir_int(INT64_MIN);
    values[n++] = weir_float(0.0);
    values[n++] = weir_float(-0.0);
    values[n++] = weir_float(-273.154);
    values[n++] = weir_float((double)INFINITY);
    values[n++] = weir_float((double)NAN);
    values[n++] = weir_str("");
    values[n++] = weir_str("h\303\244ndy");
    values[n++] = text("a\0b\0", 4);
    values[n++] = weir_bytes("", 0);
    values[n++] = weir_bytes(NULL, 0);
    values[n++] = weir_bytes("\377\0\376", 3);
    for (size_t size = 1; size <= 64; size++)
        values[n++] = text(long_text, size);
    values[n++] = weir_bytes(long_text, sizeof long_text);
    return n;
}

static void value_comes_back__when_any_type_follows_any(void **state)
{
    static weir_value values[300];
    size_t count = some_values(values);
    weir_dict *dict = make(1 << 20);
    weir_value out;

    (void)state;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j += i % 7 + 1) {
            assert_int_equal(weir_dict_set(dict, weir_str("k"), values[i]), 0);
            assert_int_equal(weir_dict_get(dict, weir_str("k"), &out, buf, sizeof buf), 0);
            assert_same(&out, &values[i]);
            assert_int_equal(weir_dict_set(dict, weir_str("k"), values[j]), 0);
            assert_int_equal(weir_dict_get(dict, weir_str("k"), &out, buf, sizeof buf), 0);
            assert_same(&out, &values[j]);
        }
    assert_int_equal(weir_dict_len(dict), 1);
    drop(dict);
}

/* Every int, str and bytes among the values as a key; each key's value is its number. */
static void keys_are_told_apart__when_type_or_one_byte_differs(void **state)
{
    static weir_value values[300];
    size_t count = some_values(values), keys = 0;
    weir_dict *dict = make(1 << 20);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        int result = weir_dict_set(dict, values[i], weir_int((int64_t)i));

        if (values[i].type != WEIR_INT && values[i].type != WEIR_STR &&
            values[i].type != WEIR_BYTES) {
            assert_int_equal(code(result), -EINVAL);
            assert_int_equal(code(weir_dict_contains(dict, values[i])), -EINVAL);
        } else {
            assert_int_equal(result, 0);
            keys++;
        }
    }
    keys--; /* b"" is there twice */
    assert_int_equal(weir_dict_len(dict), keys);
    for (size_t i = 0; i < count; i++) {
        if (weir_dict_contains(dict, values[i]) != 1)
            continue;
        if (values[i].type != WEIR_BYTES || values[i].size != 0)
            assert_int_at(dict, values[i], (int64_t)i);
        assert_int_equal(weir_dict_delete(dict, values[i]), 0);
        assert_int_equal(weir_dict_contains(dict, values[i]), 0);
        assert_int_equal(code(weir_dict_delete(dict, values[i])), -ENOENT);
        assert_int_equal(weir_dict_len(dict), --keys);
    }
    assert_int_equal(keys, 0);
    drop(dict);
}

static void longest_key_and_value_fit__when_there_is_room(void **state)
{
    weir_dict *dict = make((size_t)400 << 20);
    char *data = malloc(WEIR_DICT_VALUE_MAX + 1), *back = malloc(WEIR_DICT_VALUE_MAX + 1);
    weir_value out;

    (void)state;
    assert_true(data != NULL && back != NULL);
    for (size_t i = 0; i <= WEIR_DICT_VALUE_MAX; i++)
        data[i] = (char)(i * 31 + i / 4096);
    assert_int_equal(weir_dict_set(dict, weir_bytes(data, WEIR_DICT_KEY_MAX),
                                   weir_bytes(data, WEIR_DICT_VALUE_MAX)),
                     0);
    assert_int_equal(weir_dict_get(dict, weir_bytes(data, WEIR_DICT_KEY_MAX), &out, back,
                                   WEIR_DICT_VALUE_MAX + 1),
                     0);
    assert_int_equal(out.size, WEIR_DICT_VALUE_MAX);
    assert_memory_equal(back, data, WEIR_DICT_VALUE_MAX);
    assert_int_equal(code(weir_dict_set(dict, weir_bytes(data, WEIR_DICT_KEY_MAX + 1), out)),
                     -E2BIG);
    assert_int_equal(
        code(weir_dict_set(dict, weir_int(1), weir_bytes(data, WEIR_DICT_VALUE_MAX + 1))), -E2BIG);
    assert_int_equal(weir_dict_len(dict), 1);
    free(data);
    free(back);
    drop(dict);
}

static void size_is_told__when_the_buffer_is_too_small(void **state)
{
    weir_dict *dict = make(1 << 16);
    weir_dict_cursor cursor = {{0, 0}};
    weir_value key, out;
    char small[8];

    (void)state;
    assert_int_equal(weir_dict_set(dict, weir_str("key"), weir_str("1234567")), 0);
    assert_int_equal(weir_dict_get(dict, weir_str("key"), &out, small, 8), 0);
    assert_string_equal(out.data, "1234567");
    memset(small, 'z', sizeof small);
    for (size_t size = 0; size < 8; size++) {
        assert_int_equal(code(weir_dict_get(dict, weir_str("key"), &out, small, size)), -ENOBUFS);
        assert_int_equal(out.type, WEIR_STR);
        assert_int_equal(out.size, 7);
        assert_null(out.data);
        assert_int_equal(code(weir_dict_pop(dict, weir_str("key"), &out, small, size)), -ENOBUFS);
        assert_int_equal(out.size, 7);
        assert_int_equal(
            code(weir_dict_setdefault(dict, weir_str("key"), weir_int(1), &out, small, size)),
            -ENOBUFS);
        assert_memory_equal(small, "zzzzzzzz", 8);
    }
    for (size_t size = 0; size < 12; size++) {
        assert_int_equal(code(weir_dict_next(dict, &cursor, &key, &out, buf, size)), -ENOBUFS);
        assert_int_equal(key.size, 3);
        assert_int_equal(out.size, 7);
        assert_int_equal(code(weir_dict_popitem(dict, &key, &out, buf, size)), -ENOBUFS);
        assert_int_equal(cursor.at[0], 0);
    }
    assert_int_equal(weir_dict_next(dict, &cursor, &key, &out, buf, 12), 1);
    assert_string_equal(key.data, "key");
    assert_string_equal(out.data, "1234567");
    assert_int_equal(weir_dict_next(dict, &cursor, &key, &out, buf, 12), 0);
    assert_int_equal(weir_dict_popitem(dict, &key, &out, buf, 12), 0);
    assert_string_equal(out.data, "1234567");
    assert_int_equal(weir_dict_len(dict), 0);
    drop(dict);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static void sum_is_exact__when_it_leaves_and_enters_the_word(void **state)
{
    const int64_t edge = (int64_t)1 << 35;
    weir_dict *dict = make(1 << 16);
    weir_value key = weir_str("n");
    int64_t after = 0;

    (void)state;
    assert_int_equal(weir_dict_add(dict, key, 5, &after), 0); /* a new key counts as 0 */
    assert_int_equal(after, 5);
    assert_int_equal(weir_dict_add(dict, key, edge - 6, NULL), 0);
    assert_int_at(dict, key, edge - 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weir_dict_add(dict, key, 1, &after), 0);
        assert_true(after == edge);
        assert_int_equal(weir_dict_add(dict, key, -1, &after), 0);
        assert_true(after == edge - 1);
    }
    assert_int_equal(weir_dict_add(dict, key, -2 * edge + 1, &after), 0);
    assert_int_at(dict, key, -edge);
    assert_int_equal(weir_dict_add(dict, key, -1, &after), 0);
    assert_int_at(dict, key, -edge - 1);
    assert_int_equal(weir_dict_set(dict, key, weir_int(INT64_MAX)), 0);
    assert_int_equal(code(weir_dict_add(dict, key, 1, &after)), -EOVERFLOW);
    assert_int_at(dict, key, INT64_MAX);
    assert_int_equal(weir_dict_set(dict, key, weir_int(INT64_MIN)), 0);
    assert_int_equal(code(weir_dict_add(dict, key, -1, &after)), -EOVERFLOW);
    assert_int_equal(weir_dict_add(dict, key, INT64_MAX, &after), 0);
    assert_int_equal(after, -1);
    drop(dict);
}

static void adding_is_refused__when_it_is_no_int(void **state)
{
    const weir_value others[] = {weir_none(), weir_bool(true), weir_float(1), weir_str("1"),
                                 weir_bytes("1", 1)};
    weir_dict *dict = make(1 << 16);
    int64_t number = 1;
    weir_value out;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(weir_dict_set(dict, weir_int(1), others[i]), 0);
        assert_int_equal(code(weir_dict_add(dict, weir_int(1), 1, NULL)), -EINVAL);
        assert_int_equal(code(weir_dict_compare_and_set(dict, weir_int(1), &number, 2)), -EINVAL);
        assert_int_equal(weir_dict_get(dict, weir_int(1), &out, buf, sizeof buf), 0);
        assert_same(&out, &others[i]);
    }
    drop(dict);
}

static void int_is_swapped__when_it_is_as_expected(void **state)
{
    const int64_t numbers[] = {0, -1, 12345, (int64_t)1 << 35, INT64_MIN, INT64_MAX};
    weir_dict *dict = make(1 << 16);
    int64_t expected = 0;

    (void)state;
    assert_int_equal(code(weir_dict_compare_and_set(dict, weir_int(7), &expected, 1)), -ENOENT);
    assert_int_equal(weir_dict_len(dict), 0);
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 6; j++) {
            assert_int_equal(weir_dict_set(dict, weir_int(7), weir_int(numbers[i])), 0);
            expected = numbers[i] ^ 1;
            assert_int_equal(weir_dict_compare_and_set(dict, weir_int(7), &expected, numbers[j]),
                             0);
            assert_true(expected == numbers[i]);
            assert_int_at(dict, weir_int(7), numbers[i]);
            assert_int_equal(weir_dict_compare_and_set(dict, weir_int(7), &expected, numbers[j]),
                             1);
            assert_int_at(dict, weir_int(7), numbers[j]);
        }
    drop(dict);
}

/* ---- the other calls ------------------------------------------------------------------------ */

static void default_is_set_once__when_the_key_is_new(void **state)
{
    weir_dict *dict = make(1 << 16);
    weir_value out;

    (void)state;
    assert_int_equal(
        weir_dict_setdefault(dict, weir_str("a"), weir_str("first"), &out, buf, sizeof buf), 1);
    assert_int_equal(out.size, 5);
    assert_int_equal(
        weir_dict_setdefault(dict, weir_str("a"), weir_str("second"), &out, buf, sizeof buf), 0);
    assert_string_equal(out.data, "first");
    assert_int_equal(weir_dict_setdefault(dict, weir_str("a"), weir_int(3), NULL, NULL, 0), 0);
    assert_int_equal(weir_dict_setdefault(dict, weir_str("b"), weir_int(3), NULL, NULL, 0), 1);
    assert_int_at(dict, weir_str("b"), 3);
    drop(dict);
}

static void popped_item_is_gone__when_keys_are_many(void **state)
{
    enum { COUNT = 3000 };
    weir_dict *dict = make(1 << 20);
    static bool seen[COUNT];
    weir_value key, value;

    (void)state;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(i), weir_int(-i)), 0);
    for (int i = 0; i < COUNT; i += 2) {
        assert_int_equal(weir_dict_pop(dict, weir_int(i), &value, NULL, 0), 0);
        assert_int_equal(value.integer, -i);
        assert_int_equal(code(weir_dict_pop(dict, weir_int(i), &value, NULL, 0)), -ENOENT);
    }
    for (int i = 0; i < COUNT / 2; i++) {
        assert_int_equal(weir_dict_popitem(dict, &key, &value, NULL, 0), 0);
        assert_int_equal(value.integer, -key.integer);
        assert_true(key.integer % 2 == 1 && !seen[key.integer]);
        seen[key.integer] = true;
    }
    assert_int_equal(code(weir_dict_popitem(dict, &key, &value, NULL, 0)), -ENOENT);
    assert_int_equal(weir_dict_len(dict), 0);
    drop(dict);
}

/* Half the keys stay throughout; others come and go, and the buckets double, between the steps. */
static void each_key_is_given_once__when_others_come_and_go_meanwhile(void **state)
{
    enum { STAY = 500 };
    weir_dict *dict = make(1 << 22);
    weir_dict_cursor cursor = {{0, 0}};
    int seen[STAY] = {0}, more = STAY, result;
    weir_value key, value;

    (void)state;
    for (int i = 0; i < STAY; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(i), weir_int(i)), 0);
    while ((result = weir_dict_next(dict, &cursor, &key, &value, NULL, 0)) > 0) {
        assert_true(key.integer == value.integer);
        if (key.integer < STAY)
            seen[key.integer]++;
        else if (key.integer % 3 == 0)
            assert_int_equal(weir_dict_delete(dict, key), 0);
        for (int i = 0; i < 20 && more < 20 * STAY; i++, more++)
            assert_int_equal(weir_dict_set(dict, weir_int(more), weir_int(more)), 0);
    }
    assert_int_equal(result, 0);
    for (int i = 0; i < STAY; i++)
        assert_int_equal(seen[i], 1);
    drop(dict);
}

static void copy_is_independent__when_the_source_changes(void **state)
{
    static weir_value values[300];
    size_t count = some_values(values);
    weir_dict *dict = make(1 << 20), *copy, *third;
    weir_value out;

    (void)state;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(weir_dict_set(dict, weir_int((int64_t)i), values[i]), 0);
    assert_int_equal(weir_dict_set(dict, weir_str("text"), weir_str("t")), 0);
    copy = weir_dict_copy(leak_name("copy"), dict);
    assert_non_null(copy);
    assert_int_equal(weir_shm_size(weir_dict_shm(copy)), 1 << 20);
    assert_int_equal(weir_dict_clear(dict), 0);
    assert_int_equal(weir_dict_len(dict), 0);
    assert_int_equal(weir_dict_len(copy), count + 1);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(weir_dict_get(copy, weir_int((int64_t)i), &out, buf, sizeof buf), 0);
        assert_same(&out, &values[i]);
    }
    assert_int_equal(weir_dict_set(dict, weir_int(0), weir_int(9)), 0);
    assert_int_equal(weir_dict_set(dict, weir_str("own"), weir_int(9)), 0);
    assert_int_equal(weir_dict_update(dict, copy), 0);
    assert_int_equal(weir_dict_len(dict), count + 2);
    assert_int_at(dict, weir_str("own"), 9);
    assert_int_equal(weir_dict_update(dict, dict), 0);
    assert_int_equal(weir_dict_len(dict), count + 2);
    third = weir_dict_copy(leak_name("copy"), dict); /* the name is taken */
    assert_null(third);
    assert_int_equal(weir_last_error()->code, -EEXIST);
    drop(copy);
    drop(dict);
}

static void both_see_it__when_attached_at_two_addresses(void **state)
{
    weir_dict *dict = make(1 << 20), *other = weir_dict_attach(leak_name("dict"));
    weir_value out;

    (void)state;
    assert_non_null(other);
    assert_ptr_not_equal(weir_shm_buf(weir_dict_shm(dict)), weir_shm_buf(weir_dict_shm(other)));
    for (int i = 0; i < 5000; i++)
        assert_int_equal(weir_dict_set(i % 2 ? dict : other, weir_int(i), weir_str("one")), 0);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(weir_dict_get(i % 2 ? other : dict, weir_int(i), &out, buf, sizeof buf),
                         0);
        assert_string_equal(out.data, "one");
    }
    weir_dict_close(dict);
    assert_int_equal(weir_dict_len(other), 5000);
    drop(other);
}

/* ---- many keys ------------------------------------------------------------------------------ */

enum { MANY = 5000 };

/* Ints and strs, in no order. */
static weir_value many_key(int i, char text[MANY][16])
{
    int number = (int)((unsigned)i * 1237u % MANY);

    snprintf(text[i], 16, "key %d", number);
    return number % 3 == 0 ? weir_str(text[i]) : weir_int(number);
}

static void many_are_as_each_by_itself__when_keys_are_there_or_not(void **state)
{
    static weir_value keys[MANY], values[MANY], out[MANY], one;
    static char names[MANY][16];
    static int64_t deltas[MANY];
    static bool found[MANY];
    weir_dict *dict = make(4 << 20);
    size_t done = 0;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        keys[i] = many_key(i, names);
        values[i] = weir_int((int64_t)i << (i % 40));
        deltas[i] = i;
    }
    assert_int_equal(weir_dict_set_many(dict, keys, values, MANY / 2, &done), 0);
    assert_int_equal(done, MANY / 2);
    assert_int_equal(weir_dict_len(dict), MANY / 2);
    assert_int_equal(weir_dict_get_many(dict, keys, MANY, out, found, NULL, 0), MANY / 2);
    for (int i = 0; i < MANY; i++) {
        assert_true(found[i] == (i < MANY / 2));
        assert_same(&out[i], &(weir_value[]){weir_none(), values[i]}[found[i]]);
        assert_true((weir_dict_get(dict, keys[i], &one, NULL, 0) == 0) == found[i]);
    }
    assert_int_equal(weir_dict_add_many(dict, keys, deltas, MANY, &done), 0);
    assert_int_equal(done, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_at(dict, keys[i], i + (found[i] ? values[i].integer : 0));
    assert_int_equal(weir_dict_get_many(dict, keys, MANY, out, NULL, NULL, 0), MANY);
    assert_int_equal(weir_dict_get_many(dict, NULL, 0, NULL, NULL, NULL, 0), 0);
    assert_int_equal(weir_dict_set_many(dict, NULL, NULL, 0, NULL), 0);
    drop(dict);
}

static void results_lie_behind_each_other__when_many_are_texts(void **state)
{
    const weir_value keys[] = {weir_int(1), weir_str("none"), weir_bytes("k", 1), weir_int(2)};
    const weir_value values[] = {weir_str("one"), weir_none(), weir_bytes("a\0b", 3), weir_str("")};
    weir_value out[4];
    weir_dict *dict = make(1 << 16);
    bool found[4];

    (void)state;
    for (int i = 0; i < 4; i += i == 0 ? 2 : 1)
        assert_int_equal(weir_dict_set(dict, keys[i], values[i]), 0);
    assert_int_equal(weir_dict_get_many(dict, keys, 4, out, found, buf, 9), 3);
    for (int i = 0; i < 4; i++) {
        assert_true(found[i] == (i != 1));
        assert_same(&out[i], &values[i]);
    }
    assert_memory_equal(buf, "one\0a\0b\0", 9);
    assert_int_equal(code((int)weir_dict_get_many(dict, keys, 4, out, found, buf, 8)), -ENOBUFS);
    assert_int_equal(out[3].type, WEIR_STR);
    assert_int_equal(out[3].size, 0);
    drop(dict);
}

static void those_before_are_done__when_one_of_many_is_refused(void **state)
{
    enum { COUNT = 100, BAD = 70 };
    weir_value keys[COUNT], values[COUNT], out[COUNT];
    weir_dict *dict = make(1 << 16);
    int64_t deltas[COUNT] = {0};
    size_t done;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        keys[i] = weir_int(i);
        values[i] = weir_int(1);
    }
    keys[BAD] = weir_none();
    assert_int_equal(code(weir_dict_set_many(dict, keys, values, COUNT, &done)), -EINVAL);
    assert_int_equal(done, BAD);
    assert_int_equal(weir_dict_len(dict), BAD);
    assert_int_equal(code((int)weir_dict_get_many(dict, keys, COUNT, out, NULL, NULL, 0)), -EINVAL);
    assert_true(out[BAD - 1].integer == 1);
    keys[BAD] = weir_int(0);
    deltas[BAD] = INT64_MAX;
    assert_int_equal(code(weir_dict_add_many(dict, keys, deltas, COUNT, &done)), -EOVERFLOW);
    assert_int_equal(done, BAD);
    keys[BAD] = weir_int(BAD);
    values[0] = text("\377", 1);
    done = 7;
    assert_int_equal(code(weir_dict_set_many(dict, keys, values, COUNT, &done)), -EINVAL);
    assert_int_equal(done, 0);
    drop(dict);
}

/* ---- errors --------------------------------------------------------------------------------- */

static void call_is_refused__when_an_argument_is_wrong(void **state)
{
    weir_dict *dict = make(1 << 16);
    weir_value none = weir_none(), bad_text = text("\377", 1), no_data = weir_bytes(NULL, 3), out;
    weir_value bad_type = {.type = (weir_type)77};
    weir_dict_cursor cursor = {{0, 0}};
    int64_t number = 0;

    (void)state;
    no_data.size = 3;
    assert_int_equal(code(weir_dict_set(NULL, weir_int(1), none)), -EINVAL);
    assert_int_equal(code(weir_dict_get(NULL, weir_int(1), &out, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_get(dict, weir_int(1), NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_get(dict, weir_int(1), &out, NULL, 5)), -EINVAL);
    assert_int_equal(code(weir_dict_contains(NULL, weir_int(1))), -EINVAL);
    assert_int_equal(code(weir_dict_setdefault(NULL, weir_int(1), none, NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_add(NULL, weir_int(1), 1, NULL)), -EINVAL);
    assert_int_equal(code(weir_dict_compare_and_set(NULL, weir_int(1), &number, 1)), -EINVAL);
    assert_int_equal(code(weir_dict_compare_and_set(dict, weir_int(1), NULL, 1)), -EINVAL);
    assert_int_equal(code(weir_dict_delete(NULL, weir_int(1))), -EINVAL);
    assert_int_equal(code(weir_dict_pop(NULL, weir_int(1), &out, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_pop(dict, weir_int(1), NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_popitem(NULL, &out, &out, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_popitem(dict, NULL, &out, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_popitem(dict, &out, NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_next(NULL, &cursor, NULL, NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code(weir_dict_next(dict, NULL, NULL, NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code((int)weir_dict_len(NULL)), -EINVAL);
    assert_int_equal(code(weir_dict_clear(NULL)), -EINVAL);
    assert_int_equal(code(weir_dict_update(NULL, dict)), -EINVAL);
    assert_int_equal(code(weir_dict_update(dict, NULL)), -EINVAL);
    assert_int_equal(code((int)weir_dict_get_many(NULL, &none, 1, &out, NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code((int)weir_dict_get_many(dict, NULL, 1, &out, NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code((int)weir_dict_get_many(dict, &none, 1, NULL, NULL, NULL, 0)), -EINVAL);
    assert_int_equal(code((int)weir_dict_get_many(dict, &none, 1, &out, NULL, NULL, 5)), -EINVAL);
    assert_int_equal(code(weir_dict_set_many(NULL, &none, &none, 1, NULL)), -EINVAL);
    assert_int_equal(code(weir_dict_set_many(dict, NULL, &none, 1, NULL)), -EINVAL);
    assert_int_equal(code(weir_dict_set_many(dict, &none, NULL, 1, NULL)), -EINVAL);
    assert_int_equal(code(weir_dict_add_many(NULL, &none, &number, 1, NULL)), -EINVAL);
    assert_int_equal(code(weir_dict_add_many(dict, &none, NULL, 1, NULL)), -EINVAL);
    assert_null(weir_dict_copy(NULL, NULL));
    assert_null(weir_dict_shm(NULL));
    weir_dict_close(NULL);
    for (int i = 0; i < 3; i++) {
        weir_value wrong = i == 0 ? bad_text : i == 1 ? no_data : bad_type;

        assert_int_equal(code(weir_dict_set(dict, weir_int(1), wrong)), -EINVAL);
        assert_int_equal(code(weir_dict_setdefault(dict, weir_int(1), wrong, NULL, NULL, 0)),
                         -EINVAL);
        assert_int_equal(code(weir_dict_set(dict, wrong, none)), -EINVAL);
        assert_int_equal(code(weir_dict_get(dict, wrong, &out, NULL, 0)), -EINVAL);
        assert_int_equal(code(weir_dict_delete(dict, wrong)), -EINVAL);
        assert_int_equal(code(weir_dict_add(dict, wrong, 1, NULL)), -EINVAL);
    }
    assert_int_equal(weir_dict_len(dict), 0);
    drop(dict);
}

static void making_is_refused__when_options_are_wrong(void **state)
{
    weir_shm *shm;

    (void)state;
    assert_null(weir_dict_create(leak_name("x"), &(weir_dict_options){1, {0}}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_dict_create(leak_name("x"), &(weir_dict_options){(size_t)65 << 30, {0}}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_dict_create(leak_name("x"), &(weir_dict_options){0, {0, 0, 0, 1}}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_dict_create("a/b", NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_dict_attach(leak_name("missing")));
    assert_int_equal(weir_last_error()->code, -ENOENT);
    shm = weir_shm_create(leak_name("block"), 1 << 16, 0);
    assert_null(weir_dict_attach(leak_name("block")));
    assert_int_equal(weir_last_error()->code, -EBADMSG);
    assert_int_equal(weir_shm_unlink(shm), 0);
    weir_shm_close(shm);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void nothing_is_lost__when_the_dictionary_is_full(void **state)
{
    weir_dict *dict = make(1 << 16);
    int64_t count = 0, refused = 0, ints = 0;
    int result;
    char value[100];
    weir_value out;

    (void)state;
    memset(value, 'v', sizeof value);
    while ((result = weir_dict_set(dict, weir_int(count), weir_bytes(value, sizeof value))) == 0)
        count++;
    assert_int_equal(code(result), -ENOSPC);
    assert_non_null(strstr(weir_last_error()->message, "65536"));
    assert_true(count > 200 && count < 65536 / 100);
    assert_int_equal(weir_dict_len(dict), count);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(weir_dict_get(dict, weir_int(i), &out, buf, sizeof buf), 0);
        assert_memory_equal(out.data, value, sizeof value);
        /* an int needs no memory; a longer value is refused and the old one stays */
        refused += weir_dict_set(dict, weir_int(i), weir_bytes(buf, 1000)) == -ENOSPC;
    }
    assert_int_equal(refused, count);
    for (result = 0; result == 0; ints++) /* what is too short for the longer items */
        result = weir_dict_add(dict, weir_int(-1 - ints), 1, NULL);
    assert_int_equal(code(result), -ENOSPC);
    assert_true(ints < 5);
    for (int64_t i = -ints + 1; i < count; i++)
        assert_int_equal(weir_dict_delete(dict, weir_int(i)), 0);
    /* what was given back is enough for the same again */
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(-i), weir_bytes(value, sizeof value)), 0);
    assert_int_equal(weir_dict_len(dict), count);
    drop(dict);
}

static void memory_is_used_again__when_items_come_and_go(void **state)
{
    weir_dict *dict = make(1 << 16);
    char value[500];
    uint64_t used = 0;

    (void)state;
    memset(value, 'v', sizeof value);
    for (int round = 0; round < 200000; round++) {
        weir_value key = round % 2 ? weir_int(round % 50) : text(value, (size_t)(round % 50));

        if (round % 3 == 0)
            weir_dict_delete(dict, key);
        else
            assert_int_equal(weir_dict_set(dict, key, weir_bytes(value, (size_t)(round % 400))), 0);
        if (round == 100000)
            used = atomic_load(&dict->header->used);
    }
    assert_true(atomic_load(&dict->header->used) == used);
    drop(dict);
}

/* What a dictionary can be full of. */
static const struct kind {
    const char *name;
    uint32_t key_size; /* 0: ints */
    uint32_t value_size;
} kinds[] = {
    {"ints", 0, 0},
    {"bytes", 0, 100},
    {"long bytes", 0, 3000},
    {"longer keys", 100, 0},
    {"long keys", 5000, 0},
    {"mixed", 30, 700},
    {"a few of many", 0, 70000},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static char filler[100000];

static weir_value kind_key(const struct kind *kind, int64_t i)
{
    static char key[10000];

    if (kind->key_size == 0)
        return weir_int(i);
    memset(key, 'k', kind->key_size);
    memcpy(key, &i, sizeof i);
    return weir_bytes(key, kind->key_size);
}

static int64_t fill_with(weir_dict *dict, const struct kind *kind)
{
    int64_t count = 0;
    weir_value value = kind->value_size == 0 ? weir_int(1) : weir_bytes(filler, kind->value_size);

    while (weir_dict_set(dict, kind_key(kind, count), value) == 0)
        count++;
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_int_equal(weir_dict_len(dict), count);
    return count;
}

static void freed_memory_serves_any_size__when_a_full_dictionary_is_emptied(void **state)
{
    (void)state;
    memset(filler, 'f', sizeof filler);
    for (int second = 0; second < KINDS; second++) {
        weir_dict *dict = make(1 << 20);
        int64_t fresh = fill_with(dict, &kinds[second]), count;

        drop(dict);
        for (int first = 0; first < KINDS; first++)
            for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
                dict = make(1 << 20);
                count = fill_with(dict, &kinds[first]);
                if (!one_by_one)
                    assert_int_equal(weir_dict_clear(dict), 0);
                for (int64_t i = 0; one_by_one && i < count; i++)
                    assert_int_equal(weir_dict_delete(dict, kind_key(&kinds[first], i)), 0);
                count = fill_with(dict, &kinds[second]);
                if (count < fresh)
                    fail_msg("%lld of %s after %s, not %lld", (long long)count, kinds[second].name,
                             kinds[first].name, (long long)fresh);
                drop(dict);
            }
    }
}

/* Sizes that change from phase to phase, and never more than half of the memory. */
static void item_is_stored__when_sizes_change_and_half_is_free(void **state)
{
    enum { KEYS = 2000 };
    static uint32_t sizes[KEYS];
    weir_dict *dict = make(1 << 20);
    uint64_t seed = 4711, used = 0, half = dict->granules * WEIR__DICT_GRANULE / 2;
    int stored = 0;
    weir_value out;

    (void)state;
    memset(filler, 'f', sizeof filler);
    for (int round = 0; round < 200000; round++) {
        uint64_t random = next_random(&seed);
        int i = (int)(random % KEYS);
        uint32_t largest = (uint32_t)8 << (round / 20000 * 7 % 10);
        uint32_t size = (uint32_t)(random / KEYS % largest) + 9;

        uint64_t with = used + size + 80 - (sizes[i] != 0 ? sizes[i] + 80 : 0);

        if (sizes[i] != 0 && (random >> 29 == 0 || with > half)) {
            assert_int_equal(weir_dict_delete(dict, weir_int(i)), 0);
            used -= sizes[i] + 80;
            sizes[i] = 0;
        } else if (with <= half) {
            if (weir_dict_set(dict, weir_int(i), weir_bytes(filler, size)) != 0)
                fail_msg("round %d, %u bytes: %s", round, size, weir_last_error()->message);
            used = with;
            sizes[i] = size;
            stored++;
        }
    }
    assert_true(stored > 20000);
    for (int i = 0; i < KEYS; i++)
        if (sizes[i] != 0) {
            assert_int_equal(weir_dict_get(dict, weir_int(i), &out, buf, sizeof buf), 0);
            assert_int_equal(out.size, sizes[i]);
            assert_memory_equal(out.data, filler, sizes[i]);
        } else {
            assert_int_equal(weir_dict_contains(dict, weir_int(i)), 0);
        }
    drop(dict);
}

static void value_is_stored__when_all_values_are_replaced_by_longer_ones(void **state)
{
    enum { KEYS = 200 };
    weir_dict *dict = make(1 << 20);

    (void)state;
    memset(filler, 'f', sizeof filler);
    for (uint32_t size = 10; size < 3000; size += 1 + size / 9) /* at last two thirds of it */
        for (int i = 0; i < KEYS; i++)
            if (weir_dict_set(dict, weir_int(i), weir_bytes(filler, size)) != 0)
                fail_msg("%u bytes: %s", size, weir_last_error()->message);
    drop(dict);
}

static void message_tells_what_is_free__when_an_item_does_not_fit(void **state)
{
    weir_dict *dict = make(1 << 20);
    unsigned long long needed = 0, size = 0, left = 0;
    int64_t count;

    (void)state;
    count = fill_with(dict, &kinds[1]);
    for (int64_t i = 0; i < count; i += 2)
        assert_int_equal(weir_dict_delete(dict, weir_int(i)), 0);
    assert_int_equal(weir_dict_set(dict, weir_int(0), weir_bytes(filler, 50000)), -ENOSPC);
    assert_int_equal(sscanf(strstr(weir_last_error()->message, "is full"),
                            "is full: it needs %llu bytes in one piece, and of its %llu bytes "
                            "(max_size) %llu are free, in shorter pieces",
                            &needed, &size, &left),
                     3);
    assert_true(needed >= 50000 && size == 1 << 20);
    assert_true(left > (uint64_t)count / 2 * 150 && left < (uint64_t)count / 2 * 200 + 1000);
    drop(dict);
}

static uint64_t shm_free(void)
{
    struct statvfs fs;

    assert_int_equal(statvfs("/dev/shm", &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void memory_is_taken_in_steps__when_items_come(void **state)
{
    uint64_t before = shm_free();
    weir_dict *dict;

    (void)state;
    if (!isolated || !weir__can_populate())
        skip();
    dict = make((size_t)1 << 30);
    assert_true(before - shm_free() <= 64 << 10);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(i), weir_int(i)), 0);
    assert_true(before - shm_free() >= 20000 * 48);
    assert_true(before - shm_free() <= 2 * 20000 * 48);
    drop(dict);
    assert_true(shm_free() == before);
}

static void full_shm_is_an_error__when_the_dictionary_grows(void **state)
{
    weir_dict *dict;
    int64_t count = 0, got;
    int result;

    (void)state;
    if (!isolated || !leak_limit_shm((size_t)4 << 20))
        skip();
    dict = make((size_t)1 << 30);
    while ((result = weir_dict_set(dict, weir_int(count), weir_str("a line of some length"))) == 0)
        count++;
    assert_int_equal(code(result), -ENOSPC);
    assert_non_null(strstr(weir_last_error()->message, "/dev/shm"));
    assert_true(count > 20000);
    got = weir_dict_len(dict);
    assert_int_equal(got, count);
    assert_int_equal(weir_dict_delete(dict, weir_int(0)), 0);
    assert_int_equal(weir_dict_set(dict, weir_int(-1), weir_str("a line of some length")), 0);
    assert_null(weir_dict_copy(leak_name("copy"), dict)); /* no half a copy stays */
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_null(weir_dict_attach(leak_name("copy")));
    drop(dict);
    leak_limit_shm((size_t)1 << 30);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(value_comes_back__when_any_type_follows_any),
        TEST(keys_are_told_apart__when_type_or_one_byte_differs),
        TEST(longest_key_and_value_fit__when_there_is_room),
        TEST(size_is_told__when_the_buffer_is_too_small),
        TEST(sum_is_exact__when_it_leaves_and_enters_the_word),
        TEST(adding_is_refused__when_it_is_no_int),
        TEST(int_is_swapped__when_it_is_as_expected),
        TEST(default_is_set_once__when_the_key_is_new),
        TEST(popped_item_is_gone__when_keys_are_many),
        TEST(each_key_is_given_once__when_others_come_and_go_meanwhile),
        TEST(copy_is_independent__when_the_source_changes),
        TEST(both_see_it__when_attached_at_two_addresses),
        TEST(many_are_as_each_by_itself__when_keys_are_there_or_not),
        TEST(results_lie_behind_each_other__when_many_are_texts),
        TEST(those_before_are_done__when_one_of_many_is_refused),
        TEST(call_is_refused__when_an_argument_is_wrong),
        TEST(making_is_refused__when_options_are_wrong),
        TEST(nothing_is_lost__when_the_dictionary_is_full),
        TEST(memory_is_used_again__when_items_come_and_go),
        TEST(freed_memory_serves_any_size__when_a_full_dictionary_is_emptied),
        TEST(item_is_stored__when_sizes_change_and_half_is_free),
        TEST(value_is_stored__when_all_values_are_replaced_by_longer_ones),
        TEST(message_tells_what_is_free__when_an_item_does_not_fit),
        TEST(memory_is_taken_in_steps__when_items_come),
        TEST(full_shm_is_an_error__when_the_dictionary_grows),
    };

    isolated = leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
