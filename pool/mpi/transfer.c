/* SPDX-License-Identifier: MIT
 *
 * transfer.c: bytes that go to one node in pieces.
 *
 * Transfers take turns, a piece each, so that one that is long, or waits for bytes that are still
 * to come, does not hold the others up. Control messages go first: they are sent at once, and no
 * piece is sent while one of them waits.
 */
#include "pool/mpi/transfer.h"

#include <errno.h>
#include <stdlib.h>

void weir__transfer_init(struct weir__transfers *transfers)
{
    transfers->first = NULL;
    transfers->end = &transfers->first;
}

int weir__transfer_add(struct weir__collective *call, struct weir__transfer transfer)
{
    struct weir__transfer *added = malloc(sizeof *added);

    if (added == NULL) {
        free(transfer.front);
        free(transfer.owned);
        return -ENOMEM;
    }
    *added = transfer;
    added->next = NULL;
    *call->transfers.end = added;
    call->transfers.end = &added->next;
    return 0;
}

static void drop(struct weir__transfers *transfers, struct weir__transfer **place)
{
    struct weir__transfer *transfer = *place;

    *place = transfer->next;
    if (transfers->end == &transfer->next)
        transfers->end = place;
    free(transfer->front);
    free(transfer->owned);
    free(transfer);
}

/* The bytes to be sent next: *size of them, at most. */
static const unsigned char *next_bytes(const struct weir__transfer *transfer, uint64_t *size)
{
    const uint64_t offset = transfer->record.offset;

    if (*size > WEIR__BYTES_MAX)
        *size = WEIR__BYTES_MAX;
    if (*size == 0)
        return NULL;
    if (offset >= transfer->front_size)
        return transfer->data + (offset - transfer->front_size);
    if (*size > transfer->front_size - offset)
        *size = transfer->front_size - offset;
    return transfer->front + offset;
}

/* Sends one piece: 1; 0: nothing can be sent now; or the transport's error. */
static int send_piece(struct weir__link *link, struct weir__transfer *transfer)
{
    struct weir__bytes *record = &transfer->record;
    const uint64_t available = transfer->available != NULL ? *transfer->available : record->total;
    uint64_t size = available - record->offset;
    const unsigned char *bytes;
    int result;

    if (size == 0 && (record->total > 0 || transfer->begun))
        return 0;
    bytes = next_bytes(transfer, &size);
    result = weir__link_send_bytes(link, transfer->to, record, bytes, (size_t)size);
    if (result < 0)
        return result == -ENOMEM ? 0 : result;
    transfer->begun = true;
    record->offset += size;
    return 1;
}

/* A piece, and behind the last one of a front the next: a small part is soon whole, and he who gets
 * it has few at a time that are not. The same. */
static int send_pieces(struct weir__link *link, struct weir__transfer *transfer)
{
    const uint64_t front = transfer->front_size;
    const int result = send_piece(link, transfer);
    int more = 0;

    if (result == 1 && front > 0 && transfer->record.offset == front &&
        front < transfer->record.total && weir__link_has_room(link))
        more = send_piece(link, transfer);
    return more < 0 ? more : result;
}

/* A piece of each, while there is room: how many, or the transport's error. */
static int send_round(struct weir__collective *call)
{
    int sent = 0;

    for (struct weir__transfer **place = &call->transfers.first;
         *place != NULL && weir__link_has_room(call->link);) {
        const int result = send_pieces(call->link, *place);

        if (result < 0)
            return result;
        sent += result;
        if ((*place)->begun && (*place)->record.offset == (*place)->record.total)
            drop(&call->transfers, place);
        else
            place = &(*place)->next;
    }
    return sent;
}

int weir__transfer_pump(struct weir__collective *call)
{
    int sent = 1;

    while (sent > 0)
        sent = send_round(call);
    return sent;
}

void weir__transfer_drop_all(struct weir__collective *call)
{
    while (call->transfers.first != NULL)
        drop(&call->transfers, &call->transfers.first);
}
