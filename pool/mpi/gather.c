/* SPDX-License-Identifier: MIT
 *
 * gather.c: a reduction's accumulators find each other.
 *
 * Until all blocks are done a node combines what it has by itself. When it knows who has run which
 * block it sends each subtree that is a right child to where the left one lies. So no node has all
 * accumulators of a large cluster, and the depth is the tree's.
 */
#include "pool/mpi/gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/mpi/arrival.h"
#include "pool/mpi/spread.h"
#include "pool/mpi/transfer.h"

int weir__gather_add(struct weir__collective *call, int64_t block, const void *accumulator)
{
    unsigned char *copy = weir__tree_alloc(&call->tree);

    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, accumulator, call->tree.size);
    return weir__tree_add(&call->tree, 0, block, copy);
}

/* The first piece of an accumulator: 0, or -ENOMEM. */
static int begin_arrival(struct weir__collective *call, struct weir__arrival **place, int from,
                         const struct weir__bytes *record)
{
    unsigned char *accumulator = weir__tree_alloc(&call->tree);
    const int result =
        accumulator != NULL ? weir__arrival_add(place, from, record, accumulator) : -ENOMEM;

    if (result < 0)
        free(accumulator);
    return result;
}

/* True if this node is to get such a thing: a right child, of one that has run its first block. */
static bool is_expected(const struct weir__collective *call, int from,
                        const struct weir__bytes *record)
{
    struct weir__subtree subtree = {.first = record->first, .level = (int)record->what};

    if (record->what < 0 || record->what >= 31 || record->first < 0 ||
        record->first >= call->tree.blocks || record->total != call->tree.size ||
        (record->first >> record->what) % 2 == 0 ||
        (record->first & ((INT64_C(1) << record->what) - 1)) != 0)
        return false;
    return call->owner == NULL ||
           (call->owner[record->first] == from &&
            call->owner[weir__tree_parent(&subtree)] == call->link->port->node);
}

int weir__gather_receive(struct weir__collective *call, const struct weir__port_message *message)
{
    const struct weir__bytes *record = message->data;
    struct weir__arrival **place;
    unsigned char *accumulator;
    int result = 0;

    if (call->tree.combine == NULL || !is_expected(call, message->from, record))
        return -EBADMSG;
    place = weir__arrival_find(&call->arrivals, message->from, record);
    if (*place == NULL)
        result = begin_arrival(call, place, message->from, record);
    if (result == 0)
        result = weir__arrival_take(*place, message);
    if (result <= 0)
        return result;
    accumulator = (*place)->data;
    weir__arrival_drop(place);
    return weir__tree_add(&call->tree, (int)record->what, record->first, accumulator);
}

static int send_away(struct weir__collective *call, size_t index, int to)
{
    const struct weir__subtree subtree = call->tree.subtrees[index];
    unsigned char *accumulator = weir__tree_take(&call->tree, index);

    return weir__transfer_add(
        call, (struct weir__transfer){
                  .to = to,
                  .record = {.header = weir__header_of(WEIR__SUBTREE, call->link->call),
                             .what = subtree.level,
                             .first = subtree.first,
                             .total = call->tree.size},
                  .data = accumulator,
                  .owned = accumulator,
              });
}

int weir__gather_step(struct weir__collective *call)
{
    if (call->owner == NULL || call->result.begun)
        return 0;
    for (size_t i = 0; i < call->tree.count;) {
        const struct weir__subtree *subtree = &call->tree.subtrees[i];
        const int to = call->owner[weir__tree_parent(subtree)];

        if (weir__tree_is_root(&call->tree, subtree)) {
            memcpy(call->result.data, subtree->accumulator, call->tree.size);
            weir__spread_begin(call, WEIR__RESULT, call->result.data, call->tree.size);
            return 0;
        }
        if (to == call->link->port->node)
            i++;
        else if (send_away(call, i, to) < 0)
            return -ENOMEM;
    }
    return 0;
}

void weir__gather_free(struct weir__collective *call)
{
    while (call->arrivals != NULL) {
        free(call->arrivals->data);
        weir__arrival_drop(&call->arrivals);
    }
    weir__tree_free(&call->tree);
}
