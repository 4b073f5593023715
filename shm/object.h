/* SPDX-License-Identifier: MIT
 *
 * object.h: the private handles behind weir_shm, weir_list, weir_array and weir_dict.
 *
 * A stand-alone object's handle is on the heap. A scope's handle lies in the scope's table, in
 * memory that all processes of the scope share at one address, so that the pointer itself can be
 * handed around; therefore a handle holds only pointers that mean the same in each of them: into
 * the block, into the table, or to constants of the library (all processes of a scope are forks of
 * one image).
 */
#ifndef WEIR_HANDLE_H
#define WEIR_HANDLE_H

#include <stdatomic.h>

#include "shm/block/block.h"

/* What differs when a block belongs to somebody: the manager layer's part of close and unlink; and
 * for one that never has a name, where its memory is: by a path, as weir_shm_path(), and by a
 * descriptor, which is lent, or -1. */
struct weir__shm_owner {
    void (*close)(struct weir_shm *shm);
    int (*unlink)(struct weir_shm *shm);
    int (*path)(const struct weir_shm *shm, char *path, size_t size, uint64_t *offset);
    int (*file)(const struct weir_shm *shm, uint64_t *offset);
};

struct weir_shm {
    void *buf;
    size_t size;
    uint64_t ino;
    const struct weir__shm_owner *owner; /* NULL: stand-alone, this handle is on the heap */
    char name[WEIR_SHM_NAME_MAX + 1];
};

/* True when the block never has a name. */
static inline bool weir__shm_is_anonymous(const struct weir_shm *shm)
{
    return shm->owner != NULL && shm->owner->path != NULL;
}

/* Makes a stand-alone block that `fill` (NULL: nothing) has written before it gets its name. `buf`
 * is `size` zero bytes. If it returns an error (set as the last one) no block is made. Otherwise as
 * weir_shm_create(). */
typedef int (*weir__fill)(void *buf, size_t size, const void *arg);
weir_shm *weir__shm_create_filled(const char *name, size_t size, unsigned flags, weir__fill fill,
                                  const void *arg);

/* The handle of a stand-alone object: `of` is what ("a list"), for the message when there is no
 * memory: then NULL. */
void *weir__handle_new(size_t size, const char *of);
/* What becomes of a handle and the block that it was bound to with this result: the handle; or
 * NULL, and both are given up. Either may be NULL, because it could not be made. */
void *weir__handle_settle(void *handle, struct weir_shm *shm, int result);
/* Closes an object. One of a scope has its handle in the scope's table, with which it goes. */
void weir__handle_close(void *handle, struct weir_shm *shm);

/* weir_shm_attach(); `ino` != 0: only if the name still is that inode (else ENOENT). */
weir_shm *weir__shm_attach(const char *name, uint64_t ino);

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

/* An array is its block and what its items are; settled when it is bound, see array.c. */
struct weir_array {
    struct weir_shm *shm;
    char *data;
    int64_t count;
    weir_dtype dtype;
    int32_t ndim;
    int64_t shape[WEIR_ARRAY_NDIM_MAX]; /* 0 beyond ndim */
};

/* A dictionary is its block and where its parts lie, derived from the block's size; see dict.h. */
struct weir__dict_header;
struct weir_dict {
    struct weir_shm *shm;
    struct weir__dict_header *header;
    _Atomic uint64_t *buckets;
    unsigned char *heap;
    uint64_t granules; /* that the heap can grow to */
    uint64_t seed[2];
    unsigned order_max;
};

#endif
