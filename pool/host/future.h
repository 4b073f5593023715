/* SPDX-License-Identifier: MIT
 *
 * future.h: the end of a pool's futures.
 */
#ifndef WEIR_HOST_FUTURE_H
#define WEIR_HOST_FUTURE_H

#include "pool/host/state.h"

/* Waits for the jobs and calls of all futures and finishes them: the pool is about to end. */
void weir__futures_end(weir_pool *pool);

#endif
