/* SPDX-License-Identifier: MIT
 *
 * piece.h: the host's side of the memory of results.
 */
#ifndef WEIR_HOST_PIECE_H
#define WEIR_HOST_PIECE_H

#include "pool/control/piece.h"

/* A piece of a settled chunk, which is valid, is free again. */
void weir__piece_free(struct weir__control *control, uint64_t piece);

#endif
