/* SPDX-License-Identifier: MIT
 *
 * shared_memory.c: weir_shm, a block with its handle.
 *
 * A stand-alone block's handle is on the heap and closing it unmaps and frees. A scope's handle
 * belongs to the manager layer, which put its functions into `owner`; close and unlink are passed
 * on to them. The descriptor is closed as soon as the block has its name: the mapping is all that
 * is needed, and a process may hold any number of blocks without running out of descriptors.
 *
 * Failure modes are block.c's; besides, the handle cannot be allocated.
 */
#include "shm/block/shared_memory.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shm/block/block.h"
#include "shm/error.h"

/* A chosen name has 64 random bits, so even a second try hardly ever happens. */
#define NAME_TRIES 16

static weir_shm *new_shm_handle(void)
{
    weir_shm *shm = malloc(sizeof *shm);

    return shm != NULL ? shm : weir__fail_null(-ENOMEM, "no memory for the handle of a block");
}

static void set_shm_handle(weir_shm *shm, const struct weir__block *block)
{
    shm->buf = block->addr;
    shm->size = block->size;
    shm->ino = block->ino;
    shm->owner = NULL;
}

static int link_under_chosen_name(const struct weir__block *block, char *name, size_t size)
{
    int result = -EEXIST;

    for (int i = 0; i < NAME_TRIES && result == -EEXIST; i++) {
        snprintf(name, size, "weir_%016llx", (unsigned long long)weir__random64());
        result = weir__block_link(block, name);
    }
    return result;
}

weir_shm *weir__shm_create_filled(const char *name, size_t size, unsigned flags, weir__fill fill,
                                  const void *arg)
{
    struct weir__block block;
    weir_shm *shm;
    int result;

    if (name != NULL && weir__block_check_name(name) < 0)
        return NULL;
    shm = new_shm_handle();
    if (shm == NULL)
        return NULL;
    if (weir__block_reserve(&block, size, flags, NULL) < 0) {
        free(shm);
        return NULL;
    }
    if (fill != NULL && fill(block.addr, size, arg) < 0) {
        weir__block_discard(&block);
        free(shm);
        return NULL;
    }
    if (name == NULL) {
        result = link_under_chosen_name(&block, shm->name, sizeof shm->name);
    } else {
        strcpy(shm->name, name); /* its length has been checked */
        result = weir__block_link(&block, name);
    }
    if (result < 0) {
        weir__block_discard(&block);
        free(shm);
        return NULL;
    }
    weir__block_close_fd(&block);
    set_shm_handle(shm, &block);
    return shm;
}

weir_shm *weir_shm_create(const char *name, size_t size, unsigned flags)
{
    return weir__shm_create_filled(name, size, flags, NULL, NULL);
}

weir_shm *weir__shm_attach_inode(const char *name, uint64_t ino)
{
    struct weir__block block;
    weir_shm *shm;

    if (weir__block_check_name(name) < 0)
        return NULL;
    shm = new_shm_handle();
    if (shm == NULL)
        return NULL;
    if (weir__block_open(&block, name, ino, NULL) < 0) {
        free(shm);
        return NULL;
    }
    weir__block_close_fd(&block);
    strcpy(shm->name, name);
    set_shm_handle(shm, &block);
    return shm;
}

weir_shm *weir_shm_attach(const char *name)
{
    return weir__shm_attach_inode(name, 0);
}

static int shm_is_null(const weir_shm *shm)
{
    return shm == NULL ? weir__fail(-EINVAL, "the block is NULL") : 0;
}

void *weir_shm_buf(const weir_shm *shm)
{
    return shm_is_null(shm) ? NULL : shm->buf;
}

size_t weir_shm_size(const weir_shm *shm)
{
    return shm_is_null(shm) ? 0 : shm->size;
}

const char *weir_shm_name(const weir_shm *shm)
{
    return shm_is_null(shm) ? NULL : shm->name;
}

int weir_shm_path(const weir_shm *shm, char *path, size_t size, uint64_t *offset)
{
    struct stat status;

    if (shm_is_null(shm))
        return -EINVAL;
    if (path == NULL || offset == NULL)
        return weir__fail(-EINVAL, "there is no place for the path or the offset (NULL)");
    if (weir__shm_is_anonymous(shm))
        return shm->owner->path(shm, path, size, offset);
    if (snprintf(path, size, WEIR__SHM_DIR "/%s", shm->name) >=
        (int)(size < INT_MAX ? size : INT_MAX))
        return weir__fail(-ENAMETOOLONG, "the path of block \"%s\" has no room in %zu bytes",
                          shm->name, size);
    if (lstat(path, &status) < 0 || (uint64_t)status.st_ino != shm->ino)
        return weir__fail(-ENOENT, "block \"%s\" has lost its name", shm->name);
    *offset = 0;
    return 0;
}

void weir_shm_close(weir_shm *shm)
{
    if (shm == NULL)
        return;
    if (shm->owner != NULL) {
        shm->owner->close(shm);
        return;
    }
    weir__block_unmap(shm->buf, shm->size);
    free(shm);
}

int weir_shm_unlink(weir_shm *shm)
{
    int result;

    if (shm_is_null(shm))
        return -EINVAL;
    if (shm->owner != NULL)
        return shm->owner->unlink(shm);
    result = weir__block_unlink(shm->name, shm->ino);
    if (result == -ENOENT)
        weir__fail(-ENOENT, "block \"%s\" has been unlinked already", shm->name);
    return result;
}
