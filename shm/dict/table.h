/* SPDX-License-Identifier: MIT
 *
 * dict/table.h: one ordered list of all items of a dictionary, and the buckets that lead into it.
 */
#ifndef WEIR_SHM_DICT_TABLE_H
#define WEIR_SHM_DICT_TABLE_H

#include "shm/dict/layout.h"

/* What is looked for. */
struct weir__dict_key {
    uint64_t order, tie;
    const unsigned char *data;
    uint32_t size;
    bool after; /* the first item behind (order, tie), instead of that very key */
};

/* Where it is, or belongs: the link before it, and what that was when all was seen to be so. */
struct weir__dict_place {
    _Atomic uint64_t *link;
    uint64_t word;
    struct weir__dict_node *node; /* NULL: not found */
    uint32_t ref, life;
};

/* ---- keys ----------------------------------------------------------------------------------- */

static inline uint64_t weir__dict_reverse(uint64_t bits)
{
    bits = (bits >> 1 & 0x5555555555555555u) | (bits & 0x5555555555555555u) << 1;
    bits = (bits >> 2 & 0x3333333333333333u) | (bits & 0x3333333333333333u) << 2;
    bits = (bits >> 4 & 0x0f0f0f0f0f0f0f0fu) | (bits & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(bits);
}

static inline uint64_t weir__dict_mix(uint64_t hash)
{
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    return hash ^ hash >> 31;
}

bool weir__dict_hash_long(const weir_dict *dict, const weir_value *value,
                          struct weir__dict_key *key);
int weir__dict_make_long_key(const weir_dict *dict, const weir_value *value,
                             struct weir__dict_key *key);

/* The sorting key of a str, bytes or int, which was not checked; false: it cannot be one. */
static inline bool weir__dict_hash(const weir_dict *dict, const weir_value *value,
                                   struct weir__dict_key *key)
{
    if (value->type != WEIR_INT)
        return weir__dict_hash_long(dict, value, key);
    *key = (struct weir__dict_key){
        .order = (weir__dict_mix((uint64_t)value->integer ^ dict->seed[0]) & ~(uint64_t)3) | 1,
        .tie = (uint64_t)value->integer ^ dict->seed[2]};
    return true;
}

/* The sorting key of a str, bytes or int; -EINVAL for other types and for a key that is too long.
 */
static inline int weir__dict_make_key(const weir_dict *dict, const weir_value *value,
                                      struct weir__dict_key *key)
{
    return value->type == WEIR_INT ? (weir__dict_hash(dict, value, key), 0)
                                   : weir__dict_make_long_key(dict, value, key);
}

/* The bytes of a node's key against those that are looked for. */
bool weir__dict_has_bytes(const weir_dict *dict, uint32_t ref, const struct weir__dict_key *key);

/* The same for a node of the same (order, tie). An int is its tie. */
static inline bool weir__dict_has_key(const weir_dict *dict, uint32_t ref,
                                      const struct weir__dict_key *key)
{
    return (key->order & 3) == 1 || weir__dict_has_bytes(dict, ref, key);
}

/* How many buckets may be in use, less 1. */
static inline uint64_t weir__dict_bucket_mask(const weir_dict *dict)
{
    /* relaxed: any number of buckets that was ever true leads to the right place, and it is no
     * smaller than when the bucket was linked that was just met. */
    uint64_t log = atomic_load_explicit(&dict->header->order, memory_order_relaxed);

    return ((uint64_t)1 << (log > dict->order_max ? dict->order_max : log)) - 1;
}

/* The bucket of a sorting key. */
static inline uint32_t weir__dict_bucket(const weir_dict *dict, uint64_t order)
{
    return (uint32_t)(weir__dict_reverse(order) & weir__dict_bucket_mask(dict));
}

/* The next bucket in whose part of the list this one lies: without its highest bit. Not of 0. */
static inline uint32_t weir__dict_parent_of(uint32_t bucket)
{
    return bucket & ~((uint32_t)1 << (31 - __builtin_clz(bucket)));
}

static inline bool weir__dict_is_linked(uint64_t bucket)
{
    return bucket != 0 && !(bucket & WEIR__LINK_MARK);
}

/* The key before all those that lie in a bucket, for `after`. */
struct weir__dict_key weir__dict_bucket_key(uint32_t bucket);

/* ---- seeking -------------------------------------------------------------------------------- */

/* The short way to a key that is there: true if the first item of its bucket has it, with that
 * item's place and value word. False says nothing; so does a word that is no value (DEAD, damaged),
 * for which weir__dict_seek and weir__dict_load have the answer.
 *
 * These are two loads that wait for memory, one for the other. All else is kept so short that the
 * processor reaches the loads of the next call while it waits for those of this one. */
static inline bool weir__dict_first(const weir_dict *dict, const struct weir__dict_key *key,
                                    struct weir__dict_place *place, uint64_t *value)
{
    _Atomic uint64_t *link = &dict->buckets[weir__dict_bucket(dict, key->order)];
    /* acquire: pairs with the releases in table.c, weir__dict_link_node, unlink_node and
     * clear_mark. */
    uint64_t word = atomic_load_explicit(link, memory_order_acquire), found;
    uint32_t ref = (uint32_t)word, life;
    struct weir__dict_node *node;

    if (word & (WEIR__LINK_MARK | WEIR__LINK_DUMMY) || !weir__dict_ref_is_sound(dict, ref, 3))
        return false;
    node = weir__dict_at(dict, ref);
    /* relaxed: the call that linked the node released them with the link. */
    if (atomic_load_explicit(&node->order, memory_order_relaxed) != key->order ||
        atomic_load_explicit(&node->tie, memory_order_relaxed) != key->tie ||
        !weir__dict_has_key(dict, ref, key))
        return false;
    life = atomic_load_explicit(&node->life, memory_order_relaxed);
    /* acquire: pairs with dict.c, write_node, replace_value and remove_place. */
    found = atomic_load_explicit(&node->value, memory_order_acquire);
    /* acquire fence: all of the item has been read when the link is looked at again; pairs with
     * heap.c, take_memory. With the same link the node was in the list while it was read, so the
     * life is the value's, and the key had the value when that was loaded. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(link, memory_order_relaxed) != word)
        return false;
    if (weir__word_kind(found) < WEIR__WORD_NONE || weir__word_kind(found) > WEIR__WORD_BOX ||
        (weir__word_kind(found) != WEIR__WORD_BOX &&
         ((found >> 4 ^ life) & WEIR__INCARNATION_MASK) != 0))
        return false;
    *place = (struct weir__dict_place){
        .link = link, .word = word, .node = node, .ref = ref, .life = life};
    *value = found;
    return true;
}

/* 0 or -EBADMSG. On its way it takes nodes out of the list that are deleted. */
int weir__dict_seek(const weir_dict *dict, const struct weir__dict_key *key,
                    struct weir__dict_place *place);
/* Puts a filled node (value included) into the list. False: the place has changed, seek again. */
bool weir__dict_link_node(const weir_dict *dict, const struct weir__dict_place *place,
                          uint32_t ref);
/* Marks the place's node, whose value is dead, as deleted. The next seek takes it out. */
void weir__dict_mark(const struct weir__dict_place *place);
/* Counts an item more, and makes more buckets when there are many items. */
void weir__dict_count(const weir_dict *dict, int64_t change);

#endif
