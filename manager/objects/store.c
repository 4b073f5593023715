/* SPDX-License-Identifier: MIT
 *
 * store.c: the memory of a scope whose blocks have no names.
 *
 * All of them lie in one memfd, the store, which every process of the scope has inherited; each at
 * the place that belongs to its entry's addresses.
 *
 * Invariants
 *  - Only the owner of an entry (BUSY or RETIRED) reserves or clears its place.
 *  - entry.maker is not 0 only while the entry is BUSY, and then it is the number of the process
 *    that made it so in this incarnation. That process holds the record lock of this number until
 *    it dies.
 *
 * Failure modes. A process killed while it makes an object leaves its place with memory in it,
 * which weir__store_reclaim() gives back when another process lacks memory. A process killed
 * there, or between taking an entry and writing its number into it, costs the entry. Everything
 * goes with the scope's last process.
 */
#include "manager/objects/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/host/registry.h"
#include "manager/scope_file/scope_file.h"
#include "manager/wire/protocol.h"
#include "shm/error.h"

/* Small blocks are compared with the limits of memory after so many bytes of them. */
#define COMPARE_FROM ((size_t)1 << 20)

/* This process's number. 0 when it cannot be locked: its death could not be found out then. */
static uint64_t own_maker(struct weir_scope *scope)
{
    uint64_t maker;

    weir__private_lock(&scope->space.lock);
    if (scope->maker_pid != getpid()) {
        /* relaxed: the number only has to be a new one each time. */
        scope->maker =
            1 + atomic_fetch_add_explicit(&scope->space.table->next_maker, 1, memory_order_relaxed);
        if (weir__scope_file_maker_begin(scope->file.fd, scope->maker))
            scope->maker = 0;
        scope->maker_pid = getpid();
    }
    maker = scope->maker;
    weir__private_unlock(&scope->space.lock);
    return maker;
}

/* Comparing a small block with the limits of memory costs more than making it. But a memfd has no
 * limit of its own as /dev/shm has, so many small blocks together are compared. */
static unsigned compare_flag(struct weir__space *space, size_t size)
{
    /* relaxed: it only decides how often limits are compared. */
    size_t before = atomic_fetch_add_explicit(&space->uncompared, size, memory_order_relaxed);

    if (before < COMPARE_FROM && size < COMPARE_FROM - before)
        return 0;
    atomic_store_explicit(&space->uncompared, 0, memory_order_relaxed);
    return WEIR__SHM_COMPARE;
}

int weir__store_reserve(struct weir_scope *scope, struct weir__entry *entry, size_t size,
                        unsigned flags, struct weir__block *block)
{
    struct weir__space *space = &scope->space;
    uint64_t offset = weir__space_offset(space, entry->address);
    int error;

    if (!weir__descriptor_is_own(&space->store))
        return weir__fail(-EBADF, "the program has closed descriptor %d, the scope's memory",
                          space->store.fd);
    /* relaxed: it publishes nothing. A process that reads 0 instead leaves the entry alone. */
    atomic_store_explicit(&entry->maker, own_maker(scope), memory_order_relaxed);
    if (!(flags & WEIR_SHM_LAZY))
        flags |= compare_flag(space, size);
    error = weir__block_carve(block, space->store.fd, offset, size, flags,
                              (void *)(uintptr_t)entry->address);
    block->ino = space->store.inode;
    return error;
}

bool weir__store_reclaim(struct weir_scope *scope)
{
    const uint64_t own = own_maker(scope);
    struct weir__entry *entry;
    uint64_t word, maker;
    bool found = false;
    size_t index = 0;

    while ((entry = weir__space_next_busy(&scope->space, &index, &word, &maker))) {
        if (maker == own || !weir__scope_file_maker_is_dead(scope->file.fd, maker) ||
            !weir__space_seize(entry, word))
            continue;
        /* Killed here: the entry is lost, and its memory until the scope's end. */
        weir__scope_file_blank(scope->file.fd, weir__space_index(&scope->space, entry));
        weir__space_give(&scope->space, entry);
        found = true;
    }
    return found;
}

/* By the manager's descriptor: its number never means anything else, so a path that leads to this
 * file is right, and one that does not is of a manager that is gone. */
int weir__store_path(const struct weir_shm *shm, char *path, size_t size, uint64_t *offset)
{
    const struct weir_scope *scope = weir__scope_of(shm);
    struct stat there;

    if (!scope)
        return weir__fail(-EINVAL, "the object's scope has ended");
    if (snprintf(path, size, "/proc/%d/fd/%d", (int)scope->channel.manager_pid,
                 WEIR__MANAGER_STORE) >= (int)(size < INT_MAX ? size : INT_MAX))
        return weir__fail(-ENAMETOOLONG, "the path of %s does not fit into %zu bytes", shm->name,
                          size);
    if (stat(path, &there) < 0 || scope->space.store.inode != there.st_ino ||
        scope->space.store.device != there.st_dev)
        return weir__fail(-ESTALE,
                          "the manager (process %d), which holds the memory of %s for others, is "
                          "gone",
                          (int)scope->channel.manager_pid, shm->name);
    *offset = weir__space_offset(&scope->space, (uint64_t)(uintptr_t)shm->buf);
    return 0;
}

int weir__store_file(const struct weir_shm *shm, uint64_t *offset)
{
    const struct weir_scope *scope = weir__scope_of(shm);

    if (!scope)
        return -1;
    *offset = weir__space_offset(&scope->space, (uint64_t)(uintptr_t)shm->buf);
    return weir__descriptor_fd(&scope->space.store);
}
