/* SPDX-License-Identifier: MIT
 *
 * store.h: the memory of blocks that have no names.
 */
#ifndef WEIR_MANAGER_OBJECTS_STORE_H
#define WEIR_MANAGER_OBJECTS_STORE_H

#include "manager/host/state.h"

static inline bool weir__scope_is_anonymous(const struct weir_scope *scope)
{
    return scope->space.anonymous;
}

/* Of a BUSY entry that is `stored`: writes this process's number into it, reserves `size` bytes at
 * its place in the store, all zero, and maps them. `flags`: as weir__block_reserve(). On
 * failure the place is empty, and the entry the caller's. */
int weir__store_reserve(struct weir_scope *scope, struct weir__entry *entry, size_t size,
                        unsigned flags, struct weir__block *block);

/* Gives back what processes were making when they were killed. True if there was anything. */
bool weir__store_reclaim(struct weir_scope *scope);

/* The parts of struct weir__shm_owner for such a block. */
int weir__store_path(const struct weir_shm *shm, char *path, size_t size, uint64_t *offset);
int weir__store_file(const struct weir_shm *shm, uint64_t *offset);

#endif
