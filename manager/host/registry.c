/* SPDX-License-Identifier: MIT
 *
 * registry.c: which scopes are live in this process.
 *
 * Invariant. A pointer that is not on the list is never dereferenced, so a scope that has ended is
 * refused, not touched.
 *
 * Failure modes. None of its own: nothing here needs memory or asks the system. In a child that was
 * forked while another thread changed the list, the list is sound: each change is one store.
 */
#include "manager/host/registry.h"

#include <errno.h>
#include <stdlib.h>

#include "shm/error.h"

#define ENDED_MAX 64 /* handles */

/* State of the library in this process: which scopes are live. Ended ones are kept for a while, so
 * that their address is not that of a new scope at once. */
static struct {
    struct weir__private_lock lock;
    struct weir_scope *live;
    struct weir_scope *ended[ENDED_MAX];
    unsigned next_ended;
} registry;

void weir__scope_register(struct weir_scope *scope)
{
    weir__private_lock(&registry.lock);
    scope->next = registry.live;
    registry.live = scope;
    weir__private_unlock(&registry.lock);
}

bool weir__scope_unregister(const struct weir_scope *scope)
{
    struct weir_scope **link = &registry.live;
    bool found;

    weir__private_lock(&registry.lock);
    while (*link && *link != scope)
        link = &(*link)->next;
    found = *link != NULL;
    if (found)
        *link = (*link)->next;
    weir__private_unlock(&registry.lock);
    return found;
}

void weir__scope_free_later(struct weir_scope *scope)
{
    struct weir_scope *oldest;

    weir__private_lock(&registry.lock);
    oldest = registry.ended[registry.next_ended];
    registry.ended[registry.next_ended] = scope;
    registry.next_ended = (registry.next_ended + 1) % ENDED_MAX;
    weir__private_unlock(&registry.lock);
    free(oldest);
}

size_t weir__scope_count(void)
{
    const struct weir_scope *scope;
    size_t count = 0;

    weir__private_lock(&registry.lock);
    for (scope = registry.live; scope; scope = scope->next)
        count += !scope->connected;
    weir__private_unlock(&registry.lock);
    return count;
}

bool weir__scope_is_own(uint64_t id)
{
    const struct weir_scope *scope;

    weir__private_lock(&registry.lock);
    for (scope = registry.live; scope && (scope->id != id || scope->connected); scope = scope->next)
        ;
    weir__private_unlock(&registry.lock);
    return scope != NULL;
}

/* On the list, or NULL. */
static struct weir_scope *find_scope(const weir_scope *scope)
{
    struct weir_scope *live;

    weir__private_lock(&registry.lock);
    for (live = registry.live; live && live != scope; live = live->next)
        ;
    weir__private_unlock(&registry.lock);
    return live;
}

struct weir_scope *weir__scope_any(const weir_scope *scope)
{
    struct weir_scope *live = find_scope(scope);

    if (!scope)
        weir__fail(-EINVAL, "the scope is NULL");
    else if (!live)
        weir__fail(-EINVAL, "the scope has ended");
    return live;
}

struct weir_scope *weir__scope_live(const weir_scope *scope)
{
    struct weir_scope *live = weir__scope_any(scope);

    if (!live || !live->connected)
        return live;
    return weir__fail_null(-EINVAL, "only the processes of the scope itself can do this; this "
                                    "program has connected to it");
}

struct weir_scope *weir__scope_connected(const weir_scope *scope)
{
    struct weir_scope *live = find_scope(scope);

    return live && live->connected ? live : NULL;
}

struct weir_scope *weir__scope_of(const struct weir_shm *shm)
{
    struct weir_scope *live;

    weir__private_lock(&registry.lock);
    for (live = registry.live; live && !weir__space_has_handle(&live->space, shm);
         live = live->next)
        ;
    weir__private_unlock(&registry.lock);
    return live;
}
