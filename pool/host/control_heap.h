/* SPDX-License-Identifier: MIT
 *
 * control_heap.h: the host's allocator for memory in the control block.
 *
 * Its own records are private to the host, so no worker can damage them. Not thread-safe: the
 * pool's lock is held.
 */
#ifndef WEIR_CONTROL_HEAP_H
#define WEIR_CONTROL_HEAP_H

#include <stddef.h>

struct weir__extent {
    size_t offset, size;
    size_t dirty; /* so many bytes of it may be in memory: freed, and not given back since */
};

struct weir__control_heap {
    unsigned char *base;
    struct weir__extent *vacant; /* sorted by offset, never adjacent */
    size_t count, capacity;
    size_t pieces; /* handed out */
};

/* 0 or -ENOMEM. */
int weir__control_heap_init(struct weir__control_heap *heap, unsigned char *base, size_t size);
void weir__control_heap_destroy(struct weir__control_heap *heap);

/* Memory of at least `size` bytes, aligned to a cache line; its contents are
 * undefined. NULL: none. */
void *weir__control_heap_alloc(struct weir__control_heap *heap, size_t size);

/* Takes back what alloc gave for that size. Of what is freed and not used again the heap keeps some
 * MiB; the rest goes back to the system. NULL is allowed. */
void weir__control_heap_free(struct weir__control_heap *heap, void *memory, size_t size);

#endif
