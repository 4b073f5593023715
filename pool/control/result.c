/* SPDX-License-Identifier: MIT
 *
 * result.c: what a submitted call gives back.
 *
 * A result that is too large for its record is a piece (piece.h), or a block of the scope. A block
 * belongs to the process that takes it out of the record. Killed in between: the block stays until
 * the scope ends.
 */
#include "pool/control/result.h"

#include "manager/internal.h"
#include "pool/control/no_malloc.h"

void weir__block_drop(weir_shm *block)
{
    if (block != NULL)
        weir__scope_discard(block);
}
