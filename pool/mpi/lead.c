/* SPDX-License-Identifier: MIT
 *
 * lead.c: what node 0 does for all.
 *
 * Node 0 compares the calls, gives blocks, knows what is done, and decides how the call ends. Its
 * own blocks it gives to itself in the same way, without messages. A call succeeds only when all
 * nodes have made it, so that no node is more than one call that succeeds ahead of another.
 */
#include "pool/mpi/lead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/mpi/blocks.h"
#include "pool/mpi/gather.h"
#include "pool/mpi/spread.h"
#include "pool/mpi/verdict.h"

int weir__lead_begin(struct weir__collective *call)
{
    const int nodes = call->link->port->nodes;

    call->lead.peers = calloc((size_t)nodes, sizeof *call->lead.peers);
    if (call->lead.peers == NULL)
        return -ENOMEM;
    return weir__share_init(&call->lead.share, &call->spec->cut, nodes, call->spec->stay);
}

void weir__lead_free(struct weir__collective *call)
{
    free(call->lead.peers);
    weir__share_free(&call->lead.share);
}

static int give(struct weir__collective *call, int node)
{
    const struct weir__run run = weir__share_take(&call->lead.share, node);
    struct weir__give message = {weir__header_of(WEIR__GIVE, call->link->call), run.first,
                                 run.count};

    call->lead.peers[node].given += run.count;
    if (node == 0)
        return weir__blocks_given(call, run);
    weir__say(call, node, &message, sizeof message);
    return 0;
}

/* Who has run what goes to all, for their accumulators to find each other. */
static int publish_owners(struct weir__collective *call)
{
    call->owner = call->lead.share.owner;
    weir__spread_begin(call, WEIR__OWNERS, call->owner,
                       (uint64_t)call->spec->cut.blocks * sizeof *call->owner);
    return weir__gather_step(call);
}

/* All have made the call, so nobody has to keep what is sent now. */
static void say_go(struct weir__collective *call)
{
    const struct weir__header go = weir__header_of(WEIR__GO, call->link->call);

    for (int to = 1; to < call->link->port->nodes && !call->ended; to++)
        weir__say(call, to, &go, sizeof go);
    call->exchange.go = true;
}

static int succeed(struct weir__collective *call)
{
    const struct weir__header go = weir__header_of(WEIR__GO, call->link->call);
    const int from = call->spec->from;

    switch (call->spec->print.value[WEIR__PRINT_KIND]) {
    case WEIR__CLUSTER_REDUCE:
        if (call->spec->cut.blocks > 0)
            return publish_owners(call);
        break;
    case WEIR__CLUSTER_BROADCAST:
        if (from != 0) {
            weir__say(call, from, &go, sizeof go);
            return 0;
        }
        break;
    default:
        break;
    }
    weir__spread_begin(call, WEIR__RESULT, call->result.data, call->result.total);
    return 0;
}

static int decide(struct weir__collective *call)
{
    struct weir__lead *lead = &call->lead;
    const int nodes = call->link->port->nodes;

    if (lead->decided || call->ended || lead->entered < nodes ||
        lead->blocks_done < call->spec->cut.blocks)
        return 0;
    if (call->spec->exchanges && lead->failure.error.code == 0 && lead->merged < nodes)
        return 0;
    lead->decided = true;
    if (lead->failure.error.code == 0)
        return succeed(call);
    weir__stop(call, lead->failure.node, &lead->failure.error, false);
    return 0;
}

static void refuse(struct weir__collective *call, int node, const char *difference)
{
    char one[300], other[300];
    const weir_error error = weir__cluster_error_of(
        -EPROTO, "the nodes' calls differ: of %s and %s, %s", weir__node_text(call->link, 0, one),
        weir__node_text(call->link, node, other), difference);

    weir__stop(call, node, &error, false);
}

int weir__lead_hello(struct weir__collective *call, int node, const struct weir__fingerprint *print)
{
    struct weir__peer *peer = &call->lead.peers[node];
    char difference[200];

    if (peer->entered)
        return -EBADMSG;
    if (!weir__fingerprint_same(&call->spec->print, print, difference, sizeof difference)) {
        refuse(call, node, difference);
        return 0;
    }
    peer->entered = true;
    call->lead.entered++;
    if (call->spec->cut.blocks > 0 && give(call, node) < 0)
        return -ENOMEM;
    if (call->spec->exchanges && call->lead.entered == call->link->port->nodes)
        say_go(call);
    return decide(call);
}

int weir__lead_merged(struct weir__collective *call, int node, struct weir__counts counts)
{
    struct weir__peer *peer = &call->lead.peers[node];

    if (!call->spec->exchanges || !peer->entered || peer->merged)
        return -EBADMSG;
    peer->merged = true;
    call->lead.merged++;
    memcpy(call->result.data + (size_t)node * sizeof counts, &counts, sizeof counts);
    return decide(call);
}

int weir__lead_report(struct weir__collective *call, int node, const struct weir__report *report)
{
    struct weir__peer *peer = &call->lead.peers[node];

    if (!peer->entered || report->blocks_done < peer->blocks_done ||
        report->blocks_done > peer->given || report->items_done < peer->items_done ||
        report->wants > 1)
        return -EBADMSG;
    call->shows_progress |= report->items_done > peer->items_done;
    call->lead.blocks_done += report->blocks_done - peer->blocks_done;
    peer->blocks_done = report->blocks_done;
    peer->items_done = report->items_done;
    if (report->wants == 1 && give(call, node) < 0)
        return -ENOMEM;
    return decide(call);
}

void weir__lead_failed(struct weir__collective *call, int node, const weir_error *error,
                       bool goes_on)
{
    struct weir__lead *lead = &call->lead;

    if (error->code == -ECANCELED && lead->decided)
        return;
    if (!goes_on)
        weir__stop(call, node, error, false);
    else if (lead->failure.error.code == 0)
        lead->failure = (weir_cluster_error){.node = node, .error = *error};
}

static void look_at_deadline(struct weir__collective *call)
{
    const int64_t timeout_ns = call->spec->timeout_ns;
    weir_error error;

    if (timeout_ns == 0 || call->lead.decided || call->link->now_ns - call->begin_ns < timeout_ns)
        return;
    if (call->lead.entered < call->link->port->nodes)
        error = weir__cluster_error_of(
            -ETIMEDOUT, "the call timed out after %lld ms; %d of %d nodes had made it",
            (long long)(timeout_ns / 1000000), call->lead.entered, call->link->port->nodes);
    else if (call->spec->exchanges && call->lead.blocks_done == call->spec->cut.blocks)
        error = weir__cluster_error_of(
            -ETIMEDOUT,
            "the call timed out after %lld ms; %d of %d nodes had all that others send them",
            (long long)(timeout_ns / 1000000), call->lead.merged, call->link->port->nodes);
    else
        error = weir__cluster_error_of(
            -ETIMEDOUT, "the call timed out after %lld ms; %lld of %lld blocks were done",
            (long long)(timeout_ns / 1000000), (long long)call->lead.blocks_done,
            (long long)call->spec->cut.blocks);
    weir__stop(call, -1, &error, false);
}

static void look_at_silence(struct weir__collective *call)
{
    struct weir__link *link = call->link;

    for (int i = 1; i < link->port->nodes && !call->ended; i++) {
        const struct weir__peer *peer = &call->lead.peers[i];
        weir_error error;

        if (!peer->entered || link->now_ns - peer->heard_ns <= link->silence_ns)
            continue;
        error = weir__cluster_error_of(-EHOSTDOWN, "nothing was heard of it for %lld ms",
                                       (long long)(link->silence_ns / 1000000));
        link->lost++;
        weir__stop(call, i, &error, true);
    }
}

void weir__lead_tick(struct weir__collective *call)
{
    look_at_deadline(call);
    if (!call->ended)
        look_at_silence(call);
}

void weir__lead_say_alive(struct weir__collective *call)
{
    const struct weir__report message = {.header = weir__header_of(WEIR__REPORT, call->link->call)};

    for (int to = 1; to < call->link->port->nodes && !call->ended; to++)
        if (call->lead.peers[to].entered)
            weir__say(call, to, &message, sizeof message);
}
