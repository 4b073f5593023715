/* SPDX-License-Identifier: MIT
 *
 * spread.h: bytes that all nodes get.
 */
#ifndef WEIR_SPREAD_H
#define WEIR_SPREAD_H

#include "pool/mpi/state.h"

/* This node has the bytes: it is the root. `data` stays the caller's, and must stay. */
void weir__spread_begin(struct weir__collective *call, int what, void *data, uint64_t total);

/* A piece has come: 0, or -EBADMSG, -ENOMEM. */
int weir__spread_receive(struct weir__collective *call, const struct weir__port_message *message);

static inline bool weir__spread_is_complete(const struct weir__spread *spread)
{
    return spread->begun && spread->available == spread->total;
}

#endif
