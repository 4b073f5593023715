/* SPDX-License-Identifier: MIT
 *
 * memory_limit.h: how much memory this process can still take before something kills it.
 */
#ifndef WEIR_SHM_BLOCK_MEMORY_LIMIT_H
#define WEIR_SHM_BLOCK_MEMORY_LIMIT_H

#include <stddef.h>
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

/* From this size on the limits are compared before memory is reserved: it costs about as much as
 * reserving this much. */
#define WEIR__COMPARE_FROM ((size_t)1 << 20)

/* The bookkeeping of a block's pages (index nodes, page tables) is charged as well: under 1 in
 * 128. */
#define WEIR__BOOKKEEPING_OF(size) ((size) / 128)

/* Compares `size` bytes, and `bookkeeping` bytes that the kernel needs for them, with the limits;
 * `ahead` bytes are to be left besides. 0, or -ENOMEM with "`who` needs SIZE `more`bytes, but
 * ...". */
int weir__memory_compare(const char *who, const char *more, size_t size, size_t bookkeeping,
                         size_t ahead);

#endif
