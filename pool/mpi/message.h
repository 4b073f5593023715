/* SPDX-License-Identifier: MIT
 *
 * message.h: what the nodes say to each other.
 *
 * A message is one of the records below, as it lies in memory: all nodes run the same program. Each
 * has the number of the call that it belongs to. What arrives is looked at by
 * weir__message_check() before anything is read of it.
 */
#ifndef WEIR_MESSAGE_H
#define WEIR_MESSAGE_H

#include <assert.h>

#include "pool/mpi/fingerprint.h"
#include "pool/mpi/port.h"

#define WEIR__MESSAGE_MAGIC UINT32_C(0x77656972)

enum weir__message_kind {
    WEIR__HELLO = 1, /* to node 0: has made this call; weir__hello */
    WEIR__GIVE,      /* of node 0: blocks to do; weir__give */
    WEIR__REPORT,    /* to node 0: how far this node is; of node 0: it is there; weir__report */
    WEIR__FAILED,    /* to node 0: this node cannot do its part; weir__bad_news */
    WEIR__STOP,      /* of node 0: the call has failed, on all nodes; weir__bad_news */
    WEIR__GO,        /* of node 0: all have made the call: what follows may be sent; the header */
    WEIR__SPREAD,    /* a piece of what all get; weir__bytes */
    WEIR__SUBTREE,   /* a piece of an accumulator; weir__bytes */
    WEIR__PART,      /* a piece of a part of an exchange; weir__bytes */
    WEIR__PARTS_END, /* no more parts to this node; weir__parts_end */
    WEIR__MERGED,    /* to node 0: all parts have come and are used; weir__merged */
    WEIR__BYE,       /* to node 0, of node 0 to all: ends the cluster; weir__bad_news */
    WEIR__ALL_GONE,  /* of node 0: all have said goodbye; the header */
};

struct weir__header {
    uint32_t magic;
    uint32_t kind;
    int64_t call; /* its number, from 1; of a BYE: the first one that the node does not make */
};

struct weir__hello {
    struct weir__header header;
    struct weir__fingerprint print;
};

struct weir__give {
    struct weir__header header;
    int64_t first, count; /* blocks; count 0: there are no more */
};

struct weir__report {
    struct weir__header header;
    int64_t blocks_done;
    uint64_t items_done;
    uint64_t wants; /* 1: more blocks */
};

struct weir__bad_news {
    struct weir__header header;
    int32_t node;      /* where it happened; -1: on no single one */
    uint32_t for_good; /* STOP: later calls fail with it, too */
    uint32_t goes_on;  /* FAILED: keep_going, the node does the rest */
    uint32_t spare;
    weir_error error; /* code 0 in a BYE: nothing had failed */
};

/* What all get, and its number. */
enum { WEIR__OWNERS, WEIR__RESULT };

/* So many bytes follow as the message has beyond this. */
struct weir__bytes {
    struct weir__header header;
    int64_t what;  /* SPREAD: WEIR__OWNERS, WEIR__RESULT; SUBTREE: its level; PART: its number */
    int64_t first; /* SPREAD: the node that has it; SUBTREE: its first block; PART: 0 */
    uint64_t total, offset;
};

struct weir__parts_end {
    struct weir__header header;
    uint64_t parts, bytes; /* that this node has sent to the other one */
};

/* What a node has when an exchange is over; at the end all get a list of all nodes' counts. */
struct weir__counts {
    uint64_t keys, bytes;
};

struct weir__merged {
    struct weir__header header;
    struct weir__counts counts;
};

#define WEIR__BYTES_MAX (WEIR__PORT_MESSAGE_MAX - sizeof(struct weir__bytes))

static_assert(sizeof(struct weir__header) == 16 && sizeof(struct weir__give) == 32 &&
                  sizeof(struct weir__report) == 40 && sizeof(struct weir__bytes) == 48 &&
                  sizeof(struct weir__bad_news) == 32 + sizeof(weir_error) &&
                  sizeof(struct weir__parts_end) == 32 && sizeof(struct weir__merged) == 32,
              "messages have no padding whose bytes nobody has set");

static inline struct weir__header weir__header_of(enum weir__message_kind kind, int64_t call)
{
    return (struct weir__header){WEIR__MESSAGE_MAGIC, kind, call};
}

/* A message's header if it is one and has its kind's size and a sender who may send it to this
 * node; else NULL. */
const struct weir__header *weir__message_check(const struct weir__port *port,
                                               const struct weir__port_message *message);

#endif
