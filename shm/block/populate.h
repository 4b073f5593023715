/* SPDX-License-Identifier: MIT
 *
 * populate.h: giving a part of a lazy block its memory.
 */
#ifndef WEIR_POPULATE_H
#define WEIR_POPULATE_H

#include "shm/block/shared_memory.h"

/* Reserves `size` bytes from `offset` on, which lie in the block, in whole pages, and maps them
 * here. 0; or -ENOSPC or -ENOMEM with a message, never SIGBUS. What had memory keeps its contents.
 */
int weir__populate(const struct weir_shm *shm, size_t offset, size_t size);

#endif
