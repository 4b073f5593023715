/* SPDX-License-Identifier: MIT
 *
 * bar.h: the bar that the host has on the terminal, for processes that write lines there.
 *
 * A line that is to stand above the bar begins by clearing it and ends with a copy of it, all in
 * one write(). So the host publishes each frame here. `device` says on which terminal it is:
 *
 *     0 --set--> of the terminal --set, empty--> of the terminal, size 0 --clear--> 0
 *
 * With size 0 the bar is about to be taken away: a line clears it, and draws none.
 */
#ifndef WEIR_BAR_H
#define WEIR_BAR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR__BAR_MAX 1088 /* bytes of a frame; a multiple of 8 */

/* Written by threads of the host, one at a time (pool->lock), read by workers. */
struct weir__bar {
    _Atomic uint32_t version; /* odd while it is being written */
    _Atomic uint32_t size;
    _Atomic uint64_t device; /* st_rdev; 0: no bar is on a terminal */
    _Atomic uint64_t words[WEIR__BAR_MAX / 8];
};

/* Host: this frame is about to be on the terminal. At most WEIR__BAR_MAX bytes. */
void weir__bar_set(struct weir__bar *bar, uint64_t device, const char *frame, size_t size);

/* Any process: copies the frame, WEIR__BAR_MAX bytes at most, to `frame`. Returns the terminal, and
 * *size, which is 0 while the host changes the frame. Signal-safe. */
uint64_t weir__bar_get(const struct weir__bar *bar, char *frame, size_t *size);

#endif
