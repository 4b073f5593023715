/* SPDX-License-Identifier: MIT
 *
 * read_file.h: the contents of a file that cannot be mapped.
 */
#ifndef WEIR_POOL_MAP_REDUCE_READ_FILE_H
#define WEIR_POOL_MAP_REDUCE_READ_FILE_H

#include <stddef.h>
#include <sys/stat.h>

/* What a file had when it was read to its end. Private memory, to be freed. */
struct weir__contents {
    unsigned char *bytes;
    size_t size;
};

/* Whether a process can have the file's bytes by mapping it: a regular file with a size, of a file
 * system that can be mapped. Returns 1, 0, or a negative errno with the last error set. */
int weir__can_map_file(const char *path, const struct stat *status);

/* Reads a file to its end: one that weir__can_map_file() said 0 of, a pipe, a terminal.
 * Blocks until whoever writes it closes it. Returns 0 or a negative errno with the last error
 * set; then there is nothing to free. */
int weir__read_file(const char *path, struct weir__contents *contents);

#endif
