/* SPDX-License-Identifier: MIT
 *
 * collective.c: a call that all nodes make together, on one of them.
 *
 * Whatever comes is checked against the state before it changes anything. A message that cannot be
 * is a failure of the call (-EBADMSG), as are memory and the transport; each ends in verdict.c.
 */
#include "pool/mpi/collective.h"

#include <errno.h>
#include <stdlib.h>

#include "pool/mpi/blocks.h"
#include "pool/mpi/exchange.h"
#include "pool/mpi/gather.h"
#include "pool/mpi/lead.h"
#include "pool/mpi/spread.h"
#include "pool/mpi/transfer.h"
#include "pool/mpi/verdict.h"

#define SAY_NS INT64_C(1000000000) /* a node in a call says something at least so often */

static bool is_lead(const struct weir__collective *call)
{
    return call->link->port->node == 0;
}

/* ---- this node's own part ---- */

/* Memory for what comes: all of it at the beginning, so that a result that comes can be taken. */
static int prepare(struct weir__collective *call)
{
    const struct weir__collective_spec *spec = call->spec;
    const int64_t kind = spec->print.value[WEIR__PRINT_KIND];

    if (kind == WEIR__CLUSTER_BROADCAST) {
        call->result.data = spec->data;
        call->result.total = spec->size;
    } else if (kind == WEIR__CLUSTER_REDUCE && spec->cut.blocks > 0) {
        call->result.total = spec->size;
        call->result.data = malloc(spec->size);
        call->owners.total = (uint64_t)spec->cut.blocks * sizeof *call->owner;
        call->owners.data = is_lead(call) ? NULL : malloc(call->owners.total);
        if (call->result.data == NULL || (call->owners.data == NULL && !is_lead(call)))
            return -ENOMEM;
    } else if (spec->exchanges) {
        call->result.total = (uint64_t)call->link->port->nodes * sizeof(struct weir__counts);
        call->result.data = calloc(1, call->result.total);
        if (call->result.data == NULL || weir__exchange_init(call) < 0)
            return -ENOMEM;
    }
    weir__tree_init(&call->tree, spec->cut.blocks, spec->size);
    call->tree.combine = spec->combine;
    call->tree.arg = spec->arg;
    return is_lead(call) ? weir__lead_begin(call) : 0;
}

/* Node 0 has ended the cluster, or at node 0: some node has. */
static void look_at_goodbyes(struct weir__collective *call)
{
    const struct weir__link *link = call->link;
    weir_error error;

    if (link->bye_call == 0 || link->bye_call > link->call || call->ended)
        return;
    error = weir__cluster_error_of(-ECONNABORTED, "it has ended the cluster%s%s",
                                   link->bye.error.code != 0 ? " after: " : "",
                                   link->bye.error.message);
    if (is_lead(call))
        weir__stop(call, link->bye.node, &error, true);
    else
        weir__end(call, link->bye.node, &error, true);
}

static void say_hello(struct weir__collective *call)
{
    const struct weir__hello hello = {weir__header_of(WEIR__HELLO, call->link->call),
                                      call->spec->print};

    call->asked = call->spec->cut.blocks > 0;
    call->no_more = !call->asked;
    if (is_lead(call))
        weir__give_up_code(call, weir__lead_hello(call, 0, &hello.print), "beginning a call");
    else
        weir__say(call, 0, &hello, sizeof hello);
}

static void receive_kept(void *arg, const struct weir__port_message *message)
{
    struct weir__collective *call = arg;

    weir__collective_receive(call, message, call->link->now_ns);
}

/* Asks for blocks, says what is done. */
static void report(struct weir__collective *call)
{
    const struct weir__report message = {
        .header = weir__header_of(WEIR__REPORT, call->link->call),
        .blocks_done = call->blocks_done,
        .items_done = call->items_done,
        .wants = weir__blocks_wanted(call),
    };

    call->asked |= message.wants == 1;
    call->blocks_told = call->blocks_done;
    if (is_lead(call)) { /* which no other node hears */
        weir__give_up_code(call, weir__lead_report(call, 0, &message), "a report of node 0");
    } else {
        call->said_ns = call->link->now_ns;
        weir__say(call, 0, &message, sizeof message);
    }
}

static void report_if_due(struct weir__collective *call)
{
    while (!call->ended && weir__blocks_wanted(call))
        report(call);
    if (!call->ended && !is_lead(call) && weir__blocks_all_done(call) &&
        call->blocks_told < call->blocks_done)
        report(call);
}

/* The result is here: the call has ended, but for passing it on. */
static void look_at_result(struct weir__collective *call)
{
    if (weir__spread_is_complete(&call->result))
        weir__end(call, -1, &(weir_error){.worker = -1, .exit_status = -1}, false);
}

/* After anything has happened. */
static void settle(struct weir__collective *call)
{
    int result;

    look_at_goodbyes(call);
    report_if_due(call);
    look_at_result(call);
    if (call->ended && call->outcome.error.code != 0)
        weir__transfer_drop_all(call);
    result = weir__link_flush(call->link);
    if (result == 0 && (!call->spec->exchanges || call->exchange.go))
        result = weir__transfer_pump(call);
    if (result < 0)
        weir__broke(call, result);
    if (call->spec->exchanges)
        weir__exchange_step(call);
    if (call->link->closed)
        weir__transfer_drop_all(call);
}

void weir__collective_begin(struct weir__collective *call, struct weir__link *link,
                            const struct weir__collective_spec *spec, int64_t now_ns)
{
    int result;

    *call = (struct weir__collective){.link = link, .spec = spec, .begin_ns = now_ns};
    call->looked_ns = call->said_ns = now_ns;
    weir__transfer_init(&call->transfers);
    link->call++;
    link->now_ns = now_ns;
    result = prepare(call);
    if (spec->refused.code != 0)
        weir__give_up(call, &spec->refused);
    else if (result < 0)
        weir__give_up_code(call, result, "beginning a call");
    else
        say_hello(call);
    while (weir__link_take_kept(link, receive_kept, call))
        ;
    settle(call);
}

int64_t weir__collective_take_block(struct weir__collective *call)
{
    const int64_t block = weir__blocks_take(call);

    if (block >= 0)
        settle(call);
    return block;
}

bool weir__collective_has_block(const struct weir__collective *call)
{
    return call->runs_count > 0 && !call->halted;
}

/* Also one that has failed, with keep_going. */
static void count_done(struct weir__collective *call, int64_t block, bool well)
{
    const weir_range items = weir__cut_items_of(&call->spec->cut, block);

    call->blocks_done++;
    if (well)
        call->items_done += (uint64_t)items.end - (uint64_t)items.begin;
    if (is_lead(call))
        report(call);
    settle(call);
}

void weir__collective_block_done(struct weir__collective *call, int64_t block,
                                 const void *accumulator)
{
    call->blocks_running--;
    if (call->ended || (call->halted && !call->spec->keep_going))
        return;
    if (call->spec->combine != NULL)
        weir__give_up_code(call, weir__gather_add(call, block, accumulator),
                           "keeping or combining an accumulator");
    if (!call->ended)
        count_done(call, block, true);
}

void weir__collective_block_failed(struct weir__collective *call, int64_t block,
                                   const weir_error *error)
{
    struct weir__bad_news news = {.header = weir__header_of(WEIR__FAILED, call->link->call),
                                  .node = call->link->port->node,
                                  .goes_on = 1,
                                  .error = *error};

    call->blocks_running--;
    if (call->ended || call->halted)
        return;
    if (!call->spec->keep_going) {
        weir__give_up(call, error);
        settle(call);
        return;
    }
    if (is_lead(call))
        weir__lead_failed(call, 0, error, true);
    else
        weir__say(call, 0, &news, sizeof news);
    count_done(call, block, false);
}

/* ---- exchanges ---- */

bool weir__collective_may_produce(const struct weir__collective *call)
{
    return call->exchange.go && !call->exchange.produced && !call->halted &&
           weir__blocks_all_done(call);
}

void weir__collective_send_part(struct weir__collective *call, int to, int64_t part,
                                unsigned char *front, size_t front_size, const void *data,
                                size_t size)
{
    if (call->ended || call->halted) {
        free(front);
        return;
    }
    weir__give_up_code(
        call,
        weir__exchange_send(
            call, to, part,
            (struct weir__transfer){.front = front, .front_size = front_size, .data = data},
            front_size + size),
        "sending a part of a table");
}

void weir__collective_produced(struct weir__collective *call)
{
    call->exchange.produced = true;
    settle(call);
}

bool weir__collective_is_fed(const struct weir__collective *call)
{
    return call->exchange.said_end && !call->exchange.merged && !call->halted &&
           call->exchange.ended == call->link->port->nodes - 1;
}

void weir__collective_merged(struct weir__collective *call, struct weir__counts counts)
{
    const struct weir__merged message = {weir__header_of(WEIR__MERGED, call->link->call), counts};

    call->exchange.merged = true;
    if (call->ended || call->halted)
        return;
    if (is_lead(call))
        weir__give_up_code(call, weir__lead_merged(call, 0, counts), "the end of an exchange");
    else
        weir__say(call, 0, &message, sizeof message);
    settle(call);
}

/* ---- failures ---- */

void weir__collective_fail(struct weir__collective *call, const weir_error *error)
{
    if (call->ended)
        return;
    if (is_lead(call))
        weir__lead_failed(call, 0, error, false);
    else
        weir__give_up(call, error);
    settle(call);
}

/* ---- messages ---- */

static int receive_owners(struct weir__collective *call)
{
    const uint16_t *owner = (const uint16_t *)(const void *)call->owners.data;

    if (call->owner != NULL || !weir__spread_is_complete(&call->owners))
        return 0;
    for (int64_t i = 0; i < call->spec->cut.blocks; i++)
        if (owner[i] >= call->link->port->nodes)
            return -EBADMSG;
    call->owner = (uint16_t *)(void *)call->owners.data;
    return weir__gather_step(call);
}

static int receive_bytes(struct weir__collective *call, const struct weir__port_message *message,
                         uint32_t kind)
{
    int result;

    if (kind == WEIR__SPREAD) {
        result = weir__spread_receive(call, message);
        return result < 0 ? result : receive_owners(call);
    }
    result = weir__gather_receive(call, message);
    return result < 0 ? result : weir__gather_step(call);
}

static int receive_give(struct weir__collective *call, const struct weir__give *give)
{
    const int result = weir__blocks_given(call, (struct weir__run){give->first, give->count});

    call->no_more |= call->spec->stay;
    return result;
}

static int receive_news(struct weir__collective *call, int from, const struct weir__bad_news *news)
{
    weir_error error = news->error;

    error.message[sizeof error.message - 1] = '\0';
    if (error.code >= 0 || news->node < -1 || news->node >= call->link->port->nodes)
        return -EBADMSG;
    if (news->header.kind == WEIR__STOP)
        weir__end(call, news->node, &error, news->for_good != 0);
    else if (news->node != from)
        return -EBADMSG;
    else
        weir__lead_failed(call, from, &error, news->goes_on != 0);
    return 0;
}

static int receive(struct weir__collective *call, const struct weir__port_message *message)
{
    const struct weir__header *header = message->data;
    const void *record = message->data;

    switch (header->kind) {
    case WEIR__HELLO:
        return weir__lead_hello(call, message->from, &((const struct weir__hello *)record)->print);
    case WEIR__GIVE:
        return receive_give(call, record);
    case WEIR__REPORT:
        return is_lead(call) ? weir__lead_report(call, message->from, record) : 0;
    case WEIR__FAILED:
    case WEIR__STOP:
        return receive_news(call, message->from, record);
    case WEIR__PART:
        return weir__exchange_receive(call, message);
    case WEIR__PARTS_END:
        return weir__exchange_receive_end(call, message->from, record);
    case WEIR__MERGED:
        return weir__lead_merged(call, message->from,
                                 ((const struct weir__merged *)record)->counts);
    case WEIR__GO:
        if (call->spec->exchanges)
            return weir__exchange_go(call);
        if (call->spec->print.value[WEIR__PRINT_KIND] != WEIR__CLUSTER_BROADCAST ||
            call->spec->from != call->link->port->node || call->result.begun)
            return -EBADMSG;
        weir__spread_begin(call, WEIR__RESULT, call->result.data, call->result.total);
        return 0;
    default:
        return receive_bytes(call, message, header->kind);
    }
}

/* Of node 0, or once results travel (node 0 may have left the call by then) of any. */
static void note_heard(struct weir__collective *call, int from, uint32_t kind)
{
    if (is_lead(call) && call->lead.peers != NULL)
        call->lead.peers[from].heard_ns = call->link->now_ns;
    else if (from == 0 || kind == WEIR__SPREAD || kind == WEIR__SUBTREE)
        call->heard_ns = call->link->now_ns;
}

static void cannot_be(struct weir__collective *call, const struct weir__port_message *message,
                      int code)
{
    const struct weir__header *header = message->data;
    const int from = message->from;
    weir_error error;

    if (code == -EBADMSG) {
        error = weir__cluster_error_of(
            code, "it sent %zu bytes that are no message here (kind %u)", message->size,
            message->size >= sizeof *header ? (unsigned)header->kind : 0);
        if (is_lead(call))
            weir__stop(call, from, &error, false);
        else
            weir__give_up(call, &error);
    } else {
        weir__give_up_code(call, code,
                           code == -EINVAL ? "combine wrote past an accumulator"
                                           : "receiving from another node");
    }
}

void weir__collective_receive(struct weir__collective *call,
                              const struct weir__port_message *message, int64_t now_ns)
{
    struct weir__link *link = call->link;
    const struct weir__header *header = weir__message_check(link->port, message);
    int result = 0;

    link->now_ns = now_ns;
    if (header == NULL) {
        cannot_be(call, message, -EBADMSG);
    } else if (header->kind == WEIR__BYE) {
        weir__link_note_bye(link, message->from, message->data);
    } else if (header->kind == WEIR__ALL_GONE) {
        link->all_gone = true;
    } else if (header->call > link->call) {
        result = weir__link_keep(link, message);
        if (message->from == 0 && call->heard_ns == 0)
            call->heard_ns = now_ns; /* node 0 has left this call: what is to come comes soon */
    } else if (header->call == link->call) {
        note_heard(call, message->from, header->kind);
        if (!call->ended)
            result = receive(call, message);
    }
    if (result < 0)
        cannot_be(call, message, result);
    settle(call);
}

/* ---- time ---- */

static int64_t say_ns(const struct weir__link *link)
{
    return link->silence_ns / 4 < SAY_NS ? link->silence_ns / 4 : SAY_NS;
}

/* Time in which this node did not look (it stood still, or combined) says nothing of others. */
static void forgive(struct weir__collective *call, int64_t gap_ns)
{
    if (is_lead(call))
        for (int i = 1; i < call->link->port->nodes && call->lead.peers != NULL; i++)
            call->lead.peers[i].heard_ns += gap_ns;
    if (call->heard_ns != 0)
        call->heard_ns += gap_ns;
}

static void look_at_lead(struct weir__collective *call)
{
    const int64_t silent_ns = call->link->now_ns - call->heard_ns;
    weir_error error;

    if (call->heard_ns == 0 || call->ended || silent_ns <= call->link->silence_ns)
        return;
    error = weir__cluster_error_of(-EHOSTDOWN, "nothing was heard of it for %lld ms",
                                   (long long)(call->link->silence_ns / 1000000));
    call->link->lost++;
    weir__end(call, 0, &error, true);
}

void weir__collective_tick(struct weir__collective *call, int64_t now_ns)
{
    const int64_t gap_ns = now_ns - call->looked_ns;

    call->link->now_ns = now_ns;
    call->looked_ns = now_ns;
    if (gap_ns > say_ns(call->link))
        forgive(call, gap_ns);
    if (!call->ended && is_lead(call) && call->lead.peers != NULL)
        weir__lead_tick(call);
    else if (!call->ended)
        look_at_lead(call);
    if (!call->ended && now_ns - call->said_ns >= say_ns(call->link)) {
        if (is_lead(call))
            weir__lead_say_alive(call);
        else if (call->spec->refused.code == 0)
            report(call);
        call->said_ns = now_ns;
    }
    settle(call);
}

/* ---- the end ---- */

bool weir__collective_is_over(const struct weir__collective *call)
{
    return call->ended && call->transfers.first == NULL && call->link->outbox.first == NULL;
}

uint64_t weir__collective_items_done(const struct weir__collective *call)
{
    uint64_t done = 0;

    for (int i = 0; i < call->link->port->nodes && call->lead.peers != NULL; i++)
        done += call->lead.peers[i].items_done;
    return done;
}

void weir__collective_free(struct weir__collective *call)
{
    weir__transfer_drop_all(call);
    weir__gather_free(call);
    if (!is_lead(call))
        free(call->owners.data);
    if (call->spec->print.value[WEIR__PRINT_KIND] == WEIR__CLUSTER_REDUCE || call->spec->exchanges)
        free(call->result.data);
    weir__exchange_free(call);
    free(call->runs);
    weir__lead_free(call);
}
