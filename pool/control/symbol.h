/* SPDX-License-Identifier: MIT
 *
 * symbol.h: which function or variable an address of this process is in.
 */
#ifndef WEIR_SYMBOL_H
#define WEIR_SYMBOL_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/control/maps.h"

#define WEIR__SYMBOL_NAME 160

/* What is not known is an empty name, or file. */
struct weir__symbol {
    char name[WEIR__SYMBOL_NAME];
    uintptr_t offset; /* of the address in it */
    uintptr_t size;   /* of it */
    char file[WEIR__MAPPED_FILE];
    uintptr_t in_file; /* the address as the file's symbols and addr2line know it */
};

/* The function. `back`: bytes that the address lies behind the instruction that counts; 1 for a
 * return address, which may be behind the end of the function. Signal-safe. */
void weir__symbol_find(uintptr_t address, unsigned back, struct weir__symbol *out);

/* The variable at this address of the file's symbols. False: not known. Signal-safe. */
bool weir__symbol_variable(const char *file, uintptr_t in_file, struct weir__symbol *out);

#endif
