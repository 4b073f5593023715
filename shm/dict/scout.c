/* SPDX-License-Identifier: MIT
 *
 * dict/scout.c: bringing near what several keys lead to, before they are looked for.
 *
 * A key is found by loads that each wait for the one before: its bucket, the first node behind
 * that, perhaps another one. In a dictionary larger than the caches each takes as long as hundreds
 * of instructions. So a scout goes ahead for each of several keys, and all of them wait at the same
 * time: in each round every scout reads what has been asked for in the round before, and asks for
 * what comes next. The calls that follow find what they read in the cache.
 *
 * Invariants. A scout only reads and prefetches, and what it reads decides about nothing but that:
 * so it needs no second look, and its loads are relaxed. A reference is checked as anywhere.
 *
 * Failure modes. What another process changes meanwhile, or a damaged link, brings near what will
 * not be read. A scout ends after ROUNDS whatever it meets.
 */
#include "shm/dict/scout.h"

#include "shm/dict/table.h"

/* Of a bucket that is in the list all but one key in a thousand need three; each parent is one
 * more. */
#define ROUNDS 8u

struct scout {
    uint64_t order;               /* of its key */
    _Atomic uint64_t *link;       /* to be read in the next round; NULL: it is there */
    struct weir__dict_node *node; /* the one that `link` belongs to, or NULL: to `bucket` */
    uint32_t bucket;
};

static void go_to_bucket(const weir_dict *dict, struct scout *scout, uint32_t bucket)
{
    scout->bucket = bucket;
    scout->node = NULL;
    scout->link = &dict->buckets[bucket];
    __builtin_prefetch((const void *)scout->link);
}

static void go_to_node(const weir_dict *dict, struct scout *scout, uint32_t ref)
{
    scout->node = weir__dict_at(dict, ref);
    scout->link = &scout->node->next;
    __builtin_prefetch(scout->node);
    __builtin_prefetch((const char *)scout->node + WEIR__DICT_NODE_SIZE - 1); /* of another line */
}

/* Reads what has come near and asks for what is behind it. */
static void go_on(const weir_dict *dict, struct scout *scout)
{
    uint64_t word;

    if (scout->node != NULL &&
        atomic_load_explicit(&scout->node->order, memory_order_relaxed) >= scout->order) {
        scout->link = NULL;
        return;
    }
    word = atomic_load_explicit(scout->link, memory_order_relaxed);
    if (scout->node == NULL && scout->bucket != 0 && !weir__dict_is_linked(word)) {
        go_to_bucket(dict, scout, weir__dict_parent_of(scout->bucket));
    } else if (word & WEIR__LINK_DUMMY) {
        go_to_bucket(dict, scout, (uint32_t)word & (uint32_t)weir__dict_bucket_mask(dict));
        if (weir__dict_reverse(scout->bucket) > scout->order)
            scout->link = NULL;
    } else if (weir__dict_ref_is_sound(dict, (uint32_t)word, 3)) {
        go_to_node(dict, scout, (uint32_t)word);
    } else {
        scout->link = NULL;
    }
}

void weir__dict_scout(const weir_dict *dict, const weir_value *keys, size_t count)
{
    struct scout scouts[WEIR__DICT_SCOUTS];
    struct weir__dict_key key;
    size_t out = 0;

    for (size_t i = 0; i < count; i++) {
        if (!weir__dict_hash(dict, &keys[i], &key))
            continue;
        scouts[out].order = key.order;
        go_to_bucket(dict, &scouts[out], weir__dict_bucket(dict, key.order));
        out++;
    }
    for (unsigned round = 0; round < ROUNDS && out > 0; round++) {
        size_t left = 0;

        for (size_t i = 0; i < out; i++) {
            go_on(dict, &scouts[i]);
            if (scouts[i].link != NULL)
                scouts[left++] = scouts[i];
        }
        out = left;
    }
}
