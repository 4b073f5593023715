/* SPDX-License-Identifier: MIT
 *
 * dispatch.h: callbacks for programs that have an event loop.
 */
#ifndef WEIR_DISPATCH_H
#define WEIR_DISPATCH_H

#include "pool/host/state.h"

/* Before the fork: the sockets. 0 or a negative error. */
int weir__dispatch_init(weir_pool *pool);
/* Calls all callbacks that are queued, as the pool is about to end. */
void weir__dispatch_finish(weir_pool *pool);
/* Leaves the loop and closes its descriptors. While the pidfd of the supervisor is there: it tells
 * them from others. */
void weir__dispatch_close(weir_pool *pool);
void weir__dispatch_free(weir_pool *pool);

#endif
