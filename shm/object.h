/* SPDX-License-Identifier: MIT
 *
 * object.h: what lists, arrays and dictionaries have in common: a handle that is bound to a block.
 */
#ifndef WEIR_SHM_OBJECT_H
#define WEIR_SHM_OBJECT_H

#include "shm/block/shared_memory.h"

/* The handle of a stand-alone object: `of` is what ("a list"), for the message when there is no
 * memory: then NULL. */
void *weir__handle_new(size_t size, const char *of);
/* What becomes of a handle and the block that it was bound to with this result: the handle; or
 * NULL, and both are given up. Either may be NULL, because it could not be made. */
void *weir__handle_settle(void *handle, struct weir_shm *shm, int result);
/* Closes an object. One of a scope has its handle in the scope's table, with which it goes. */
void weir__handle_close(void *handle, struct weir_shm *shm);

#endif
