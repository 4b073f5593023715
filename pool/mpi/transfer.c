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

/* The next `size` bytes: those of the front, and those behind it. */
static void next_bytes(const struct weir__transfer *transfer, size_t size, struct iovec bytes[2])
{
    const size_t offset = transfer->record.offset, front = transfer->front_size;
    const size_t left = offset < front ? front - offset : 0;
    const size_t first = size < left ? size : left;
    const size_t behind = offset > front ? offset - front : 0;

    bytes[0] = (struct iovec){first > 0 ? transfer->front + offset : NULL, first};
    bytes[1] = (struct iovec){size > first ? (void *)(uintptr_t)(transfer->data + behind) : NULL,
                              size - first};
}

/* Sends one piece: 1; 0: nothing can be sent now; or the transport's error. */
static int send_piece(struct weir__link *link, struct weir__transfer *transfer)
{
    struct weir__bytes *record = &transfer->record;
    const uint64_t available = transfer->available != NULL ? *transfer->available : record->total;
    uint64_t size = available - record->offset;
    struct iovec bytes[2];
    int result;

    if (size == 0 && (record->total > 0 || transfer->begun))
        return 0;
    if (size > WEIR__BYTES_MAX)
        size = WEIR__BYTES_MAX;
    next_bytes(transfer, size, bytes);
    result = weir__link_send_bytes(link, transfer->to, record, bytes);
    if (result < 0)
        return result == -ENOMEM ? 0 : result;
    transfer->begun = true;
    record->offset += size;
    return 1;
}

/* A piece of each, while there is room: how many, or the transport's error. */
static int send_round(struct weir__collective *call)
{
    int sent = 0;

    for (struct weir__transfer **place = &call->transfers.first;
         *place != NULL && weir__link_has_room(call->link);) {
        const int result = send_piece(call->link, *place);

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
