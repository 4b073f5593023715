/* SPDX-License-Identifier: MIT
 *
 * dict/heap.c: memory inside a dictionary's block.
 *
 * The heap is granules 1 to `granules`; those below `used` have been taken at some time, those
 * below `reserved` have memory behind them. used <= reserved always: memory is got first (that is
 * idempotent, so a kill in it does not matter), then announced, then taken.
 *
 *     never used --take_from_end--> a node or box --give--> on the free list of its class
 *     on a free list --pop_free--> a node or box of that class
 *                    --retire, when nothing else is left--> in the free map
 *     in the free map --carve--> a node or box of any class, made of any granules beside each other
 *
 * Each step moves one piece, which the call that makes the step is alone with.
 *
 * Invariants. The call that took a node or box is alone with it until it is published; the call
 * that removed the last word that leads to it is alone with it again and gives it back. A late
 * reader may still look at it, and make a compare-and-swap where a link or a value word was. So
 * what a piece was before is made invalid before anything else is written there (retire, and the
 * fence in take_memory); a node's or box's tags, incarnations and versions go on from where any of
 * its granules' were (a chunk's clock); and all that is not a link or a value word is masked
 * (layout.h).
 *
 * Failure modes. Killed between taking and publishing, removing and giving back, or in a step
 * above: that piece is lost to the dictionary, and nothing else. A damaged free list is dropped
 * where the damage shows. A full /dev/shm is -ENOSPC, because madvise(2) answers where a touch
 * would be SIGBUS.
 */
#include "shm/dict/heap.h"

#include <errno.h>
#include <unistd.h>

#include "shm/block/block.h"
#include "shm/block/memory_limit.h"
#include "shm/block/populate.h"
#include "shm/dict/free_map.h"
#include "shm/error.h"

/* How much memory is got at once: an eighth of what is used, within these. */
#define GROW_MIN ((uint64_t)64 << 10)
#define GROW_MAX ((uint64_t)16 << 20)

/* Pieces that are moved from the free lists to the free map before the map is looked at; twice as
 * many each time. */
#define RETIRE_MIN 4096u

/* ---- memory behind the block ---------------------------------------------------------------- */

int weir__dict_reserve(void *buf, size_t at, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), begin = at & ~(page - 1);
    int saved = errno, result = 0, error;

    if (size >= WEIR__COMPARE_FROM) {
        result = weir__memory_compare("a dictionary", "more ", size, 0, 0);
        if (result < 0)
            return result;
    }
    error = weir__populate_pages((char *)buf + begin, at + size - begin);
    if (error != 0 && error != EINVAL) /* without the call, all was reserved at creation */
        result = error == EFAULT
                     ? weir__fail_no_space("a dictionary", "more ", size)
                     : weir__fail(-ENOMEM, "cannot reserve %zu bytes for a dictionary: %s", size,
                                  weir_strerror(-error));
    errno = saved;
    return result;
}

static size_t offset_of(const weir_dict *dict, const void *at)
{
    return (size_t)((const char *)at - (const char *)dict->shm->buf);
}

/* Gets memory behind [from, end) of the heap, and first behind what the free map says of it. */
static int reserve_granules(const weir_dict *dict, uint64_t from, uint64_t end)
{
    size_t map = offset_of(dict, &dict->chunks[from / WEIR__DICT_CHUNK]);
    size_t map_end = offset_of(dict, &dict->chunks[(end - 1) / WEIR__DICT_CHUNK + 1]);
    int result = 0;

    /* The chunk that `from` lies in may have begun with it. */
    if (from == 0 || (from - 1) / WEIR__DICT_CHUNK < (end - 1) / WEIR__DICT_CHUNK)
        result = weir__dict_reserve(dict->shm->buf, map, map_end - map);
    if (result < 0)
        return result;
    return weir__dict_reserve(dict->shm->buf,
                              offset_of(dict, dict->heap) + from * WEIR__DICT_GRANULE,
                              (end - from) * WEIR__DICT_GRANULE);
}

/* Makes `reserved` at least `end`. */
static int reserve_up_to(const weir_dict *dict, uint64_t reserved, uint64_t end)
{
    const weir_error before = *weir_last_error();
    uint64_t step = end * WEIR__DICT_GRANULE / 8, target;
    int result;

    step = step < GROW_MIN ? GROW_MIN : step > GROW_MAX ? GROW_MAX : step;
    target = end + step / WEIR__DICT_GRANULE;
    if (target > dict->granules)
        target = dict->granules;
    do
        result = reserve_granules(dict, reserved, target);
    while (weir__shm_has_room_now(dict->shm, result));
    if (result < 0)
        return result;
    weir__fail_with(&before); /* it had failed before there was room */
    /* Killed here: the memory is there, and the next one finds it so. relaxed: the memory is the
     * kernel's doing and there for everybody. */
    while (reserved < target &&
           !atomic_compare_exchange_weak_explicit(&dict->header->reserved, &reserved, target,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    return 0;
}

/* ---- taking from the heap's end ------------------------------------------------------------- */

#define HEAP_IS_FULL 1

/* 0 and *ref, HEAP_IS_FULL, or an error. */
static int take_from_end(const weir_dict *dict, uint64_t granules, uint32_t *ref)
{
    struct weir__dict_header *header = dict->header;
    uint64_t used = atomic_load_explicit(&header->used, memory_order_relaxed);
    int result;

    for (;;) {
        uint64_t reserved = atomic_load_explicit(&header->reserved, memory_order_relaxed);

        if (reserved > dict->granules || used == 0 || used > reserved)
            return weir__dict_damaged(dict, "its heap has no sound bounds");
        if (granules > dict->granules - used)
            return HEAP_IS_FULL;
        if (granules > reserved - used) {
            result = reserve_up_to(dict, reserved, used + granules);
            if (result < 0)
                return result;
            continue;
        }
        /* relaxed: it decides whose the granules are; the words that lead to them publish them. */
        if (atomic_compare_exchange_weak_explicit(&header->used, &used, used + granules,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            *ref = (uint32_t)used;
            return 0;
        }
    }
}

/* ---- free lists ----------------------------------------------------------------------------- */

/* What a free list's members have in common: where the next one's reference is. Masked in a box,
 * which has data there. */
static _Atomic uint64_t *free_link(const weir_dict *dict, uint32_t ref, bool node)
{
    struct weir__dict_box *box = weir__dict_at(dict, ref);

    return node ? (_Atomic uint64_t *)&box->head : &box->data[0];
}

static struct weir__dict_free *free_list(const weir_dict *dict, unsigned class, bool node)
{
    return node ? &dict->header->nodes[class] : &dict->header->boxes[class];
}

static unsigned class_in_memory(const weir_dict *dict, uint32_t ref, bool node)
{
    if (node) {
        struct weir__dict_node *at = weir__dict_at(dict, ref);

        return weir__life_class(atomic_load_explicit(&at->life, memory_order_relaxed));
    }
    return weir__box_class(weir__dict_load_head(dict, weir__dict_at(dict, ref)));
}

/* Takes the first of a list, or 0. The tag changes with every change of the head, so that a list
 * that came back to the same head is not mistaken. */
static uint32_t pop_free(const weir_dict *dict, unsigned class, bool node)
{
    struct weir__dict_free *list = free_list(dict, class, node);
    uint64_t head = atomic_load_explicit(&list->head, memory_order_acquire);

    for (;;) {
        uint32_t ref = (uint32_t)head;
        bool sound =
            ref != 0 && weir__dict_ref_is_sound(dict, ref, weir__dict_class_granules(class));
        uint64_t next = 0;

        if (ref == 0)
            return 0;
        /* A list whose damage shows here is cut off. */
        if (sound)
            next = atomic_load_explicit(free_link(dict, ref, node), memory_order_relaxed) ^
                   (node ? 0 : dict->seed[2]);
        next = (uint32_t)next | ((head >> 32) + 1) << 32;
        /* acquire, here and above: pairs with the release in push_free. */
        if (atomic_compare_exchange_weak_explicit(&list->head, &head, next, memory_order_acquire,
                                                  memory_order_acquire))
            return sound && class_in_memory(dict, ref, node) == class ? ref : 0;
    }
}

/* A node's link on a free list is marked and has a new tag, so that a call that still looks at it
 * as an item begins again. */
static void push_free(const weir_dict *dict, unsigned class, bool node, uint32_t ref)
{
    struct weir__dict_free *list = free_list(dict, class, node);
    _Atomic uint64_t *link = free_link(dict, ref, node);
    uint64_t head = atomic_load_explicit(&list->head, memory_order_relaxed);
    uint64_t old = atomic_load_explicit(link, memory_order_relaxed);

    do {
        old = node ? weir__link((uint32_t)head | WEIR__LINK_MARK, old)
                   : (uint32_t)head ^ dict->seed[2];
        atomic_store_explicit(link, old, memory_order_relaxed);
        /* release: pairs with the acquires in pop_free. */
    } while (!atomic_compare_exchange_weak_explicit(&list->head, &head,
                                                    ((head >> 32) + 1) << 32 | ref,
                                                    memory_order_release, memory_order_relaxed));
}

static int fail_full(const weir_dict *dict, uint64_t granules)
{
    uint64_t left = dict->granules -
                    atomic_load_explicit(&dict->header->used, memory_order_relaxed) +
                    atomic_load_explicit(&dict->header->free, memory_order_relaxed);

    return weir__fail(-ENOSPC,
                      "dictionary \"%s\" is full: it needs %llu bytes in one piece, and of its %zu "
                      "bytes (max_size) %llu are free, in shorter pieces",
                      dict->shm->name, (unsigned long long)granules * WEIR__DICT_GRANULE,
                      dict->shm->size, (unsigned long long)left * WEIR__DICT_GRANULE);
}

/* ---- free for another size ------------------------------------------------------------------ */

/* Moves a chunk's clock beyond a tag, incarnation or version of so many bits. These go around; what
 * is less than half of their range ahead is ahead. */
static void pass_clock(struct weir__dict_chunk *chunk, uint32_t number, unsigned bits)
{
    uint32_t clock = atomic_load_explicit(&chunk->clock, memory_order_relaxed), ahead;

    do {
        ahead = (number - clock) & (((uint32_t)1 << bits) - 1);
        if (ahead >= (uint32_t)1 << (bits - 1))
            return;
        /* relaxed: the bits in the free map, which follow, publish it. */
    } while (!atomic_compare_exchange_weak_explicit(&chunk->clock, &clock, clock + ahead + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
}

/* Makes a piece of a free list free for anything. A late reader of the node finds another life and
 * no value there from now on, and afterwards what is neither. */
static bool retire(const weir_dict *dict, uint32_t ref, unsigned class, bool node)
{
    struct weir__dict_chunk *chunk = &dict->chunks[ref / WEIR__DICT_CHUNK];

    if (node) {
        struct weir__dict_node *at = weir__dict_at(dict, ref);
        uint32_t life =
            weir__make_life(class, atomic_load_explicit(&at->life, memory_order_relaxed) + 1);

        /* relaxed, then release: a late reader of this word sees the new life too. Pairs with
         * value.c, weir__dict_load and same_life. */
        atomic_store_explicit(&at->life, life, memory_order_relaxed);
        atomic_store_explicit(&at->value, weir__word_inline(WEIR__WORD_DEAD, life, 0),
                              memory_order_release);
        pass_clock(chunk, life & WEIR__INCARNATION_MASK, 24);
        pass_clock(chunk, weir__link_tag(atomic_load_explicit(&at->next, memory_order_relaxed)),
                   WEIR__TAG_BITS);
    } else {
        pass_clock(chunk, weir__box_version(weir__dict_load_head(dict, weir__dict_at(dict, ref))),
                   28);
    }
    /* Killed up to here: the piece is lost. */
    return weir__free_map_give(dict, ref, weir__dict_class_granules(class));
}

/* Moves so many pieces from the free lists to the free map; less if there are no more. A list that
 * gives what is free already leads in a circle: it is cut off. */
static uint32_t retire_some(const weir_dict *dict, uint32_t count)
{
    uint32_t done = 0;

    for (unsigned c = 2 * WEIR__DICT_CLASSES; c-- > 0;) {
        bool node = c % 2;
        uint32_t ref;

        while (done < count && (ref = pop_free(dict, c / 2, node)) != 0) {
            if (!retire(dict, ref, c / 2, node))
                atomic_store_explicit(&free_list(dict, c / 2, node)->head, 0, memory_order_relaxed);
            done++;
        }
    }
    return done;
}

/* Makes a node or a box of free granules. Its tags, incarnations or versions go on from those that
 * the granules had. 0: there are none. */
static uint32_t carve(const weir_dict *dict, unsigned class, bool node,
                      enum weir__free_map_effort effort)
{
    uint32_t ref = weir__free_map_take(dict, weir__dict_class_granules(class),
                                       &free_list(dict, class, node)->rover, effort);
    uint32_t clock;

    if (ref == 0)
        return 0;
    clock = atomic_load_explicit(&dict->chunks[ref / WEIR__DICT_CHUNK].clock, memory_order_relaxed);
    /* release fence: as in take_memory. */
    atomic_thread_fence(memory_order_release);
    if (node) {
        struct weir__dict_node *at = weir__dict_at(dict, ref);

        atomic_store_explicit(&at->next, weir__link(WEIR__LINK_MARK, clock * WEIR__LINK_TAG_ONE),
                              memory_order_relaxed);
        atomic_store_explicit(&at->life, weir__make_life(class, clock), memory_order_relaxed);
    } else {
        weir__dict_store_head(dict, weir__dict_at(dict, ref), clock & WEIR__VERSION_MASK);
    }
    return ref;
}

/* Empties the free lists into the free map until the piece can be made of that. */
static uint32_t carve_from_all(const weir_dict *dict, unsigned class, bool node)
{
    uint32_t ref, retired, count = RETIRE_MIN;

    do {
        retired = retire_some(dict, count);
        ref = carve(dict, class, node, WEIR__MAP_ALL);
        count = count < UINT32_MAX / 2 ? 2 * count : count;
    } while (ref == 0 && retired > 0);
    return ref;
}

/* From the list; else of granules that were free already; else from the heap's end; else of what is
 * free in other lists. 0 with the error set: there is nothing. */
static uint32_t find_memory(const weir_dict *dict, unsigned class, bool node)
{
    uint64_t granules = weir__dict_class_granules(class);
    uint32_t ref = pop_free(dict, class, node);
    int result;

    if (ref == 0)
        ref = carve(dict, class, node, WEIR__MAP_NEAR);
    if (ref != 0)
        return ref;
    result = take_from_end(dict, granules, &ref);
    if (result == 0 && !node)
        weir__dict_store_head(dict, weir__dict_at(dict, ref), 0);
    if (result == 0)
        return ref;
    ref = carve_from_all(dict, class, node);
    if (ref == 0 && result == HEAP_IS_FULL)
        fail_full(dict, granules);
    return ref;
}

static uint32_t take_memory(const weir_dict *dict, unsigned class, bool node)
{
    uint32_t ref = find_memory(dict, class, node);

    /* release fence: a late reader who sees anything that is written there from now on sees, after
     * its acquire fence, that the link or value word that led it there has changed. Pairs with
     * table.c, walk_step, table.h, weir__dict_first, and value.c, same_life. */
    atomic_thread_fence(memory_order_release);
    return ref;
}

/* ---- nodes and boxes ------------------------------------------------------------------------ */

uint32_t weir__dict_take_node(const weir_dict *dict, uint32_t key_size)
{
    unsigned class = weir__dict_class_of(weir__dict_node_granules(key_size));
    uint32_t ref = take_memory(dict, class, true), life;
    struct weir__dict_node *node;

    if (ref == 0)
        return 0;
    node = weir__dict_at(dict, ref);
    life = atomic_load_explicit(&node->life, memory_order_relaxed);
    /* release fence: a late reader of the key that is written next sees, after its acquire fence,
     * the new life; of the new life alone, by the fence before, that it was led there by what has
     * changed. Pairs with value.c, same_life. */
    atomic_store_explicit(&node->life, weir__make_life(class, life + 1), memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return ref;
}

uint32_t weir__dict_take_box(const weir_dict *dict, weir_type type, uint32_t size)
{
    unsigned class = weir__dict_class_of(weir__dict_box_granules(size));
    uint32_t ref = take_memory(dict, class, false);
    struct weir__dict_box *box;
    uint64_t version;

    if (ref == 0)
        return 0;
    box = weir__dict_at(dict, ref);
    version = (weir__dict_load_head(dict, box) + 1) & WEIR__VERSION_MASK;
    /* A late reader of the version before compares that with its own after having read. */
    weir__dict_store_head(
        dict, box, version | (uint64_t)type << 28 | (uint64_t) class << 31 | (uint64_t)size << 37);
    return ref;
}

void weir__dict_tidy(const weir_dict *dict)
{
    const struct weir__dict_header *header = dict->header;
    uint64_t used = atomic_load_explicit(&header->used, memory_order_relaxed);
    uint64_t left = atomic_load_explicit(&header->free, memory_order_relaxed);

    /* Otherwise the free lists serve the next items, and faster. */
    if (used > left && used - left > dict->granules / 2)
        retire_some(dict, UINT32_MAX);
}

void weir__dict_give(const weir_dict *dict, uint32_t ref, bool node)
{
    unsigned class = class_in_memory(dict, ref, node);

    if (class < WEIR__DICT_CLASSES &&
        weir__dict_ref_is_sound(dict, ref, weir__dict_class_granules(class)))
        push_free(dict, class, node, ref);
}
