/* SPDX-License-Identifier: MIT
 *
 * share.h: which node does which block; node 0 alone has it.
 *
 * Each node has a region of blocks and takes from its front. A node that is through with its own
 * takes from the back of the region with most left. What is taken at a time tapers: an eighth of
 * what the region has left, no more than an eighth of a fair part of all that is left, at least one
 * block. (Without the second bound a run of expensive blocks that a node has stolen keeps all
 * others waiting at the end.)
 */
#ifndef WEIR_SHARE_H
#define WEIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/mpi/cut.h"

struct weir__run {
    int64_t first, count; /* blocks; count 0: none */
};

struct weir__share {
    int nodes;
    bool stay;
    int64_t left;             /* blocks in all regions */
    struct weir__run *region; /* what each has left */
    uint16_t *owner;          /* who got each block; `stay` too */
};

/* 0, or -ENOMEM; after a failure too weir__share_free() is allowed. */
int weir__share_init(struct weir__share *share, const struct weir__cut *cut, int nodes, bool stay);
void weir__share_free(struct weir__share *share);

/* What the node gets now; with `stay`, all of its region at once. */
struct weir__run weir__share_take(struct weir__share *share, int node);

#endif
