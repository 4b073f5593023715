/* SPDX-License-Identifier: MIT
 *
 * object.h: what lists, arrays and dictionaries have in common.
 *
 * An object is a handle in private memory (or in a scope's table) that is bound to a block. Each
 * kind of object says how large its block is, how the block is filled, and how a handle is bound to
 * it; making and opening stand-alone objects is the same for all of them. The manager layer makes
 * objects in a scope's blocks from the same kinds.
 */
#ifndef WEIR_SHM_OBJECT_H
#define WEIR_SHM_OBJECT_H

#include "shm/block/shared_memory.h"

/* A `spec` is what an object is to be, in a struct of the kind's own. Every handle begins with the
 * pointer to its block. */
struct weir__object_kind {
    const char *name; /* in JSON and in a scope's records */
    const char *noun; /* in messages */
    size_t handle_size;
    /* The size of the block, and in *flags (0 before) what it is reserved with; or a negative
     * error. */
    int64_t (*size)(const void *spec, unsigned *flags);
    /* Writes the object into its new block. NULL: there is nothing to write. */
    weir__fill fill;
    /* Checks what the block holds, which any process may have written, and sets up the handle.
     * `spec` is what the block was made from, or what the caller says that it holds; NULL: the
     * block alone says it. */
    int (*bind)(void *handle, struct weir_shm *shm, const void *spec);
};

/* A block without anything in it; its handle is weir_shm itself. */
extern const struct weir__object_kind weir__block_kind;

/* Stand-alone objects. NULL with the last error set. */
void *weir__object_create(const struct weir__object_kind *kind, const char *name, const void *spec);
void *weir__object_attach(const struct weir__object_kind *kind, const char *name, const void *spec);
/* The object in a stand-alone block, which it takes over, also on failure and when it is NULL. */
void *weir__object_of(const struct weir__object_kind *kind, weir_shm *shm, const void *spec);

/* Closes an object; NULL: nothing. One of a scope has its handle in the scope's table, with which
 * it goes. */
void weir__object_close(void *handle);

/* Sets the last error: the handle is NULL. True. */
bool weir__object_fail_null(const struct weir__object_kind *kind) __attribute__((cold));

/* True, with the last error set, when there is no handle. */
static inline bool weir__object_is_null(const struct weir__object_kind *kind, const void *handle)
{
    return handle == NULL && weir__object_fail_null(kind);
}

/* The object's block; NULL, with the last error set, when there is no handle. */
static inline weir_shm *weir__object_shm(const struct weir__object_kind *kind, const void *handle)
{
    return weir__object_is_null(kind, handle) ? NULL : *(weir_shm *const *)handle;
}

#endif
