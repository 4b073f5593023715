/* SPDX-License-Identifier: MIT
 *
 * launch.h: starting the manager program as nobody's child.
 */
#ifndef WEIR_MANAGER_HOST_LAUNCH_H
#define WEIR_MANAGER_HOST_LAUNCH_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "manager/wire/protocol.h"

/* Written by the intermediate process, in memory shared with it, read once it is gone. */
struct weir__spawn_report {
    _Atomic int pid;
    _Atomic int error; /* errno of posix_spawn */
};

/* Runs `path` with the scope's id as its argument and the descriptors in the places of protocol.h,
 * in their order there; -1 for one that it does not get. All others are closed in it. `report` lies
 * in MAP_SHARED memory. Returns its pid, or a negative error with the last error set. */
pid_t weir__spawn_manager(const char *path, uint64_t id, const int given[WEIR__MANAGER_COUNT],
                          struct weir__spawn_report *report);

#endif
