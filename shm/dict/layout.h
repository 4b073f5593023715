/* SPDX-License-Identifier: MIT
 *
 * layout.h: how a shared dictionary lies in its block, which is all that its files share.
 *
 * How it works as a whole, and what is true when a process is killed at any line, is in README.md.
 * From the top down, each file calling those below it alone:
 *
 *     dict/block.c    blocks and handles: made, filled and checked
 *     dict/dict.c     the public calls on items
 *     dict/table.c    one ordered list of all nodes, and the buckets that lead into it
 *     dict/value.c    values as words and boxes
 *     dict/heap.c     memory inside the block: nodes and boxes, taken and given back
 *     dict/free_map.c which granules are free for anything
 *     dict/layout.c   what a damaged one is answered with
 *
 * Nothing in the block is a pointer: a *reference* counts granules of 16 bytes from the heap's
 * start, so the block may be mapped anywhere. Whatever is read from the block is checked before it
 * is used.
 *
 * What users store, and all else that is not a link, a value word, a hash or a `life`, is masked:
 * it stands in the block combined (exclusive or) with seed[2]. So no user's data are ever the word
 * that a late compare-and-swap expects to find where a node was.
 */
#ifndef WEIR_SHM_DICT_LAYOUT_H
#define WEIR_SHM_DICT_LAYOUT_H

#include <stdatomic.h>
#include <string.h>

#include "shm/block/shared_memory.h"

#define WEIR__DICT_GRANULE    16u
#define WEIR__DICT_CLASSES    48u /* sizes of 1, 2, 3, 4, 6, 8, 12, ... granules */
#define WEIR__DICT_BUCKETS_AT 8192u
#define WEIR__DICT_ORDER_MIN  9u /* 512 buckets: the first page of them */
#define WEIR__DICT_SIZE_MIN   ((size_t)64 << 10)
#define WEIR__DICT_SIZE_MAX   ((size_t)64 << 30) /* granules are counted in 32 bits */

/* A walk that had to begin again this often met damage (or a process that writes without end). */
#define WEIR__DICT_TRIES (1u << 20)

/* The memory that was read belongs to another item by now: seek again. */
#define WEIR__AGAIN 1

/* The head of a free list: tag << 32 | reference. On a cache line of its own. */
struct weir__dict_free {
    _Alignas(64) _Atomic uint64_t head;
    _Atomic uint64_t rover; /* a word of the free map, where to look next; a hint */
};

/* So many granules, and what is known of them in the free map. `free` is never less than there are
 * bits: a process that was killed can only have left it too large. */
#define WEIR__DICT_CHUNK_WORDS 63u
#define WEIR__DICT_CHUNK       (64 * WEIR__DICT_CHUNK_WORDS)

struct weir__dict_chunk {
    _Atomic uint32_t free;  /* how many may be free */
    _Atomic uint32_t clock; /* beyond all tags, incarnations and versions that its granules had */
    _Atomic uint64_t bits[WEIR__DICT_CHUNK_WORDS]; /* 1: free for anything */
};

_Static_assert(sizeof(struct weir__dict_chunk) == 512, "no two pages for one");

/* The first page or two of the block. The first line is written at creation, but for `order` and
 * `reserved`, which only grow. */
struct weir__dict_header {
    uint64_t magic;
    uint64_t size;                        /* of the block */
    uint64_t seed[3];                     /* two of the hash, and the mask */
    uint64_t unused;                      /* 0 */
    _Atomic uint64_t order;               /* log2 of the number of buckets in use */
    _Atomic uint64_t reserved;            /* granules of the heap that have memory behind them */
    _Alignas(64) _Atomic uint64_t used;   /* granules that were taken from the heap's start */
    _Alignas(64) _Atomic uint64_t items;  /* about how many; a hint when to grow */
    _Alignas(64) _Atomic uint64_t popped; /* a bucket where popitem may find something; a hint */
    _Alignas(64) _Atomic uint64_t free;   /* granules in the free map; never less than there are */
    struct weir__dict_free nodes[WEIR__DICT_CLASSES];
    struct weir__dict_free boxes[WEIR__DICT_CLASSES];
};

_Static_assert(sizeof(struct weir__dict_header) <= WEIR__DICT_BUCKETS_AT,
               "the buckets begin behind the header");

/* An item, or its place on a free list. */
struct weir__dict_node {
    _Atomic uint64_t next;  /* a link */
    _Atomic uint64_t order; /* first part of the sorting key; the two low bits are the key's kind */
    _Atomic uint64_t tie;   /* second part: another hash, or an int, masked */
    _Atomic uint64_t value; /* a value word */
    _Atomic uint32_t life;  /* LIFE, class, incarnation: changed before the node is used again */
    _Atomic uint32_t size;  /* bytes of the key */
    _Atomic uint64_t key[]; /* of a str or bytes, padded with zeros, masked; an int is in `tie` */
};

#define WEIR__DICT_NODE_SIZE 40u
_Static_assert(sizeof(struct weir__dict_node) == WEIR__DICT_NODE_SIZE, "five words");

/* A value that does not fit into a word. It never changes while a value word refers to it. All of
 * it is masked. */
struct weir__dict_box {
    _Atomic uint64_t head;   /* version, type, class, size */
    _Atomic uint64_t data[]; /* on a free list: the next one's reference */
};

/* ---- the handle ----------------------------------------------------------------------------- */

/* A dictionary is its block and where its parts lie, derived from the block's size. */
struct weir_dict {
    struct weir_shm *shm;
    struct weir__dict_header *header;
    _Atomic uint64_t *buckets;
    struct weir__dict_chunk *chunks; /* the free map: one for each WEIR__DICT_CHUNK granules */
    unsigned char *heap;
    uint64_t granules; /* that the heap can grow to */
    uint64_t seed[3];
    unsigned order_max;
};

/* -EBADMSG, with a message that says what of the dictionary is damaged. */
int weir__dict_damaged(const weir_dict *dict, const char *how) __attribute__((cold));

/* ---- links ---------------------------------------------------------------------------------- */

/* A link is the `next` of a node, or a bucket: reference (or number of a bucket), MARK, DUMMY, tag.
 * Every change of a link makes its tag another one, also from one use of a node to the next. */
#define WEIR__LINK_MARK    ((uint64_t)1 << 32) /* node: deleted. bucket: not known to be linked */
#define WEIR__LINK_DUMMY   ((uint64_t)1 << 33) /* it leads to a bucket */
#define WEIR__LINK_TARGET  (WEIR__LINK_DUMMY | UINT32_MAX)
#define WEIR__LINK_TAG_ONE ((uint64_t)1 << 34)
#define WEIR__LINK_USED    ((uint64_t)1 << 63) /* the tag has the bits between */
#define WEIR__TAG_BITS     29u

/* What replaces `old` when the link shall lead to `target` (with MARK or not). Never 0, which is a
 * bucket that nobody has used; so one bit is always set.
 *
 * No condition decides about the tag. gcc 12.2 for x86-64 makes a conditional move of
 * "tag != 0 ? tag : TAG_ONE" and then drops the load of TAG_ONE (a peephole after if-conversion),
 * which the sum needs too: instead of 1, an address was added to the tag. */
static inline uint64_t weir__link(uint64_t target, uint64_t old)
{
    uint64_t tag = (old & ~(WEIR__LINK_TAG_ONE - 1)) + WEIR__LINK_TAG_ONE;

    return target | tag | WEIR__LINK_USED;
}

static inline uint32_t weir__link_tag(uint64_t link)
{
    return (uint32_t)((link & ~WEIR__LINK_USED) / WEIR__LINK_TAG_ONE);
}

/* ---- value words ---------------------------------------------------------------------------- */

/* The low four bits. All but BOX carry the node's incarnation in the next 24 bits, BOX its box's
 * version in the next 28; so a word never comes back for another key. */
enum weir__dict_word {
    WEIR__WORD_NONE = 1,
    WEIR__WORD_BOOL = 2,
    WEIR__WORD_INT = 3,  /* 36 bits, signed */
    WEIR__WORD_BOX = 4,  /* a reference */
    WEIR__WORD_DEAD = 5, /* the key is gone; final */
};

/* What an int in a word can be; others are in boxes. */
#define WEIR__WORD_INT_MAX (((int64_t)1 << 35) - 1)
#define WEIR__WORD_INT_MIN (-((int64_t)1 << 35))

#define WEIR__INCARNATION_MASK 0xffffffu
#define WEIR__VERSION_MASK     0xfffffffu

/* A life: incarnation, class << 24, and two bits that no link below 48 GiB has there. */
#define WEIR__LIFE 0xc0000000u

static inline enum weir__dict_word weir__word_kind(uint64_t word)
{
    return (enum weir__dict_word)(word & 15);
}

static inline uint64_t weir__word_inline(enum weir__dict_word kind, uint32_t life, uint64_t payload)
{
    return payload << 28 | (uint64_t)(life & WEIR__INCARNATION_MASK) << 4 | (uint64_t)kind;
}

/* ---- references ----------------------------------------------------------------------------- */

/* True when [ref, ref + granules) lies in the part of the heap that is in use. */
static inline bool weir__dict_ref_is_sound(const weir_dict *dict, uint64_t ref, uint64_t granules)
{
    /* relaxed: it only grows, and whatever led here was published after it grew. */
    uint64_t end = atomic_load_explicit(&dict->header->reserved, memory_order_relaxed);

    return ref != 0 && granules <= end && ref <= end - granules && end <= dict->granules;
}

static inline void *weir__dict_at(const weir_dict *dict, uint32_t ref)
{
    return dict->heap + (size_t)ref * WEIR__DICT_GRANULE;
}

/* The granules of a node for a key of so many bytes, and of a box for so many of a value. */
static inline uint64_t weir__dict_node_granules(uint32_t size)
{
    return (WEIR__DICT_NODE_SIZE + (uint64_t)size + 15) / WEIR__DICT_GRANULE;
}

static inline uint64_t weir__dict_box_granules(uint32_t size)
{
    return (sizeof(struct weir__dict_box) + (uint64_t)size + 15) / WEIR__DICT_GRANULE;
}

/* Up to eight bytes of data as they stand in a node or box. */
static inline uint64_t weir__dict_data_word(const void *data, uint32_t size, uint32_t at)
{
    uint64_t word = 0;

    memcpy(&word, (const char *)data + at, size - at < sizeof word ? size - at : sizeof word);
    return word;
}

/* Writes data to memory that nobody else can reach. relaxed: the link to the node, or the value
 * word that leads to the box, publishes it. */
static inline void weir__dict_write_data(const weir_dict *dict, _Atomic uint64_t *to,
                                         const void *data, uint32_t size)
{
    const uint64_t mask = dict->seed[2];
    const uint32_t words = size / 8;
    uint64_t word;

    for (uint32_t i = 0; i < words; i++) {
        memcpy(&word, (const char *)data + (size_t)i * 8, sizeof word);
        atomic_store_explicit(&to[i], word ^ mask, memory_order_relaxed);
    }
    if (size % 8 != 0)
        atomic_store_explicit(&to[words], weir__dict_data_word(data, size, words * 8) ^ mask,
                              memory_order_relaxed);
}

static inline unsigned weir__dict_class_of(uint64_t granules)
{
    unsigned log;

    if (granules <= 1)
        return 0;
    log = 64u - (unsigned)__builtin_clzll(granules - 1); /* 2^log is enough */
    if (log >= 2 && granules <= (uint64_t)3 << (log - 2))
        return 2 * log - 2;
    return 2 * log - 1;
}

static inline uint64_t weir__dict_class_granules(unsigned class)
{
    if (class == 0)
        return 1;
    return class % 2 ? (uint64_t)1 << (class + 1) / 2 : (uint64_t)3 << (class - 2) / 2;
}

static inline uint32_t weir__make_life(unsigned class, uint32_t incarnation)
{
    return WEIR__LIFE | (uint32_t) class << 24 | (incarnation & WEIR__INCARNATION_MASK);
}

static inline unsigned weir__life_class(uint32_t life)
{
    return life >> 24 & 63;
}

/* A box's head, and its parts. */
static inline uint64_t weir__dict_load_head(const weir_dict *dict, const struct weir__dict_box *box)
{
    /* acquire: what the head says of the box is read after it. */
    return atomic_load_explicit(&box->head, memory_order_acquire) ^ dict->seed[2];
}

static inline void weir__dict_store_head(const weir_dict *dict, struct weir__dict_box *box,
                                         uint64_t head)
{
    /* relaxed: the value word publishes it. */
    atomic_store_explicit(&box->head, head ^ dict->seed[2], memory_order_relaxed);
}

static inline uint32_t weir__box_version(uint64_t head)
{
    return head & WEIR__VERSION_MASK;
}

static inline weir_type weir__box_type(uint64_t head)
{
    return (weir_type)(head >> 28 & 7);
}

static inline unsigned weir__box_class(uint64_t head)
{
    return head >> 31 & 63;
}

static inline uint32_t weir__box_size(uint64_t head)
{
    return (uint32_t)(head >> 37);
}

#endif
