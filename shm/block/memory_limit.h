/* SPDX-License-Identifier: MIT
 *
 * memory_limit.h: how much memory this process can still take before something kills it.
 */
#ifndef WEIR_MEMORY_LIMIT_H
#define WEIR_MEMORY_LIMIT_H

#include <stdint.h>

/* The tightest limit found, and where. */
struct weir__memory_headroom {
    uint64_t bytes;  /* UINT64_MAX: no limit found */
    char where[200]; /* "the machine" or "memory cgroup /path"; cut if longer */
};

/* Reads the limits from /proc and the cgroup file systems; what cannot be read does not limit.
 * Takes some tens of microseconds. `root` is put before every path that is opened: "" but for
 * tests. */
void weir__memory_headroom(struct weir__memory_headroom *headroom, const char *root);

#endif
