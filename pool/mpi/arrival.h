/* SPDX-License-Identifier: MIT
 *
 * arrival.h: bytes that come from one node in pieces: the other end of a transfer.
 */
#ifndef WEIR_ARRIVAL_H
#define WEIR_ARRIVAL_H

#include "pool/mpi/state.h"

/* What has begun to come. The record's `what` and `first` tell it from others of its node. */
struct weir__arrival {
    struct weir__arrival *next;
    int from;
    int64_t what, first;
    uint64_t total, available;
    unsigned char *data; /* the user's of the list */
};

/* The place of what the record is a piece of; NULL is there if this is the first one. */
struct weir__arrival **weir__arrival_find(struct weir__arrival **arrivals, int from,
                                          const struct weir__bytes *record);

/* Adds it at this place; the bytes go to `data`. 0, or -ENOMEM. */
int weir__arrival_add(struct weir__arrival **place, int from, const struct weir__bytes *record,
                      unsigned char *data);

/* Takes a piece: 1 if all has come, 0 if not, -EBADMSG: it is not the next one. */
int weir__arrival_take(struct weir__arrival *arrival, const struct weir__port_message *message);

/* Removes it from its list; its data stays. */
void weir__arrival_drop(struct weir__arrival **place);

#endif
