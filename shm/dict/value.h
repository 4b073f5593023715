/* SPDX-License-Identifier: MIT
 *
 * dict/value.h: a dictionary's values as words and boxes.
 */
#ifndef WEIR_SHM_DICT_VALUE_H
#define WEIR_SHM_DICT_VALUE_H

#include "shm/dict/table.h"

/* Bytes of the caller's that results are written to. */
struct weir__dict_buffer {
    char *at;
    size_t size;
};

/* Reads the value word of a place. 0, WEIR__AGAIN, or -EBADMSG. */
int weir__dict_load(const weir_dict *dict, const struct weir__dict_place *place, uint64_t *word);
int weir__dict_read_box(const weir_dict *dict, const struct weir__dict_place *place, uint64_t word,
                        weir_value *out, struct weir__dict_buffer *buffer);

/* What a word read there says. str and bytes are copied to `buffer`, which they shorten; NULL
 * leaves their data out. 0, WEIR__AGAIN, -EBADMSG; -ENOBUFS and the type and size in *out. */
static inline int weir__dict_read(const weir_dict *dict, const struct weir__dict_place *place,
                                  uint64_t word, weir_value *out, struct weir__dict_buffer *buffer)
{
    switch (weir__word_kind(word)) {
    case WEIR__WORD_NONE:
        *out = weir_none();
        return 0;
    case WEIR__WORD_BOOL:
        *out = weir_bool(word >> 28 & 1);
        return 0;
    case WEIR__WORD_INT:
        *out = weir_int((int64_t)word >> 28);
        return 0;
    default:
        return weir__dict_read_box(dict, place, word, out, buffer);
    }
}

/* Copies the key of a place, and its sorting key into a cursor. As weir__dict_read. */
int weir__dict_read_key(const weir_dict *dict, const struct weir__dict_place *place,
                        weir_dict_cursor *at, weir_value *out, struct weir__dict_buffer *buffer);
int weir__dict_make_box(const weir_dict *dict, const weir_value *value, uint64_t *word);

/* The word for a value in a node of that incarnation; takes a box if it needs one. */
static inline int weir__dict_make_word(const weir_dict *dict, uint32_t life,
                                       const weir_value *value, uint64_t *word)
{
    if (value->type == WEIR_INT && value->integer >= WEIR__WORD_INT_MIN &&
        value->integer <= WEIR__WORD_INT_MAX)
        *word = weir__word_inline(WEIR__WORD_INT, life, (uint64_t)value->integer);
    else if (value->type == WEIR_NONE)
        *word = weir__word_inline(WEIR__WORD_NONE, life, 0);
    else if (value->type == WEIR_BOOL)
        *word = weir__word_inline(WEIR__WORD_BOOL, life, value->boolean);
    else
        return weir__dict_make_box(dict, value, word);
    return 0;
}

void weir__dict_drop_box(const weir_dict *dict, uint64_t word);

/* Gives the box behind a word back, if there is one. Only the call that took the word out of its
 * node does so. */
static inline void weir__dict_drop_word(const weir_dict *dict, uint64_t word)
{
    if (weir__word_kind(word) == WEIR__WORD_BOX)
        weir__dict_drop_box(dict, word);
}

#endif
