/* SPDX-License-Identifier: MIT
 *
 * maps.h: what is mapped at an address of this process.
 */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR__MAPPED_FILE 512

struct weir__mapped {
    uintptr_t start, end;
    uintptr_t offset; /* in the file */
    uint64_t inode;
    bool shared;
    char file[WEIR__MAPPED_FILE]; /* "": no file; "[stack]" and the like are none */
};

/* False: nothing is mapped there, or /proc is not. Signal-safe. */
bool weir__mapped_at(uintptr_t address, struct weir__mapped *out);

#endif
