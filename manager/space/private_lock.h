/* SPDX-License-Identifier: MIT
 *
 * private_lock.h: a lock among the threads of one process that survives the program's own fork().
 *
 * It holds the process id of its holder. A child that was forked while another thread held the lock
 * finds its parent's id in its copy: that thread does not exist here, so the lock is free. The data
 * that the lock guards must therefore be sound after a holder vanished between any two stores.
 */
#ifndef WEIR_MANAGER_SPACE_PRIVATE_LOCK_H
#define WEIR_MANAGER_SPACE_PRIVATE_LOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct weir__private_lock {
    _Atomic pid_t holder; /* 0: free */
};

static inline void weir__private_lock(struct weir__private_lock *lock)
{
    const pid_t self = getpid();

    for (unsigned tries = 0;; tries++) {
        pid_t holder = 0;

        /* acquire: pairs with private_lock.h, weir__private_unlock. */
        if (atomic_compare_exchange_strong_explicit(&lock->holder, &holder, self,
                                                    memory_order_acquire, memory_order_relaxed))
            return;
        if (holder != self &&
            atomic_compare_exchange_strong_explicit(&lock->holder, &holder, self,
                                                    memory_order_acquire, memory_order_relaxed))
            return;
        if (tries < 100)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
}

static inline void weir__private_unlock(struct weir__private_lock *lock)
{
    /* release: pairs with private_lock.h, weir__private_lock. */
    atomic_store_explicit(&lock->holder, 0, memory_order_release);
}

#endif
