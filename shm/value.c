/* SPDX-License-Identifier: MIT
 *
 * value.c: weir_value: making, naming, checking and comparing.
 *
 * Pure: no state, no system call. The comparison is Python's: numbers compare by their exact value
 * whatever their type (so an int is never rounded to a double), True is 1, None equals None, a str
 * equals a str and bytes equal bytes of the same content, and nothing else is equal to anything.
 */
#include "shm/value.h"

#include <errno.h>
#include <string.h>

#include "shm/error.h"

weir_value weir_str(const char *string)
{
    weir_value value;

    if (string == NULL)
        return weir_none();
    value = weir_bytes(string, strlen(string));
    value.type = WEIR_STR;
    return value;
}

const char *weir_type_name(weir_type type)
{
    static const char *const names[] = {"none", "bool", "int", "float", "str", "bytes"};

    return (unsigned)type <= WEIR_BYTES ? names[type] : "?";
}

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* Size of the well-formed sequence that `at` begins with, 0 if there is none (Unicode, table 3-7).
 * After the lead byte only the second byte's range depends on the first. */
static size_t sequence_size(const unsigned char *at, size_t left)
{
    unsigned char lead = at[0], low = 0x80, high = 0xbf;
    size_t size;

    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (left < size)
        return 0;
    if (lead == 0xe0)
        low = 0xa0; /* below is overlong */
    else if (lead == 0xed)
        high = 0x9f; /* above are surrogates */
    else if (lead == 0xf0)
        low = 0x90; /* below is overlong */
    else if (lead == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

bool weir__utf8_valid(const char *data, size_t size)
{
    const unsigned char *at = (const unsigned char *)data;
    size_t step;

    while (size > 0) {
        uint64_t eight;

        /* Most text is ASCII; take it eight bytes at a time. */
        if (size >= sizeof eight) {
            memcpy(&eight, at, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                at += sizeof eight;
                size -= sizeof eight;
                continue;
            }
        }
        step = sequence_size(at, size);
        if (step == 0)
            return false;
        at += step;
        size -= step;
    }
    return true;
}

size_t weir__utf8_decode(const char *text, size_t left, uint32_t *code)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t size = sequence_size(at, left);

    *code = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++)
        *code = *code << 6 | (at[i] & 0x3f);
    return size;
}

/* ---- checking ------------------------------------------------------------------------------- */

int weir__fail_type(const weir_value *value)
{
    return weir__fail(-EINVAL, "a value has the type %d, which does not exist", (int)value->type);
}

bool weir__is_printable(uint32_t code)
{
    return !weir__is_control(code) && code != '\\' && code != 0x61c &&
           !(code >= 0x200b && code <= 0x200f) && !(code >= 0x2060 && code <= 0x206f) &&
           code != 0xfeff;
}

int weir__value_check(const weir_value *value)
{
    if ((unsigned)value->type > WEIR_BYTES)
        return weir__fail_type(value);
    if (!weir__has_data(value))
        return 0;
    if (value->data == NULL && value->size > 0)
        return weir__fail(-EINVAL, "a value of type %s has NULL data of %u bytes",
                          weir_type_name(value->type), value->size);
    if (value->type == WEIR_STR && !weir__utf8_valid(value->data, value->size))
        return weir__fail(-EINVAL, "a str of %u bytes is not UTF-8 (weir_bytes() takes any data)",
                          value->size);
    return 0;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool is_whole_number(const weir_value *value, int64_t *number)
{
    if (value->type == WEIR_INT)
        *number = value->integer;
    else if (value->type == WEIR_BOOL)
        *number = value->boolean;
    else
        return false;
    return true;
}

/* Exact: a double from -2^63 up to but without 2^63 that has no fraction is an int64_t. NaN fails
 * the first comparison. */
static bool int_equals_real(int64_t integer, double real)
{
    return real >= -0x1p63 && real < 0x1p63 && (int64_t)real == integer &&
           (double)(int64_t)real == real;
}

bool weir__value_equal(const weir_value *a, const weir_value *b)
{
    int64_t x = 0, y = 0;
    bool a_whole = is_whole_number(a, &x), b_whole = is_whole_number(b, &y);

    if (a_whole && b_whole)
        return x == y;
    if (a_whole && b->type == WEIR_FLOAT)
        return int_equals_real(x, b->real);
    if (b_whole && a->type == WEIR_FLOAT)
        return int_equals_real(y, a->real);
    if (a->type != b->type)
        return false;
    if (a->type == WEIR_FLOAT)
        return a->real == b->real;
    if (a->type == WEIR_NONE)
        return true;
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}
