/* SPDX-License-Identifier: MIT
 *
 * node_link.c: what a node keeps of its connection to the others from call to call.
 *
 * A port that has no memory now may have some later, so only a port that takes nothing for as long
 * as a node may be silent is an error.
 */
#include "pool/mpi/node_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ON_ITS_WAY_MAX ((size_t)8 << 20)
#define KEPT_MAX       ((size_t)64 << 20)

struct weir__parcel {
    struct weir__parcel *next;
    int node; /* to, or from */
    size_t size;
    _Alignas(max_align_t) unsigned char data[];
};

static int put(struct weir__parcels *parcels, int node, const void *data, size_t size)
{
    struct weir__parcel *parcel = malloc(sizeof *parcel + size);

    if (parcel == NULL)
        return -ENOMEM;
    parcel->next = NULL;
    parcel->node = node;
    parcel->size = size;
    memcpy(parcel->data, data, size);
    *parcels->end = parcel;
    parcels->end = &parcel->next;
    parcels->size += size;
    return 0;
}

static void remove_at(struct weir__parcels *parcels, struct weir__parcel **place)
{
    struct weir__parcel *parcel = *place;

    *place = parcel->next;
    if (parcels->end == &parcel->next)
        parcels->end = place;
    parcels->size -= parcel->size;
    free(parcel);
}

static void remove_all(struct weir__parcels *parcels)
{
    while (parcels->first != NULL)
        remove_at(parcels, &parcels->first);
}

int weir__link_init(struct weir__link *link, struct weir__port *port,
                    const struct weir__place *places, int64_t silence_ns)
{
    *link = (struct weir__link){
        .port = port, .places = places, .silence_ns = silence_ns, .bye = {.node = -1}};
    link->outbox.end = &link->outbox.first;
    link->kept.end = &link->kept.first;
    link->is_gone = calloc((size_t)port->nodes, sizeof *link->is_gone);
    return link->is_gone == NULL ? -ENOMEM : 0;
}

void weir__link_free(struct weir__link *link)
{
    if (link->port == NULL)
        return;
    remove_all(&link->outbox);
    remove_all(&link->kept);
    free(link->buffer);
    free(link->is_gone);
    *link = (struct weir__link){0};
}

const char *weir__link_host(const struct weir__link *link, int node)
{
    return node < 0 || node >= link->port->nodes || link->places == NULL ? ""
                                                                         : link->places[node].host;
}

/* -ENOMEM is noted, and its end. */
static int port_send(struct weir__link *link, int to, const void *data, size_t size)
{
    const int result = link->port->functions->send(link->port, to, data, size);

    if (result != -ENOMEM)
        link->refused_ns = 0;
    else if (link->refused_ns == 0)
        link->refused_ns = link->now_ns;
    return result;
}

int weir__link_send(struct weir__link *link, int to, const void *data, size_t size)
{
    int result = -ENOMEM;

    if (link->closed)
        return 0;
    if (link->outbox.first == NULL)
        result = port_send(link, to, data, size);
    return result == -ENOMEM ? put(&link->outbox, to, data, size) : result;
}

int weir__link_send_bytes(struct weir__link *link, int to, const struct weir__bytes *record,
                          const struct iovec bytes[2])
{
    size_t size = sizeof *record;

    if (link->buffer == NULL)
        link->buffer = malloc(WEIR__PORT_MESSAGE_MAX);
    if (link->buffer == NULL)
        return -ENOMEM;
    memcpy(link->buffer, record, sizeof *record);
    for (int i = 0; i < 2; i++) {
        if (bytes[i].iov_len > 0)
            memcpy(link->buffer + size, bytes[i].iov_base, bytes[i].iov_len);
        size += bytes[i].iov_len;
    }
    return port_send(link, to, link->buffer, size);
}

void weir__link_close(struct weir__link *link)
{
    link->closed = true;
    remove_all(&link->outbox);
}

bool weir__link_has_room(const struct weir__link *link)
{
    return link->outbox.first == NULL && !link->closed &&
           link->port->functions->unsent(link->port) < ON_ITS_WAY_MAX;
}

int weir__link_flush(struct weir__link *link)
{
    while (link->outbox.first != NULL) {
        struct weir__parcel *parcel = link->outbox.first;
        const int result = port_send(link, parcel->node, parcel->data, parcel->size);

        if (result == -ENOMEM)
            break;
        remove_at(&link->outbox, &link->outbox.first);
        if (result < 0)
            return result;
    }
    return link->refused_ns != 0 && link->now_ns - link->refused_ns > link->silence_ns ? -ENOMEM
                                                                                       : 0;
}

int weir__link_keep(struct weir__link *link, const struct weir__port_message *message)
{
    if (link->kept.size + message->size > KEPT_MAX)
        return -ENOMEM;
    return put(&link->kept, message->from, message->data, message->size);
}

static int64_t call_of(const struct weir__parcel *parcel)
{
    return ((const struct weir__header *)(const void *)parcel->data)->call;
}

bool weir__link_take_kept(struct weir__link *link,
                          void (*take)(void *arg, const struct weir__port_message *), void *arg)
{
    struct weir__parcel **place = &link->kept.first, *parcel;

    while (*place != NULL && call_of(*place) < link->call)
        remove_at(&link->kept, place);
    while (*place != NULL && call_of(*place) > link->call)
        place = &(*place)->next;
    parcel = *place;
    if (parcel == NULL)
        return false;
    if (call_of(parcel) == link->call)
        take(arg, &(struct weir__port_message){parcel->node, parcel->size, parcel->data});
    remove_at(&link->kept, place);
    return true;
}

void weir__link_note_bye(struct weir__link *link, int from, const struct weir__bad_news *bye)
{
    if (link->is_gone[from])
        return;
    link->is_gone[from] = true;
    link->gone++;
    if (link->bye_call != 0 && link->bye_call <= bye->header.call)
        return;
    link->bye_call = bye->header.call;
    link->bye = (weir_cluster_error){.node = from, .error = bye->error};
    link->bye.error.message[sizeof bye->error.message - 1] = '\0';
}
