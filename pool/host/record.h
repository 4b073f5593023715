/* SPDX-License-Identifier: MIT
 *
 * record.h: a pool's private record, and what goes with it.
 */
#ifndef WEIR_RECORD_H
#define WEIR_RECORD_H

#include "pool/host/state.h"

/* With a control block for so many workers, and without processes; `watched`: other programs are to
 * see it. NULL: the last error is set. */
weir_pool *weir__record_new(weir_scope *scope, int workers, bool watched);

/* What goes with it is given back, ... */
void weir__record_empty(weir_pool *pool);
/* ... and the record, of a pool that no call has got. */
void weir__record_free(weir_pool *pool);

#endif
