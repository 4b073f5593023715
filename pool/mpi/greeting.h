/* SPDX-License-Identifier: MIT
 *
 * greeting.h: what nodes know of each other before the first call, and whether they fit.
 */
#ifndef WEIR_GREETING_H
#define WEIR_GREETING_H

#include <stdint.h>
#include <weir-shm.h>

#include "pool/mpi/cpus.h"
#include "pool/mpi/launcher.h"
#include "pool/mpi/port.h"

#define WEIR__GREETING_SIZE 2560 /* of any version, so that versions can be compared */

/* Sent as it is. The first two members stand there in all versions. */
struct weir__greeting {
    char magic[8];    /* "weirmpi" */
    char version[32]; /* of the library */
    uint64_t program; /* hash of the program's file; 0: it cannot be read */
    uint32_t page_size;
    int32_t workers;
    struct weir__place place;
    struct weir__cpus cpus; /* of the thread that began the cluster */
    int32_t code;           /* 0, or why this node cannot begin: its error, and the message */
    char message[WEIR_ERROR_MESSAGE_SIZE];
    char reserved[WEIR__GREETING_SIZE - 8 - 32 - 8 - 4 - 4 - sizeof(struct weir__place) -
                  sizeof(struct weir__cpus) - 4 - WEIR_ERROR_MESSAGE_SIZE];
};

_Static_assert(sizeof(struct weir__greeting) == WEIR__GREETING_SIZE, "sent as it is");

/* This node's. `code`: 0, or the last error is why it cannot begin. */
void weir__greeting_fill(struct weir__greeting *greeting, int workers, int code);

/* Whether these nodes can work together. All of them find the same.
 * Returns 0, or a negative error that names the two nodes that do not fit, or the first one that
 * cannot begin. */
int weir__greeting_check(const struct weir__greeting *greetings, int nodes,
                         const struct weir__launcher *launcher, bool any_binding);

#endif
