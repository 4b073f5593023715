/* SPDX-License-Identifier: MIT
 *
 * blocks.c: the blocks that this node was given.
 */
#include "pool/mpi/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int weir__blocks_given(struct weir__collective *call, struct weir__run run)
{
    const int64_t blocks = call->spec->cut.blocks;

    call->asked = false;
    if (run.count == 0) {
        call->no_more = true;
        return 0;
    }
    if (call->no_more || run.count < 0 || run.first < 0 || run.first > blocks ||
        run.count > blocks - run.first)
        return -EBADMSG;
    if (call->runs_count == call->runs_room) {
        const size_t room = call->runs_room > 0 ? 2 * call->runs_room : 4;
        void *more = realloc(call->runs, room * sizeof *call->runs);

        if (more == NULL)
            return -ENOMEM;
        call->runs = more;
        call->runs_room = room;
    }
    call->runs[call->runs_count++] = run;
    return 0;
}

int64_t weir__blocks_take(struct weir__collective *call)
{
    int64_t block;

    if (call->halted || call->runs_count == 0)
        return -1;
    block = call->runs[0].first++;
    if (--call->runs[0].count == 0) {
        call->runs_count--;
        memmove(call->runs, call->runs + 1, call->runs_count * sizeof *call->runs);
    }
    call->blocks_running++;
    return block;
}

bool weir__blocks_wanted(const struct weir__collective *call)
{
    return call->runs_count == 0 && !call->asked && !call->no_more && !call->halted;
}

bool weir__blocks_all_done(const struct weir__collective *call)
{
    return call->runs_count == 0 && call->blocks_running == 0 && call->no_more;
}
