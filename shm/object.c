/* SPDX-License-Identifier: MIT
 *
 * object.c: handles of lists, arrays and dictionaries: made, settled and closed.
 *
 * Failure modes: there is no memory for the handle.
 */
#include "shm/object.h"

#include <errno.h>
#include <stdlib.h>

#include "shm/error.h"

void *weir__handle_new(size_t size, const char *of)
{
    void *handle = malloc(size);

    if (handle == NULL)
        weir__fail(-ENOMEM, "no memory for the handle of %s", of);
    return handle;
}

void *weir__handle_settle(void *handle, struct weir_shm *shm, int result)
{
    if (handle != NULL && shm != NULL && result == 0)
        return handle;
    weir_shm_close(shm);
    free(handle);
    return NULL;
}

void weir__handle_close(void *handle, struct weir_shm *shm)
{
    bool stands_alone = shm->owner == NULL;

    weir_shm_close(shm);
    if (stands_alone)
        free(handle);
}
