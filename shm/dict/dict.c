/* SPDX-License-Identifier: MIT
 *
 * dict.c: weir_dict: what each call does, from the list and the words of the files below.
 *
 * A key is in the dictionary while a node with it is in the list and that node's value word is not
 * DEAD. So each call has one instant at which it is done, and it is one atomic instruction:
 *
 *     a new key           the link that leads to its node is swapped in (insert_item)
 *     a new value         the node's value word is swapped for another one (replace_value)
 *     a key is gone       the node's value word is swapped for DEAD, which is final (remove_place)
 *     a value is read     the value word is loaded, and found to be the same after copying
 *
 * All other steps come before that instant, in memory that no other call can reach, or after it, as
 * tidying up that any call can do.
 *
 * Failure modes. Killed before that instant: not done, and the node or box that was prepared is
 * lost. After it: done; what was taken out may be lost; a dead node that is still in the list is
 * taken out by the next call that looks for its key or comes past it while counting or iterating.
 */
#include "shm/dict/dict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shm/dict/heap.h"
#include "shm/dict/table.h"
#include "shm/error.h"
#include "shm/value.h"

/* A key that is looked for, where it was found, and the value word that was read there. */
struct sought {
    struct weir__dict_key key;
    struct weir__dict_place place;
    uint64_t word;
};

/* ---- checking what the caller gave ---------------------------------------------------------- */

static int check_dict_key(const weir_dict *dict, const weir_value *value, struct sought *sought)
{
    if (dict == NULL)
        return weir__fail(-EINVAL, "the dictionary is NULL");
    return weir__dict_make_key(dict, value, &sought->key);
}

static int check_dict_value(const weir_value *value)
{
    if (value->type == WEIR_INT)
        return 0;
    if (weir__has_data(value) && value->size > WEIR_DICT_VALUE_MAX)
        return weir__fail(-E2BIG, "a value of %u bytes is longer than %d", value->size,
                          WEIR_DICT_VALUE_MAX);
    return weir__value_check(value);
}

int weir__dict_check_buffer(void *buf, size_t size, struct weir__dict_buffer *buffer)
{
    buffer->at = buf;
    buffer->size = buf != NULL ? size : 0;
    if (buf == NULL && size > 0)
        return weir__fail(-EINVAL, "a buffer of %zu bytes is NULL", size);
    return 0;
}

static int check_buffer(const void *out, void *buf, size_t size, struct weir__dict_buffer *buffer)
{
    if (out == NULL)
        return weir__fail(-EINVAL, "there is no place for the result");
    return weir__dict_check_buffer(buf, size, buffer);
}

static int fail_no_key(void)
{
    return weir__fail(-ENOENT, "there is no such key in the dictionary");
}

static int fail_short_buffer(const weir_value *value, size_t size)
{
    return weir__fail(-ENOBUFS, "a %s of %u bytes, with a NUL, does not fit into %zu bytes",
                      weir_type_name(value->type), value->size, size);
}

/* ---- the steps ------------------------------------------------------------------------------ */

/* Finds a key that is there: 0, place and value word; 1: it is not there. Dead nodes on the way are
 * taken out of the list. */
static int walk_to_item(const weir_dict *dict, struct sought *sought)
{
    int result = WEIR__AGAIN;

    for (unsigned tries = 0; result == WEIR__AGAIN; tries++) {
        if (tries == WEIR__DICT_TRIES)
            return weir__dict_damaged(dict, "a key is deleted without end");
        result = weir__dict_seek(dict, &sought->key, &sought->place);
        if (result < 0)
            return result;
        if (sought->place.node == NULL)
            return 1;
        result = weir__dict_load(dict, &sought->place, &sought->word);
        if (result == 0 && weir__word_kind(sought->word) == WEIR__WORD_DEAD) {
            weir__dict_mark(&sought->place);
            result = WEIR__AGAIN;
        }
    }
    return result;
}

static inline int find_item(const weir_dict *dict, struct sought *sought)
{
    return weir__dict_first(dict, &sought->key, &sought->place, &sought->word)
               ? 0
               : walk_to_item(dict, sought);
}

/* Writes a new node in full; no other call can reach it. */
static int write_node(const weir_dict *dict, uint32_t ref, const struct weir__dict_key *key,
                      const weir_value *value, uint64_t *word)
{
    struct weir__dict_node *node = weir__dict_at(dict, ref);
    int result = weir__dict_make_word(dict, atomic_load_explicit(&node->life, memory_order_relaxed),
                                      value, word);

    if (result < 0)
        return result;
    /* relaxed, all but the last: the link will publish them. */
    atomic_store_explicit(&node->order, key->order, memory_order_relaxed);
    atomic_store_explicit(&node->tie, key->tie, memory_order_relaxed);
    atomic_store_explicit(&node->size, key->size, memory_order_relaxed);
    weir__dict_write_data(dict, node->key, key->data, key->size);
    /* release: pairs with the acquires in value.c, weir__dict_load, and table.h, weir__dict_first,
     * and the fence in same_life. A late reader of the incarnation before that sees this word sees
     * the new life too. */
    atomic_store_explicit(&node->value, *word, memory_order_release);
    return 0;
}

/* Gives back a node that was never linked. */
static void discard_node(const weir_dict *dict, uint32_t ref)
{
    struct weir__dict_node *node = weir__dict_at(dict, ref);

    atomic_store_explicit(&node->value,
                          weir__word_inline(WEIR__WORD_DEAD,
                                            atomic_load_explicit(&node->life, memory_order_relaxed),
                                            0),
                          memory_order_release);
    weir__dict_give(dict, ref, true);
}

/* Puts a new key at the place where it was not found. 0, WEIR__AGAIN, or an error. */
static int insert_item(const weir_dict *dict, const struct sought *sought, const weir_value *value)
{
    uint32_t ref = weir__dict_take_node(dict, sought->key.size);
    uint64_t word = 0;
    int result;

    if (ref == 0)
        return weir_last_error()->code;
    result = write_node(dict, ref, &sought->key, value, &word);
    /* Killed up to here: nothing has happened. */
    if (result == 0 && !weir__dict_link_node(dict, &sought->place, ref)) {
        weir__dict_drop_word(dict, word);
        result = WEIR__AGAIN;
    }
    if (result != 0) {
        discard_node(dict, ref);
        return result;
    }
    /* Killed from here on: done. The count is a hint. */
    weir__dict_count(dict, 1);
    return 0;
}

/* Swaps the value word that was read for one of this value. 0, WEIR__AGAIN, or an error. */
static int replace_value(const weir_dict *dict, const struct sought *sought,
                         const weir_value *value)
{
    uint64_t made = 0, old = sought->word;
    int result = weir__dict_make_word(dict, sought->place.life, value, &made);

    if (result < 0)
        return result;
    /* Killed up to here: nothing has happened. release, so that the box is seen: pairs with the
     * acquires in value.c, weir__dict_load, and table.h, weir__dict_first. */
    if (!atomic_compare_exchange_strong_explicit(&sought->place.node->value, &old, made,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        weir__dict_drop_word(dict, made);
        return WEIR__AGAIN;
    }
    /* Killed here: done, and the old value's box is lost. */
    weir__dict_drop_word(dict, sought->word);
    return 0;
}

/* Removes the item if it still has the value word that was read. */
static bool remove_place(const weir_dict *dict, const struct sought *sought)
{
    uint64_t dead = weir__word_inline(WEIR__WORD_DEAD, sought->place.life, 0), old = sought->word;
    struct weir__dict_place past;

    /* release: pairs with the acquires in table.c, weir__dict_mark, table.h, weir__dict_first, and
     * value.c, weir__dict_load. */
    if (!atomic_compare_exchange_strong_explicit(&sought->place.node->value, &old, dead,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return false;
    /* Killed here, and below: done. Any call may do the rest, except giving back. */
    weir__dict_mark(&sought->place);
    weir__dict_drop_word(dict, sought->word);
    weir__dict_seek(dict, &sought->key, &past);
    weir__dict_count(dict, -1);
    return true;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The value at a place. 0, WEIR__AGAIN, or an error. */
static int give_value(const weir_dict *dict, const struct sought *sought, weir_value *out,
                      struct weir__dict_buffer *buffer)
{
    size_t size = buffer->size;
    int result = weir__dict_read(dict, &sought->place, sought->word, out, buffer);

    return result == -ENOBUFS ? fail_short_buffer(out, size) : result;
}

int weir__dict_get(const weir_dict *dict, const weir_value *key, weir_value *out,
                   struct weir__dict_buffer *buffer)
{
    struct sought sought;
    int result = check_dict_key(dict, key, &sought);

    if (result < 0)
        return result;
    for (unsigned tries = 0; tries < WEIR__DICT_TRIES; tries++) {
        result = find_item(dict, &sought);
        if (result == 0)
            result = give_value(dict, &sought, out, buffer);
        else if (result > 0)
            return WEIR__DICT_NO_KEY;
        if (result != WEIR__AGAIN)
            return result;
    }
    return weir__dict_damaged(dict, "a value is replaced without end");
}

int weir_dict_get(const weir_dict *dict, weir_value key, weir_value *out, void *buf, size_t size)
{
    struct weir__dict_buffer buffer;
    int result = check_buffer(out, buf, size, &buffer);

    if (result == 0)
        result = weir__dict_get(dict, &key, out, &buffer);
    return result == WEIR__DICT_NO_KEY ? fail_no_key() : result;
}

int weir_dict_contains(const weir_dict *dict, weir_value key)
{
    struct sought sought;
    int result = check_dict_key(dict, &key, &sought);

    if (result == 0)
        result = find_item(dict, &sought);
    return result < 0 ? result : result == 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

int weir_dict_set(weir_dict *dict, weir_value key, weir_value value)
{
    struct sought sought;
    int result = check_dict_key(dict, &key, &sought);

    if (result == 0)
        result = check_dict_value(&value);
    if (result < 0)
        return result;
    do {
        result = find_item(dict, &sought);
        if (result == 0)
            result = replace_value(dict, &sought, &value);
        else if (result > 0)
            result = insert_item(dict, &sought, &value);
    } while (result == WEIR__AGAIN); /* then another call was done */
    return result;
}

int weir_dict_setdefault(weir_dict *dict, weir_value key, weir_value value, weir_value *out,
                         void *buf, size_t size)
{
    struct weir__dict_buffer buffer = {NULL, 0};
    struct sought sought;
    int result = check_dict_key(dict, &key, &sought);

    if (result == 0)
        result = check_dict_value(&value);
    if (result == 0 && out != NULL)
        result = check_buffer(out, buf, size, &buffer);
    if (result < 0)
        return result;
    do {
        result = find_item(dict, &sought);
        if (result > 0) {
            result = insert_item(dict, &sought, &value);
            if (result == 0 && out != NULL)
                *out = value;
            if (result == 0)
                return 1;
        } else if (result == 0 && out != NULL) {
            result = give_value(dict, &sought, out, &buffer);
        }
    } while (result == WEIR__AGAIN);
    return result;
}

/* The int that a word stands for. 0, WEIR__AGAIN, or -EINVAL. */
static int read_int(const weir_dict *dict, const struct sought *sought, int64_t *number)
{
    weir_value value;
    int result = weir__dict_read(dict, &sought->place, sought->word, &value, NULL);

    if (result != 0)
        return result;
    if (value.type != WEIR_INT)
        return weir__fail(-EINVAL, "the value of this key is of type %s, not an int",
                          weir_type_name(value.type));
    *number = value.integer;
    return 0;
}

static int add_at(const weir_dict *dict, const struct sought *sought, int64_t delta, int64_t *sum)
{
    int64_t number = 0;
    weir_value value;
    int result = read_int(dict, sought, &number);

    if (result != 0)
        return result;
    if (__builtin_add_overflow(number, delta, sum))
        return weir__fail(-EOVERFLOW, "%lld and %lld do not fit into 64 bits together",
                          (long long)number, (long long)delta);
    value = weir_int(*sum);
    return replace_value(dict, sought, &value);
}

int weir_dict_add(weir_dict *dict, weir_value key, int64_t delta, int64_t *after)
{
    const weir_value first = weir_int(delta);
    struct sought sought;
    int64_t sum = 0;
    int result = check_dict_key(dict, &key, &sought);

    if (result < 0)
        return result;
    do {
        result = find_item(dict, &sought);
        if (result == 0) {
            result = add_at(dict, &sought, delta, &sum);
        } else if (result > 0) {
            sum = delta;
            result = insert_item(dict, &sought, &first);
        }
    } while (result == WEIR__AGAIN);
    if (result == 0 && after != NULL)
        *after = sum;
    return result;
}

int weir_dict_compare_and_set(weir_dict *dict, weir_value key, int64_t *expected, int64_t desired)
{
    const weir_value value = weir_int(desired);
    struct sought sought;
    int64_t number = 0;
    int result = check_dict_key(dict, &key, &sought);

    if (result == 0 && expected == NULL)
        result = weir__fail(-EINVAL, "the expected value is NULL");
    if (result < 0)
        return result;
    do {
        result = find_item(dict, &sought);
        if (result > 0)
            return fail_no_key();
        if (result == 0)
            result = read_int(dict, &sought, &number);
        if (result == 0 && number != *expected) {
            *expected = number;
            return 0;
        }
        if (result == 0)
            result = replace_value(dict, &sought, &value);
    } while (result == WEIR__AGAIN);
    return result < 0 ? result : 1;
}

/* ---- removing ------------------------------------------------------------------------------- */

/* `out` may be NULL. What is read is what is removed: a word never comes back. */
static int take_item(const weir_dict *dict, struct sought *sought, weir_value *out,
                     struct weir__dict_buffer buffer)
{
    int result;

    do {
        struct weir__dict_buffer rest = buffer;
        weir_value value = {.type = WEIR_NONE};

        result = find_item(dict, sought);
        if (result > 0)
            return fail_no_key();
        if (result == 0 && out != NULL)
            result = give_value(dict, sought, &value, &rest);
        if (out != NULL && (result == 0 || result == -ENOBUFS))
            *out = value;
        if (result == 0 && !remove_place(dict, sought))
            result = WEIR__AGAIN;
    } while (result == WEIR__AGAIN);
    return result;
}

int weir_dict_delete(weir_dict *dict, weir_value key)
{
    struct sought sought;
    int result = check_dict_key(dict, &key, &sought);

    return result < 0 ? result
                      : take_item(dict, &sought, NULL, (struct weir__dict_buffer){NULL, 0});
}

int weir_dict_pop(weir_dict *dict, weir_value key, weir_value *out, void *buf, size_t size)
{
    struct weir__dict_buffer buffer;
    struct sought sought;
    int result = check_dict_key(dict, &key, &sought);

    if (result == 0)
        result = check_buffer(out, buf, size, &buffer);
    return result < 0 ? result : take_item(dict, &sought, out, buffer);
}

/* The key that a place's node has in the list, to take it out when it is marked. */
static struct weir__dict_key key_of(const weir_dict_cursor *at)
{
    return (struct weir__dict_key){.order = at->at[0], .tie = at->at[1], .size = UINT32_MAX};
}

/* The first item behind the cursor, as find_item(). */
static int find_item_after(const weir_dict *dict, const weir_dict_cursor *cursor,
                           struct sought *sought)
{
    sought->key =
        (struct weir__dict_key){.order = cursor->at[0], .tie = cursor->at[1], .after = true};
    return walk_to_item(dict, sought);
}

/* One item: its key, where it is in the order, and its value. As give_value(). */
static int give_item(const weir_dict *dict, const struct sought *sought, weir_dict_cursor *at,
                     weir_value *key, weir_value *value, struct weir__dict_buffer buffer)
{
    weir_value no_key, no_value;
    struct weir__dict_buffer none = buffer, *for_value = value != NULL ? &buffer : NULL;
    int key_result, result;

    key_result = weir__dict_read_key(dict, &sought->place, at, key != NULL ? key : &no_key,
                                     key != NULL ? &buffer : &none);
    if (key == NULL && key_result == -ENOBUFS)
        key_result = 0;
    if (key_result != 0 && key_result != -ENOBUFS)
        return key_result;
    result = weir__dict_read(dict, &sought->place, sought->word, value != NULL ? value : &no_value,
                             for_value);
    if (result == 0 && key_result == -ENOBUFS)
        result = fail_short_buffer(key, none.size);
    else if (result == -ENOBUFS)
        result = fail_short_buffer(value, buffer.size);
    return result;
}

int weir_dict_popitem(weir_dict *dict, weir_value *key, weir_value *value, void *buf, size_t size)
{
    struct sought sought;
    struct weir__dict_buffer buffer;
    weir_dict_cursor begin, at;
    int result;

    if (dict == NULL)
        return weir__fail(-EINVAL, "the dictionary is NULL");
    result = check_buffer(key != NULL ? value : NULL, buf, size, &buffer);
    if (result < 0)
        return result;
    do {
        uint32_t bucket =
            (uint32_t)atomic_load_explicit(&dict->header->popped, memory_order_relaxed) &
            (uint32_t)(((uint64_t)1 << dict->order_max) - 1);

        begin = (weir_dict_cursor){{weir__dict_bucket_key(bucket).order, 0}};
        result = find_item_after(dict, &begin, &sought);
        if (result > 0)
            result = find_item_after(dict, &(weir_dict_cursor){{0, 0}}, &sought);
        if (result > 0)
            return weir__fail(-ENOENT, "the dictionary is empty");
        if (result == 0)
            result = give_item(dict, &sought, &at, key, value, buffer);
        if (result != 0)
            continue;
        sought.key = key_of(&at);
        if (remove_place(dict, &sought))
            /* relaxed: a hint. */
            atomic_store_explicit(&dict->header->popped, weir__dict_bucket(dict, at.at[0]),
                                  memory_order_relaxed);
        else
            result = WEIR__AGAIN;
    } while (result == WEIR__AGAIN);
    return result;
}

/* ---- all items ------------------------------------------------------------------------------ */

int weir_dict_next(const weir_dict *dict, weir_dict_cursor *cursor, weir_value *key,
                   weir_value *value, void *buf, size_t size)
{
    struct sought sought;
    struct weir__dict_buffer buffer;
    weir_dict_cursor at;
    int result;

    if (dict == NULL)
        return weir__fail(-EINVAL, "the dictionary is NULL");
    result = check_buffer(cursor, buf, size, &buffer);
    if (result < 0)
        return result;
    do {
        result = find_item_after(dict, cursor, &sought);
        if (result > 0)
            return 0;
        if (result == 0)
            result = give_item(dict, &sought, &at, key, value, buffer);
    } while (result == WEIR__AGAIN);
    if (result < 0)
        return result;
    *cursor = at;
    return 1;
}

int64_t weir_dict_len(const weir_dict *dict)
{
    weir_dict_cursor cursor = {{0, 0}};
    int64_t count = 0;
    int result;

    while ((result = weir_dict_next(dict, &cursor, NULL, NULL, NULL, 0)) > 0)
        count++;
    return result < 0 ? result : count;
}

int weir_dict_clear(weir_dict *dict)
{
    struct sought sought;
    weir_dict_cursor cursor = {{0, 0}}, at;
    int result;

    if (dict == NULL)
        return weir__fail(-EINVAL, "the dictionary is NULL");
    for (;;) {
        result = find_item_after(dict, &cursor, &sought);
        if (result != 0)
            return result < 0 ? result : 0;
        result = give_item(dict, &sought, &at, NULL, NULL, (struct weir__dict_buffer){NULL, 0});
        if (result < 0)
            return result;
        if (result == 0) {
            sought.key = key_of(&at);
            if (remove_place(dict, &sought))
                cursor = at;
        }
    }
}

int weir_dict_update(weir_dict *dict, const weir_dict *source)
{
    weir_dict_cursor cursor = {{0, 0}};
    weir_value key, value;
    size_t size = 0, needed;
    char *buf = NULL, *larger;
    int result;

    if (dict == NULL || source == NULL)
        return weir__fail(-EINVAL, "a dictionary is NULL");
    for (;;) {
        result = weir_dict_next(source, &cursor, &key, &value, buf, size);
        if (result > 0)
            result = weir_dict_set(dict, key, value);
        else if (result == 0)
            break;
        if (result == 0)
            continue;
        if (result != -ENOBUFS)
            break;
        needed = (size_t)key.size + 1 + value.size + 1;
        larger = realloc(buf, needed);
        if (larger == NULL) {
            result = weir__fail(-ENOMEM, "no memory for an item of %zu bytes", needed);
            break;
        }
        buf = larger;
        size = needed;
    }
    free(buf);
    return result;
}
