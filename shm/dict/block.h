/* SPDX-License-Identifier: MIT
 *
 * dict/block.h: dictionaries as a kind of object.
 */
#ifndef WEIR_SHM_DICT_BLOCK_H
#define WEIR_SHM_DICT_BLOCK_H

#include "shm/dict/layout.h"
#include "shm/object.h"

struct weir__dict_spec {
    const weir_dict_options *options; /* NULL: the defaults; not used when there is a source */
    const weir_dict *source;          /* NULL: an empty one, else a copy of this one */
};

extern const struct weir__object_kind weir__dict_kind;

#endif
