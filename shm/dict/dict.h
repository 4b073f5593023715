/* SPDX-License-Identifier: MIT
 *
 * dict/dict.h: what the calls for many keys need of those for one.
 */
#ifndef WEIR_SHM_DICT_DICT_H
#define WEIR_SHM_DICT_DICT_H

#include "shm/dict/value.h"

#define WEIR__DICT_NO_KEY 1

/* Fills in the buffer for values; -EINVAL when it is NULL and has a size. */
int weir__dict_check_buffer(void *buf, size_t size, struct weir__dict_buffer *buffer);

/* weir_dict_get, of a buffer that it shortens: WEIR__DICT_NO_KEY, without a message, where that has
 * -ENOENT. `out` is not NULL. */
int weir__dict_get(const weir_dict *dict, const weir_value *key, weir_value *out,
                   struct weir__dict_buffer *buffer);

#endif
