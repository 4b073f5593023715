/* SPDX-License-Identifier: MIT
 *
 * verdict.h: how a call ends.
 */
#ifndef WEIR_VERDICT_H
#define WEIR_VERDICT_H

#include "pool/mpi/state.h"

/* A weir_error of this code and message, about no worker. */
weir_error weir__cluster_error_of(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "node 3 (n0421)", or "node 3". */
const char *weir__node_text(const struct weir__link *link, int node, char text[300]);

/* Ends the call on this node: error code 0: well. No effect if it has ended. */
void weir__end(struct weir__collective *call, int node, const weir_error *error, bool for_good);

/* Node 0: ends the call on all nodes. No effect if it has ended. */
void weir__stop(struct weir__collective *call, int node, const weir_error *error, bool for_good);

/* This node cannot do its part: tells node 0, or, if it is that, stops all. */
void weir__give_up(struct weir__collective *call, const weir_error *error);

/* The same for a code without details. 0 does nothing. */
void weir__give_up_code(struct weir__collective *call, int code, const char *what);

/* The transport has failed: ends the call here, and all later ones. */
void weir__broke(struct weir__collective *call, int code);

/* Sends a message; if that fails for good the call ends here. */
void weir__say(struct weir__collective *call, int to, const void *data, size_t size);

#endif
