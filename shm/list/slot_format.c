/* SPDX-License-Identifier: MIT
 *
 * slot_format.c: an element's format and code, both ways.
 *
 * Pure: numbers in, numbers out. CPython gives a str or bytes the format "%ds" of its whole slot
 * and strips NULs at the end on reading, so it loses those that belong to the value. weir writes
 * formats that CPython reads just the same but that say the length: "5s3x" is five bytes in a slot
 * of eight. When CPython replaces an element whose format ends in x it writes "8s" again, so its
 * writes stay right too. shm/README.md has the table.
 *
 * Failure modes: a length that eight characters cannot say is refused; whatever is read and would
 * not have been written by weir or CPython is invalid.
 */
#include "shm/list/slot_format.h"

#include <errno.h>

#include "shm/error.h"

/* Lengths up to this one can be followed by an x: "999999sx". */
#define EXACT_MAX ((size_t)999999)
/* The largest number that can stand before an s. */
#define NUMBER_MAX ((size_t)9999999)

/* Of the types whose format is always the same. */
static const struct {
    char text[8];
    signed char code;
} fixed[] = {
    [WEIR_NONE] = {"xxxxxx?x", WEIR__CODE_NONE},
    [WEIR_BOOL] = {"xxxxxxx?", WEIR__CODE_AS_IS},
    [WEIR_INT] = {"q", WEIR__CODE_AS_IS},
    [WEIR_FLOAT] = {"d", WEIR__CODE_AS_IS},
};

#define FIXED (sizeof fixed / sizeof *fixed)

/* Its place in the table, that is the type; FIXED: it is none of them. */
static unsigned find_fixed(uint64_t format)
{
    unsigned type = 0;

    while (type < FIXED && weir__format_word(fixed[type].text) != format)
        type++;
    return type;
}

/* ---- writing -------------------------------------------------------------------------------- */

static size_t count_digits(size_t number)
{
    size_t digits = 1;

    for (; number >= 10; number /= 10)
        digits++;
    return digits;
}

/* Writes the number and what follows it; returns the end. The caller knows that it fits. */
static char *put_number(char *at, size_t number, char letter)
{
    size_t digits = count_digits(number);

    for (size_t i = digits; i > 0; i--, number /= 10)
        at[i - 1] = (char)('0' + number % 10);
    at[digits] = letter;
    return at + digits + 1;
}

static int encode_data(const weir_value *value, size_t slot, uint64_t *format, signed char *code)
{
    size_t size = value->size;
    char text[8] = {0};

    if (size > WEIR_LIST_VALUE_MAX)
        return weir__fail(-E2BIG,
                          "a value of %zu bytes is longer than an element can be (%d bytes)", size,
                          WEIR_LIST_VALUE_MAX);
    if (size > slot)
        return weir__fail(-E2BIG, "a value of %zu bytes exceeds the element's room of %zu bytes",
                          size, slot);
    *code = value->type == WEIR_STR ? WEIR__CODE_STR : WEIR__CODE_AS_IS;
    if (count_digits(size) + count_digits(slot - size) <= 6) {
        put_number(put_number(text, size, 's'), slot - size, 'x');
    } else if (size <= EXACT_MAX) {
        *put_number(text, size, 's') = 'x';
    } else if (slot > NUMBER_MAX) {
        return weir__fail(-E2BIG, "an element with a room of %zu bytes cannot hold %zu bytes", slot,
                          size);
    } else if (value->data[size - 1] == '\0') {
        return weir__fail(-ENOTSUP,
                          "a value of %zu bytes that ends in a NUL cannot be kept: from 1,000,000 "
                          "bytes on the layout has no room for the length",
                          size);
    } else {
        put_number(text, slot, 's');
        *code = value->type == WEIR_STR ? WEIR__CODE_STR : WEIR__CODE_BYTES;
    }
    *format = weir__format_word(text);
    return 0;
}

int weir__format_encode(const weir_value *value, size_t slot, uint64_t *format, signed char *code)
{
    if (weir__has_data(value))
        return encode_data(value, slot, format, code);
    if ((unsigned)value->type >= FIXED)
        return weir__fail_type(value);
    *format = weir__format_word(fixed[value->type].text);
    *code = fixed[value->type].code;
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A decimal number without leading zeros; NULL if there is none. `at` lies in 9 bytes that end with
 * a NUL, so there are at most 8 digits. */
static const char *take_number(const char *at, size_t *number)
{
    if (*at < '0' || *at > '9' || (*at == '0' && at[1] >= '0' && at[1] <= '9'))
        return NULL;
    for (*number = 0; *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (size_t)(*at - '0');
    return at;
}

/* "Ns", "Nsx" or "NsPx". In the second form the x stands for "exactly" alone: a value that fills
 * its slot has it too. */
static bool decode_data(uint64_t format, size_t slot, size_t *size, bool *exact)
{
    char text[9] = {0};
    const char *at;
    size_t pad = 0;

    memcpy(text, &format, sizeof format);
    at = take_number(text, size);
    if (at == NULL || *at++ != 's' || *size > slot)
        return false;
    *exact = *at != '\0';
    if (*at >= '0' && *at <= '9') {
        at = take_number(at, &pad);
        if (at == NULL || pad > slot - *size || *at != 'x')
            return false;
    }
    if (*at == 'x')
        at++;
    while (at < text + sizeof format)
        if (*at++ != '\0')
            return false;
    return true;
}

bool weir__format_decode(uint64_t format, signed char code, size_t slot,
                         struct weir__content *content)
{
    struct weir__content found = {.size = 0};
    bool exact = true;
    unsigned type = find_fixed(format);

    if (type < FIXED) {
        found.type = (weir_type)type;
        if (code != fixed[type].code)
            return false;
    } else {
        if (code < WEIR__CODE_AS_IS || code > WEIR__CODE_BYTES ||
            !decode_data(format, slot, &found.size, &exact))
            return false;
        found.type = code == WEIR__CODE_STR ? WEIR_STR : WEIR_BYTES;
        /* "8s" of eight bytes is CPython's; its rule strips, but not with the code "as it is". */
        found.strip = !exact && found.size == slot && code != WEIR__CODE_AS_IS;
    }
    *content = found;
    return true;
}

bool weir__format_valid(uint64_t format, size_t slot)
{
    size_t size;
    bool exact;

    return find_fixed(format) < FIXED || decode_data(format, slot, &size, &exact);
}
