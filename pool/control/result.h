/* SPDX-License-Identifier: MIT
 *
 * result.h: what a submitted call gives back.
 */
#ifndef WEIR_RESULT_H
#define WEIR_RESULT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <weir.h>

#define WEIR__RESULT_INLINE 64

/* Written by the worker that runs the call, before it settles the chunk. A call of the queue
 * (calls.h) that gave nothing leaves it as it was: {0, NULL}. */
struct weir__result {
    size_t size;
    weir_shm *_Atomic block; /* where it is, if it is larger than `bytes` */
    alignas(16) unsigned char bytes[WEIR__RESULT_INLINE];
};

/* Unlinks and closes a block of the scope. NULL is allowed. */
void weir__block_drop(weir_shm *block);

/* The worker that runs the call, or the host at its end: gives the block back, if there is one. */
void weir__result_drop(struct weir__result *result);

#endif
