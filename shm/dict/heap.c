/* SPDX-License-Identifier: MIT
 *
 * dict/heap.c: memory inside a dictionary's block.
 *
 * The heap is granules 1 to `granules`; those below `used` have been taken at some time, those
 * below `reserved` have memory behind them. used <= reserved always: memory is got first (that is
 * idempotent, so a kill in it does not matter), then announced, then taken. Memory that is given
 * back goes on the free list of its class, as a node or as a box, and is used as such again.
 *
 * Invariants. A node's or a box's class never changes. The call that took a node or box is alone
 * with it until it is published; the call that removed the last word that leads to it is alone with
 * it again and gives it back.
 *
 * Failure modes. Killed between taking and publishing, or removing and giving back: that node or
 * box is lost to the dictionary, and nothing else. A damaged free list is dropped where the damage
 * shows. A full /dev/shm is -ENOSPC, because madvise(2) answers where a touch would be SIGBUS.
 */
#include "shm/dict/heap.h"

#include <errno.h>
#include <unistd.h>

#include "shm/block/block.h"
#include "shm/block/memory_limit.h"
#include "shm/block/populate.h"
#include "shm/error.h"

/* How much memory is got at once: an eighth of what is used, within these. */
#define GROW_MIN ((uint64_t)64 << 10)
#define GROW_MAX ((uint64_t)16 << 20)

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

/* Makes `reserved` at least `end`. */
static int reserve_up_to(const weir_dict *dict, uint64_t reserved, uint64_t end)
{
    uint64_t step = end * WEIR__DICT_GRANULE / 8, target;
    int result;

    step = step < GROW_MIN ? GROW_MIN : step > GROW_MAX ? GROW_MAX : step;
    target = end + step / WEIR__DICT_GRANULE;
    if (target > dict->granules)
        target = dict->granules;
    result = weir__dict_reserve(dict->shm->buf,
                                (size_t)(dict->heap - (unsigned char *)dict->shm->buf) +
                                    reserved * WEIR__DICT_GRANULE,
                                (target - reserved) * WEIR__DICT_GRANULE);
    if (result < 0)
        return result;
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

/* What a free list's members have in common: where the next one's reference is. */
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

        return atomic_load_explicit(&at->life, memory_order_relaxed) >> 24;
    }
    return weir__box_class(atomic_load_explicit(
        &((struct weir__dict_box *)weir__dict_at(dict, ref))->head, memory_order_relaxed));
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
            next = atomic_load_explicit(free_link(dict, ref, node), memory_order_relaxed);
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
        old = node ? weir__link((uint32_t)head | WEIR__LINK_MARK, old) : (uint32_t)head;
        atomic_store_explicit(link, old, memory_order_relaxed);
        /* release: pairs with the acquires in pop_free. */
    } while (!atomic_compare_exchange_weak_explicit(&list->head, &head,
                                                    ((head >> 32) + 1) << 32 | ref,
                                                    memory_order_release, memory_order_relaxed));
}

static int fail_full(const weir_dict *dict, uint64_t granules)
{
    return weir__fail(-ENOSPC,
                      "dictionary \"%s\" is full: it needs %llu bytes in one piece, and its %zu "
                      "bytes (max_size) are in use",
                      dict->shm->name, (unsigned long long)granules * WEIR__DICT_GRANULE,
                      dict->shm->size);
}

/* From the list, else from the heap's end, else from the lists of larger ones. *class becomes that
 * of what was taken. 0 with the error set: there is nothing. */
static uint32_t take_memory(const weir_dict *dict, unsigned *class, bool node)
{
    uint64_t granules = weir__dict_class_granules(*class);
    uint32_t ref = pop_free(dict, *class, node);
    int result;

    if (ref != 0)
        return ref;
    result = take_from_end(dict, granules, &ref);
    if (result == 0)
        return ref;
    for (unsigned c = *class + 1; c < WEIR__DICT_CLASSES; c++) {
        ref = pop_free(dict, c, node);
        if (ref != 0) {
            *class = c;
            return ref;
        }
    }
    if (result == HEAP_IS_FULL)
        fail_full(dict, granules);
    return 0;
}

/* ---- nodes and boxes ------------------------------------------------------------------------ */

uint32_t weir__dict_take_node(const weir_dict *dict, uint32_t key_size)
{
    unsigned class = weir__dict_class_of(weir__dict_node_granules(key_size));
    uint32_t ref = take_memory(dict, &class, true), life;
    struct weir__dict_node *node;

    if (ref == 0)
        return 0;
    node = weir__dict_at(dict, ref);
    life = atomic_load_explicit(&node->life, memory_order_relaxed) + 1;
    /* relaxed: the value word that is stored next (release) publishes it. */
    atomic_store_explicit(&node->life, (life & WEIR__INCARNATION_MASK) | class << 24,
                          memory_order_relaxed);
    return ref;
}

uint32_t weir__dict_take_box(const weir_dict *dict, weir_type type, uint32_t size)
{
    unsigned class = weir__dict_class_of(weir__dict_box_granules(size));
    uint32_t ref = take_memory(dict, &class, false);
    struct weir__dict_box *box;
    uint64_t version;

    if (ref == 0)
        return 0;
    box = weir__dict_at(dict, ref);
    version = (atomic_load_explicit(&box->head, memory_order_relaxed) + 1) & WEIR__VERSION_MASK;
    /* relaxed: the value word publishes it. A late reader of the version before compares that with
     * its own after having read. */
    atomic_store_explicit(
        &box->head, version | (uint64_t)type << 28 | (uint64_t) class << 31 | (uint64_t)size << 37,
        memory_order_relaxed);
    return ref;
}

void weir__dict_give(const weir_dict *dict, uint32_t ref, bool node)
{
    unsigned class = class_in_memory(dict, ref, node);

    if (class < WEIR__DICT_CLASSES &&
        weir__dict_ref_is_sound(dict, ref, weir__dict_class_granules(class)))
        push_free(dict, class, node, ref);
}
