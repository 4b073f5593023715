/* SPDX-License-Identifier: MIT
 *
 * ask.h: requests to a scope's manager, and its replies.
 */
#ifndef WEIR_MANAGER_HOST_ASK_H
#define WEIR_MANAGER_HOST_ASK_H

#include <jansson.h>

#include "manager/host/state.h"

/* Sends a request, which it takes over, and with it the descriptor `passed` (-1: none), which stays
 * the caller's. Returns the reply, or NULL with the last error set: the manager's own when it
 * refused. Only in the process that began the scope or connected to it. */
json_t *weir__scope_ask(struct weir_scope *scope, json_t *request, int passed);

/* Takes a message over and returns it; NULL, with the last error set, when it reports an error. */
json_t *weir__reply_check(json_t *reply);

/* Drops a reply that is not what was asked for. Returns -EPROTO with the last error set. */
int weir__reply_reject(json_t *reply);

#endif
