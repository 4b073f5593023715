/* SPDX-License-Identifier: MIT
 *
 * transfer.h: bytes that go to one node in pieces.
 */
#ifndef WEIR_TRANSFER_H
#define WEIR_TRANSFER_H

#include "pool/mpi/state.h"

/* Where bytes go, and whose they are. */
struct weir__transfer {
    struct weir__transfer *next;
    int to;
    struct weir__bytes record; /* offset: what has been sent */
    unsigned char *front;      /* sent first, freed when all is sent; may be NULL */
    size_t front_size;
    const unsigned char *data; /* what follows: record.total bytes with the front */
    const uint64_t *available; /* so many of them are there; NULL: all */
    unsigned char *owned;      /* freed when all is sent; may be NULL */
    bool begun;                /* the first message has been sent: it may have no bytes */
};

void weir__transfer_init(struct weir__transfers *transfers);

/* Adds a copy of it: 0, or -ENOMEM; then `front` and `owned` are freed. */
int weir__transfer_add(struct weir__collective *call, struct weir__transfer transfer);

/* Sends what can be sent now: 0, or the transport's error. */
int weir__transfer_pump(struct weir__collective *call);

void weir__transfer_drop_all(struct weir__collective *call);

#endif
