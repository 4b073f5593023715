/* SPDX-License-Identifier: MIT
 *
 * awaited.c: futures that a waiter has, until their ends are taken from it.
 *
 * Invariant: a future that is on a waiter's list has weir__awaited as its callback, and is on the
 * list of those that have ended if and only if it has. It has no other callback, and does not count
 * among the pool's callbacks: no loop is kept from ending for it.
 */
#include "pool/host/awaited.h"

#include <stdlib.h>

#include "pool/control/bell.h"
#include "pool/host/future_set.h"

void weir__awaited(weir_future *future, void *arg)
{
    (void)future;
    (void)arg;
}

static struct weir__awaited_list *list_of(const struct weir__awaited *awaited)
{
    return awaited->ended ? &awaited->waiter->ended : &awaited->waiter->open;
}

/* With set->lock. */
static void insert(struct weir__awaited *awaited, bool ended)
{
    awaited->ended = ended;
    WEIR__QUEUE_PUT(list_of(awaited), awaited, link);
    if (ended)
        /* seq_cst, before weir__awaited_end() looks who listens; pairs with waiter.c,
         * has_ended() */
        atomic_fetch_add(&awaited->waiter->ended_count, 1);
}

/* With set->lock. */
static void take_out(struct weir__awaited *awaited)
{
    WEIR__QUEUE_REMOVE(list_of(awaited), awaited, link);
    if (awaited->ended)
        atomic_fetch_sub(&awaited->waiter->ended_count, 1);
}

void weir__awaited_add(struct weir__awaited *awaited, bool ended)
{
    pthread_mutex_lock(&awaited->waiter->set->lock);
    insert(awaited, ended);
    pthread_mutex_unlock(&awaited->waiter->set->lock);
}

void weir__awaited_end(weir_pool *pool, weir_future *future)
{
    struct weir__awaited *awaited = future->callback_arg;

    pthread_mutex_lock(&future->set->lock);
    take_out(awaited);
    insert(awaited, true);
    pthread_mutex_unlock(&future->set->lock);
    /* seq_cst, after the count; pairs with waiter.c, mark_waiter(): the thread of the waiter may be
     * another one */
    if (atomic_load(&pool->control->listeners) > 0)
        weir__host_wake(pool->control);
}

void weir__awaited_remove(struct weir__awaited *awaited)
{
    struct weir__future_set *set = awaited->waiter->set;

    pthread_mutex_lock(&set->lock);
    take_out(awaited);
    pthread_mutex_unlock(&set->lock);
    awaited->future->callback = NULL;
    free(awaited);
}
