/* SPDX-License-Identifier: MIT
 *
 * cut.h: a range, its chunks, and the blocks that nodes take.
 *
 * Chunks are those of the pool (pool/control/chunk.c). A block is a run of 2^k chunks that begins
 * at a multiple of 2^k, so it is a whole subtree of the pool's reduction, and the pool's own cut of
 * the block's range into that many chunks gives the same chunks again: longer chunks come first.
 */
#ifndef WEIR_CUT_H
#define WEIR_CUT_H

#include "weir-shm.h"

#define WEIR__CLUSTER_CHUNKS     65536 /* of a range, if the caller says nothing */
#define WEIR__CLUSTER_BLOCK      64    /* chunks of a block, likewise */
#define WEIR__CLUSTER_BLOCK_MAX  65536
#define WEIR__CLUSTER_BLOCKS_MAX (INT64_C(1) << 20)

struct weir__cut {
    weir_range range;
    int64_t chunks, blocks; /* 0: an empty range */
    int64_t block;          /* chunks of a block, but for the last one */
    int64_t by_grain;       /* the caller's grain, which a block is cut by, too; 0: none */
    uint64_t grain;         /* items of a chunk */
    int64_t longer;         /* so many chunks, the first ones, have one item more */
};

/* Arguments as the caller gave them, 0: the default; 0, or -EINVAL or -E2BIG with the last error.
 * One node takes larger blocks than is asked, as it shares them with no other. */
int weir__cut_init(struct weir__cut *cut, weir_range range, int64_t chunks, int64_t grain,
                   int64_t block, int nodes);

/* The number of chunks in a block, its first one, and its items. */
int64_t weir__cut_chunks_of(const struct weir__cut *cut, int64_t block);
int64_t weir__cut_first_of(const struct weir__cut *cut, int64_t block);
weir_range weir__cut_items_of(const struct weir__cut *cut, int64_t block);

/* The first block of a node's region; of node `nodes`: the number of blocks. */
int64_t weir__cut_region(const struct weir__cut *cut, int node, int nodes);

#endif
