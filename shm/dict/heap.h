/* SPDX-License-Identifier: MIT
 *
 * dict/heap.h: memory inside a dictionary's block: nodes and boxes, taken and given back.
 */
#ifndef WEIR_SHM_DICT_HEAP_H
#define WEIR_SHM_DICT_HEAP_H

#include "shm/dict/layout.h"

/* Gets memory behind a part of the block. Where the kernel cannot do that for a mapping
 * (weir__can_populate), the block was reserved as a whole, and there is nothing to do. */
int weir__dict_reserve(void *buf, size_t at, size_t size);
/* A node for a key of so many bytes, in a new incarnation, whose other fields are the caller's to
 * fill in; or 0 with the error set. */
uint32_t weir__dict_take_node(const weir_dict *dict, uint32_t key_size);
/* A box for so many bytes, in a new version, with its head written; or 0 with the error set. */
uint32_t weir__dict_take_box(const weir_dict *dict, weir_type type, uint32_t size);
/* Makes what free lists hold free for anything, if that is more than half of the heap and no item
 * is left: only then does memory lie in one piece. */
void weir__dict_tidy(const weir_dict *dict);
/* Gives a node or a box back. */
void weir__dict_give(const weir_dict *dict, uint32_t ref, bool node);

#endif
