/* SPDX-License-Identifier: MIT
 *
 * object.c: making, opening and closing a list, an array or a dictionary.
 *
 * Invariants. A block is filled before it has a name, and a handle is given to the caller only when
 * it is bound.
 *
 * Failure modes: those of blocks and of the kind's own functions; besides, there is no memory for
 * the handle. In each case handle and block are given up together.
 */
#include "shm/object.h"

#include <errno.h>
#include <stdlib.h>

#include "shm/block/block.h"
#include "shm/error.h"

const struct weir__object_kind weir__block_kind = {.name = "shm", .noun = "block"};

static void *new_object(const struct weir__object_kind *kind)
{
    void *handle = malloc(kind->handle_size);

    return handle != NULL
               ? handle
               : weir__fail_null(-ENOMEM, "no memory for the handle of the %s", kind->noun);
}

/* Takes both over; either may be NULL, because it could not be made. */
static void *bind_object(const struct weir__object_kind *kind, void *handle, weir_shm *shm,
                         const void *spec)
{
    if (handle != NULL && shm != NULL && kind->bind(handle, shm, spec) == 0)
        return handle;
    weir_shm_close(shm);
    free(handle);
    return NULL;
}

void *weir__object_create(const struct weir__object_kind *kind, const char *name, const void *spec)
{
    unsigned flags = 0;
    int64_t size = kind->size(spec, &flags);
    void *handle = size < 0 ? NULL : new_object(kind);

    if (handle == NULL)
        return NULL;
    return bind_object(kind, handle,
                       weir__shm_create_filled(name, (size_t)size, flags, kind->fill, spec), spec);
}

void *weir__object_attach(const struct weir__object_kind *kind, const char *name, const void *spec)
{
    void *handle = weir__block_check_name(name) < 0 ? NULL : new_object(kind);

    return handle == NULL ? NULL : bind_object(kind, handle, weir_shm_attach(name), spec);
}

void *weir__object_of(const struct weir__object_kind *kind, weir_shm *shm, const void *spec)
{
    return bind_object(kind, shm == NULL ? NULL : new_object(kind), shm, spec);
}

void weir__object_close(void *handle)
{
    weir_shm *shm = handle == NULL ? NULL : *(weir_shm *const *)handle;
    bool stands_alone = shm != NULL && shm->owner == NULL;

    weir_shm_close(shm);
    if (stands_alone)
        free(handle);
}

bool weir__object_fail_null(const struct weir__object_kind *kind)
{
    weir__fail(-EINVAL, "the %s is NULL", kind->noun);
    return true;
}
