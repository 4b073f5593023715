/* SPDX-License-Identifier: MIT
 *
 * hash_order.h: the records of a combiner in the order of their hashes.
 *
 * This is the order of the keys in a table. It does not depend on the order in which keys came, nor
 * on who had them: tables of parts of the keys, one behind the other, have the order of the whole.
 */
#ifndef WEIR_HASH_ORDER_H
#define WEIR_HASH_ORDER_H

#include "pool/map_reduce/combiner.h"

struct weir__ordered {
    uint64_t hash;
    const struct weir__pair_record *record;
};

struct weir__hash_order {
    struct weir__ordered *entries;
    size_t count;
};

/* Sorts by hash, and by key where hashes are equal. All hashes have the highest `bits` bits in
 * common. False: there is no memory. */
bool weir__hash_order_init(struct weir__hash_order *order, const struct weir__combiner *combiner,
                           unsigned bits);
void weir__hash_order_free(struct weir__hash_order *order);

#endif
