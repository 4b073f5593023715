/* SPDX-License-Identifier: MIT
 *
 * exchange.c: the parts that nodes send each other.
 *
 * Each part has a number, and comes from one node. Nothing is sent before all nodes have made the
 * call: what comes can be put where it belongs at once, and needs no limit on its way. Who gets it
 * says where that is, or that there is no room: then the call fails, with the numbers. Messages
 * between two nodes keep their order, so PARTS_END is the last one; its counts are compared with
 * what has come.
 */
#include "pool/mpi/exchange.h"

#include <errno.h>
#include <stdlib.h>

#include "pool/mpi/arrival.h"
#include "pool/mpi/verdict.h"
#include "shm/error.h"

int weir__exchange_init(struct weir__collective *call)
{
    struct weir__exchange *exchange = &call->exchange;

    exchange->traffic = calloc((size_t)call->link->port->nodes, sizeof *exchange->traffic);
    exchange->seen = calloc((size_t)call->spec->parts + 1, 1);
    return exchange->traffic == NULL || exchange->seen == NULL ? -ENOMEM : 0;
}

void weir__exchange_free(struct weir__collective *call)
{
    while (call->exchange.arrivals != NULL)
        weir__arrival_drop(&call->exchange.arrivals);
    free(call->exchange.traffic);
    free(call->exchange.seen);
}

int weir__exchange_send(struct weir__collective *call, int to, int64_t part,
                        struct weir__transfer transfer, uint64_t total)
{
    struct weir__traffic *traffic = &call->exchange.traffic[to];

    traffic->parts_out++;
    traffic->bytes_out += total;
    transfer.to = to;
    transfer.record = (struct weir__bytes){
        .header = weir__header_of(WEIR__PART, call->link->call), .what = part, .total = total};
    return weir__transfer_add(call, transfer);
}

int weir__exchange_go(struct weir__collective *call)
{
    if (call->exchange.go)
        return -EBADMSG;
    call->exchange.go = true;
    return 0;
}

/* ---- what comes ---- */

/* A call of another kind is not, nor one that had no memory at its beginning. */
static bool is_ready(const struct weir__collective *call)
{
    return call->exchange.traffic != NULL && call->exchange.seen != NULL;
}

/* The first piece of a part: 0, or an error, or 1: there is no place, and the call fails. */
static int land(struct weir__collective *call, struct weir__arrival **place, int from,
                const struct weir__bytes *record)
{
    unsigned char *data;

    if (call->exchange.seen[record->what] != 0 || record->offset != 0 || record->total == 0)
        return -EBADMSG;
    data = call->spec->land(call->spec->owner, record->what, record->total);
    if (data == NULL) {
        weir__give_up(call, weir_last_error());
        return 1;
    }
    call->exchange.seen[record->what] = 1;
    return weir__arrival_add(place, from, record, data);
}

int weir__exchange_receive(struct weir__collective *call, const struct weir__port_message *message)
{
    const struct weir__bytes *record = message->data;
    struct weir__arrival **place;
    struct weir__traffic *traffic;
    int result = 0;

    if (!is_ready(call) || record->what < 0 || record->what >= call->spec->parts ||
        call->exchange.traffic[message->from].ended)
        return -EBADMSG;
    if (call->halted) /* it has no use any more, and perhaps no place */
        return 0;
    place = weir__arrival_find(&call->exchange.arrivals, message->from, record);
    if (*place == NULL)
        result = land(call, place, message->from, record);
    if (result != 0)
        return result;
    result = weir__arrival_take(*place, message);
    if (result <= 0)
        return result;
    traffic = &call->exchange.traffic[message->from];
    traffic->parts_in++;
    traffic->bytes_in += (*place)->total;
    weir__arrival_drop(place);
    return 0;
}

int weir__exchange_receive_end(struct weir__collective *call, int from,
                               const struct weir__parts_end *end)
{
    struct weir__traffic *traffic;

    if (!is_ready(call))
        return -EBADMSG;
    traffic = &call->exchange.traffic[from];
    if (traffic->ended ||
        (!call->halted && (end->parts != traffic->parts_in || end->bytes != traffic->bytes_in)))
        return -EBADMSG;
    traffic->ended = true;
    call->exchange.ended++;
    return 0;
}

/* ---- the end of what goes ---- */

void weir__exchange_step(struct weir__collective *call)
{
    struct weir__exchange *exchange = &call->exchange;
    const int nodes = call->link->port->nodes, node = call->link->port->node;

    if (!exchange->produced || exchange->said_end || !exchange->go || call->ended ||
        call->transfers.first != NULL)
        return;
    exchange->said_end = true;
    for (int i = 1; i < nodes && !call->ended; i++) {
        const int to = (node + i) % nodes;
        const struct weir__parts_end end = {
            .header = weir__header_of(WEIR__PARTS_END, call->link->call),
            .parts = exchange->traffic[to].parts_out,
            .bytes = exchange->traffic[to].bytes_out,
        };

        weir__say(call, to, &end, sizeof end);
    }
}
