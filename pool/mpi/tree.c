/* SPDX-License-Identifier: MIT
 *
 * tree.c: the accumulators that a node has of a reduction.
 *
 * Which accumulators are combined, and which of two is the left one, depends on the blocks alone,
 * so the bits of the result do not depend on where and when it is done.
 */
#include "pool/mpi/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A word behind an accumulator; combine writes to it before it reaches anything else. */
#define FENCE UINT64_C(0x5eed0fa11ed5eed1)

void weir__tree_init(struct weir__tree *tree, int64_t blocks, size_t size)
{
    *tree = (struct weir__tree){.blocks = blocks, .size = size};
}

void weir__tree_free(struct weir__tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        free(tree->subtrees[i].accumulator);
    free(tree->subtrees);
    *tree = (struct weir__tree){0};
}

unsigned char *weir__tree_alloc(const struct weir__tree *tree)
{
    const uint64_t fence = FENCE;
    unsigned char *memory = malloc(tree->size + sizeof fence);

    if (memory != NULL)
        memcpy(memory + tree->size, &fence, sizeof fence);
    return memory;
}

static bool fence_holds(const struct weir__tree *tree, const unsigned char *accumulator)
{
    uint64_t fence;

    memcpy(&fence, accumulator + tree->size, sizeof fence);
    return fence == FENCE;
}

static int64_t end_of(const struct weir__tree *tree, int level, int64_t first)
{
    const int64_t end = first + (INT64_C(1) << level);

    return end < tree->blocks ? end : tree->blocks;
}

static int64_t end_of_subtree(const struct weir__tree *tree, const struct weir__subtree *subtree)
{
    return end_of(tree, subtree->level, subtree->first);
}

/* The place of the first subtree that does not begin before `first`. */
static size_t place_of(const struct weir__tree *tree, int64_t first)
{
    size_t low = 0, high = tree->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (tree->subtrees[middle].first < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_possible(const struct weir__tree *tree, int level, int64_t first)
{
    return level >= 0 && level < 32 && first >= 0 && first < tree->blocks &&
           (first & ((INT64_C(1) << level) - 1)) == 0;
}

static int insert(struct weir__tree *tree, size_t place, struct weir__subtree subtree)
{
    if (place < tree->count && tree->subtrees[place].first < end_of_subtree(tree, &subtree))
        return -EBADMSG;
    if (place > 0 && end_of_subtree(tree, &tree->subtrees[place - 1]) > subtree.first)
        return -EBADMSG;
    if (tree->count == tree->room) {
        const size_t room = tree->room > 0 ? 2 * tree->room : 16;
        void *more = realloc(tree->subtrees, room * sizeof *tree->subtrees);

        if (more == NULL)
            return -ENOMEM;
        tree->subtrees = more;
        tree->room = room;
    }
    memmove(&tree->subtrees[place + 1], &tree->subtrees[place],
            (tree->count - place) * sizeof *tree->subtrees);
    tree->subtrees[place] = subtree;
    tree->count++;
    return 0;
}

unsigned char *weir__tree_take(struct weir__tree *tree, size_t index)
{
    unsigned char *accumulator = tree->subtrees[index].accumulator;

    tree->count--;
    memmove(&tree->subtrees[index], &tree->subtrees[index + 1],
            (tree->count - index) * sizeof *tree->subtrees);
    return accumulator;
}

bool weir__tree_is_root(const struct weir__tree *tree, const struct weir__subtree *subtree)
{
    return subtree->first == 0 && end_of_subtree(tree, subtree) == tree->blocks;
}

int64_t weir__tree_parent(const struct weir__subtree *subtree)
{
    return subtree->first & ~(INT64_C(1) << subtree->level);
}

static bool is_left(const struct weir__subtree *subtree)
{
    return weir__tree_parent(subtree) == subtree->first;
}

/* A subtree without a right sibling is its own parent. */
static void rise(const struct weir__tree *tree, struct weir__subtree *subtree)
{
    while (!weir__tree_is_root(tree, subtree) && is_left(subtree) &&
           end_of_subtree(tree, subtree) == tree->blocks)
        subtree->level++;
}

/* Combines the subtree at `left` with the one behind it, if that is its sibling. 1: done. */
static int join(struct weir__tree *tree, size_t left)
{
    struct weir__subtree *into = &tree->subtrees[left], *from = into + 1;

    if (left + 1 >= tree->count || !is_left(into) || from->level != into->level ||
        from->first != end_of_subtree(tree, into))
        return 0;
    tree->combine(into->accumulator, from->accumulator, tree->arg);
    if (!fence_holds(tree, into->accumulator))
        return -EINVAL;
    into->level++;
    free(weir__tree_take(tree, left + 1));
    rise(tree, into);
    return 1;
}

int weir__tree_add(struct weir__tree *tree, int level, int64_t first, unsigned char *accumulator)
{
    struct weir__subtree subtree = {first, level, accumulator};
    size_t place;
    int result = -EBADMSG;

    if (is_possible(tree, level, first)) {
        rise(tree, &subtree);
        place = place_of(tree, first);
        result = insert(tree, place, subtree);
    }
    if (result < 0) {
        free(accumulator);
        return result;
    }
    for (;;) {
        result = join(tree, place);
        if (result == 0 && place > 0 && (result = join(tree, place - 1)) == 1)
            place--;
        if (result <= 0)
            return result;
    }
}
