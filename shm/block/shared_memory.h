/* SPDX-License-Identifier: MIT
 *
 * shared_memory.h: the private handle behind weir_shm, and a block that is filled before its name.
 *
 * A stand-alone block's handle is on the heap. A scope's handle lies in the scope's table, in
 * memory that all processes of the scope share at one address, so that the pointer itself can be
 * handed around; therefore a handle holds only pointers that mean the same in each of them: into
 * the block, into the table, or to constants of the library (all processes of a scope are forks of
 * one image).
 */
#ifndef WEIR_SHM_BLOCK_SHARED_MEMORY_H
#define WEIR_SHM_BLOCK_SHARED_MEMORY_H

#include <errno.h>

#include "weir-shm.h"

/* The manager layer's part of close and unlink, where a block belongs to a scope. For a block that
 * never has a name it also says where the memory is: by a path, as weir_shm_path(), and by a
 * descriptor, which is lent, or -1. */
struct weir__shm_owner {
    void (*close)(struct weir_shm *shm);
    int (*unlink)(struct weir_shm *shm);
    int (*path)(const struct weir_shm *shm, char *path, size_t size, uint64_t *offset);
    int (*file)(const struct weir_shm *shm, uint64_t *offset);
    /* Memory is lacking: whether others have given some back. Called without any lock. */
    bool (*make_room)(struct weir_shm *shm);
};

struct weir_shm {
    void *buf;
    size_t size;
    uint64_t ino;
    const struct weir__shm_owner *owner; /* NULL: stand-alone, this handle is on the heap */
    char name[WEIR_SHM_NAME_MAX + 1];
};

/* What is done is done again if this is true: `result` says that memory is lacking, and others have
 * given some back. */
static inline bool weir__shm_has_room_now(struct weir_shm *shm, int result)
{
    return (result == -ENOSPC || result == -ENOMEM) && shm->owner != NULL &&
           shm->owner->make_room != NULL && shm->owner->make_room(shm);
}

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

/* weir_shm_attach(); `ino` != 0: only if the name still is that inode (else ENOENT). */
weir_shm *weir__shm_attach_inode(const char *name, uint64_t ino);

#endif
