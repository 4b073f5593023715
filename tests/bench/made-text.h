/* SPDX-License-Identifier: MIT
 *
 * made-text.h: a text of words that look random, the same for the same seed.
 */
#ifndef BENCH_MADE_TEXT_H
#define BENCH_MADE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "random-of.h"

/* Word number `n` (below 26^5): five digits in base 26, which make it different from all others,
 * and up to three letters more. 6.5 letters on average. */
static inline size_t make_word(uint64_t n, char *out)
{
    size_t length = 5 + n % 4, i = 0;

    for (uint64_t left = n; i < 5; left /= 26)
        out[i++] = (char)('a' + left % 26);
    for (; i < length; i++)
        out[i] = (char)('a' + random_of(n, i) % 26);
    return length;
}

/* Each of `keys` words is as likely as any other, with a space or a newline behind. */
static inline void make_text(char *at, size_t bytes, uint64_t keys, uint64_t seed)
{
    char *end = at + bytes;

    for (size_t i = 0; end - at > 16; i++) {
        at += make_word(random_of(seed, i) % keys, at);
        *at++ = i % 12 == 11 ? '\n' : ' ';
    }
    memset(at, '\n', (size_t)(end - at));
}

#endif
