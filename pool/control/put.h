/* SPDX-License-Identifier: MIT
 *
 * put.h: text on stderr in one piece.
 */
#ifndef WEIR_PUT_H
#define WEIR_PUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One write() to stderr, without the signal that a closed pipe brings. Returns what write() does,
 * or a negative errno. Signal-safe. */
ssize_t weir__put(const char *text, size_t size);

/* Whether writing a line would neither wait nor stop this process. */
bool weir__may_put(void);

#endif
