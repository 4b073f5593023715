/* SPDX-License-Identifier: MIT
 *
 * mine.h: whether this process has made an object, or is a copy of the process that has.
 */
#ifndef WEIR_MINE_H
#define WEIR_MINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* This process's number: another one than that of any process that it was forked from. An object
 * keeps it, so that the process that made it is known. 0: there is no memory. */
uint32_t weir__mine(void);

/* The number's place; NULL until this process, or one that it was forked from, has asked for it. */
extern _Atomic uint32_t *_Atomic weir__mine_place;

/* Whether an object that keeps this number was made by this process. Signal-safe; takes no lock. */
static inline bool weir__is_mine(uint32_t number)
{
    const _Atomic uint32_t *place = atomic_load_explicit(&weir__mine_place, memory_order_relaxed);

    return atomic_load_explicit(place, memory_order_relaxed) == number;
}

/* Sets the last error: -EDEADLK, for `what` ("a pool", ...). */
int weir__refuse_copy(const char *what);

/* The one check of all calls on pools, futures, streams and processes, before they take a lock or
 * read anything that a thread may have been changing at the fork: 0 or -EDEADLK. */
static inline int weir__check_mine(uint32_t number, const char *what)
{
    return __builtin_expect(weir__is_mine(number), 1) ? 0 : weir__refuse_copy(what);
}

/* Worker, before any function of the user's: this process, and all that it forks, is a worker. */
void weir__set_worker(void);

/* Sets the last error: the `what` ("pool", ...) is NULL, -EINVAL. In a worker -EDEADLK: there the
 * program's variable is often NULL because it was set after the worker had been forked. */
int weir__refuse_null(const char *what);

#endif
