/* SPDX-License-Identifier: MIT
 *
 * combiner.h: a worker's private table, in which pairs of one key become one.
 *
 * Records lie in a log in the order in which their keys came first; an index of slots leads to
 * them. Both are memory of this process alone and end with a worker that is killed.
 */
#ifndef WEIR_COMBINER_H
#define WEIR_COMBINER_H

#include <stddef.h>
#include <stdint.h>

#include "pool/map_reduce/pair_record.h"

struct weir__combiner;

/* How pairs of one key become one. */
struct weir__combine_rule {
    size_t value_size; /* 0: variable, values of a key are appended */
    void (*combine)(void *into, const void *from, void *arg);
    void *arg;
    unsigned group_bits; /* 0 to WEIR__GROUP_BITS_MAX: of the groups by which bytes are counted */
};

/* NULL: no memory. */
struct weir__combiner *weir__combiner_new(void);
void weir__combiner_free(struct weir__combiner *combiner);

/* Empties the combiner, but keeps its memory. `limit`: bytes that its log may have. */
void weir__combiner_begin(struct weir__combiner *combiner, const struct weir__combine_rule *rule,
                          size_t limit);

/* Adds a pair: copies the key (at most WEIR__PAIR_KEY_MAX bytes) and the value. Pairs are combined
 * in the order in which they are added, though some time after; an error shows in later calls and
 * in weir__combiner_end(). 0, -ENOMEM (the system's or the limit), -E2BIG (a value too long), or
 * -EOVERFLOW (combine has written past the end of a value). */
int weir__combiner_add(struct weir__combiner *combiner, const void *key, size_t key_size,
                       const void *value, size_t value_size);

/* The same for a record of a map output, which stays where it is until the end. `head`: a copy of
 * the record's, which was checked. */
int weir__combiner_add_record(struct weir__combiner *combiner, const void *record,
                              const struct weir__pair_record *head);

/* Combines the pairs that are pending. 0 or the error. */
int weir__combiner_end(struct weir__combiner *combiner);

/* ---- after the end -------------------------------------------------------------------------- */

/* The number of records. */
size_t weir__combiner_count(const struct weir__combiner *combiner);
/* Their number's logarithm, and the bytes that the records of each hash group have when they are
 * published. */
unsigned weir__combiner_group_bits(const struct weir__combiner *combiner);
const uint64_t *weir__combiner_bytes(const struct weir__combiner *combiner);
/* The record at *offset of the log (0 at first), which is moved on; NULL: there is no other one. */
const struct weir__pair_record *weir__combiner_next(const struct weir__combiner *combiner,
                                                    uint64_t *offset);
/* The size that the record has when it is published. */
size_t weir__combiner_value_size(const struct weir__combiner *combiner,
                                 const struct weir__pair_record *record);
size_t weir__combiner_published_size(const struct weir__combiner *combiner,
                                     const struct weir__pair_record *record);
/* Writes the record as it is published. */
void weir__combiner_write(const struct weir__combiner *combiner,
                          const struct weir__pair_record *record, unsigned char *to);

#endif
