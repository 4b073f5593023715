/* SPDX-License-Identifier: MIT
 *
 * internal.h: what the pool layer uses of a scope.
 */
#ifndef WEIR_MANAGER_INTERNAL_H
#define WEIR_MANAGER_INTERNAL_H

#include <stdatomic.h>
#include <weir-manager.h>

/* Called by weir_end() in the process that began the scope, newest first, before anything is
 * unlinked. The link lies in the pool's or process's own private memory. */
struct weir__on_end {
    void (*stop)(struct weir__on_end *self);
    struct weir__on_end *next, **link;
};
void weir__manager_on_end_add(weir_manager *manager, struct weir__on_end *on_end);
/* No effect when it is not on the list (any more). */
void weir__manager_on_end_remove(weir_manager *manager, struct weir__on_end *on_end);

/* 0, or with a message: -EINVAL when the scope is NULL or has ended, -EDEADLK when (for `what`: "a
 * pool", ...) this process did not begin it. */
int weir__manager_check_owner(const weir_manager *manager, const char *what);

/* Returns a descriptor that is not one of the three standard streams: fd itself, or a duplicate
 * with fd closed. In a program that has closed its stdout, what is printed must not reach weir's
 * descriptors. -1 (errno is set, fd is closed) when fd is negative or there is none left. */
int weir__above_streams(int fd);

/* Around a fork() of this process: holds the scope's lock so that the child's copy is whole.
 * after_fork_child() must be the child's first use of the scope: it becomes a member process
 * (may make and map objects, never ends the scope) and closes the child's copy of the connection to
 * the manager; it keeps the descriptor that holds the scope's lock. */
void weir__manager_before_fork(weir_manager *manager);
void weir__manager_after_fork_parent(weir_manager *manager);
void weir__manager_after_fork_child(weir_manager *manager);

/* Bumped (release) whenever an object of the scope was made or given back. A process that reads
 * (acquire) another number than it saw at its last sync calls weir_manager_sync(). Lies in memory
 * shared by all processes of the scope. */
const _Atomic uint64_t *weir__manager_generation(const weir_manager *manager);

/* The generation that this process has mapped. */
uint64_t weir__manager_synced(const weir_manager *manager);

/* True when all of [address, address + size) lies in the scope's address space, which every process
 * of the scope shares. */
bool weir__manager_has_address(const weir_manager *manager, const void *address, size_t size);

/* For the supervisor, whose host is gone: waits a little for the manager to clean up the scope, and
 * does it itself if the manager is dead or slow. Safe to call when all is clean already. */
void weir__manager_clean_after_host(weir_manager *manager);

/* A pidfd of the process that began the scope, valid in every process of the scope. */
int weir__manager_host_pidfd(const weir_manager *manager);

#endif
