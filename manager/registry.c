/* SPDX-License-Identifier: MIT
 *
 * registry.c: which scopes are live in this process.
 *
 * Invariant. A pointer that is not on the list is never looked into, so a scope that has ended is
 * refused, not touched.
 *
 * Failure modes. None of its own: nothing here needs memory or asks the system. In a child that was
 * forked while another thread was at the list, the list is sound: each change is one store.
 */
#include <errno.h>
#include <stdlib.h>

#include "manager/state.h"
#include "shm/error.h"

#define TOMBSTONES 64

/* State of the library in this process: which scopes are live. Ended ones are kept for a while, so
 * that their address is not that of a new scope at once. */
static struct {
    struct weir__private_lock lock;
    struct weir_manager *live;
    struct weir_manager *tombs[TOMBSTONES];
    unsigned next_tomb;
} registry;

void weir__manager_register(struct weir_manager *manager)
{
    weir__private_lock(&registry.lock);
    manager->next = registry.live;
    registry.live = manager;
    weir__private_unlock(&registry.lock);
}

bool weir__manager_unregister(const struct weir_manager *manager)
{
    struct weir_manager **link = &registry.live;
    bool found;

    weir__private_lock(&registry.lock);
    while (*link && *link != manager)
        link = &(*link)->next;
    found = *link != NULL;
    if (found)
        *link = (*link)->next;
    weir__private_unlock(&registry.lock);
    return found;
}

void weir__manager_bury(struct weir_manager *manager)
{
    struct weir_manager *oldest;

    weir__private_lock(&registry.lock);
    oldest = registry.tombs[registry.next_tomb];
    registry.tombs[registry.next_tomb] = manager;
    registry.next_tomb = (registry.next_tomb + 1) % TOMBSTONES;
    weir__private_unlock(&registry.lock);
    free(oldest);
}

bool weir__manager_is_own(uint64_t id)
{
    const struct weir_manager *manager;

    weir__private_lock(&registry.lock);
    for (manager = registry.live; manager && (manager->id != id || manager->connected);
         manager = manager->next)
        ;
    weir__private_unlock(&registry.lock);
    return manager != NULL;
}

/* On the list, or NULL. */
static struct weir_manager *find(const weir_manager *manager)
{
    struct weir_manager *live;

    weir__private_lock(&registry.lock);
    for (live = registry.live; live && live != manager; live = live->next)
        ;
    weir__private_unlock(&registry.lock);
    return live;
}

struct weir_manager *weir__manager_any(const weir_manager *manager)
{
    struct weir_manager *live = find(manager);

    if (!manager)
        weir__fail(-EINVAL, "the scope is NULL");
    else if (!live)
        weir__fail(-EINVAL, "the scope has ended");
    return live;
}

struct weir_manager *weir__manager_live(const weir_manager *manager)
{
    struct weir_manager *live = weir__manager_any(manager);

    if (!live || !live->connected)
        return live;
    weir__fail(-EINVAL, "this can only be done by the processes of the scope itself, not by one "
                        "that has connected to it");
    return NULL;
}

struct weir_manager *weir__manager_connected(const weir_manager *manager)
{
    struct weir_manager *live = find(manager);

    return live && live->connected ? live : NULL;
}

struct weir_manager *weir__manager_of(const struct weir_shm *shm)
{
    struct weir_manager *live;

    weir__private_lock(&registry.lock);
    for (live = registry.live; live && !weir__space_has_handle(&live->space, shm);
         live = live->next)
        ;
    weir__private_unlock(&registry.lock);
    return live;
}
