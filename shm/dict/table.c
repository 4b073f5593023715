/* SPDX-License-Identifier: MIT
 *
 * dict/table.c: the items of a dictionary: one ordered list, and buckets that lead into it.
 *
 * All nodes are in one singly linked list, sorted by (order, tie): a hash whose low two bits are
 * the key's kind, and the int itself or a second hash. Bucket b is a link inside the list too, at
 * the place of the bits of b in reverse, so it comes before the nodes whose reversed order ends in
 * b. Twice as many buckets are then just more ways into the same list: no node moves, and no reader
 * notices (split ordering, by Shalev and Shavit; the list is Harris's and Michael's, with tags).
 *
 * A bucket's link:  0 --claim--> marked, written by its claimer alone --linked--> marked, in the
 *                   list --cleared by any walk--> a link like any other, for ever
 * A node's link:    written by its taker alone --link_node--> in the list --mark--> marked: final
 *                   --unlinked by any walk, which gives the node back
 *
 * Invariants. A call that follows a link reads the node or bucket behind it and then looks at the
 * link once more: only if it is still the same word, tag included, was the node or bucket in the
 * list while it was read. A node is marked only when its value word is dead. No call waits for
 * another.
 *
 * Failure modes. Killed after claiming a bucket: it stays unused, and its keys are found from the
 * bucket of half its number, with a few steps more. A damaged list is -EBADMSG: orders must rise at
 * every step, so that a walk ends.
 */
#include "shm/dict/table.h"

#include <errno.h>
#include <string.h>

#include "shm/dict/heap.h"
#include "shm/error.h"
#include "shm/value.h"

/* Two keys may be equal in both parts of the sorting key; so many in a row are damage. */
#define EQUALS_MAX 64u

/* ---- keys ----------------------------------------------------------------------------------- */

static void hash_bytes(const weir_dict *dict, struct weir__dict_key *key)
{
    uint64_t first = dict->seed[0] ^ key->size, second = dict->seed[1];

    for (uint32_t at = 0; at < key->size; at += 8) {
        uint64_t word = weir__dict_data_word(key->data, key->size, at);

        first = (first ^ word) * 0x9e3779b97f4a7c15u;
        first ^= first >> 32;
        second = (second + word) * 0xd6e8feb86659fd93u;
        second ^= second >> 29;
    }
    key->order = weir__dict_mix(first);
    key->tie = weir__dict_mix(second);
}

bool weir__dict_hash_long(const weir_dict *dict, const weir_value *value,
                          struct weir__dict_key *key)
{
    if (!weir__has_data(value) || value->size > WEIR_DICT_KEY_MAX ||
        (value->data == NULL && value->size > 0))
        return false;
    *key = (struct weir__dict_key){.data = (const unsigned char *)value->data, .size = value->size};
    hash_bytes(dict, key);
    key->order = (key->order & ~(uint64_t)3) | (value->type == WEIR_STR ? 2 : 3);
    return true;
}

int weir__dict_make_long_key(const weir_dict *dict, const weir_value *value,
                             struct weir__dict_key *key)
{
    int result = 0;

    *key = (struct weir__dict_key){.data = NULL};
    if (!weir__has_data(value))
        return weir__fail(-EINVAL, "a key must be a str, bytes or an int, not %s",
                          weir_type_name(value->type));
    if (value->size > WEIR_DICT_KEY_MAX)
        return weir__fail(-E2BIG, "a key of %u bytes is longer than %d", value->size,
                          WEIR_DICT_KEY_MAX);
    if (value->size > 0 || value->type == WEIR_STR)
        result = weir__value_check(value);
    if (result == 0)
        weir__dict_hash_long(dict, value, key);
    return result;
}

struct weir__dict_key weir__dict_bucket_key(uint32_t bucket)
{
    return (struct weir__dict_key){.order = weir__dict_reverse(bucket), .after = true};
}

/* ---- walking -------------------------------------------------------------------------------- */

/* What a link leads to, as it was read; true only if the link is the same afterwards. */
struct item {
    struct weir__dict_node *node; /* NULL: a bucket */
    _Atomic uint64_t *link;       /* its own link */
    uint64_t next;                /* what that was */
    uint64_t order, tie;
    uint32_t ref, life;
};

static bool read_item(const weir_dict *dict, uint64_t word, struct item *item)
{
    item->ref = (uint32_t)word;
    if (word & WEIR__LINK_DUMMY) {
        if (item->ref > weir__dict_bucket_mask(dict))
            return false;
        item->node = NULL;
        item->link = &dict->buckets[item->ref];
        item->order = weir__dict_reverse(item->ref);
        item->tie = 0;
        item->life = 0;
    } else {
        if (!weir__dict_ref_is_sound(dict, item->ref, 3))
            return false;
        item->node = weir__dict_at(dict, item->ref);
        item->link = &item->node->next;
        /* relaxed, these three: the call that linked the node released them with the link. */
        item->order = atomic_load_explicit(&item->node->order, memory_order_relaxed);
        item->tie = atomic_load_explicit(&item->node->tie, memory_order_relaxed);
        item->life = atomic_load_explicit(&item->node->life, memory_order_relaxed);
    }
    /* acquire: pairs with the releases in weir__dict_link_node, unlink_node and link_bucket. */
    item->next = atomic_load_explicit(item->link, memory_order_acquire);
    return true;
}

bool weir__dict_has_bytes(const weir_dict *dict, uint32_t ref, const struct weir__dict_key *key)
{
    const struct weir__dict_node *node = weir__dict_at(dict, ref);

    if (atomic_load_explicit(&node->size, memory_order_relaxed) != key->size ||
        !weir__dict_ref_is_sound(dict, ref, weir__dict_node_granules(key->size)))
        return false;
    for (uint32_t at = 0; at < key->size; at += 8)
        if ((atomic_load_explicit(&node->key[at / 8], memory_order_relaxed) ^ dict->seed[2]) !=
            weir__dict_data_word(key->data, key->size, at))
            return false;
    return true;
}

enum step { BEFORE, FOUND, BEYOND };

static enum step compare_item(const weir_dict *dict, const struct item *item,
                              const struct weir__dict_key *key)
{
    if (key->after && item->node == NULL)
        return BEFORE; /* buckets are no items */
    if (item->order != key->order)
        return item->order < key->order ? BEFORE : BEYOND;
    if (item->tie != key->tie)
        return item->tie < key->tie ? BEFORE : BEYOND;
    return item->node != NULL && !key->after && weir__dict_has_key(dict, item->ref, key) ? FOUND
                                                                                         : BEFORE;
}

/* Takes a marked node out of the list and gives it back. False: the link changed. */
static bool unlink_node(const weir_dict *dict, _Atomic uint64_t *link, uint64_t *word,
                        const struct item *item)
{
    uint64_t next = weir__link(item->next & WEIR__LINK_TARGET, *word);

    /* release: pairs with the acquires in read_item and weir__dict_first, for what `next` leads to.
     */
    if (!atomic_compare_exchange_strong_explicit(link, word, next, memory_order_release,
                                                 memory_order_relaxed))
        return false;
    /* Killed here: the node is lost. */
    weir__dict_give(dict, item->ref, true);
    *word = next;
    return true;
}

/* A bucket that was reached through the list is in the list. */
static void clear_mark(_Atomic uint64_t *bucket, uint64_t word)
{
    /* release: pairs with the acquires in begin_at, linked_parent, walk_from and weir__dict_first.
     */
    atomic_compare_exchange_strong_explicit(bucket, &word,
                                            weir__link(word & WEIR__LINK_TARGET, word),
                                            memory_order_release, memory_order_relaxed);
}

/* Where a walk is: what `place` says, and how far it has come. */
struct table_walk {
    struct weir__dict_place *place;
    uint64_t order, tie;
    unsigned equals;
};

/* Orders must rise. */
static bool is_in_order(struct table_walk *walk, const struct item *item)
{
    if (item->order == walk->order && item->tie == walk->tie)
        return ++walk->equals <= EQUALS_MAX;
    if (item->order < walk->order || (item->order == walk->order && item->tie < walk->tie))
        return false;
    walk->equals = 0;
    walk->order = item->order;
    walk->tie = item->tie;
    return true;
}

#define WALK_ON 2

/* One step. WEIR__AGAIN: begin again; 0: the place is found; WALK_ON. */
static int walk_step(const weir_dict *dict, const struct weir__dict_key *key,
                     struct table_walk *walk)
{
    struct weir__dict_place *place = walk->place;
    struct item item;
    enum step way;

    if ((place->word & WEIR__LINK_TARGET) == 0)
        return 0; /* the end */
    if (!read_item(dict, place->word, &item))
        return atomic_load_explicit(place->link, memory_order_acquire) == place->word
                   ? weir__dict_damaged(dict, "a link leads nowhere")
                   : WEIR__AGAIN;
    way = compare_item(dict, &item, key);
    /* acquire fence: all of the item has been read when the link is looked at again. Pairs with
     * heap.c, take_memory: if the item was that of a node that is used again, the link has changed.
     */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(place->link, memory_order_relaxed) != place->word)
        return WEIR__AGAIN;
    if (!is_in_order(walk, &item) || item.next == 0)
        return weir__dict_damaged(dict, "its items are not in order");
    if (item.node != NULL && item.next & WEIR__LINK_MARK)
        return unlink_node(dict, place->link, &place->word, &item) ? WALK_ON : WEIR__AGAIN;
    if (item.node == NULL && item.next & WEIR__LINK_MARK) {
        clear_mark(item.link, item.next);
        return WEIR__AGAIN;
    }
    if (way == BEFORE) {
        place->link = item.link;
        place->word = item.next;
        return WALK_ON;
    }
    if (way == FOUND || key->after) {
        place->node = item.node;
        place->ref = item.ref;
        place->life = item.life;
    }
    return 0;
}

/* From a bucket that is in the list. */
static int walk_from(const weir_dict *dict, uint32_t bucket, const struct weir__dict_key *key,
                     struct weir__dict_place *place)
{
    struct table_walk walk = {.place = place, .order = weir__dict_reverse(bucket)};
    int result = WALK_ON;

    *place = (struct weir__dict_place){.link = &dict->buckets[bucket]};
    /* acquire: pairs with the release in clear_mark. */
    place->word = atomic_load_explicit(place->link, memory_order_acquire);
    if (!weir__dict_is_linked(place->word))
        return weir__dict_damaged(dict, "a bucket is not in the list");
    while (result == WALK_ON)
        result = walk_step(dict, key, &walk);
    return result;
}

/* ---- buckets -------------------------------------------------------------------------------- */

static uint32_t linked_parent(const weir_dict *dict, uint32_t bucket)
{
    /* acquire: pairs with the release in clear_mark. */
    while (bucket != 0 && !weir__dict_is_linked(
                              atomic_load_explicit(&dict->buckets[bucket], memory_order_acquire)))
        bucket = weir__dict_parent_of(bucket);
    return bucket;
}

/* Puts a bucket that this process has claimed into the list. No call waits for it: until the bucket
 * is in the list, or if it never is, its parent serves. */
static void link_bucket(const weir_dict *dict, uint32_t bucket)
{
    const struct weir__dict_key key = {.order = weir__dict_reverse(bucket)};
    uint32_t parent = linked_parent(dict, weir__dict_parent_of(bucket));
    uint64_t word = WEIR__LINK_MARK | WEIR__LINK_TAG_ONE;
    struct weir__dict_place place;

    for (unsigned tries = 0; tries < WEIR__DICT_TRIES; tries++) {
        int result = walk_from(dict, parent, &key, &place);

        if (result < 0)
            return;
        if (result == WEIR__AGAIN)
            continue;
        word = weir__link((place.word & WEIR__LINK_TARGET) | WEIR__LINK_MARK, word);
        /* relaxed: the link that follows publishes it. */
        atomic_store_explicit(&dict->buckets[bucket], word, memory_order_relaxed);
        /* release: pairs with the acquire in read_item. A marked link belongs to a deleted node. */
        if (atomic_compare_exchange_strong_explicit(
                place.link, &place.word, weir__link(bucket | WEIR__LINK_DUMMY, place.word),
                memory_order_release, memory_order_relaxed)) {
            /* Killed here: the next call that walks past clears the mark. */
            clear_mark(&dict->buckets[bucket], word);
            return;
        }
    }
}

/* Where to begin: the bucket itself if it is in the list, else the nearest one before. */
static uint32_t begin_at(const weir_dict *dict, uint32_t bucket)
{
    /* acquire: pairs with the release in clear_mark. */
    uint64_t word = atomic_load_explicit(&dict->buckets[bucket], memory_order_acquire);

    if (weir__dict_is_linked(word))
        return bucket;
    if (word == 0 && bucket != 0 &&
        atomic_compare_exchange_strong_explicit(&dict->buckets[bucket], &word,
                                                WEIR__LINK_MARK | WEIR__LINK_TAG_ONE,
                                                memory_order_relaxed, memory_order_relaxed))
        /* Killed here: the bucket stays claimed and unused. */
        link_bucket(dict, bucket);
    return linked_parent(dict, bucket);
}

void weir__dict_count(const weir_dict *dict, int64_t change)
{
    struct weir__dict_header *header = dict->header;
    uint64_t items =
        atomic_fetch_add_explicit(&header->items, (uint64_t)change, memory_order_relaxed) +
        (uint64_t)change;
    uint64_t order = atomic_load_explicit(&header->order, memory_order_relaxed);
    weir_error before;

    if (items == 0)
        weir__dict_tidy(dict);
    if (change < 0 || order >= dict->order_max || items >> order == 0 || items >> 63)
        return;
    /* Without memory for more buckets the lists between them become longer, that is all. */
    before = *weir_last_error();
    if (weir__dict_reserve(dict->shm->buf, WEIR__DICT_BUCKETS_AT + ((size_t)8 << order),
                           (size_t)8 << order) < 0) {
        weir__fail_with(&before);
        return;
    }
    /* Killed here: the memory is there, and the next one finds it so. */
    atomic_compare_exchange_strong_explicit(&header->order, &order, order + 1, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* ---- seeking, linking, marking -------------------------------------------------------------- */

int weir__dict_seek(const weir_dict *dict, const struct weir__dict_key *key,
                    struct weir__dict_place *place)
{
    uint32_t bucket = begin_at(dict, weir__dict_bucket(dict, key->order));
    int result = WEIR__AGAIN;

    for (unsigned tries = 0; result == WEIR__AGAIN; tries++) {
        if (tries == WEIR__DICT_TRIES)
            return weir__dict_damaged(dict, "a walk did not end");
        result = walk_from(dict, bucket, key, place);
    }
    return result;
}

bool weir__dict_link_node(const weir_dict *dict, const struct weir__dict_place *place, uint32_t ref)
{
    struct weir__dict_node *node = weir__dict_at(dict, ref);
    uint64_t old = atomic_load_explicit(&node->next, memory_order_relaxed), word = place->word;

    /* release: pairs with the acquire in weir__dict_mark. A late call that sees this link of the
     * node that it would mark sees the new value too. */
    atomic_store_explicit(&node->next, weir__link(word & WEIR__LINK_TARGET, old),
                          memory_order_release);
    /* Killed here: the node is lost. release: pairs with the acquires in read_item and
     * weir__dict_first. */
    return atomic_compare_exchange_strong_explicit(place->link, &word, weir__link(ref, word),
                                                   memory_order_release, memory_order_relaxed);
}

void weir__dict_mark(const struct weir__dict_place *place)
{
    uint64_t dead = weir__word_inline(WEIR__WORD_DEAD, place->life, 0);
    struct weir__dict_node *node = place->node;
    /* acquire, here and below: pairs with the release in weir__dict_link_node. */
    uint64_t next = atomic_load_explicit(&node->next, memory_order_acquire);

    /* The value is loaded after the link: a node that is used again by now has another value, and a
     * link with another tag. acquire: pairs with the release in dict.c, remove_place. */
    while (!(next & WEIR__LINK_MARK) &&
           atomic_load_explicit(&node->value, memory_order_acquire) == dead)
        /* release: a reader that follows the link sees what it leads to. */
        if (atomic_compare_exchange_strong_explicit(
                &node->next, &next, weir__link((next & WEIR__LINK_TARGET) | WEIR__LINK_MARK, next),
                memory_order_acq_rel, memory_order_acquire))
            return;
}
