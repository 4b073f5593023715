/* SPDX-License-Identifier: MIT
 *
 * mapping.h: the memory of a control block.
 */
#ifndef WEIR_MAPPING_H
#define WEIR_MAPPING_H

#include "pool/control/control.h"

/* Host: maps a control block. `jobs`: with jobs, the queue of calls and a heap (a pool) or without.
 * NULL: ENOMEM is set. */
struct weir__control *weir__control_new(int workers, bool jobs);
void weir__control_free(struct weir__control *control);

/* Gives the memory of the whole pages within [memory, memory + size) back, in all processes that
 * map them; they read as zeros then. */
void weir__give_back_pages(void *memory, size_t size);

#endif
