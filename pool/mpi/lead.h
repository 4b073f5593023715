/* SPDX-License-Identifier: MIT
 *
 * lead.h: what node 0 does for all.
 */
#ifndef WEIR_LEAD_H
#define WEIR_LEAD_H

#include "pool/mpi/state.h"

/* 0, or -ENOMEM. */
int weir__lead_begin(struct weir__collective *call);
void weir__lead_free(struct weir__collective *call);

/* A node has made the call; node 0 itself is the first. */
int weir__lead_hello(struct weir__collective *call, int node,
                     const struct weir__fingerprint *print);

/* How far a node is: 0, or -EBADMSG. */
int weir__lead_report(struct weir__collective *call, int node, const struct weir__report *report);

/* All parts that come to the node are used: 0, or -EBADMSG. */
int weir__lead_merged(struct weir__collective *call, int node, struct weir__counts counts);

/* A node has failed, or with keep_going a block of it. */
void weir__lead_failed(struct weir__collective *call, int node, const weir_error *error,
                       bool goes_on);

/* Deadline, silence, goodbyes. */
void weir__lead_tick(struct weir__collective *call);

/* Tells all that node 0 is there. */
void weir__lead_say_alive(struct weir__collective *call);

#endif
