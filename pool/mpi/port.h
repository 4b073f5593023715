/* SPDX-License-Identifier: MIT
 *
 * port.h: what the nodes of a cluster send each other by.
 *
 * MPI is launcher and transport, nothing more: all that is needed of it is in this table, which
 * port_mpi.c fills (libweir-mpi), and the simulated nodes of tests/mpi, of which a process has a
 * thousand. No function blocks, but for open() and close(); all are called by one thread.
 *
 * Messages between two nodes arrive once, whole, and in the order in which they were sent. Between
 * others there is no order.
 */
#ifndef WEIR_PORT_H
#define WEIR_PORT_H

#include <stdbool.h>
#include <stddef.h>

/* The longest message; more is sent in pieces. */
#define WEIR__PORT_MESSAGE_MAX ((size_t)1 << 20)

/* Where a node is: gathered by open(), the same list on every node. */
struct weir__place {
    char host[256];
    char boot_id[40];
    unsigned long shm_mount; /* device of /dev/shm: ranks that share it are on one node */
    int pid;
};

struct weir__port_message {
    int from;
    size_t size;
    const void *data; /* aligned for any type; until the next receive() */
};

struct weir__port {
    const struct weir__port_functions *functions;
    int node, nodes;
};

struct weir__port_functions {
    /* Takes a copy, or keeps the data until it has left; 0, or a negative error. */
    int (*send)(struct weir__port *, int to, const void *data, size_t size);
    /* 1: a message; 0: none is there now; a negative error: the transport has failed. */
    int (*receive)(struct weir__port *, struct weir__port_message *);
    /* How many bytes were given to send() and have not left yet: what sends much waits by it. */
    size_t (*unsent)(const struct weir__port *);
    /* Ends all nodes as well as the transport can; returns where it cannot. */
    void (*abort)(struct weir__port *, int status);
    /* The end of it: after goodbyes. May never return (MPI_Finalize of some versions). */
    void (*close)(struct weir__port *);
};

#endif
