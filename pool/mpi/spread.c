/* SPDX-License-Identifier: MIT
 *
 * spread.c: bytes that all nodes get.
 *
 * The nodes form a binomial tree whose root is the node that has the bytes: counted from there,
 * node v's parent is v without its lowest bit. A node passes each piece on as soon as it has it,
 * first to the child with most nodes below it.
 */
#include "pool/mpi/spread.h"

#include <errno.h>
#include <string.h>

#include "pool/mpi/transfer.h"
#include "pool/mpi/verdict.h"

static int rank_of(int node, int root, int nodes)
{
    return (node - root + nodes) % nodes;
}

static int parent_of(int node, int root, int nodes)
{
    const int rank = rank_of(node, root, nodes);

    return ((rank & (rank - 1)) + root) % nodes;
}

static struct weir__spread *spread_of(struct weir__collective *call, int64_t what)
{
    return what == WEIR__OWNERS ? &call->owners : &call->result;
}

static int add_child(struct weir__collective *call, const struct weir__spread *spread, int what,
                     int rank)
{
    return weir__transfer_add(
        call, (struct weir__transfer){
                  .to = (rank + spread->root) % call->link->port->nodes,
                  .record = {.header = weir__header_of(WEIR__SPREAD, call->link->call),
                             .what = what,
                             .first = spread->root,
                             .total = spread->total},
                  .data = spread->data,
                  .available = &spread->available,
              });
}

static int begin(struct weir__collective *call, int what, int root)
{
    struct weir__spread *spread = spread_of(call, what);
    const int nodes = call->link->port->nodes;
    const int rank = rank_of(call->link->port->node, root, nodes);
    int bit = 1;

    spread->begun = true;
    spread->root = root;
    while (bit < nodes && (rank & bit) == 0)
        bit *= 2;
    for (bit /= 2; bit > 0; bit /= 2)
        if (rank + bit < nodes && add_child(call, spread, what, rank + bit) < 0)
            return -ENOMEM;
    return 0;
}

void weir__spread_begin(struct weir__collective *call, int what, void *data, uint64_t total)
{
    struct weir__spread *spread = spread_of(call, what);

    spread->data = data;
    spread->total = total;
    spread->available = total;
    weir__give_up_code(call, begin(call, what, call->link->port->node), "passing a result on");
}

int weir__spread_receive(struct weir__collective *call, const struct weir__port_message *message)
{
    const struct weir__bytes *record = message->data;
    const uint64_t size = message->size - sizeof *record;
    const int node = call->link->port->node, nodes = call->link->port->nodes;
    struct weir__spread *spread;
    int result = 0;

    if (record->what != WEIR__OWNERS && record->what != WEIR__RESULT)
        return -EBADMSG;
    spread = spread_of(call, record->what);
    if (record->first < 0 || record->first >= nodes || record->first == node ||
        message->from != parent_of(node, (int)record->first, nodes) ||
        record->total != spread->total || (spread->data == NULL && spread->total > 0) ||
        record->offset != spread->available || size > spread->total - spread->available ||
        (size == 0 && spread->total > 0) ||
        (spread->begun && (spread->root != record->first || spread->total == 0)))
        return -EBADMSG;
    if (!spread->begun)
        result = begin(call, (int)record->what, (int)record->first);
    if (size > 0 && spread->data != NULL)
        memcpy(spread->data + spread->available, record + 1, size);
    spread->available += size;
    return result;
}
