/* SPDX-License-Identifier: MIT
 *
 * values.c: see values.h. Numbers are drawn near the ends of their ranges as often as in between.
 */
#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 8192
#define BUFFERS 8

void keep(struct kept *kept, weir_value value)
{
    char *data = NULL;

    if (has_bytes(value)) {
        data = malloc(value.size + 1u);
        if (data == NULL)
            abort();
        if (value.size > 0)
            memcpy(data, value.data, value.size);
        data[value.size] = '\0';
        value.data = data;
    }
    forget(kept);
    kept->value = value;
}

void forget(struct kept *kept)
{
    if (has_bytes(kept->value))
        free((char *)kept->value.data);
    kept->value = weir_none();
}

static weir_value draw_bytes(uint64_t *seed, unsigned longest, bool is_str)
{
    static _Thread_local char buffers[BUFFERS][LONGEST + 4];
    static _Thread_local unsigned next;
    static const char *const letters[] = {
        "a", "z", "0", " ", "\"", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    char *buffer = buffers[next++ % BUFFERS];
    unsigned size = 0, limit;
    weir_value value;

    limit = one_in(seed, 6) ? draw(seed, longest + 1) : draw(seed, longest < 24 ? longest + 1 : 24);
    limit = limit < LONGEST ? limit : LONGEST;
    while (size < limit) {
        const char *letter = letters[draw(seed, 8)];
        unsigned width = (unsigned)strlen(letter);

        if (is_str && size + width > limit)
            break;
        if (is_str)
            memcpy(buffer + size, letter, width);
        else
            buffer[size] = (char)draw(seed, 256);
        size += is_str ? width : 1;
    }
    value = weir_bytes(buffer, size);
    value.type = is_str ? WEIR_STR : WEIR_BYTES;
    return value;
}

static weir_value draw_int(uint64_t *seed)
{
    static const int64_t ends[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, 1 << 30, 255};

    return weir_int(one_in(seed, 3) ? ends[draw(seed, 8)] : (int64_t)draw(seed, 2000) - 1000);
}

static weir_value draw_float(uint64_t *seed)
{
    static const double ends[] = {0.0, -0.0, 1.0, INFINITY, -INFINITY, NAN, 1e308, 5e-324};

    return weir_float(one_in(seed, 2) ? ends[draw(seed, 8)] : (double)draw(seed, 4000) / 16 - 125);
}

weir_value draw_value(uint64_t *seed, unsigned longest)
{
    switch (draw(seed, 10)) {
    case 0:
        return weir_none();
    case 1:
        return weir_bool(one_in(seed, 2));
    case 2:
        return draw_float(seed);
    case 3:
    case 4:
        return draw_bytes(seed, longest, true);
    case 5:
    case 6:
        return draw_bytes(seed, longest, false);
    default:
        return draw_int(seed);
    }
}

weir_value draw_key(uint64_t *seed)
{
    uint64_t which = draw(seed, 12) + 1; /* what it is made of, so that keys come again */

    switch (draw(seed, 4)) {
    case 0:
        return draw_bytes(&which, 300, true);
    case 1:
        return draw_bytes(&which, 300, false);
    default:
        return draw_int(&which);
    }
}

weir_value not_utf8(void)
{
    weir_value value = weir_bytes("a\xff"
                                  "b",
                                  3);

    value.type = WEIR_STR;
    return value;
}

bool same_value(weir_value a, weir_value b)
{
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case WEIR_NONE:
        return true;
    case WEIR_BOOL:
        return a.boolean == b.boolean;
    case WEIR_INT:
        return a.integer == b.integer;
    case WEIR_FLOAT:
        return memcmp(&a.real, &b.real, sizeof a.real) == 0;
    default:
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
    }
}

static bool is_number(weir_value value)
{
    return value.type == WEIR_BOOL || value.type == WEIR_INT || value.type == WEIR_FLOAT;
}

bool equal_value(weir_value a, weir_value b)
{
    if (!is_number(a) || !is_number(b))
        return same_value(a, b);
    if (a.type == WEIR_FLOAT && b.type == WEIR_FLOAT)
        return a.real == b.real;
    if (a.type == WEIR_FLOAT || b.type == WEIR_FLOAT) {
        double real = a.type == WEIR_FLOAT ? a.real : b.real;
        weir_value other = a.type == WEIR_FLOAT ? b : a;
        int64_t integer = other.type == WEIR_BOOL ? other.boolean : other.integer;

        /* Every int64_t of a double that is whole and in range is exact. */
        return real >= -0x1p63 && real < 0x1p63 && (double)(int64_t)real == real &&
               (int64_t)real == integer;
    }
    return (a.type == WEIR_BOOL ? a.boolean : a.integer) ==
           (b.type == WEIR_BOOL ? b.boolean : b.integer);
}
