/* SPDX-License-Identifier: MIT
 *
 * map_reduce.h: what the futures know of a map-reduce.
 */
#ifndef WEIR_MAP_REDUCE_H
#define WEIR_MAP_REDUCE_H

#include "pool/host/state.h"

/* Frees the host's record of a map-reduce that has ended, and its table, unless that is the
 * caller's. NULL is allowed. */
void weir__map_reduce_release(struct weir__map_reduce *record);

#endif
