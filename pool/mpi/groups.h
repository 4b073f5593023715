/* SPDX-License-Identifier: MIT
 *
 * groups.h: which node has which keys.
 *
 * A key's hash group is the highest bits of its hash. The groups are cut into runs, one a node; how
 * many there are depends on the number of nodes alone.
 */
#ifndef WEIR_GROUPS_H
#define WEIR_GROUPS_H

#include "pool/map_reduce/pair_record.h"

#define WEIR__GROUPS_OF_NODE 32 /* as far as there are so many: work for a node's workers */

static inline unsigned weir__group_bits(int nodes)
{
    unsigned bits = WEIR__GROUP_BITS;

    while (bits < WEIR__GROUP_BITS_MAX && 1 << bits < nodes * WEIR__GROUPS_OF_NODE)
        bits++;
    return bits;
}

/* The first group of a node; of node `nodes`: the number of groups. */
static inline uint64_t weir__group_first(unsigned bits, int node, int nodes)
{
    return ((uint64_t)node << bits) / (uint64_t)nodes;
}

#endif
