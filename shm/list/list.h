/* SPDX-License-Identifier: MIT
 *
 * list.h: the private handle behind weir_list, and lists as a kind of object.
 */
#ifndef WEIR_SHM_LIST_LIST_H
#define WEIR_SHM_LIST_LIST_H

#include "shm/object.h"

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

/* What a list is made of. */
struct weir__list_spec {
    const weir_value *values;
    size_t count;
    const struct weir__list_range *range; /* not NULL: its ints, instead of the values */
};

/* Python's range(start, stop, step). */
struct weir__list_range {
    int64_t start, stop, step;
};

extern const struct weir__object_kind weir__list_kind;

#endif
