/* SPDX-License-Identifier: MIT
 *
 * registry.h: which scopes are live in this process.
 */
#ifndef WEIR_MANAGER_HOST_REGISTRY_H
#define WEIR_MANAGER_HOST_REGISTRY_H

#include "manager/host/state.h"

/* The scope if it is live in this process; NULL with -EINVAL as last error otherwise. `scope` is
 * only compared, not looked into. */
struct weir_scope *weir__scope_live(const weir_scope *scope);
/* The same for a scope that was connected to; NULL, silently, for anything else. */
struct weir_scope *weir__scope_connected(const weir_scope *scope);
/* Either, or NULL with -EINVAL as last error. */
struct weir_scope *weir__scope_any(const weir_scope *scope);
/* The live scope that this handle belongs to, or NULL. */
struct weir_scope *weir__scope_of(const struct weir_shm *shm);
/* How many scopes that have addresses are live here. */
size_t weir__scope_count(void);
/* Whether a scope of this id is live here, which then is not swept. */
bool weir__scope_is_own(uint64_t id);

void weir__scope_register(struct weir_scope *scope);
/* True for the one caller that takes it off. */
bool weir__scope_unregister(const struct weir_scope *scope);
/* Frees a handle that is not registered (any more), but not at once. */
void weir__scope_free_later(struct weir_scope *scope);

#endif
