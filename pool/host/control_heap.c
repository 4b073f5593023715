/* SPDX-License-Identifier: MIT
 *
 * control_heap.c: first fit over a sorted array of vacant extents.
 *
 * Jobs in flight hold at most two pieces each, so there are few extents. The array grows when
 * memory is allocated, never when it is freed: a free therefore cannot fail. Invariant: the
 * capacity is at least one extent more than there are pieces out, as that many can lie around and
 * between them.
 *
 * Freed memory goes back to the system: that of large pieces at once, that of small ones when much
 * of it has come together, as a small piece is most often wanted again soon. `dirty` adds up what
 * was freed into an extent and takes off what was allocated from it; it does not say where in the
 * extent that lies, so all of the extent is given back.
 */
#include "pool/host/control_heap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/control.h"
#include "pool/control/mapping.h"

#define GIVE_BACK_AT ((size_t)1 << 20) /* the size of a large piece */
#define DIRTY_MAX    ((size_t)4 << 20) /* of an extent, in small pieces */
/* The largest page of a Linux kernel (arm64, ppc64). What is given back ends at such a page on
 * every machine, so no kernel that rounds up takes memory of the neighbouring piece. */
#define GIVE_BACK_UNIT ((uintptr_t)65536)

int weir__control_heap_init(struct weir__control_heap *heap, unsigned char *base, size_t size)
{
    *heap = (struct weir__control_heap){.base = base, .count = 1, .capacity = 16};
    heap->vacant = malloc(heap->capacity * sizeof(*heap->vacant));
    if (heap->vacant == NULL)
        return -ENOMEM;
    heap->vacant[0] = (struct weir__extent){.size = size};
    return 0;
}

void weir__control_heap_destroy(struct weir__control_heap *heap)
{
    free(heap->vacant);
    *heap = (struct weir__control_heap){0};
}

static void drop_extent(struct weir__control_heap *heap, size_t i)
{
    memmove(&heap->vacant[i], &heap->vacant[i + 1], (heap->count - i - 1) * sizeof(*heap->vacant));
    heap->count--;
}

/* Makes the capacity enough for the extents that there may be when one more piece is out. */
static bool grow_extents(struct weir__control_heap *heap)
{
    struct weir__extent *more;

    if (heap->pieces + 2 <= heap->capacity)
        return true;
    more = realloc(heap->vacant, heap->capacity * 2 * sizeof(*more));
    if (more == NULL)
        return false;
    heap->vacant = more;
    heap->capacity *= 2;
    return true;
}

void *weir__control_heap_alloc(struct weir__control_heap *heap, size_t size)
{
    size = weir__line_up(size);
    if (!grow_extents(heap))
        return NULL;
    for (size_t i = 0; i < heap->count; i++) {
        struct weir__extent *extent = &heap->vacant[i];
        void *memory = heap->base + extent->offset;

        if (extent->size < size)
            continue;
        extent->offset += size;
        extent->size -= size;
        extent->dirty -= size < extent->dirty ? size : extent->dirty;
        if (extent->size == 0)
            drop_extent(heap, i);
        heap->pieces++;
        return memory;
    }
    return NULL;
}

/* Returns how much of it stays, as it is less than a unit. */
static size_t give_back(unsigned char *memory, size_t size)
{
    const uintptr_t begin = (uintptr_t)memory;
    const uintptr_t skip = -begin % GIVE_BACK_UNIT, end = (begin + size) % GIVE_BACK_UNIT;

    weir__give_back_pages(memory + skip, size - skip - end);
    return skip + end;
}

static void clean_extent(const struct weir__control_heap *heap, struct weir__extent *extent)
{
    if (extent->dirty >= DIRTY_MAX)
        extent->dirty = give_back(heap->base + extent->offset, extent->size);
}

void weir__control_heap_free(struct weir__control_heap *heap, void *memory, size_t size)
{
    size_t offset, dirty, i = 0;

    if (memory == NULL)
        return;
    size = weir__line_up(size);
    heap->pieces--;
    dirty = size >= GIVE_BACK_AT ? give_back(memory, size) : size;
    offset = (size_t)((unsigned char *)memory - heap->base);
    while (i < heap->count && heap->vacant[i].offset < offset)
        i++;
    if (i > 0 && heap->vacant[i - 1].offset + heap->vacant[i - 1].size == offset) {
        i--;
        heap->vacant[i].size += size;
        heap->vacant[i].dirty += dirty;
        if (i + 1 < heap->count && offset + size == heap->vacant[i + 1].offset) {
            heap->vacant[i].size += heap->vacant[i + 1].size;
            heap->vacant[i].dirty += heap->vacant[i + 1].dirty;
            drop_extent(heap, i + 1);
        }
    } else if (i < heap->count && offset + size == heap->vacant[i].offset) {
        heap->vacant[i].offset = offset;
        heap->vacant[i].size += size;
        heap->vacant[i].dirty += dirty;
    } else {
        memmove(&heap->vacant[i + 1], &heap->vacant[i], (heap->count - i) * sizeof(*heap->vacant));
        heap->vacant[i] = (struct weir__extent){offset, size, dirty};
        heap->count++;
    }
    clean_extent(heap, &heap->vacant[i]);
}
