/* SPDX-License-Identifier: MIT
 *
 * future_set.c: what all futures of a pool share.
 *
 * Futures of calls lie in slabs, which are freed together: an array of them is on whole lines of
 * the cache, and a future that is used again is in the cache. Invariant: the set is there as long
 * as the pool is, or any future of it.
 */
#include "pool/host/future_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_FUTURES 32

static_assert(sizeof(weir_future) == 3 * WEIR__LINE, "no line has parts of two futures");

struct weir__future_slab {
    struct weir__future_slab *next;
    weir_future *futures;
};

struct weir__future_set *weir__future_set_new(weir_pool *pool)
{
    struct weir__future_set *set = calloc(1, sizeof(*set));

    if (set != NULL) {
        pthread_mutex_init(&set->lock, NULL);
        atomic_init(&set->pool, pool);
        set->mine = pool->mine;
    }
    return set;
}

static void free_set(struct weir__future_set *set)
{
    struct weir__future_slab *slab;

    while ((slab = set->slabs) != NULL) {
        set->slabs = slab->next;
        free(slab->futures);
        free(slab);
    }
    pthread_mutex_destroy(&set->lock);
    free(set);
}

/* Unlocks the set, and frees it if the pool is gone and its last future too. */
static inline __attribute__((always_inline)) void unlock_set(struct weir__future_set *set)
{
    const bool last = set->pool == NULL && set->count == 0;

    pthread_mutex_unlock(&set->lock);
    if (last)
        free_set(set);
}

void weir__future_set_hold(struct weir__future_set *set)
{
    pthread_mutex_lock(&set->lock);
    set->count++;
    pthread_mutex_unlock(&set->lock);
}

void weir__future_set_release(struct weir__future_set *set)
{
    pthread_mutex_lock(&set->lock);
    set->count--;
    unlock_set(set);
}

void weir__future_set_add(struct weir__future_set *set, weir_future *future)
{
    future->set = set;
    weir__future_set_hold(set);
}

void weir__future_set_remove(weir_future *future)
{
    weir__future_set_release(future->set);
}

/* With set->lock. */
static void grow_set(struct weir__future_set *set, const struct weir__future_kind *kind)
{
    struct weir__future_slab *slab = malloc(sizeof(*slab));
    const size_t size = SLAB_FUTURES * sizeof(weir_future);

    if (slab != NULL)
        slab->futures = aligned_alloc(WEIR__LINE, size);
    if (slab == NULL || slab->futures == NULL) {
        free(slab);
        return;
    }
    slab->next = set->slabs;
    set->slabs = slab;
    set->count += SLAB_FUTURES;
    memset(slab->futures, 0, size);
    for (int i = SLAB_FUTURES - 1; i >= 0; i--) {
        slab->futures[i].set = set;
        slab->futures[i].kind = kind;
        slab->futures[i].next = set->vacant;
        set->vacant = &slab->futures[i];
    }
}

weir_future *weir__future_set_take(struct weir__future_set *set,
                                   const struct weir__future_kind *kind)
{
    weir_future *future;

    pthread_mutex_lock(&set->lock);
    if (set->vacant == NULL)
        grow_set(set, kind);
    future = set->vacant;
    set->vacant = NULL;
    pthread_mutex_unlock(&set->lock);
    return future;
}

void weir__future_set_give(weir_future *future)
{
    struct weir__future_set *set = future->set;

    pthread_mutex_lock(&set->lock);
    future->next = set->vacant;
    set->vacant = future;
    if (set->pool == NULL)
        set->count--;
    unlock_set(set);
}

void weir__future_set_leave(struct weir__future_set *set, const weir_future *vacant)
{
    if (set == NULL)
        return;
    pthread_mutex_lock(&set->lock);
    for (; vacant != NULL; vacant = vacant->next)
        set->count--;
    for (vacant = set->vacant; vacant != NULL; vacant = vacant->next)
        set->count--;
    set->pool = NULL;
    unlock_set(set);
}
