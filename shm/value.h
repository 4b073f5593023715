/* SPDX-License-Identifier: MIT
 *
 * value.h: checking and comparing values.
 */
#ifndef WEIR_SHM_VALUE_H
#define WEIR_SHM_VALUE_H

#include <string.h>

#include "weir-shm.h"

/* True for well-formed UTF-8: no overlong form, no surrogate, nothing above U+10FFFF. */
bool weir__utf8_valid(const char *data, size_t size);

/* Decodes the character that the text begins with. Returns its size in bytes; 0, and *code means
 * nothing, where `left` bytes (from 1) begin with no well-formed one. */
size_t weir__utf8_decode(const char *text, size_t left, uint32_t *code);

/* Whether a character commands a terminal, or turns the direction of its line. */
static inline bool weir__is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e);
}

/* Not control characters, separators of lines, and what has no width or turns the direction; nor a
 * backslash. */
bool weir__is_printable(uint32_t code);

/* Checks a value that a user gave: 0, or -EINVAL with a message. */
int weir__value_check(const weir_value *value);

/* -EINVAL: the type of the value does not exist. */
int weir__fail_type(const weir_value *value) __attribute__((cold));

/* True for the types whose value is `size` bytes at `data`. */
static inline bool weir__has_data(const weir_value *value)
{
    return value->type == WEIR_STR || value->type == WEIR_BYTES;
}

/* Python's ==, for values of the six types. */
bool weir__value_equal(const weir_value *a, const weir_value *b);

/* A float as the word that it is in a block. */
static inline uint64_t weir__word_of_real(double real)
{
    uint64_t word;

    memcpy(&word, &real, sizeof word);
    return word;
}

static inline double weir__real_of_word(uint64_t word)
{
    double real;

    memcpy(&real, &word, sizeof real);
    return real;
}

#endif
