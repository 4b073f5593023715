/* SPDX-License-Identifier: MIT
 *
 * connect.h: having a scope's manager listen at an address.
 */
#ifndef WEIR_MANAGER_HOST_CONNECT_H
#define WEIR_MANAGER_HOST_CONNECT_H

#include "manager/host/state.h"

/* 0, or a negative error with a message about the address or the key. */
int weir__scope_check_listen_options(const weir_scope_options *options);

/* Has the scope's manager listen as the options say. 0, or a negative error with the last error
 * set. */
int weir__scope_listen(struct weir_scope *scope, const weir_scope_options *options);

#endif
