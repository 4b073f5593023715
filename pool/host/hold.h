/* SPDX-License-Identifier: MIT
 *
 * hold.h: keeping a pool from going while a call is in it.
 *
 * Each call holds the pool before it touches what goes with the pool (the control block, the
 * descriptors, the records of jobs), and lets go of it after that; the end of a pool waits until no
 * thread holds it. What a thread may touch without holding it: the number (mine.h), the lock and
 * what it guards, until another 64 pools have ended.
 */
#ifndef WEIR_HOLD_H
#define WEIR_HOLD_H

#include "pool/host/state.h"

/* 0, or a negative error with the last error set: NULL, not this process's, or it has ended. */
int weir__check_pool(const weir_pool *pool);

/* With pool->lock. Holds the pool for a call that begins now. -ECANCELED: it is about to end. */
int weir__pool_enter_locked(weir_pool *pool);

/* weir__check_pool(), and holds the pool, which may be about to end, but goes on until then. */
int weir__pool_enter(weir_pool *pool);

/* The same for a call on a future. False: the pool has ended, and with it the future. */
bool weir__pool_hold(weir_pool *pool);

void weir__pool_leave(weir_pool *pool);
/* With pool->lock. */
void weir__pool_leave_locked(weir_pool *pool);

/* With pool->lock: waits until another thread changes something, at most 50 ms. No cancellation
 * point, which would leave the lock taken. */
void weir__pool_sleep(weir_pool *pool, pthread_cond_t *changed);

/* A cleanup of a pool that a call holds, where the call runs functions of the program: lets go of
 * *held. NULL: it is not held. */
void weir__pool_let_go(weir_pool *const *held);

/* Holds the pool for an instant: signal-safe. False: it has ended. */
static inline bool weir__pool_touch(weir_pool *pool)
{
    /* seq_cst, then look; pairs with hold.c, weir__pool_wait_untouched() */
    atomic_fetch_add(&pool->touching, 1);
    if (!atomic_load(&pool->ended))
        return true;
    atomic_fetch_sub(&pool->touching, 1);
    return false;
}

static inline void weir__pool_untouch(weir_pool *pool)
{
    atomic_fetch_sub(&pool->touching, 1);
}

/* Begins the pool's end: no further call begins. False: another call has begun it; that has ended
 * it when this returns, unless it is one of this thread, around this one. */
bool weir__pool_begin_end(weir_pool *pool);

/* A cleanup of *ending, of which weir__pool_begin_end() was true: a function of the program has
 * left the end, which may be begun again. NULL: it has ended. */
void weir__pool_end_left(weir_pool *const *ending);

/* With pool->lock, and no thread that holds the pool. From here on no thread does, ... */
void weir__pool_ended(weir_pool *pool);
/* ... but for an instant, until this returns. Without the lock. */
void weir__pool_wait_untouched(const weir_pool *pool);

/* Keeps the record of a pool that has ended for a while, so that a call that comes too late finds
 * that it has. */
void weir__pool_bury(weir_pool *pool);

#endif
