/* SPDX-License-Identifier: MIT
 *
 * blocks.h: what is asked of a scope's manager about blocks.
 */
#ifndef WEIR_MANAGER_HOST_BLOCKS_H
#define WEIR_MANAGER_HOST_BLOCKS_H

#include "manager/host/state.h"

/* Gives a block its name by the manager of a connected scope: `name`, or one that it chooses, which
 * is written to `given`. 0, or a negative error with the last error set. */
int weir__scope_name_block(struct weir_scope *scope, const struct weir__block *block,
                           const char *kind, const char *name, char given[WEIR_SHM_NAME_MAX + 1]);

#endif
