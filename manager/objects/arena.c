/* SPDX-License-Identifier: MIT
 *
 * arena.c: weir_arena, memory for pointer-linked structures in a scope.
 *
 * An arena is a large lazy block: most of it is address space alone, mapped in every process of the
 * scope from the beginning, and it gets its memory from the front on, as it is given out. So a
 * pointer into it is valid in all processes at once, and growing takes no new mapping. A further
 * block is made only when the addresses of this one are used up.
 *
 * Invariants
 *  - [0, reserved) of a block has its memory. A process that extends it reserves from the value of
 *    `reserved` that it read, without a gap, and then raises it: whatever other processes did
 *    meanwhile, all memory below is there. So what is given out is never a SIGBUS.
 *  - Pieces are taken by raising `used` in one CAS, after their memory has been reserved; they do
 *    not overlap and are zero, because nothing is ever given back.
 *  - `newest` goes from a full block to a block whose `older` is the full one.
 *
 * Failure modes. Killed anywhere, a process leaves memory reserved that is not taken yet (the
 * next one takes it), a piece that no process uses, or a further block that is on no list (the
 * scope's end removes it); no process waits for another. Without memory the call fails and nothing
 * has changed.
 */
#include <errno.h>
#include <unistd.h>

#include "manager/host/registry.h"
#include "manager/objects/objects.h"
#include "shm/block/populate.h"
#include "shm/error.h"

/* Address space, not memory, so it may be large; the guard page makes it a power of two. */
#define BLOCK_DEFAULT ((uint64_t)64 << 30)
#define BLOCK_MIN     ((uint64_t)1 << 20)

/* How much is reserved ahead: a quarter of what is reserved, within these limits. */
#define AHEAD_MIN ((uint64_t)64 << 10)
#define AHEAD_MAX ((uint64_t)16 << 20)

static uint64_t arena_round_up(uint64_t size, uint64_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* ---- taking a piece ------------------------------------------------------------------------- */

/* Makes sure that the block is mapped in this process. */
static int sync_here(const struct weir_arena *block)
{
    struct weir_scope *scope = weir__scope_of(block->shm);
    const struct weir__entry *entry;

    if (!scope)
        return weir__fail(-EINVAL, "the arena's scope has ended");
    entry = weir__space_entry(&scope->space, block->shm);
    if (!entry)
        return weir__fail(-EBADMSG, "the arena is damaged");
    return weir__space_require(&scope->space, entry, "a block of the arena");
}

/* Raises `reserved` to at least `end`. */
static int reserve_until(struct weir_arena *block, uint64_t end)
{
    /* acquire: pairs with arena.c, reserve_until (the release below): memory reserved before is
     * there. */
    uint64_t from = atomic_load_explicit(&block->reserved, memory_order_acquire);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), ahead, to;
    int error;

    if (end <= from)
        return 0;
    error = sync_here(block); /* the block may be new to this process */
    if (error < 0)
        return error;
    ahead = from / 4 < AHEAD_MIN ? AHEAD_MIN : from / 4 > AHEAD_MAX ? AHEAD_MAX : from / 4;
    to = arena_round_up(end > from + ahead ? end : from + ahead, page);
    to = to > block->size ? block->size : to;
    error = weir__populate(block->shm, from, to - from);
    if (error < 0 && arena_round_up(end, page) < to) {
        to = arena_round_up(end, page); /* there may be enough for this piece alone */
        error = weir__populate(block->shm, from, to - from);
    }
    if (error < 0)
        return error;
    /* Killed here: the memory is there and not counted; the next process reserves it again.
     * release: pairs with arena.c, reserve_until (the acquire above). */
    while (from < to &&
           !atomic_compare_exchange_weak_explicit(&block->reserved, &from, to, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return 0;
}

/* 1: *piece is taken; 0: too few bytes of the block are left; or an error. */
static int take_piece(struct weir_arena *block, uint64_t size, void **piece)
{
    uint64_t begin = atomic_load_explicit(&block->used, memory_order_relaxed);

    do {
        int error;

        if (begin > block->size || size > block->size - begin)
            return 0;
        error = reserve_until(block, begin + size);
        if (error < 0)
            return error;
        /* relaxed: it only decides which caller gets the piece; nothing has been written there. */
    } while (!atomic_compare_exchange_weak_explicit(&block->used, &begin, begin + size,
                                                    memory_order_relaxed, memory_order_relaxed));
    *piece = (char *)block->shm->buf + begin;
    return 1;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* A block for at least `size` bytes: of `block_size`, or, when that is 0, as large as this scope
 * and this process's limits allow up to the default. */
static struct weir_arena *make_largest_block(struct weir_scope *scope, uint64_t size,
                                             uint64_t block_size, struct weir_arena *older)
{
    const uint64_t page = scope->space.page;
    uint64_t capacity = block_size ? block_size : BLOCK_DEFAULT;
    struct weir_arena *block;

    if (!block_size && capacity > scope->space.size / 16)
        capacity = scope->space.size / 16;
    if (!block_size)
        capacity -= page; /* with the guard page it fills a power of two */
    for (;;) {
        if (capacity < size)
            capacity = size;
        block = weir__make_arena_block(scope, arena_round_up(capacity, WEIR__ARENA_ALIGN),
                                       block_size, older);
        if (block || block_size || capacity == size || capacity <= BLOCK_MIN ||
            !weir__is_shortage(weir_last_error()->code))
            return block;
        capacity = arena_round_up(capacity / 2, page);
    }
}

/* Adds a block behind the full one, unless another process has done so. */
static int grow(struct weir_arena *arena, struct weir_arena *full, uint64_t size)
{
    struct weir_scope *scope = weir__scope_of(arena->shm);
    struct weir_arena *block;

    if (!scope)
        return weir__fail(-EINVAL, "the arena's scope has ended");
    block = make_largest_block(scope, size, arena->block_size, full);
    if (!block)
        return weir_last_error()->code;
    /* Killed here: a block on no list, which goes with the scope.
     * release, after all fields of the block:
     * pairs with arena.c, weir_arena_alloc
     * pairs with arena.c, weir_arena_size
     * pairs with arena.c, weir_arena_free */
    if (!atomic_compare_exchange_strong_explicit(&arena->newest, &full, block, memory_order_release,
                                                 memory_order_relaxed))
        weir__scope_discard(block->shm);
    return 0;
}

void *weir_arena_alloc(weir_arena *arena, size_t size)
{
    void *piece = NULL;
    int result;

    if (arena == NULL)
        return weir__fail_null(-EINVAL, "the arena is NULL");
    if (size == 0 || size > PTRDIFF_MAX)
        return weir__fail_null(-EINVAL, "%zu bytes cannot be allocated", size);
    size = arena_round_up(size, WEIR__ARENA_ALIGN);
    for (;;) {
        /* acquire: pairs with arena.c, grow. */
        struct weir_arena *block = atomic_load_explicit(&arena->newest, memory_order_acquire);

        result = take_piece(block, size, &piece);
        if (result == 0)
            result = grow(arena, block, size);
        else if (result > 0 && block != arena)
            result = sync_here(block); /* it may be new to this process */
        if (result < 0)
            return NULL;
        if (piece)
            return piece;
    }
}

/* ---- arenas --------------------------------------------------------------------------------- */

weir_arena *weir_scope_arena(weir_scope *scope, size_t block_size)
{
    struct weir_scope *live = weir__scope_live(scope);

    if (!live)
        return NULL;
    if (block_size > PTRDIFF_MAX)
        return weir__fail_null(-EINVAL, "an arena cannot have blocks of %zu bytes", block_size);
    return make_largest_block(live, WEIR__ARENA_ALIGN, block_size, NULL);
}

size_t weir_arena_size(const weir_arena *arena)
{
    const struct weir_arena *block;
    size_t size = 0;

    if (arena == NULL) {
        weir__fail(-EINVAL, "the arena is NULL");
        return 0;
    }
    /* acquire: pairs with arena.c, grow. */
    block = atomic_load_explicit(&arena->newest, memory_order_acquire);
    for (; block; block = block->older)
        size += atomic_load_explicit(&block->used, memory_order_relaxed);
    return size;
}

void weir_arena_free(weir_arena *arena)
{
    struct weir_arena *block;

    if (arena == NULL)
        return;
    /* acquire: pairs with arena.c, grow. */
    block = atomic_load_explicit(&arena->newest, memory_order_acquire);
    while (block) {
        struct weir_arena *older = block->older; /* the handle goes with the block */

        weir__scope_discard(block->shm);
        block = older;
    }
}

/* The scope's own arena, made if there is none yet, and mapped here. */
static struct weir_arena *find_arena(struct weir_scope *scope)
{
    _Atomic uint64_t *shared = &scope->space.table->arena;
    struct weir_arena *arena;
    /* acquire: pairs with arena.c, find_arena (the release in the exchange below). */
    uint64_t at = atomic_load_explicit(shared, memory_order_acquire);

    if (at == 0) {
        arena = weir_scope_arena(scope, 0);
        if (!arena)
            return NULL;
        /* release: pairs with arena.c, find_arena (the acquire above, and this one's). */
        if (!atomic_compare_exchange_strong_explicit(shared, &at, (uint64_t)(uintptr_t)arena,
                                                     memory_order_acq_rel, memory_order_acquire))
            weir_arena_free(arena); /* another process was faster */
        else
            at = (uint64_t)(uintptr_t)arena;
    }
    /* Its first block may be new to this process, which has no other occasion to map it. */
    arena = (struct weir_arena *)(uintptr_t)at;
    if (sync_here(arena) < 0)
        return NULL;
    /* release: pairs with arena.c, weir_scope_alloc. */
    atomic_store_explicit(&scope->arena, arena, memory_order_release);
    return arena;
}

void *weir_scope_alloc(weir_scope *scope, size_t size)
{
    struct weir_scope *live = weir__scope_live(scope);
    struct weir_arena *arena;

    if (!live)
        return NULL;
    /* acquire: pairs with arena.c, find_arena. */
    arena = atomic_load_explicit(&live->arena, memory_order_acquire);
    if (!arena)
        arena = find_arena(live);
    return arena ? weir_arena_alloc(arena, size) : NULL;
}
