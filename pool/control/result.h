/* SPDX-License-Identifier: MIT
 *
 * result.h: what a submitted call gives back.
 */
#ifndef WEIR_RESULT_H
#define WEIR_RESULT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <weir.h>

#define WEIR__RESULT_INLINE 64

/* Written by the worker that runs the call, before it settles the chunk. A call of the queue
 * (calls.h) that gave nothing leaves it as it was: {0, 0}. */
struct weir__result {
    size_t size;
    /* Where it is, if it is larger than `bytes`: a piece of a worker's region (piece.h), which is
     * odd, or a block of the scope. */
    _Atomic uint64_t place;
    alignas(16) unsigned char bytes[WEIR__RESULT_INLINE];
};

#define WEIR__RESULT_PIECE UINT64_C(1)

/* The block in a result's place; NULL: there is none. */
static inline weir_shm *weir__result_block(uint64_t place)
{
    return (place & WEIR__RESULT_PIECE) != 0 ? NULL : (weir_shm *)(uintptr_t)place;
}

/* Unlinks and closes a block of the scope. NULL is allowed. */
void weir__block_drop(weir_shm *block);

#endif
