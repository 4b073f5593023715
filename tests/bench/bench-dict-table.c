/* SPDX-License-Identifier: MIT
 *
 * bench-dict-table: a plain open-addressed table in shared memory, for dict-rounds.c: what a
 * program would write for itself that knows how many keys come, and promises nothing of a kill or
 * of a damaged table. At least half of it is empty.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "dict-rounds.h"

/* A key of 0 is none, so keys are stored with 1 added. */
struct cell {
    _Atomic uint64_t key;
    _Atomic int64_t value;
};

static struct cell
    *cells; /* also in the processes forked before they are made anew: at one address */
static uint64_t cells_made, mask;

void store_make(uint64_t keys)
{
    void *at;

    mask = 1;
    while (mask < 2 * keys)
        mask *= 2;
    mask -= 1;
    if (cells != NULL) { /* in the same memory, for those who have it */
        if (madvise(cells, cells_made, MADV_REMOVE) < 0)
            store_fail("madvise", "failed");
        return;
    }
    cells_made = (mask + 1) * sizeof *cells;
    at = mmap(NULL, cells_made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        store_fail("mmap", "failed");
    cells = at;
}

void store_open(void)
{
}

void store_close(void)
{
}

void store_remove(void)
{
}

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    return hash ^ hash >> 31;
}

/* The key's cell, or the one that it can be put into. */
static struct cell *find(int64_t key)
{
    uint64_t wanted = (uint64_t)key + 1, at = mix(wanted) & mask;

    for (;;) {
        uint64_t found = atomic_load_explicit(&cells[at].key, memory_order_acquire);

        if (found == wanted)
            return &cells[at];
        if (found == 0 &&
            (atomic_compare_exchange_strong_explicit(&cells[at].key, &found, wanted,
                                                     memory_order_acq_rel, memory_order_acquire) ||
             found == wanted))
            return &cells[at];
        at = (at + 1) & mask;
    }
}

void store_get(int64_t key)
{
    if (atomic_load_explicit(&find(key)->value, memory_order_acquire) == INT64_MIN)
        store_fail("get", "a value that was not set");
}

void store_set(int64_t key, int64_t value)
{
    atomic_store_explicit(&find(key)->value, value, memory_order_release);
}

void store_add(int64_t key)
{
    atomic_fetch_add_explicit(&find(key)->value, 1, memory_order_acq_rel);
}

void store_get_many(const int64_t *keys)
{
    for (int i = 0; i < BATCH; i++)
        store_get(keys[i]);
}

void store_set_many(const int64_t *keys)
{
    for (int i = 0; i < BATCH; i++)
        store_set(keys[i], i);
}
