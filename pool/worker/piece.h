/* SPDX-License-Identifier: MIT
 *
 * piece.h: how a worker takes memory for the result of its chunk.
 */
#ifndef WEIR_WORKER_PIECE_H
#define WEIR_WORKER_PIECE_H

#include "pool/control/piece.h"

/* A piece of the worker's region for so many bytes; 0: none is free. The slot names it. */
uint64_t weir__piece_take(struct weir__control *control, unsigned slot, size_t size);

/* Gives the one that the slot names back, before the chunk is settled. The result's record does not
 * name it any more. */
void weir__piece_drop(struct weir__control *control, unsigned slot);

#endif
