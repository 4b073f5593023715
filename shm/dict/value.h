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
/* What a word read there says. str and bytes are copied to `buffer`, which they shorten; NULL
 * leaves their data out. 0, WEIR__AGAIN, -EBADMSG; -ENOBUFS and the type and size in *out. */
int weir__dict_read(const weir_dict *dict, const struct weir__dict_place *place, uint64_t word,
                    weir_value *out, struct weir__dict_buffer *buffer);
/* Copies the key of a place, and its sorting key into a cursor. As weir__dict_read. */
int weir__dict_read_key(const weir_dict *dict, const struct weir__dict_place *place,
                        weir_dict_cursor *at, weir_value *out, struct weir__dict_buffer *buffer);
/* The word for a value in a node of that incarnation; takes a box if it needs one. */
int weir__dict_make_word(const weir_dict *dict, uint32_t life, const weir_value *value,
                         uint64_t *word);
/* Gives the box behind a word back, if there is one. Only the call that took the word out of its
 * node does so. */
void weir__dict_drop_word(const weir_dict *dict, uint64_t word);

#endif
