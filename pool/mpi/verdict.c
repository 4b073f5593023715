/* SPDX-License-Identifier: MIT
 *
 * verdict.c: how a call ends.
 *
 * Node 0 alone decides that a call has failed, so that all nodes return the same error: the first
 * one that node 0 has learned of. A node decides by itself only if it cannot reach node 0.
 */
#include "pool/mpi/verdict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

weir_error weir__cluster_error_of(int code, const char *format, ...)
{
    weir_error error = {.code = code, .worker = -1, .exit_status = -1};
    va_list args;

    va_start(args, format);
    if (vsnprintf(error.message, sizeof error.message, format, args) < 0)
        error.message[0] = '\0';
    va_end(args);
    return error;
}

const char *weir__node_text(const struct weir__link *link, int node, char text[300])
{
    const char *host = weir__link_host(link, node);

    snprintf(text, 300, host[0] != '\0' ? "node %d (%s)" : "node %d", node, host);
    return text;
}

void weir__end(struct weir__collective *call, int node, const weir_error *error, bool for_good)
{
    if (call->ended)
        return;
    call->ended = true;
    call->halted = true;
    call->runs_count = 0;
    call->outcome = (weir_cluster_error){.node = node, .error = *error};
    snprintf(call->outcome.host, sizeof call->outcome.host, "%s",
             weir__link_host(call->link, node));
    if (for_good && call->link->broken.error.code == 0)
        call->link->broken = call->outcome;
}

/* No other node can be told. A call that has ended well stays so, later ones fail. */
void weir__broke(struct weir__collective *call, int code)
{
    const int node = call->link->port->node;
    const weir_error error = weir__cluster_error_of(
        code, "its connection to the other nodes has failed: %s", weir_strerror(code));

    weir__end(call, node, &error, true);
    if (call->link->broken.error.code == 0)
        call->link->broken = (weir_cluster_error){.node = node, .error = error};
    weir__link_close(call->link);
}

void weir__say(struct weir__collective *call, int to, const void *data, size_t size)
{
    const int result = weir__link_send(call->link, to, data, size);

    if (result < 0)
        weir__broke(call, result);
}

static struct weir__bad_news news_of(const struct weir__collective *call,
                                     enum weir__message_kind kind, int node,
                                     const weir_error *error)
{
    struct weir__bad_news news;

    memset(&news, 0, sizeof news);
    news.header = weir__header_of(kind, call->link->call);
    news.node = node;
    news.error = *error;
    return news;
}

void weir__stop(struct weir__collective *call, int node, const weir_error *error, bool for_good)
{
    struct weir__bad_news news = news_of(call, WEIR__STOP, node, error);

    if (call->ended)
        return;
    news.for_good = for_good;
    call->lead.decided = true;
    weir__end(call, node, error, for_good);
    for (int to = 1; to < call->link->port->nodes; to++)
        weir__say(call, to, &news, sizeof news);
}

void weir__give_up(struct weir__collective *call, const weir_error *error)
{
    const int node = call->link->port->node;
    struct weir__bad_news news = news_of(call, WEIR__FAILED, node, error);

    if (call->ended)
        return;
    call->halted = true;
    if (node == 0)
        weir__stop(call, 0, error, false);
    else
        weir__say(call, 0, &news, sizeof news);
}

void weir__give_up_code(struct weir__collective *call, int code, const char *what)
{
    weir_error error;

    if (code == 0)
        return;
    error = weir__cluster_error_of(code, "%s: %s", what, weir_strerror(code));
    weir__give_up(call, &error);
}
