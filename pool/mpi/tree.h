/* SPDX-License-Identifier: MIT
 *
 * tree.h: the accumulators that a node has of a reduction.
 *
 * The tree over the blocks of a range is the pool's over its chunks, from the level of a block
 * upwards: a parent (level + 1, i) is combined of its children (level, 2 i) and (level, 2 i + 1),
 * or is its left child if there is no right one. A *subtree* is a node of this tree with its
 * accumulator, named by level and first block. A node combines all siblings that it has; which
 * subtrees are to be sent where is known when the owner of each block is: a parent is made where
 * its left child is, so each subtree is where its first block was run.
 */
#ifndef WEIR_TREE_H
#define WEIR_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir__subtree {
    int64_t first; /* block; a multiple of 2^level */
    int level;
    unsigned char *accumulator; /* the tree's, until it is taken */
};

struct weir__tree {
    int64_t blocks;
    size_t size; /* of an accumulator */
    void (*combine)(void *into, const void *from, void *arg);
    void *arg;
    struct weir__subtree *subtrees; /* sorted by `first`; no two have a block in common */
    size_t count, room;
};

void weir__tree_init(struct weir__tree *tree, int64_t blocks, size_t size);
void weir__tree_free(struct weir__tree *tree);

/* Memory for an accumulator, aligned for any type; NULL: there is none. */
unsigned char *weir__tree_alloc(const struct weir__tree *tree);

/* Adds a subtree and combines what it completes. The accumulator is the tree's from now on, also
 * after a failure: -ENOMEM; -EBADMSG: no such subtree, or its blocks are there already; -EINVAL:
 * combine wrote past an accumulator. */
int weir__tree_add(struct weir__tree *tree, int level, int64_t first, unsigned char *accumulator);

/* True if it is the whole range's. */
bool weir__tree_is_root(const struct weir__tree *tree, const struct weir__subtree *subtree);

/* The first block of the subtree that this one is combined into: its own, if it is a left child. */
int64_t weir__tree_parent(const struct weir__subtree *subtree);

/* Takes a subtree out: the accumulator is the caller's to free. */
unsigned char *weir__tree_take(struct weir__tree *tree, size_t index);

#endif
