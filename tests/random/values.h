/* SPDX-License-Identifier: MIT
 *
 * values.h: values of weir's six types as the model keeps them.
 */
#ifndef RANDOM_VALUES_H
#define RANDOM_VALUES_H

#include "sequence.h"

#include <weir-shm.h>

/* A copy with bytes of its own; {0} is None. */
struct kept {
    weir_value value; /* its data is owned */
};

void keep(struct kept *kept, weir_value value);
void forget(struct kept *kept);

/* Draws a value. Its bytes are in memory of this thread until the eighth call after this one;
 * `longest` is of its str or bytes. */
weir_value draw_value(uint64_t *seed, unsigned longest);

/* A str, bytes or int out of some dozens: so that keys meet. */
weir_value draw_key(uint64_t *seed);

/* A str that is not UTF-8. */
weir_value not_utf8(void);

/* The same type and the same bits; and equal as Python's == has it. */
bool same_value(weir_value a, weir_value b);
bool equal_value(weir_value a, weir_value b);

static inline bool has_bytes(weir_value value)
{
    return value.type == WEIR_STR || value.type == WEIR_BYTES;
}

#endif
