/* SPDX-License-Identifier: MIT
 *
 * nested.h: the pool on which a call runs.
 */
#ifndef WEIR_NESTED_H
#define WEIR_NESTED_H

#include "pool/host/state.h"

/* weir__check_pool() for calls that run tasks. In a worker whose pool lets calls be nested, *pool
 * becomes the worker's own, which has no processes. */
int weir__use_pool(weir_pool **pool);

#endif
