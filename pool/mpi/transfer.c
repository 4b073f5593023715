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

int weir__transfer_add(struct weir__collective *call, struct weir__transfer transfer)
{
    struct weir__transfer *added = malloc(sizeof *added), **end = &call->transfers;

    if (added == NULL) {
        free(transfer.owned);
        return -ENOMEM;
    }
    while (*end != NULL)
        end = &(*end)->next;
    *added = transfer;
    added->next = NULL;
    *end = added;
    return 0;
}

static void drop(struct weir__transfer **place)
{
    struct weir__transfer *transfer = *place;

    *place = transfer->next;
    free(transfer->owned);
    free(transfer);
}

/* Sends one piece: 1; 0: nothing can be sent now; or the transport's error. */
static int send_piece(struct weir__link *link, struct weir__transfer *transfer)
{
    struct weir__bytes *record = &transfer->record;
    const uint64_t available = transfer->available != NULL ? *transfer->available : record->total;
    uint64_t size = available - record->offset;
    int result;

    if (size == 0 && (record->total > 0 || transfer->begun))
        return 0;
    if (size > WEIR__BYTES_MAX)
        size = WEIR__BYTES_MAX;
    result = weir__link_send_bytes(link, transfer->to, record,
                                   size > 0 ? transfer->data + record->offset : NULL, (size_t)size);
    if (result < 0)
        return result == -ENOMEM ? 0 : result;
    transfer->begun = true;
    record->offset += size;
    return 1;
}

int weir__transfer_pump(struct weir__collective *call)
{
    bool sent = true;

    while (sent) {
        sent = false;
        for (struct weir__transfer **place = &call->transfers; *place != NULL;) {
            const int result = weir__link_has_room(call->link) ? send_piece(call->link, *place) : 0;

            if (result < 0)
                return result;
            sent |= result > 0;
            if ((*place)->begun && (*place)->record.offset == (*place)->record.total)
                drop(place);
            else
                place = &(*place)->next;
        }
    }
    return 0;
}

void weir__transfer_drop_all(struct weir__collective *call)
{
    while (call->transfers != NULL)
        drop(&call->transfers);
}
