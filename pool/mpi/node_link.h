/* SPDX-License-Identifier: MIT
 *
 * node_link.h: what a node keeps of its connection to the others from call to call.
 *
 * Messages that the port has no memory for wait in `outbox`, in their order. Messages of a call
 * that this node has not made yet wait in `kept`: a call that fails ends on the other nodes without
 * this one. Nothing here reads a clock: `now_ns` is set by the caller.
 */
#ifndef WEIR_NODE_LINK_H
#define WEIR_NODE_LINK_H

#include <sys/uio.h>

#include "pool/mpi/message.h"
#include "pool/mpi/weir-mpi.h"

struct weir__parcel; /* a message that waits */

struct weir__parcels {
    struct weir__parcel *first, **end;
    size_t size; /* bytes in all */
};

struct weir__link {
    struct weir__port *port;
    const struct weir__place *places; /* NULL: unknown */
    int64_t silence_ns;
    int64_t call; /* the number of the latest call; 0: none yet */
    int64_t now_ns;

    struct weir__parcels outbox, kept;
    int64_t refused_ns;    /* since when the port takes nothing; 0: it does */
    unsigned char *buffer; /* for weir__link_send_bytes() */

    weir_cluster_error broken; /* code not 0: all calls fail with it */

    /* Goodbyes: of all nodes at node 0, of node 0 elsewhere. */
    int gone;         /* nodes that have said it, this one not counted */
    bool *is_gone;    /* [nodes] */
    int lost;         /* nodes that are lost, for goodbyes are not expected of them */
    bool closed;      /* the transport has failed: nothing is sent any more */
    bool all_gone;    /* node 0 has said so */
    int64_t bye_call; /* the lowest number of a call that one of them does not make; 0: none */
    weir_cluster_error bye;
};

/* 0, or -ENOMEM. */
int weir__link_init(struct weir__link *link, struct weir__port *port,
                    const struct weir__place *places, int64_t silence_ns);
void weir__link_free(struct weir__link *link);

/* The host of a node; "" if it is unknown, or no node. */
const char *weir__link_host(const struct weir__link *link, int node);

/* Sends a message, or keeps it until the port takes it: 0, or -ENOMEM, or the transport's error. */
int weir__link_send(struct weir__link *link, int to, const void *data, size_t size);

/* Sends the record and these bytes behind it, if the port takes them now: 0; -ENOMEM: it does not;
 * or the transport's error. */
int weir__link_send_bytes(struct weir__link *link, int to, const struct weir__bytes *record,
                          const struct iovec bytes[2]);

/* True if bulk may be sent: nothing waits, and not much is on its way. */
bool weir__link_has_room(const struct weir__link *link);

/* The transport has failed: what waits is dropped, and nothing more is sent. */
void weir__link_close(struct weir__link *link);

/* Tries again what waits. 0; -ENOMEM: the port has taken nothing for silence_ns; or the transport's
 * error. */
int weir__link_flush(struct weir__link *link);

/* Keeps a message of a later call: 0, or -ENOMEM. */
int weir__link_keep(struct weir__link *link, const struct weir__port_message *message);

/* Takes the next message that was kept for the call `link->call` and gives it to `take`; those of
 * earlier calls are dropped. False: there is none. */
bool weir__link_take_kept(struct weir__link *link,
                          void (*take)(void *arg, const struct weir__port_message *), void *arg);

/* Notes a goodbye. */
void weir__link_note_bye(struct weir__link *link, int from, const struct weir__bad_news *bye);

#endif
