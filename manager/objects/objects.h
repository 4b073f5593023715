/* SPDX-License-Identifier: MIT
 *
 * objects.h: making a scope's objects, as far as there is no public function for it.
 */
#ifndef WEIR_MANAGER_OBJECTS_H
#define WEIR_MANAGER_OBJECTS_H

#include <errno.h>
#include <stdbool.h>

#include "manager/space/arena_handle.h"
#include "manager/weir-scope.h"

/* True when making an object failed with this code because memory or addresses are used up. */
static inline bool weir__is_shortage(int code)
{
    return code == -ENOMEM || code == -ENOSPC || code == -EFBIG;
}

/* Makes one block of an arena. `size` is a multiple of WEIR__ARENA_ALIGN. NULL with the last error
 * set. */
struct weir_arena *weir__make_arena_block(weir_scope *scope, uint64_t size, uint64_t block_size,
                                          struct weir_arena *older);

#endif
