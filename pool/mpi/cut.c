/* SPDX-License-Identifier: MIT
 *
 * cut.c: a range, its chunks, and the blocks that nodes take.
 *
 * The cut depends on the arguments alone, so that all nodes compute the same one. Blocks change
 * neither chunks nor the tree over them.
 */
#include "pool/mpi/cut.h"

#include <errno.h>

#include "pool/control/division.h"
#include "shm/error.h"

#define ONE_NODE_BLOCKS 16

static int check(weir_range range, int64_t chunks, int64_t grain, int64_t block)
{
    if (range.end < range.begin)
        return weir__fail(-EINVAL, "the range [%lld, %lld) ends before it begins",
                          (long long)range.begin, (long long)range.end);
    if (chunks < 0 || grain < 0 || (chunks > 0 && grain > 0))
        return weir__fail(-EINVAL,
                          "chunks is %lld and grain %lld; neither may be negative, and one is 0",
                          (long long)chunks, (long long)grain);
    if (block < 0 || block > WEIR__CLUSTER_BLOCK_MAX || (block & (block - 1)) != 0)
        return weir__fail(-EINVAL, "block is %lld; it must be a power of two up to %d",
                          (long long)block, WEIR__CLUSTER_BLOCK_MAX);
    return 0;
}

static int64_t block_size(int64_t chunks, int64_t block, int nodes)
{
    if (block == 0)
        block = WEIR__CLUSTER_BLOCK;
    if (nodes == 1)
        while (block < WEIR__CLUSTER_BLOCK_MAX && block * ONE_NODE_BLOCKS < chunks)
            block *= 2;
    return block;
}

int weir__cut_init(struct weir__cut *cut, weir_range range, int64_t chunks, int64_t grain,
                   int64_t block, int nodes)
{
    const uint64_t length = (uint64_t)range.end - (uint64_t)range.begin;
    uint64_t count = chunks > 0 ? (uint64_t)chunks : WEIR__CLUSTER_CHUNKS;
    int64_t size;

    if (check(range, chunks, grain, block) < 0)
        return -EINVAL;
    if (grain > 0 && length > 0)
        count = (length - 1) / (uint64_t)grain + 1;
    if (count > length)
        count = length;
    size = block_size((int64_t)(count <= INT64_MAX / 2 ? count : INT64_MAX / 2), block, nodes);
    if (count > (uint64_t)size * (uint64_t)WEIR__CLUSTER_BLOCKS_MAX)
        return weir__fail(
            -E2BIG,
            "%llu chunks in blocks of %lld; there are at most %lld blocks: give a larger %s",
            (unsigned long long)count, (long long)size, (long long)WEIR__CLUSTER_BLOCKS_MAX,
            size < WEIR__CLUSTER_BLOCK_MAX ? "block" : "grain");
    *cut = (struct weir__cut){
        .range = range,
        .chunks = (int64_t)count,
        .blocks = ((int64_t)count + size - 1) / size,
        .block = size,
        .by_grain = grain,
    };
    if (count > 0) {
        cut->grain = weir__division_grain(range, (int64_t)count, grain);
        cut->longer = weir__division_longer(range, (int64_t)count, grain);
    }
    return 0;
}

int64_t weir__cut_first_of(const struct weir__cut *cut, int64_t block)
{
    return block * cut->block;
}

int64_t weir__cut_chunks_of(const struct weir__cut *cut, int64_t block)
{
    const int64_t left = cut->chunks - weir__cut_first_of(cut, block);

    return left < cut->block ? left : cut->block;
}

static weir_range chunk_of(const struct weir__cut *cut, int64_t chunk)
{
    return weir__division_chunk(cut->range, cut->grain, cut->longer, chunk);
}

weir_range weir__cut_items_of(const struct weir__cut *cut, int64_t block)
{
    const int64_t first = weir__cut_first_of(cut, block);
    const int64_t last = first + weir__cut_chunks_of(cut, block) - 1;

    return (weir_range){chunk_of(cut, first).begin, chunk_of(cut, last).end};
}

int64_t weir__cut_region(const struct weir__cut *cut, int node, int nodes)
{
    return cut->blocks * node / nodes;
}
