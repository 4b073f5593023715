/* SPDX-License-Identifier: MIT
 *
 * dict/table.h: one ordered list of all items of a dictionary, and the buckets that lead into it.
 */
#ifndef WEIR_SHM_DICT_TABLE_H
#define WEIR_SHM_DICT_TABLE_H

#include "shm/dict/layout.h"

/* What is looked for. */
struct weir__dict_key {
    uint64_t order, tie;
    const unsigned char *data;
    uint32_t size;
    bool after; /* the first item behind (order, tie), instead of that very key */
};

/* Where it is, or belongs: the link before it, and what that was when all was seen to be so. */
struct weir__dict_place {
    _Atomic uint64_t *link;
    uint64_t word;
    struct weir__dict_node *node; /* NULL: not found */
    uint32_t ref, life;
};

/* The sorting key of a str, bytes or int; -EINVAL for other types and for a key that is too long.
 */
int weir__dict_make_key(const weir_dict *dict, const weir_value *value, struct weir__dict_key *key);
/* The key before all those that lie in a bucket, for `after`. */
struct weir__dict_key weir__dict_bucket_key(uint32_t bucket);
/* The bucket of a sorting key. */
uint32_t weir__dict_bucket(const weir_dict *dict, uint64_t order);

/* 0 or -EBADMSG. On its way it takes nodes out of the list that are deleted. */
int weir__dict_seek(const weir_dict *dict, const struct weir__dict_key *key,
                    struct weir__dict_place *place);
/* Puts a filled node (value included) into the list. False: the place has changed, seek again. */
bool weir__dict_link_node(const weir_dict *dict, const struct weir__dict_place *place,
                          uint32_t ref);
/* Marks the place's node, whose value is dead, as deleted. The next seek takes it out. */
void weir__dict_mark(const struct weir__dict_place *place);
/* Counts an item more, and makes more buckets when there are many items. */
void weir__dict_count(const weir_dict *dict, int64_t change);

#endif
