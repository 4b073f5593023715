/* SPDX-License-Identifier: MIT
 *
 * test-value.c: UTF-8, checking and Python's equality.
 */
#include "leak.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "shm/value.h"

/* The definition, bit by bit; independent of the table in value.c. */
static size_t encode(uint32_t point, char *to)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (char)(0xc0 | point >> 6);
        to[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (char)(0xe0 | point >> 12);
        to[1] = (char)(0x80 | (point >> 6 & 0x3f));
        to[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | point >> 18);
    to[1] = (char)(0x80 | (point >> 12 & 0x3f));
    to[2] = (char)(0x80 | (point >> 6 & 0x3f));
    to[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

static void exactly_the_scalar_values_are_utf8(void **state)
{
    char text[16];

    (void)state;
    for (uint32_t point = 0; point < 0x140000; point++) {
        bool scalar = point < 0xd800 || (point > 0xdfff && point < 0x110000);
        size_t size = encode(point, text);
        uint32_t decoded = 0;

        if (weir__utf8_valid(text, size) != scalar)
            fail_msg("U+%04X is taken for %s", point, scalar ? "invalid" : "valid");
        if (weir__utf8_decode(text, size, &decoded) != (scalar ? size : 0) ||
            (scalar && decoded != point))
            fail_msg("U+%04X is decoded as U+%04X", point, decoded);
        if (size > 1 && weir__utf8_valid(text, size - 1))
            fail_msg("U+%04X cut short is taken for valid", point);
    }
}

/* 128 code points take one byte, 1,920 take two, 61,440 three: so many strings of three bytes are
 * valid, and no others, overlong forms for example. */
static void as_many_strings_are_utf8__as_combinatorics_says(void **state)
{
    int64_t valid = 0;
    char text[3];

    (void)state;
    for (uint32_t i = 0; i < 1u << 24; i++) {
        memcpy(text, &i, sizeof text);
        valid += weir__utf8_valid(text, sizeof text);
    }
    assert_int_equal(valid, 128 * 128 * 128 + 2 * 128 * 1920 + 61440);
}

/* Lead and second byte: 16 * 16 * 256 combinations, of which 256 begin a code point of four bytes.
 */
static void four_byte_sequences_are_utf8__up_to_10ffff(void **state)
{
    static const unsigned char tails[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    int valid = 0;

    (void)state;
    for (int lead = 0xf0; lead <= 0xff; lead++)
        for (int second = 0; second <= 0xff; second++)
            for (size_t i = 0; i < sizeof tails * sizeof tails; i++) {
                char text[4] = {(char)lead, (char)second, (char)tails[i / sizeof tails],
                                (char)tails[i % sizeof tails]};

                valid += weir__utf8_valid(text, sizeof text);
            }
    assert_int_equal(valid, 256 * 2 * 2);
}

static void a_bad_byte_is_found__at_any_place(void **state)
{
    char text[64];

    (void)state;
    for (size_t size = 1; size <= sizeof text; size++)
        for (size_t bad = 0; bad < size; bad++) {
            memset(text, 'a', sizeof text);
            assert_true(weir__utf8_valid(text, size));
            text[bad] = (char)0xff;
            assert_false(weir__utf8_valid(text, size));
        }
    assert_true(weir__utf8_valid("", 0));
}

static void wrong_values_are_refused(void **state)
{
    weir_value wild = {.type = (weir_type)17};
    weir_value null = {.type = WEIR_BYTES, .data = NULL, .size = 1};
    weir_value empty = {.type = WEIR_STR, .data = NULL, .size = 0};
    weir_value latin = weir_str("caf\xe9");

    (void)state;
    assert_int_equal(weir__value_check(&wild), -EINVAL);
    assert_int_equal(weir__value_check(&null), -EINVAL);
    assert_int_equal(weir__value_check(&latin), -EINVAL);
    assert_int_equal(weir__value_check(&empty), 0);
}

static void values_are_what_they_were_made_of(void **state)
{
    weir_value text = weir_str("text"), bytes = weir_bytes("a\0b", 3);

    (void)state;
    assert_int_equal(weir_none().type, WEIR_NONE);
    assert_true(weir_bool(true).type == WEIR_BOOL && weir_bool(true).boolean);
    assert_true(weir_int(-5).type == WEIR_INT && weir_int(-5).integer == -5);
    assert_true(weir_float(0.5).type == WEIR_FLOAT && weir_float(0.5).real == 0.5);
    assert_true(text.type == WEIR_STR && text.size == 4 && strcmp(text.data, "text") == 0);
    assert_true(bytes.type == WEIR_BYTES && bytes.size == 3);
    assert_int_equal(weir_str(NULL).type, WEIR_NONE);
    assert_int_equal(weir_bytes("", SIZE_MAX).size, UINT32_MAX);
    assert_string_equal(weir_type_name(WEIR_BYTES), "bytes");
    assert_string_equal(weir_type_name((weir_type)6), "?");
}

static void equality_is_pythons(void **state)
{
    const double two53 = 9007199254740992.0, two63 = 9223372036854775808.0;
    const struct {
        weir_value a, b;
        bool equal;
    } cases[] = {
        {weir_int(1), weir_float(1.0), true},
        {weir_int(1), weir_bool(true), true},
        {weir_bool(true), weir_float(1.0), true},
        {weir_bool(false), weir_int(0), true},
        {weir_bool(false), weir_float(-0.0), true},
        {weir_int(0), weir_float(-0.0), true},
        {weir_float(0.0), weir_float(-0.0), true},
        {weir_int(2), weir_bool(true), false},
        {weir_int(1), weir_float(1.5), false},
        {weir_int(1 << 20), weir_float(1048576.0), true},
        /* An int is not rounded to a double. */
        {weir_int(9007199254740992), weir_float(two53), true},
        {weir_int(9007199254740993), weir_float(two53), false},
        {weir_int(INT64_MAX), weir_float(two63), false},
        {weir_int(INT64_MAX), weir_float(9223372036854774784.0), false},
        {weir_int(9223372036854774784), weir_float(9223372036854774784.0), true},
        {weir_int(INT64_MIN), weir_float(-two63), true},
        {weir_int(INT64_MIN), weir_float(-two63 * 2), false},
        {weir_int(0), weir_float(NAN), false},
        {weir_float(NAN), weir_float(NAN), false},
        {weir_float(INFINITY), weir_float(INFINITY), true},
        {weir_int(INT64_MAX), weir_float(INFINITY), false},
        {weir_int(INT64_MIN), weir_float(-INFINITY), false},
        {weir_none(), weir_none(), true},
        {weir_none(), weir_int(0), false},
        {weir_none(), weir_bool(false), false},
        {weir_none(), weir_str(""), false},
        {weir_str("a"), weir_str("a"), true},
        {weir_str("a"), weir_str("b"), false},
        {weir_str("a"), weir_str("ab"), false},
        {weir_str("a"), weir_bytes("a", 1), false},
        {weir_str(""), weir_bytes(NULL, 0), false},
        {weir_bytes("a\0", 2), weir_bytes("a", 1), false},
        {weir_bytes("a\0b", 3), weir_bytes("a\0c", 3), false},
        {weir_bytes(NULL, 0), weir_bytes("", 0), true},
        {weir_str("1"), weir_int(1), false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (weir__value_equal(&cases[i].a, &cases[i].b) != cases[i].equal ||
            weir__value_equal(&cases[i].b, &cases[i].a) != cases[i].equal)
            fail_msg("case %zu should be %s", i, cases[i].equal ? "equal" : "unequal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_scalar_values_are_utf8),
        cmocka_unit_test(as_many_strings_are_utf8__as_combinatorics_says),
        cmocka_unit_test(four_byte_sequences_are_utf8__up_to_10ffff),
        cmocka_unit_test(a_bad_byte_is_found__at_any_place),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(values_are_what_they_were_made_of),
        cmocka_unit_test(equality_is_pythons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
