/* SPDX-License-Identifier: MIT
 *
 * server.h: the manager program's loop.
 */
#ifndef WEIR_MANAGER_PROGRAM_SERVER_H
#define WEIR_MANAGER_PROGRAM_SERVER_H

#include <stdint.h>

/* Serves the scope until the program ends it or is gone, and has then unlinked all of it. Returns
 * the exit status: 0, or 1 when something could not be unlinked or served. */
int weir__server_run(uint64_t id);

#endif
