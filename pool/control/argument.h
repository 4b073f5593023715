/* SPDX-License-Identifier: MIT
 *
 * argument.h: what a task's argument points to, when weir is told to look (WEIR_DEBUG).
 *
 * A worker has private memory as it was when the pool was made. The host describes what is at the
 * argument in its own memory (host/argument.c), and the worker compares (worker/argument.c).
 */
#ifndef WEIR_ARGUMENT_H
#define WEIR_ARGUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR__ARGUMENT_LOOK_MAX ((size_t)1 << 20) /* bytes that are compared at most */

/* By the host while no process is in the job. */
struct weir__argument {
    uint64_t hash;  /* of the first `size` bytes */
    uint64_t first; /* without a size: the first bytes, as far as they can be the argument's ... */
    uint32_t bytes; /* ... 8, 4 or 1 */
    uint32_t size;  /* 0: not known */
    uint32_t watch; /* bytes that no other than a task would change in a worker */
    uint64_t inode; /* of shared memory, ... */
    uint64_t place; /* ... and the place there; nothing else is compared */
    bool shared;
    char what[80]; /* for messages: "`table`, 800 bytes of static memory" */
};

/* Reads this process's own memory, whatever is there. 0; -EFAULT (not all of it is there); or
 * another error of process_vm_readv(): then it cannot be known. */
int weir__argument_read(const void *from, void *to, size_t size);
/* The same, and a hash of the bytes. */
int weir__argument_hash(const void *from, size_t size, uint64_t *hash);

#endif
