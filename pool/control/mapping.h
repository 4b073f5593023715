/* SPDX-License-Identifier: MIT
 *
 * mapping.h: the memory of a control block.
 */
#ifndef WEIR_MAPPING_H
#define WEIR_MAPPING_H

#include "manager/internal.h"
#include "pool/control/control.h"

/* Host: maps a control block. `jobs`: with jobs, the queue of calls and a heap (a pool) or without.
 * *watch: gets the file in which other programs see it, for the supervisor alone; none, or `watch`
 * is NULL: they cannot. NULL: ENOMEM is set. */
struct weir__control *weir__control_new(int workers, bool jobs, struct weir__descriptor *watch);
/* Host, before the supervisor is forked: what the status page lacks. A name that is too long is cut
 * off. */
void weir__control_show(struct weir__control *control, uint64_t scope, const char *name);
/* A number that tells the records of this build of weir from others'. */
uint64_t weir__status_layout(void);
void weir__control_free(struct weir__control *control);

/* Gives the memory of the whole pages within [memory, memory + size) back, in all processes that
 * map them; they read as zeros then. */
void weir__give_back_pages(void *memory, size_t size);

#endif
