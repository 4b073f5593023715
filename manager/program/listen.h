/* SPDX-License-Identifier: MIT
 *
 * listen.h: the address at which the manager program serves clients.
 */
#ifndef WEIR_MANAGER_PROGRAM_LISTEN_H
#define WEIR_MANAGER_PROGRAM_LISTEN_H

#include <stdbool.h>
#include <uv.h>

#include "manager/program/requests.h"
#include "manager/wire/auth.h"

struct weir__listener;

/* What the listener needs of the manager. `serve_host` is called before anything is done for a
 * client: it answers the host's requests that are there; false when the scope is over. */
struct weir__listener_context {
    uv_loop_t *loop;
    struct weir__requests *requests;
    bool (*serve_host)(void *arg);
    void *arg;
};

/* Listens at `address` from now on. `key` is copied. 0; or a negative error with the last error set
 * and no name left. There is no closing: the listener ends with the program. */
int weir__listener_open(struct weir__listener **listener,
                        const struct weir__listener_context *context, const char *address,
                        const struct weir__auth_key *key);

#endif
