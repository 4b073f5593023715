/* SPDX-License-Identifier: MIT
 *
 * slot_format.h: an element's format word and code, and what they mean.
 *
 * A format is 8 bytes of NUL-padded text, handled as the one 64-bit word that it is in the block,
 * so that it is read and written in one step.
 */
#ifndef WEIR_SHM_LIST_SLOT_FORMAT_H
#define WEIR_SHM_LIST_SLOT_FORMAT_H

#include <string.h>

#include "shm/value.h"

enum {
    WEIR__CODE_AS_IS = 0, /* int, float, bool, and bytes of an exact length */
    WEIR__CODE_STR = 1,
    WEIR__CODE_BYTES = 2,
    WEIR__CODE_NONE = 3,
};

/* What a format and a code say about the data in a slot. */
struct weir__content {
    weir_type type;
    size_t size; /* str, bytes: at most the slot's */
    bool strip;  /* without the NULs at its end */
};

static inline uint64_t weir__format_word(const char text[8])
{
    uint64_t word;

    memcpy(&word, text, sizeof word);
    return word;
}

#define WEIR__FORMAT_INT weir__format_word("q\0\0\0\0\0\0")

/* The room that a value gets when a list is made. */
static inline size_t weir__slot_size(const weir_value *value)
{
    return weir__has_data(value) ? 8 * ((size_t)value->size / 8 + 1) : 8;
}

/* Writes format and code for a checked value in a slot of `slot` bytes. Returns 0; or with a
 * message -E2BIG (longer than the slot, or than any element can be) or -ENOTSUP (1,000,000 bytes or
 * more that end in a NUL). */
int weir__format_encode(const weir_value *value, size_t slot, uint64_t *format, signed char *code);

/* False if this is no format that weir or CPython writes for a slot of that size. */
bool weir__format_decode(uint64_t format, signed char code, size_t slot,
                         struct weir__content *content);

/* The same for a format alone. `slot`: SIZE_MAX for any. */
bool weir__format_valid(uint64_t format, size_t slot);

#endif
