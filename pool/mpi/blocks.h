/* SPDX-License-Identifier: MIT
 *
 * blocks.h: the blocks that this node was given.
 */
#ifndef WEIR_BLOCKS_H
#define WEIR_BLOCKS_H

#include "pool/mpi/state.h"

/* Adds a run; an empty one: there is no more. 0, or -ENOMEM, or -EBADMSG (no such blocks). */
int weir__blocks_given(struct weir__collective *call, struct weir__run run);

/* Takes the next one; -1: there is none. */
int64_t weir__blocks_take(struct weir__collective *call);

/* True if it is time to ask for more, while the last one runs. */
bool weir__blocks_wanted(const struct weir__collective *call);

/* True if all that was given is done, and there is no more. */
bool weir__blocks_all_done(const struct weir__collective *call);

#endif
