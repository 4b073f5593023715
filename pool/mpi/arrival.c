/* SPDX-License-Identifier: MIT
 *
 * arrival.c: bytes that come from one node in pieces.
 *
 * Pieces of one transfer come in order, those of several in turn.
 */
#include "pool/mpi/arrival.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct weir__arrival **weir__arrival_find(struct weir__arrival **arrivals, int from,
                                          const struct weir__bytes *record)
{
    struct weir__arrival **place = arrivals;

    while (*place != NULL && ((*place)->from != from || (*place)->what != record->what ||
                              (*place)->first != record->first))
        place = &(*place)->next;
    return place;
}

int weir__arrival_add(struct weir__arrival **place, int from, const struct weir__bytes *record,
                      unsigned char *data)
{
    struct weir__arrival *arrival = malloc(sizeof *arrival);

    if (arrival == NULL)
        return -ENOMEM;
    *arrival = (struct weir__arrival){.next = *place,
                                      .from = from,
                                      .what = record->what,
                                      .first = record->first,
                                      .total = record->total,
                                      .data = data};
    *place = arrival;
    return 0;
}

int weir__arrival_take(struct weir__arrival *arrival, const struct weir__port_message *message)
{
    const struct weir__bytes *record = message->data;
    const uint64_t size = message->size - sizeof *record;

    if (record->total != arrival->total || record->offset != arrival->available || size == 0 ||
        size > arrival->total - arrival->available)
        return -EBADMSG;
    memcpy(arrival->data + arrival->available, record + 1, size);
    arrival->available += size;
    return arrival->available == arrival->total;
}

void weir__arrival_drop(struct weir__arrival **place)
{
    struct weir__arrival *arrival = *place;

    *place = arrival->next;
    free(arrival);
}
