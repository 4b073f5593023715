/* SPDX-License-Identifier: MIT
 *
 * member.h: a scope's handle in one process. internal.h has what the pool calls of member.c.
 */
#ifndef WEIR_MANAGER_HOST_MEMBER_H
#define WEIR_MANAGER_HOST_MEMBER_H

#include "manager/host/state.h"

/* For creations under way, and for a manager that has lost its host. */
#define WEIR__CLEAN_WAIT_MS 1000

/* A new one with nothing in it, or NULL with the last error set. */
struct weir_scope *weir__scope_new(int timeout_ms);
/* The scope file's descriptor; or -EBADF with the last error set: the program has closed it. */
int weir__scope_file_fd(const struct weir_scope *scope);

/* Closes what this process has of the scope, and notes which numbers were left alone because they
 * are other files' by now. */
void weir__scope_close_descriptors(struct weir_scope *scope);
/* -EBADF with a message if there are such; else 0. */
int weir__scope_report_lost(const struct weir_scope *scope);

/* Closes and unmaps all that this process has of the scope. The handle must not be registered. */
void weir__scope_forget(struct weir_scope *scope);

#endif
