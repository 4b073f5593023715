/* SPDX-License-Identifier: MIT
 *
 * arena.h: the handle of an arena, one a block; in the scope's table, so shared by its processes.
 */
#ifndef WEIR_MANAGER_ARENA_H
#define WEIR_MANAGER_ARENA_H

#include <stdatomic.h>

#include "manager/weir-scope.h"
#include "shm/block/shared_memory.h"

/* What does not say otherwise is written before the block is published, and never again. */
struct weir_arena {
    struct weir_shm *shm;
    uint64_t size;            /* of the block, a multiple of WEIR__ARENA_ALIGN */
    uint64_t block_size;      /* for further blocks; 0: as the first, whatever is to be had */
    struct weir_arena *older; /* the block that was full before this one; NULL: this is the first */
    _Atomic uint64_t used;    /* bytes given out, from the block's begin; only grows, by CAS */
    _Atomic uint64_t
        reserved; /* bytes that have their memory, from its begin; only grows, by CAS */
    struct weir_arena *_Atomic newest; /* the first block's: where to take from; by CAS */
};

#define WEIR__ARENA_ALIGN 16u

/* Makes one block, in objects.c. `size` is a multiple of WEIR__ARENA_ALIGN. */
struct weir_arena *weir__arena_block(weir_scope *scope, uint64_t size, uint64_t block_size,
                                     struct weir_arena *older);

#endif
