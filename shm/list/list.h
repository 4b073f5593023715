/* SPDX-License-Identifier: MIT
 *
 * list.h: the private handle behind weir_list, and how a list is made inside any block.
 */
#ifndef WEIR_SHM_LIST_LIST_H
#define WEIR_SHM_LIST_LIST_H

#include "shm/block/shared_memory.h"

/* A list is its block and where its parts lie; see shm/README.md for the layout. The pointers are
 * derived from N and offsets[N] once, when the handle is bound, and never read from the block
 * again. */
struct weir_list {
    struct weir_shm *shm;
    int64_t count;
    const int64_t *offsets; /* count + 1, in the block: checked at each use */
    unsigned char *data;
    size_t data_size; /* bytes of all slots; offsets in [0, data_size] */
    char *formats;    /* count * 8 */
    char *codes;      /* count */
};

/* How a list is made inside somebody else's block: size it, reserve, fill, bind.
 * weir__list_size: bytes for these values, or a negative error. */
int64_t weir__list_size(const weir_value *values, size_t count);
int64_t weir__list_range_size(int64_t start, int64_t stop, int64_t step);
/* Writes the whole layout into `buf` of exactly that size, all zero before. */
void weir__list_fill(void *buf, const weir_value *values, size_t count);
void weir__list_fill_range(void *buf, int64_t start, int64_t stop, int64_t step);
/* The list in a block, which it takes over, also when there is none (NULL) or it is no list. */
weir_list *weir__list_of(weir_shm *shm);
/* Checks the layout in shm's block and sets up the handle. -EBADMSG if it is not a list. */
int weir__list_bind(struct weir_list *list, struct weir_shm *shm);

#endif
