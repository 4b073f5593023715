/* SPDX-License-Identifier: MIT
 *
 * internal.h: what the pool layer uses of a scope.
 */
#ifndef WEIR_MANAGER_INTERNAL_H
#define WEIR_MANAGER_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <weir-scope.h>

#include "manager/space/descriptor.h"
#include "manager/space/unmapped.h"

/* Called by weir_scope_end() in the process that began the scope, newest first, before anything is
 * unlinked. The link lies in the pool's or process's own private memory. */
struct weir__on_end {
    void (*stop)(struct weir__on_end *self);
    /* When memory is short; both or neither. `hold` is called with the scope's lock, takes none and
     * does not block: whether `give_back` may be called, without the lock, soon after that. That
     * gives back what it can, and returns whether there was anything. */
    bool (*hold)(struct weir__on_end *self);
    bool (*give_back)(struct weir__on_end *self);
    struct weir__on_end *next, **link;
};
void weir__scope_on_end_add(weir_scope *scope, struct weir__on_end *on_end);
/* No effect when it is not on the list (any more). */
void weir__scope_on_end_remove(weir_scope *scope, struct weir__on_end *on_end);

/* Memory for an object is short: has what is on the list give back what it can. False: there was
 * nothing. The last error may be another one after it. */
bool weir__scope_give_back(weir_scope *scope);

/* The scope's number, which no other scope has; and whether a scope with it is live here. For what
 * outlives the scope: another scope may have the same address by then. */
uint64_t weir__scope_id(const weir_scope *scope);
bool weir__scope_lives(uint64_t id);

/* 0, or with a message: -EINVAL when the scope is NULL or has ended, -EDEADLK when (for `what`: "a
 * pool", ...) this process did not begin it, -EBADF when it has closed what the new process
 * needs. */
int weir__scope_check_owner(const weir_scope *scope, const char *what);

/* Around a fork() of this process: holds the scope's lock so that the child's copy is whole.
 * after_fork_child() must be the child's first use of the scope: it becomes a member process
 * (may make and map objects, never ends the scope) and closes the child's copy of the connection to
 * the manager; it keeps the descriptor that holds the scope's lock. */
void weir__scope_before_fork(weir_scope *scope);
void weir__scope_after_fork_parent(weir_scope *scope);
void weir__scope_after_fork_child(weir_scope *scope);

/* Bumped (release) whenever an object of the scope was made or given back. A process that reads
 * (acquire) another number than it saw at its last sync calls weir_scope_sync(). Lies in memory
 * shared by all processes of the scope. */
const _Atomic uint64_t *weir__scope_generation(const weir_scope *scope);

/* The generation that this process has mapped, but for objects that it cannot map. */
uint64_t weir__scope_synced(const weir_scope *scope);

/* weir_scope_sync() of a live scope; *first: the object that its error is about. */
int weir__scope_sync(weir_scope *scope, struct weir__unmapped *first);

/* How often this process has found that an object could not be mapped, though no process of the
 * scope has unlinked it. Changes with weir_scope_sync(), in any thread. */
const _Atomic uint32_t *weir__scope_found_missing(const weir_scope *scope);

/* 0 when the block of the scope is mapped in this process, if need be by this call; or why it
 * cannot be, with a message that begins with `what`. */
WEIR_API int weir__scope_require(weir_scope *scope, const weir_shm *block, const char *what);

/* Writes the object's name and why it was not mapped. Allocates nothing. */
void weir__scope_describe(const weir_scope *scope, struct weir__unmapped unmapped, char *text,
                          size_t size);

/* Makes a block for weir itself, in memory that needs no name: every process of the scope can map
 * it, whatever becomes of names and users. `flags`: 0 or WEIR_SHM_LAZY. Otherwise, and in its
 * errors, as weir_scope_shm(). */
WEIR_MUST_CHECK weir_shm *weir__scope_block(weir_scope *scope, size_t size, unsigned flags);

/* Unlinks and closes an object that nobody is to use any more, so that a kill in between leaves
 * none that a sync would miss. What is no object of a live scope is left alone. */
void weir__scope_discard(weir_shm *shm);

/* True when all of [address, address + size) lies in the scope's address space, which every process
 * of the scope shares. */
bool weir__scope_has_address(const weir_scope *scope, const void *address, size_t size);

/* For the supervisor, whose host is gone: waits a little for the manager to clean up the scope, and
 * does it itself if the manager is dead or slow. Safe to call when all is clean already. */
void weir__scope_clean_after_host(weir_scope *scope);

/* A descriptor of the scope's, a pool's, a process's (`what`) was closed by the program: its number
 * `fd` was left alone. weir_scope_end() says so. */
void weir__scope_note_lost(weir_scope *scope, const char *what, int fd);
/* Closes it; if the program has closed it, notes that. */
void weir__scope_close_own(weir_scope *scope, struct weir__descriptor *own, const char *what);

/* The lowest number from `from` on that is a descriptor of the scope's; INT_MAX: there is none. For
 * a child that closes all others. */
int weir__scope_next_descriptor(const weir_scope *scope, int from);

/* A pidfd of the process that began the scope, valid in every process of the scope. */
int weir__scope_host_pidfd(const weir_scope *scope);

#endif
