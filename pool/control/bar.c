/* SPDX-License-Identifier: MIT
 *
 * bar.c: see bar.h.
 *
 * A frame has many words, so a reader makes sure that the version was even and is the same before
 * and after. It does not wait for an odd one: the host is about to draw the bar itself then. A host
 * that is killed while the version is odd leaves lines that are without a bar.
 */
#include "pool/control/bar.h"

#include <string.h>

#include "pool/control/no_malloc.h"

void weir__bar_set(struct weir__bar *bar, uint64_t device, const char *frame, size_t size)
{
    const uint32_t version = atomic_load_explicit(&bar->version, memory_order_relaxed);

    atomic_store_explicit(&bar->version, version + 1, memory_order_relaxed);
    /* pairs with the fence in weir__bar_get(): a reader that sees a word of this frame sees the odd
     * version, too */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;

        memcpy(&word, frame + i, size - i < 8 ? size - i : 8);
        atomic_store_explicit(&bar->words[i / 8], word, memory_order_relaxed);
    }
    atomic_store_explicit(&bar->size, (uint32_t)size, memory_order_relaxed);
    atomic_store_explicit(&bar->device, device, memory_order_relaxed);
    /* release; pairs with the acquire in weir__bar_get() */
    atomic_store_explicit(&bar->version, version + 2, memory_order_release);
}

uint64_t weir__bar_get(const struct weir__bar *bar, char *frame, size_t *size)
{
    /* pairs with the release in weir__bar_set() */
    const uint32_t version = atomic_load_explicit(&bar->version, memory_order_acquire);
    const uint64_t device = atomic_load_explicit(&bar->device, memory_order_relaxed);
    const size_t there = atomic_load_explicit(&bar->size, memory_order_relaxed);

    *size = 0;
    if (device == 0 || (version & 1) != 0 || there > WEIR__BAR_MAX)
        return device;
    for (size_t i = 0; i < there; i += 8) {
        const uint64_t word = atomic_load_explicit(&bar->words[i / 8], memory_order_relaxed);

        memcpy(frame + i, &word, there - i < 8 ? there - i : 8);
    }
    /* pairs with the fence in weir__bar_set() */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&bar->version, memory_order_relaxed) == version)
        *size = there;
    return device;
}
