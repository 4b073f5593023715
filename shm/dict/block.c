/* SPDX-License-Identifier: MIT
 *
 * dict/block.c: the block of a dictionary, and handles: made, filled, checked, opened and closed.
 *
 * Invariants. The places of header, buckets, free map and heap follow from the size of the block
 * alone. A block gets its name after it was written in full, so a process that opens it finds a
 * dictionary, or one that was damaged since: the numbers that all the rest depends on are checked
 * here.
 *
 * Failure modes. Killed while making one: there is no name. Damage is -EBADMSG; damage that is not
 * seen here is found where the damaged part is used.
 */
#include "shm/dict/block.h"

#include <errno.h>
#include <stddef.h>

#include "shm/block/block.h"
#include "shm/block/populate.h"
#include "shm/dict/heap.h"
#include "shm/error.h"

#define DICT_MAGIC 0x3274636964726977u /* "wirdict2", on little-endian machines */

#define SIZE_DEFAULT ((size_t)64 << 20)
/* Of the heap, at first. */
#define RESERVE_FIRST ((uint64_t)16 << 10)

static int64_t size_of_options(const weir_dict_options *options)
{
    size_t size = options == NULL || options->max_size == 0 ? SIZE_DEFAULT : options->max_size;

    if (size < WEIR__DICT_SIZE_MIN || size > WEIR__DICT_SIZE_MAX)
        return weir__fail(-EINVAL, "a dictionary's max_size must be from %zu to %zu bytes, not %zu",
                          WEIR__DICT_SIZE_MIN, WEIR__DICT_SIZE_MAX, size);
    if (options != NULL && weir__check_reserved(options->reserved, sizeof options->reserved / 8,
                                                "weir_dict_options") < 0)
        return -EINVAL;
    return (int64_t)size;
}

static int64_t dict_size(const void *spec, unsigned *flags)
{
    const struct weir__dict_spec *dict = spec;

    *flags = weir__can_populate() ? WEIR_SHM_LAZY : 0;
    return dict->source != NULL ? (int64_t)dict->source->shm->size : size_of_options(dict->options);
}

/* Where everything is follows from the block's size. */
static void lay_out_dict(weir_dict *dict, struct weir_shm *shm)
{
    size_t map_at, heap_at, chunk = WEIR__DICT_CHUNK * WEIR__DICT_GRANULE;

    dict->shm = shm;
    dict->header = shm->buf;
    dict->buckets = (_Atomic uint64_t *)((char *)shm->buf + WEIR__DICT_BUCKETS_AT);
    dict->order_max = 63u - (unsigned)__builtin_clzll(shm->size / 64);
    map_at = WEIR__DICT_BUCKETS_AT + ((size_t)8 << dict->order_max);
    dict->chunks = (struct weir__dict_chunk *)((char *)shm->buf + map_at);
    heap_at = map_at + ((shm->size - map_at) / chunk + 1) * sizeof *dict->chunks;
    dict->heap = (unsigned char *)shm->buf + heap_at;
    dict->granules = (shm->size - heap_at) / WEIR__DICT_GRANULE;
}

/* No other process can see the block yet: plain stores suffice. */
static void write_dict_header(weir_dict *dict)
{
    struct weir__dict_header *header = dict->header;

    header->magic = DICT_MAGIC;
    header->size = dict->shm->size;
    dict->seed[0] = header->seed[0] = weir__random64();
    dict->seed[1] = header->seed[1] = weir__random64();
    dict->seed[2] = header->seed[2] = weir__random64();
    atomic_store_explicit(&header->order, WEIR__DICT_ORDER_MIN, memory_order_relaxed);
    atomic_store_explicit(&header->reserved,
                          weir__can_populate() ? RESERVE_FIRST / WEIR__DICT_GRANULE
                                               : dict->granules,
                          memory_order_relaxed);
    atomic_store_explicit(&header->used, 1, memory_order_relaxed); /* reference 0 is none */
    atomic_store_explicit(&dict->buckets[0], WEIR__LINK_TAG_ONE, memory_order_relaxed);
}

/* The memory of a new block need not be reserved yet. */
static int fill_dict(void *buf, size_t size, const void *spec)
{
    const weir_dict *source = ((const struct weir__dict_spec *)spec)->source;
    struct weir_shm shm = {.buf = buf, .size = size, .name = "(new)"};
    weir_dict dict;
    int result;

    lay_out_dict(&dict, &shm);
    result =
        weir__dict_reserve(buf, 0, WEIR__DICT_BUCKETS_AT + ((size_t)8 << WEIR__DICT_ORDER_MIN));
    if (result == 0) /* the first of the free map, and of the heap behind it */
        result =
            weir__dict_reserve(buf, (size_t)((unsigned char *)dict.chunks - (unsigned char *)buf),
                               sizeof *dict.chunks);
    if (result == 0)
        result = weir__dict_reserve(buf, (size_t)(dict.heap - (unsigned char *)buf), RESERVE_FIRST);
    if (result < 0)
        return result;
    write_dict_header(&dict);
    return source == NULL ? 0 : weir_dict_update(&dict, source);
}

static int bind_dict(void *handle, struct weir_shm *shm, const void *spec)
{
    struct weir__dict_header *header = shm->buf;
    uint64_t order, reserved;
    weir_dict *dict = handle;

    (void)spec;
    if (shm->size < WEIR__DICT_SIZE_MIN || shm->size > WEIR__DICT_SIZE_MAX ||
        header->magic != DICT_MAGIC || header->size != shm->size)
        return weir__fail(-EBADMSG, "block \"%s\" is not a dictionary", shm->name);
    lay_out_dict(dict, shm);
    dict->seed[0] = header->seed[0];
    dict->seed[1] = header->seed[1];
    dict->seed[2] = header->seed[2];
    order = atomic_load_explicit(&header->order, memory_order_relaxed);
    reserved = atomic_load_explicit(&header->reserved, memory_order_relaxed);
    if (order < WEIR__DICT_ORDER_MIN || order > dict->order_max || reserved > dict->granules ||
        atomic_load_explicit(&header->used, memory_order_relaxed) > reserved)
        return weir__dict_damaged(dict, "its header's numbers");
    return 0;
}

_Static_assert(offsetof(struct weir_dict, shm) == 0, "a handle begins with its block");

const struct weir__object_kind weir__dict_kind = {.name = "dict",
                                                  .noun = "dictionary",
                                                  .handle_size = sizeof(struct weir_dict),
                                                  .size = dict_size,
                                                  .fill = fill_dict,
                                                  .bind = bind_dict};

weir_dict *weir_dict_create(const char *name, const weir_dict_options *options)
{
    return weir__object_create(&weir__dict_kind, name, &(struct weir__dict_spec){options, NULL});
}

weir_dict *weir_dict_copy(const char *name, const weir_dict *source)
{
    if (source == NULL)
        return weir__fail_null(-EINVAL, "the dictionary to copy is NULL");
    return weir__object_create(&weir__dict_kind, name, &(struct weir__dict_spec){NULL, source});
}

weir_dict *weir_dict_attach(const char *name)
{
    return weir__object_attach(&weir__dict_kind, name, NULL);
}

void weir_dict_close(weir_dict *dict)
{
    weir__object_close(dict);
}

weir_shm *weir_dict_shm(const weir_dict *dict)
{
    return weir__object_shm(&weir__dict_kind, dict);
}
