/* SPDX-License-Identifier: MIT
 *
 * dict-rounds.h: what a store of ints by ints must do to be measured by dict-rounds.c.
 */
#ifndef BENCH_DICT_ROUNDS_H
#define BENCH_DICT_ROUNDS_H

#include <stddef.h>
#include <stdint.h>

enum { BATCH = 1000 }; /* keys of one of the calls for many */

extern int store_id; /* for its name: the same in all processes of a benchmark */

/* Makes the store empty and ready for so many keys: for this process and those that it forks, and,
 * when it was made and removed before, for those that it has forked since. */
void store_make(uint64_t keys);
/* Opens it in a process, and closes it there. */
void store_open(void);
void store_close(void);
void store_remove(void);

/* One key; each ends the program when it fails. */
void store_get(int64_t key);
void store_set(int64_t key, int64_t value);
void store_add(int64_t key);

/* BATCH keys. */
void store_get_many(const int64_t *keys);
void store_set_many(const int64_t *keys);

_Noreturn void store_fail(const char *what, const char *why);

#endif
