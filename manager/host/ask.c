/* SPDX-License-Identifier: MIT
 *
 * ask.c: requests to a scope's manager, and its replies.
 *
 * Invariants
 *  - One request at a time, and its reply: after a reply that does not come in time nothing more is
 *    asked, because the late reply would be taken for the next one's.
 *  - A forked child never speaks on its parent's connection.
 *
 * Failure modes. Killed at any point, the manager sees the end of the socket. What it was about to
 * make is either recorded with the scope or was never named.
 */
#include "manager/host/ask.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "manager/wire/protocol.h"
#include "shm/error.h"

json_t *weir__reply_check(json_t *reply)
{
    json_t *error = json_object_get(reply, "error");
    const char *message = json_string_value(json_object_get(reply, "message"));
    json_int_t code = json_integer_value(error);

    if (!error || (json_is_integer(error) && code == 0))
        return reply;
    if (!json_is_integer(error) || code > 0 || code < -4095)
        weir__fail(-EPROTO, "the manager's reply is not valid");
    else
        weir__fail((int)code, "%.500s", message ? message : weir_strerror((int)code));
    json_decref(reply);
    return NULL;
}

int weir__reply_reject(json_t *reply)
{
    json_decref(reply);
    return weir__fail(-EPROTO, "the manager's reply is not valid");
}

/* The request or its reply was lost, and the last error is set: nothing more is asked. */
static json_t *lose(struct weir_scope *scope)
{
    scope->channel.out_of_step = true;
    if (weir_last_error()->code == -EPIPE && scope->connected)
        weir__fail(-ESTALE, "the scope is over: its manager is gone");
    return NULL;
}

static json_t *ask_locked(struct weir_scope *scope, json_t *request, int passed)
{
    json_t *reply;
    int error;

    if (scope->channel.out_of_step) {
        json_decref(request);
        return weir__fail_null(-EPIPE,
                               "the manager has not answered before, and is not asked again");
    }
    if (weir__channel_check(&scope->channel) < 0) {
        json_decref(request);
        return NULL;
    }
    error = weir__frame_send_with(scope->channel.socket.fd, request, passed);
    if (error)
        weir__fail(error == -ECONNRESET ? -EPIPE : error, "cannot ask the manager: %s",
                   strerror(-error));
    if (error == -ENOMEM || error == -EMSGSIZE) /* nothing was sent */
        return NULL;
    reply = error ? NULL : weir__channel_receive(&scope->channel);
    return reply ? weir__reply_check(reply) : lose(scope);
}

json_t *weir__scope_ask(struct weir_scope *scope, json_t *request, int passed)
{
    json_t *reply;

    if (scope->beginner != getpid() || scope->channel.socket.fd < 0) {
        json_decref(request);
        return weir__fail_null(-EINVAL, "only process %d, which %s the scope, can ask its manager",
                               (int)scope->beginner, scope->connected ? "connected to" : "began");
    }
    weir__private_lock(&scope->channel.asking);
    reply = ask_locked(scope, request, passed);
    weir__private_unlock(&scope->channel.asking);
    return reply;
}
