/* SPDX-License-Identifier: MIT
 *
 * listen.h: the manager program's door for other programs.
 */
#ifndef WEIR_MANAGER_PROGRAM_LISTEN_H
#define WEIR_MANAGER_PROGRAM_LISTEN_H

#include <stdbool.h>
#include <uv.h>

#include "manager/program/requests.h"
#include "manager/wire/auth.h"

struct weir__listener;

/* What the door needs of the manager. `attend` is called before each thing done for somebody else:
 * it serves the scope's own program if that has something to say; false when the scope is over. */
struct weir__listener_host {
    uv_loop_t *loop;
    struct weir__requests *requests;
    bool (*attend)(void *arg);
    void *arg;
};

/* Listens at `address` from now on. `key` is copied. 0; or a negative error with the last error set
 * and no name left. There is no closing: the door ends with the program. */
int weir__listener_open(struct weir__listener **listener, const struct weir__listener_host *host,
                        const char *address, const struct weir__auth_key *key);

#endif
