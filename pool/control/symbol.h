/* SPDX-License-Identifier: MIT
 *
 * symbol.h: which function an address of this process is in.
 */
#ifndef WEIR_SYMBOL_H
#define WEIR_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

#define WEIR__SYMBOL_NAME 160
#define WEIR__SYMBOL_FILE 512

/* What is not known is an empty name, or file. */
struct weir__symbol {
    char function[WEIR__SYMBOL_NAME];
    uintptr_t offset; /* of the address in the function */
    char file[WEIR__SYMBOL_FILE];
    uintptr_t in_file; /* the address as the file's symbols and addr2line know it */
};

/* `back`: bytes that the address lies behind the instruction that counts; 1 for a return address,
 * which may be behind the end of the function. Signal-safe. */
void weir__symbol_find(uintptr_t address, unsigned back, struct weir__symbol *out);

#endif
