/* SPDX-License-Identifier: MIT
 *
 * dict/block.h: the block of a dictionary: made, filled, checked, opened and closed.
 */
#ifndef WEIR_SHM_DICT_BLOCK_H
#define WEIR_SHM_DICT_BLOCK_H

#include "shm/dict/layout.h"

/* The block's size for these options, or a negative error. */
int64_t weir__dict_size(const weir_dict_options *options);
/* The flags that its block is reserved with. */
unsigned weir__dict_flags(void);
/* Makes an empty dictionary in `buf`, all zero before, whose memory need not be reserved yet; then,
 * if `source` is not NULL, copies its items. 0, or an error and the block is to be discarded. */
int weir__dict_fill(void *buf, size_t size, const weir_dict *source);
/* Checks the block and sets up the handle. */
int weir__dict_bind(weir_dict *dict, struct weir_shm *shm);
/* The dictionary in a block, which it takes over, also when there is none (NULL) or it is no
 * dictionary. */
weir_dict *weir__dict_of(weir_shm *shm);

#endif
