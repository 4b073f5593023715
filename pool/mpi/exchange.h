/* SPDX-License-Identifier: MIT
 *
 * exchange.h: the parts that nodes send each other.
 */
#ifndef WEIR_EXCHANGE_H
#define WEIR_EXCHANGE_H

#include "pool/mpi/transfer.h"

/* 0, or -ENOMEM; after a failure too weir__exchange_free() is allowed. */
int weir__exchange_init(struct weir__collective *call);
void weir__exchange_free(struct weir__collective *call);

/* Queues a part of `total` bytes; front and data are set in `transfer`. 0, or -ENOMEM; then the
 * front is freed. */
int weir__exchange_send(struct weir__collective *call, int to, int64_t part,
                        struct weir__transfer transfer, uint64_t total);

/* Node 0 says that all have made the call: 0, or -EBADMSG. */
int weir__exchange_go(struct weir__collective *call);

/* A piece has come, or the end of a node's parts: 0, or -EBADMSG, -ENOMEM, or the last error's
 * code. */
int weir__exchange_receive(struct weir__collective *call, const struct weir__port_message *message);
int weir__exchange_receive_end(struct weir__collective *call, int from,
                               const struct weir__parts_end *end);

/* Tells the others that all has been sent, when it has. */
void weir__exchange_step(struct weir__collective *call);

#endif
