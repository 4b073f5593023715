/* SPDX-License-Identifier: MIT
 *
 * gather.h: a reduction's accumulators find each other.
 */
#ifndef WEIR_GATHER_H
#define WEIR_GATHER_H

#include "pool/mpi/state.h"

/* A block of this node is done; a copy of the accumulator is kept. 0, or -ENOMEM, -EINVAL,
 * -EBADMSG. */
int weir__gather_add(struct weir__collective *call, int64_t block, const void *accumulator);

/* A piece of another node's accumulator has come. The same. */
int weir__gather_receive(struct weir__collective *call, const struct weir__port_message *message);

/* Sends away what is not this node's, once the owners of all blocks are known; begins to spread
 * the result, if it is here. 0, or -ENOMEM. */
int weir__gather_step(struct weir__collective *call);

void weir__gather_free(struct weir__collective *call);

#endif
