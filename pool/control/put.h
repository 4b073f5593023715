/* SPDX-License-Identifier: MIT
 *
 * put.h: text on stderr in one piece.
 */
#ifndef WEIR_PUT_H
#define WEIR_PUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether a character commands a terminal, or turns the direction of its line. */
static inline bool weir__is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e);
}

/* One write() to stderr, without the signal that a closed pipe brings. Returns what write() does,
 * or a negative errno. Signal-safe. */
ssize_t weir__put(const char *text, size_t size);

/* Whether writing a line would neither wait nor stop this process. */
bool weir__may_put(void);

#endif
