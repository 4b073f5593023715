/* SPDX-License-Identifier: MIT
 *
 * goodbye.c: the end of a cluster, as far as messages go.
 *
 * Each node says goodbye to node 0, which tells all when the last one has; node 0 says its own to
 * all at once, so that calls that they make fail. Nodes that are lost are not waited for, and
 * nobody is for longer than the caller wants. What was sent to a lost node may never leave the
 * port, which cannot tell it from what others get: it is given up soon.
 */
#include <errno.h>
#include <string.h>

#include "pool/mpi/cluster.h"
#include "pool/mpi/drive.h"
#include "pool/mpi/last_error.h"
#include "shm/clock.h"

#define LOST_NS INT64_C(1000000000) /* until that is given up */

static int say(struct weir__link *link, const weir_error *error)
{
    const int last = link->port->node == 0 ? link->port->nodes : 1;
    struct weir__bad_news news;
    int result = 0;

    memset(&news, 0, sizeof news);
    news.header = weir__header_of(WEIR__BYE, link->call + 1);
    news.node = link->port->node;
    news.error = *error;
    for (int to = 0; to < last && result == 0; to++)
        if (to != link->port->node)
            result = weir__link_send(link, to, &news, sizeof news);
    return result;
}

static int say_all_gone(struct weir__link *link)
{
    const struct weir__header message = weir__header_of(WEIR__ALL_GONE, link->call + 1);
    int result = 0;

    for (int to = 1; to < link->port->nodes && result == 0; to++)
        result = weir__link_send(link, to, &message, sizeof message);
    return result;
}

/* Goodbyes are noted, all else is of calls that this node does not make. */
static int receive(struct weir__link *link)
{
    struct weir__port_message message;
    int result;

    while ((result = link->port->functions->receive(link->port, &message)) == 1) {
        const struct weir__header *header = weir__message_check(link->port, &message);

        if (header == NULL)
            continue;
        if (header->kind == WEIR__BYE)
            weir__link_note_bye(link, message.from, message.data);
        else if (header->kind == WEIR__ALL_GONE)
            link->all_gone = true;
    }
    return result;
}

/* At node 0: all that are not lost have said it; elsewhere: node 0 has said that all have. */
static bool is_done(const struct weir__link *link)
{
    if (link->port->node == 0)
        return link->gone + link->lost >= link->port->nodes - 1;
    return link->all_gone || link->lost > 0;
}

static int wait_until_sent(struct weir_cluster *cluster, int64_t until_ns)
{
    struct weir__link *link = &cluster->link;
    const int64_t lost_ns = weir__now_ns() + LOST_NS;
    struct weir__wait wait = {0};
    int result;

    for (;;) {
        result = receive(link);
        if (result == 0)
            result = weir__link_flush(link);
        if (result < 0)
            return result;
        if (link->outbox.first == NULL && link->port->functions->unsent(link->port) == 0)
            return 0;
        if (link->broken.error.code == -EHOSTDOWN && weir__now_ns() >= lost_ns)
            return 0;
        if (weir__now_ns() >= until_ns)
            return -ETIMEDOUT;
        weir__wait_more(&wait, -1, 1000000);
    }
}

static int wait_for_all(struct weir_cluster *cluster, int64_t until_ns)
{
    struct weir__link *link = &cluster->link;
    struct weir__wait wait = {0};
    int result;

    for (;;) {
        link->now_ns = weir__now_ns();
        result = receive(link);
        if (result == 0)
            result = weir__link_flush(link);
        if (result < 0 || is_done(link))
            return result;
        if (link->now_ns >= until_ns)
            return -ETIMEDOUT;
        if (cluster->watch != NULL)
            cluster->watch(cluster);
        weir__wait_more(&wait, -1, 1000000);
    }
}

int weir__cluster_goodbye(struct weir_cluster *cluster, int wait_ms)
{
    const weir_error none = {.worker = -1, .exit_status = -1};
    const weir_error *last = &weir_cluster_last_error()->error;
    const int64_t until_ns = weir__now_ns() + (int64_t)wait_ms * 1000000;
    struct weir__link *link = &cluster->link;
    int result;

    if (link->closed)
        return link->broken.error.code;
    if (link->port->nodes == 1)
        return 0;
    result = say(link, last->code != 0                ? last
                       : weir_last_error()->code != 0 ? weir_last_error()
                                                      : &none);
    if (result == 0)
        result = wait_for_all(cluster, until_ns);
    if (result == 0 && link->port->node == 0)
        result = say_all_gone(link);
    if (result == 0)
        result = wait_until_sent(cluster, until_ns);
    if (result < 0)
        return result;
    return link->broken.error.code == -EHOSTDOWN ? -EHOSTDOWN : 0;
}
