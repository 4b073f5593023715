/* SPDX-License-Identifier: MIT
 *
 * share.c: which node does which block.
 *
 * Nothing here knows of time or messages. A block leaves its region once, so it is given once.
 */
#include "pool/mpi/share.h"

#include <errno.h>
#include <stdlib.h>

#define TAPER 8

int weir__share_init(struct weir__share *share, const struct weir__cut *cut, int nodes, bool stay)
{
    *share = (struct weir__share){.nodes = nodes, .stay = stay, .left = cut->blocks};
    share->region = calloc((size_t)nodes, sizeof *share->region);
    share->owner = calloc((size_t)cut->blocks + 1, sizeof *share->owner);
    if (share->region == NULL || share->owner == NULL)
        return -ENOMEM;
    for (int i = 0; i < nodes; i++) {
        share->region[i].first = weir__cut_region(cut, i, nodes);
        share->region[i].count = weir__cut_region(cut, i + 1, nodes) - share->region[i].first;
    }
    return 0;
}

void weir__share_free(struct weir__share *share)
{
    free(share->region);
    free(share->owner);
    *share = (struct weir__share){0};
}

static int64_t tapered(const struct weir__share *share, int64_t left)
{
    const int64_t fair = share->left / ((int64_t)TAPER * share->nodes);
    int64_t count = left / TAPER;

    if (count > fair)
        count = fair;
    return count > 0 ? count : 1;
}

static struct weir__run *fullest(const struct weir__share *share)
{
    struct weir__run *found = share->region;

    for (int i = 1; i < share->nodes; i++)
        if (share->region[i].count > found->count)
            found = &share->region[i];
    return found;
}

static struct weir__run take_front(struct weir__run *region, int64_t count)
{
    const struct weir__run taken = {region->first, count};

    region->first += count;
    region->count -= count;
    return taken;
}

static struct weir__run take_back(struct weir__run *region, int64_t count)
{
    region->count -= count;
    return (struct weir__run){region->first + region->count, count};
}

struct weir__run weir__share_take(struct weir__share *share, int node)
{
    struct weir__run *own = &share->region[node], *from, taken;

    if (share->stay)
        taken = take_front(own, own->count);
    else if (own->count > 0)
        taken = take_front(own, tapered(share, own->count));
    else if ((from = fullest(share))->count > 0)
        taken = take_back(from, tapered(share, from->count));
    else
        return (struct weir__run){0};
    share->left -= taken.count;
    for (int64_t i = 0; i < taken.count; i++)
        share->owner[taken.first + i] = (uint16_t)node;
    return taken;
}
