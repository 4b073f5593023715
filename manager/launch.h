/* SPDX-License-Identifier: MIT
 *
 * launch.h: starting the manager program as nobody's child.
 */
#ifndef WEIR_MANAGER_LAUNCH_H
#define WEIR_MANAGER_LAUNCH_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* Written by the intermediate process, in memory shared with it, read once it is gone. */
struct weir__spawn_report {
    _Atomic int pid;
    _Atomic int error; /* errno of posix_spawn */
};

/* Runs `path` with the scope's id as its argument and the three descriptors in the places of
 * protocol.h; all other descriptors are closed in it. `host` may be -1. `report` lies in MAP_SHARED
 * memory. Returns its pid, or a negative error with the last error set. */
pid_t weir__spawn_manager(const char *path, uint64_t id, int socket, int scope, int host,
                          struct weir__spawn_report *report);

#endif
