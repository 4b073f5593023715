/* SPDX-License-Identifier: MIT
 *
 * test-slot-format.c: formats and codes, both ways.
 */
#include "leak.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shm/list/slot_format.h"

static char *zeros; /* as long as the longest value */

static int make_zeros(void **state)
{
    (void)state;
    zeros = calloc(1, WEIR_LIST_VALUE_MAX + 10);
    return zeros == NULL;
}

static int free_zeros(void **state)
{
    (void)state;
    free(zeros);
    return 0;
}

static const char *text_of(uint64_t format)
{
    static char text[9];

    memcpy(text, &format, sizeof format);
    return text;
}

/* A value of that size; without a NUL at its end. */
static weir_value value_of(weir_type type, size_t size)
{
    weir_value value = weir_bytes(zeros + WEIR_LIST_VALUE_MAX + 1 - size, size);

    zeros[WEIR_LIST_VALUE_MAX] = 'e';
    value.type = type;
    return value;
}

static void formats_are_the_documented_ones(void **state)
{
    const struct {
        weir_type type;
        size_t size, slot;
        const char *format;
        signed char code;
    } cases[] = {
        {WEIR_INT, 0, 8, "q", 0},
        {WEIR_FLOAT, 0, 8, "d", 0},
        {WEIR_BOOL, 0, 16, "xxxxxxx?", 0},
        {WEIR_NONE, 0, 8, "xxxxxx?x", 3},
        {WEIR_STR, 0, 8, "0s8x", 1},
        {WEIR_STR, 5, 8, "5s3x", 1},
        {WEIR_BYTES, 5, 8, "5s3x", 0},
        {WEIR_STR, 8, 8, "8s0x", 1},
        {WEIR_STR, 8, 16, "8s8x", 1},
        {WEIR_BYTES, 999, 1008, "999s9x", 0},
        {WEIR_BYTES, 100, 1008, "100s908x", 0},
        {WEIR_BYTES, 100, 100000, "100sx", 0},
        {WEIR_STR, 99999, 100000, "99999s1x", 1},
        {WEIR_STR, 100000, 100008, "100000sx", 1},
        {WEIR_STR, 100000, 100000, "100000sx", 1},
        {WEIR_BYTES, 999999, 1000000, "999999sx", 0},
        {WEIR_STR, 1000000, 1000008, "1000008s", 1},
        {WEIR_BYTES, 1000000, 1000008, "1000008s", 2},
        {WEIR_STR, 9999991, 9999992, "9999992s", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_value value = value_of(cases[i].type, cases[i].size);
        uint64_t format = 0;
        signed char code = -1;

        assert_int_equal(weir__format_encode(&value, cases[i].slot, &format, &code), 0);
        assert_string_equal(text_of(format), cases[i].format);
        assert_int_equal(code, cases[i].code);
    }
}

/* Whatever is written is read back: the type and, for exact formats, the length. */
static void check_round_trip(weir_type type, size_t size, size_t slot)
{
    weir_value value = value_of(type, size);
    struct weir__content content;
    uint64_t format;
    signed char code;

    assert_int_equal(weir__format_encode(&value, slot, &format, &code), 0);
    assert_true(weir__format_decode(format, code, slot, &content));
    assert_int_equal(content.type, type);
    assert_int_equal(content.strip, size >= 1000000);
    assert_int_equal(content.size, content.strip ? slot : size);
    assert_true(weir__format_valid(format, slot));
}

static void lengths_are_exact__for_every_value_and_room(void **state)
{
    static const size_t rooms[] = {8,       16,      104,     1000,     1008,
                                   99992,   100000,  100008,  999992,   1000000,
                                   1000008, 9999984, 9999992, 10000000, 16 << 20};
    static const size_t sizes[] = {9,      10,     99,      100,     999,     1000,   9999,
                                   10000,  99991,  99992,   99999,   100000,  100001, 999991,
                                   999992, 999999, 1000000, 1000001, 9999983, 9999991};

    (void)state;
    for (size_t size = 0; size <= 300; size++)
        for (size_t slot = 8; slot <= 320; slot += 8)
            if (size <= slot) {
                check_round_trip(WEIR_STR, size, slot);
                check_round_trip(WEIR_BYTES, size, slot);
            }
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            if (sizes[j] <= rooms[i] && (sizes[j] < 1000000 || rooms[i] <= 9999999)) {
                check_round_trip(WEIR_STR, sizes[j], rooms[i]);
                check_round_trip(WEIR_BYTES, sizes[j], rooms[i]);
            }
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (rooms[i] <= 999999)
            check_round_trip(WEIR_BYTES, rooms[i], rooms[i]);
}

static int encode(size_t size, size_t slot, bool ends_in_nul)
{
    weir_value value = value_of(WEIR_STR, size);
    uint64_t format;
    signed char code;

    if (ends_in_nul)
        zeros[WEIR_LIST_VALUE_MAX] = '\0';
    return weir__format_encode(&value, slot, &format, &code);
}

static void what_cannot_be_kept_is_refused(void **state)
{
    (void)state;
    assert_int_equal(encode(9, 8, false), -E2BIG);
    assert_int_equal(encode(8, 8, false), 0);
    assert_int_equal(encode(9999991, 16 << 20, false), -E2BIG);
    assert_int_equal(encode(999999, 16 << 20, true), 0);
    assert_int_equal(encode(999999, 1000000, true), 0);
    assert_int_equal(encode(1000000, 1000008, true), -ENOTSUP);
    assert_int_equal(encode(1000000, 1000008, false), 0);
    assert_int_equal(encode(9999991, 9999992, true), -ENOTSUP);
    zeros[WEIR_LIST_VALUE_MAX] = 'e';
    weir_value longest = weir_bytes(zeros, WEIR_LIST_VALUE_MAX + 1), wild = {.type = (weir_type)6};
    uint64_t format;
    signed char code;

    assert_int_equal(weir__format_encode(&longest, 1 << 30, &format, &code), -E2BIG);
    assert_int_equal(weir__format_encode(&wild, 8, &format, &code), -EINVAL);
}

static void pythons_formats_are_stripped__but_only_those(void **state)
{
    struct weir__content content;

    (void)state;
    assert_true(weir__format_decode(weir__format_word("8s\0\0\0\0\0"), 1, 8, &content));
    assert_true(content.type == WEIR_STR && content.size == 8 && content.strip);
    assert_true(weir__format_decode(weir__format_word("8s\0\0\0\0\0"), 2, 8, &content));
    assert_true(content.type == WEIR_BYTES && content.size == 8 && content.strip);
    assert_true(weir__format_decode(weir__format_word("8s\0\0\0\0\0"), 0, 8, &content));
    assert_true(content.type == WEIR_BYTES && content.size == 8 && !content.strip);
    assert_true(weir__format_decode(weir__format_word("8s\0\0\0\0\0"), 1, 16, &content));
    assert_true(content.type == WEIR_STR && content.size == 8 && !content.strip);
    assert_true(weir__format_decode(weir__format_word("8s0x\0\0\0"), 1, 8, &content));
    assert_true(content.type == WEIR_STR && content.size == 8 && !content.strip);
}

static void anything_else_is_no_format(void **state)
{
    static const char bad[][9] = {
        "",         "s",        "x",        "Q",        "q q",      "qx",       "qq",     "dd",
        "8",        "88888888", "-1s",      "+1s",      " 8s",      "8 s",      "8s ",    "05s3x",
        "00s",      "5s03x",    "9s",       "5s4x",     "8s1x",     "8s0",      "5s3",    "8s0xx",
        "8sxx",     "8sx0",     "5s3y",     "5sy",      "8S",       "5s3xq",    "<8s",    "xxxxxxx",
        "xxxxxx??", "xxxxx?xx", "?xxxxxxx", "99999999", "9999999s", "5s99999x", "1s2s3x", "i",
        "8s\x80",   "\xff\xff", "8sxs",     "0s9x",     "\xb2s",    "0x8s",     "8ss",    "?",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int code = -128; code < 128; code++) {
            struct weir__content content;

            if (weir__format_decode(weir__format_word(bad[i]), (signed char)code, 8, &content))
                fail_msg("\"%s\" with code %d is taken for a format", bad[i], code);
        }
        if (weir__format_valid(weir__format_word(bad[i]), 8))
            fail_msg("\"%s\" is taken for valid", bad[i]);
    }
    assert_false(weir__format_valid(weir__format_word("8s\0\0x\0\0"), 8));
    assert_false(weir__format_valid(weir__format_word("q\0\0\0\0\0q"), 8));
}

static void codes_fit_their_formats(void **state)
{
    static const struct {
        char format[9];
        const char *codes; /* that go with it */
    } cases[] = {{"q", "0"},        {"d", "0"},    {"xxxxxxx?", "0"},
                 {"xxxxxx?x", "3"}, {"8s", "012"}, {"5s3x", "012"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int code = -128; code < 128; code++) {
            struct weir__content content;
            bool fits = code >= 0 && code <= 3 && strchr(cases[i].codes, '0' + code) != NULL;

            assert_int_equal(weir__format_decode(weir__format_word(cases[i].format),
                                                 (signed char)code, 8, &content),
                             fits);
        }
}

/* Random words over the letters that formats are made of: nothing that is accepted reaches beyond
 * its slot. */
static void no_length_is_beyond_the_slot__whatever_the_format(void **state)
{
    static const char letters[] = "0123456789sx?qd";
    uint32_t random = 1;
    int accepted = 0;

    (void)state;
    for (int i = 0; i < 2000000; i++) {
        struct weir__content content;
        char text[8] = {0};
        size_t size = 1 + i % 8, slot = 8u << (i % 12);

        for (size_t j = 0; j < size; j++) {
            random = random * 1664525 + 1013904223;
            text[j] = letters[(random >> 16) % (sizeof letters - 1)];
        }
        if (!weir__format_decode(weir__format_word(text), 1, slot, &content))
            continue;
        assert_true(content.size <= slot);
        accepted++;
    }
    assert_true(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_the_documented_ones),
        cmocka_unit_test(lengths_are_exact__for_every_value_and_room),
        cmocka_unit_test(what_cannot_be_kept_is_refused),
        cmocka_unit_test(pythons_formats_are_stripped__but_only_those),
        cmocka_unit_test(anything_else_is_no_format),
        cmocka_unit_test(codes_fit_their_formats),
        cmocka_unit_test(no_length_is_beyond_the_slot__whatever_the_format),
    };

    return cmocka_run_group_tests(tests, make_zeros, free_zeros);
}
