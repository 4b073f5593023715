/* SPDX-License-Identifier: MIT
 *
 * requests.h: what clients, and the host, may ask the manager to do.
 */
#ifndef WEIR_MANAGER_PROGRAM_REQUESTS_H
#define WEIR_MANAGER_PROGRAM_REQUESTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "manager/scope_file/scope_file.h"

/* The manager program's. The records of clients' blocks lie in the scope file; this says which are
 * taken. */
struct weir__requests {
    uint64_t id;
    int scope_fd;
    bool anonymous;   /* its blocks have no names: a record is all there is to look at */
    uint64_t serial;  /* of the last name given */
    size_t used;      /* records that are taken */
    size_t next;      /* where to look for a free one first */
    size_t reclaimed; /* where to look next for one that can be taken back */
    unsigned char taken[WEIR__CLIENT_BLOCKS_MAX / 8];
};

/* Answers one request of process `pid`. `passed` is a descriptor that came with it, or -1; it stays
 * the caller's. Returns the reply, which may be {"error", "message"}; NULL without memory. */
json_t *weir__request_answer(struct weir__requests *requests, json_t *message, int passed,
                             pid_t pid);

/* {"error":code,"message":...}, of the last error. */
json_t *weir__request_error(void);

#endif
