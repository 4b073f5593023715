/* SPDX-License-Identifier: MIT
 *
 * dict/value.c: a dictionary's values as words and boxes.
 *
 * None, bool and ints of 36 bits are the node's value word itself; anything else is a box that the
 * word refers to. A box is written before a word leads to it and not changed until no word does, so
 * a value is replaced as a whole by one compare-and-swap of the word.
 *
 * Readers copy first and check afterwards that the copy is of their value: the word is still the
 * same (a box's version is in it, so this very box was the value all the time), and the node is
 * still in the same incarnation (so it is the value of this key). Then the copy was the key's value
 * at one instant; otherwise they begin again. No writer waits for them.
 *
 * Failure modes. Parts that do not fit together although no call changed them are damage: -EBADMSG.
 */
#include "shm/dict/value.h"

#include <errno.h>
#include <string.h>

#include "shm/dict/heap.h"
#include "shm/error.h"
#include "shm/value.h"

static bool same_life(const struct weir__dict_place *place)
{
    /* acquire fence: pairs with the releases of the value word in dict.c, write_node, and heap.c,
     * retire, before which the next incarnation was stored: a reader of that word finds another
     * life here. The same fence pairs with heap.c, weir__dict_take_node: so does a reader of the
     * next key; and with take_memory: so does a reader of what else the memory became. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&place->node->life, memory_order_relaxed) == place->life;
}

/* True when the value has not changed since it was read. */
static bool unchanged(const struct weir__dict_place *place, uint64_t word)
{
    return same_life(place) &&
           atomic_load_explicit(&place->node->value, memory_order_relaxed) == word;
}

int weir__dict_load(const weir_dict *dict, const struct weir__dict_place *place, uint64_t *word)
{
    /* acquire: pairs with dict.c, write_node, replace_value and remove_place, and with heap.c,
     * retire. */
    uint64_t found = atomic_load_explicit(&place->node->value, memory_order_acquire);
    enum weir__dict_word kind = weir__word_kind(found);

    if (!same_life(place))
        return WEIR__AGAIN;
    if (kind < WEIR__WORD_NONE || kind > WEIR__WORD_DEAD)
        return weir__dict_damaged(dict, "a value of no type");
    if (kind != WEIR__WORD_BOX &&
        (found >> 4 & WEIR__INCARNATION_MASK) != (place->life & WEIR__INCARNATION_MASK))
        return weir__dict_damaged(dict, "a value belongs to another key");
    if (kind == WEIR__WORD_DEAD && found >> 28 != 0)
        return weir__dict_damaged(dict, "a value is neither there nor gone");
    *word = found;
    return 0;
}

/* ---- boxes ---------------------------------------------------------------------------------- */

/* The box behind a word, if its head is that of a sound box of this version. */
static struct weir__dict_box *find_box(const weir_dict *dict, uint64_t word, uint64_t *head)
{
    uint64_t ref = word >> 32;
    struct weir__dict_box *box;
    unsigned class;
    weir_type type;

    if (!weir__dict_ref_is_sound(dict, ref, 1))
        return NULL;
    box = weir__dict_at(dict, (uint32_t)ref);
    *head = weir__dict_load_head(dict, box);
    class = weir__box_class(*head);
    type = weir__box_type(*head);
    if (weir__box_version(*head) != (word >> 4 & WEIR__VERSION_MASK) ||
        class >= WEIR__DICT_CLASSES || type < WEIR_INT || type > WEIR_BYTES ||
        !weir__dict_ref_is_sound(dict, ref, weir__dict_class_granules(class)) ||
        weir__box_size(*head) > weir__dict_class_granules(class) * WEIR__DICT_GRANULE - 8)
        return NULL;
    return box;
}

/* Other processes may be writing there by now, hence word by word. */
static void copy_box_words(const weir_dict *dict, char *to, const _Atomic uint64_t *from,
                           size_t size)
{
    const uint64_t mask = dict->seed[2];
    const size_t words = size / 8;
    uint64_t word;

    for (size_t i = 0; i < words; i++) {
        word = atomic_load_explicit(&from[i], memory_order_relaxed) ^ mask;
        memcpy(to + i * 8, &word, sizeof word);
    }
    if (size % 8 != 0) {
        word = atomic_load_explicit(&from[words], memory_order_relaxed) ^ mask;
        memcpy(to + words * 8, &word, size % 8);
    }
}

/* Copies to the buffer, with a NUL behind. */
static int copy_data(const weir_dict *dict, weir_value *out, const _Atomic uint64_t *from,
                     struct weir__dict_buffer *buffer)
{
    if (buffer == NULL) {
        out->data = NULL;
        return 0;
    }
    if (buffer->size <= out->size) {
        out->data = NULL;
        return -ENOBUFS;
    }
    copy_box_words(dict, buffer->at, from, out->size);
    buffer->at[out->size] = '\0';
    out->data = buffer->at;
    buffer->at += out->size + 1;
    buffer->size -= (size_t)out->size + 1;
    return 0;
}

static int read_box(const weir_dict *dict, const struct weir__dict_place *place, uint64_t word,
                    weir_value *out, struct weir__dict_buffer *buffer)
{
    weir_value value = {.type = WEIR_NONE};
    struct weir__dict_box *box;
    uint64_t head, data;
    int result = 0;

    box = find_box(dict, word, &head);
    if (box == NULL)
        return unchanged(place, word) ? weir__dict_damaged(dict, "a value's box") : WEIR__AGAIN;
    value.type = weir__box_type(head);
    if (weir__has_data(&value)) {
        value.size = weir__box_size(head);
        result = copy_data(dict, &value, box->data, buffer);
    } else {
        data = atomic_load_explicit(&box->data[0], memory_order_relaxed) ^ dict->seed[2];
        value.integer = (int64_t)data;
        if (value.type == WEIR_FLOAT)
            value.real = weir__real_of_word(data);
    }
    if (!unchanged(place, word))
        return WEIR__AGAIN;
    if (value.type == WEIR_STR && value.data != NULL && !weir__utf8_valid(value.data, value.size))
        return weir__dict_damaged(dict, "a str is not UTF-8");
    *out = value;
    return result;
}

int weir__dict_read_box(const weir_dict *dict, const struct weir__dict_place *place, uint64_t word,
                        weir_value *out, struct weir__dict_buffer *buffer)
{
    struct weir__dict_buffer rest = {NULL, 0};
    int result;

    if (weir__word_kind(word) != WEIR__WORD_BOX)
        return WEIR__AGAIN; /* it is gone */
    if (buffer != NULL)
        rest = *buffer;
    result = read_box(dict, place, word, out, buffer != NULL ? &rest : NULL);
    if (result == 0 && buffer != NULL)
        *buffer = rest;
    return result;
}

int weir__dict_read_key(const weir_dict *dict, const struct weir__dict_place *place,
                        weir_dict_cursor *at, weir_value *out, struct weir__dict_buffer *buffer)
{
    struct weir__dict_node *node = place->node;
    struct weir__dict_buffer rest = *buffer;
    weir_value key = {.type = WEIR_NONE};
    int result = 0;

    at->at[0] = atomic_load_explicit(&node->order, memory_order_relaxed);
    at->at[1] = atomic_load_explicit(&node->tie, memory_order_relaxed);
    key.type = (at->at[0] & 3) == 1 ? WEIR_INT : (at->at[0] & 3) == 2 ? WEIR_STR : WEIR_BYTES;
    key.integer = (int64_t)(at->at[1] ^ dict->seed[2]);
    if (key.type != WEIR_INT) {
        key.size = atomic_load_explicit(&node->size, memory_order_relaxed);
        if (key.size > WEIR_DICT_KEY_MAX ||
            !weir__dict_ref_is_sound(dict, place->ref, weir__dict_node_granules(key.size)))
            return same_life(place) ? weir__dict_damaged(dict, "a key's size") : WEIR__AGAIN;
        result = copy_data(dict, &key, node->key, &rest);
    }
    if (!same_life(place))
        return WEIR__AGAIN;
    if (key.type == WEIR_STR && result == 0 && !weir__utf8_valid(key.data, key.size))
        return weir__dict_damaged(dict, "a key is not UTF-8");
    *out = key;
    if (result == 0)
        *buffer = rest;
    return result;
}

/* ---- making --------------------------------------------------------------------------------- */

int weir__dict_make_box(const weir_dict *dict, const weir_value *value, uint64_t *word)
{
    const uint64_t word_data =
        value->type == WEIR_FLOAT ? weir__word_of_real(value->real) : (uint64_t)value->integer;
    bool long_data = weir__has_data(value);
    uint32_t ref = weir__dict_take_box(dict, value->type, long_data ? value->size : 8);
    struct weir__dict_box *box;

    if (ref == 0)
        return weir_last_error()->code;
    box = weir__dict_at(dict, ref);
    if (long_data)
        weir__dict_write_data(dict, box->data, value->data, value->size);
    else
        weir__dict_write_data(dict, box->data, &word_data, sizeof word_data);
    *word = (uint64_t)ref << 32 |
            (uint64_t)weir__box_version(weir__dict_load_head(dict, box)) << 4 | WEIR__WORD_BOX;
    return 0;
}

void weir__dict_drop_box(const weir_dict *dict, uint64_t word)
{
    if (weir__dict_ref_is_sound(dict, word >> 32, 1))
        weir__dict_give(dict, (uint32_t)(word >> 32), false);
}
