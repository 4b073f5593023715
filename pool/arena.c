/* SPDX-License-Identifier: MIT
 *
 * arena.c: first fit over a sorted array of vacant extents.
 *
 * Jobs in flight hold at most two pieces each, so there are few extents. The array grows when
 * memory is allocated, never when it is freed: a free therefore cannot fail. Invariant: there is
 * room for one extent more than there are pieces out, as that many can lie around and between them.
 */
#include "pool/arena.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pool/control.h"

#define PAGE         4096
#define GIVE_BACK_AT ((size_t)1 << 20)

int weir__arena_init(struct weir__arena *arena, unsigned char *base, size_t size)
{
    *arena = (struct weir__arena){.base = base, .count = 1, .capacity = 16};
    arena->vacant = malloc(arena->capacity * sizeof(*arena->vacant));
    if (arena->vacant == NULL)
        return -ENOMEM;
    arena->vacant[0] = (struct weir__extent){0, size};
    return 0;
}

void weir__arena_destroy(struct weir__arena *arena)
{
    free(arena->vacant);
    *arena = (struct weir__arena){0};
}

static void drop_extent(struct weir__arena *arena, size_t i)
{
    memmove(&arena->vacant[i], &arena->vacant[i + 1],
            (arena->count - i - 1) * sizeof(*arena->vacant));
    arena->count--;
}

/* Makes room for the extents there may be when one more piece is out. */
static bool make_room(struct weir__arena *arena)
{
    struct weir__extent *more;

    if (arena->pieces + 2 <= arena->capacity)
        return true;
    more = realloc(arena->vacant, arena->capacity * 2 * sizeof(*more));
    if (more == NULL)
        return false;
    arena->vacant = more;
    arena->capacity *= 2;
    return true;
}

void *weir__arena_alloc(struct weir__arena *arena, size_t size)
{
    size = weir__line_up(size);
    if (!make_room(arena))
        return NULL;
    for (size_t i = 0; i < arena->count; i++) {
        struct weir__extent *extent = &arena->vacant[i];
        void *memory = arena->base + extent->offset;

        if (extent->size < size)
            continue;
        extent->offset += size;
        extent->size -= size;
        if (extent->size == 0)
            drop_extent(arena, i);
        arena->pieces++;
        return memory;
    }
    return NULL;
}

static void give_back(unsigned char *memory, size_t size)
{
    uintptr_t from = ((uintptr_t)memory + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    uintptr_t to = ((uintptr_t)memory + size) & ~(uintptr_t)(PAGE - 1);

    if (size >= GIVE_BACK_AT)
        madvise((void *)from, to - from, MADV_REMOVE);
}

void weir__arena_free(struct weir__arena *arena, void *memory, size_t size)
{
    size_t offset, i = 0;

    if (memory == NULL)
        return;
    size = weir__line_up(size);
    arena->pieces--;
    give_back(memory, size);
    offset = (size_t)((unsigned char *)memory - arena->base);
    while (i < arena->count && arena->vacant[i].offset < offset)
        i++;
    if (i > 0 && arena->vacant[i - 1].offset + arena->vacant[i - 1].size == offset) {
        arena->vacant[i - 1].size += size;
        if (i < arena->count && offset + size == arena->vacant[i].offset) {
            arena->vacant[i - 1].size += arena->vacant[i].size;
            drop_extent(arena, i);
        }
    } else if (i < arena->count && offset + size == arena->vacant[i].offset) {
        arena->vacant[i].offset = offset;
        arena->vacant[i].size += size;
    } else {
        memmove(&arena->vacant[i + 1], &arena->vacant[i],
                (arena->count - i) * sizeof(*arena->vacant));
        arena->vacant[i] = (struct weir__extent){offset, size};
        arena->count++;
    }
}
