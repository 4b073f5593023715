/* SPDX-License-Identifier: MIT
 *
 * cgroup.h: the cgroups of this process, and the small text files of the kernel that describe them.
 *
 * `root` is put before every path that is opened: "" but for tests. What is missing, unreadable or
 * unintelligible does not limit.
 */
#ifndef WEIR_SHM_CGROUP_H
#define WEIR_SHM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR__NO_LIMIT UINT64_MAX

/* A file, line by line, without stdio. Lines longer than the buffer are skipped: none that matters
 * here is. */
struct weir__lines {
    int fd;
    size_t begin, end;
    char buf[4096];
};

bool weir__lines_open(struct weir__lines *lines, const char *root, const char *path);
/* The next line without its newline, good until the next call; NULL at the end. */
char *weir__lines_next(struct weir__lines *lines);
void weir__lines_close(struct weir__lines *lines);

/* A decimal number that a blank or the line's end follows. */
bool weir__parse_number(const char *text, uint64_t *number);

/* A cgroup that this process is in. */
struct weir__cgroup {
    int version;           /* 1 or 2 */
    const char *root;      /* see above */
    const char *directory; /* where its files are */
    const char *path;      /* of it below the place where the hierarchy is mounted; "/" there */
};

/* Visits the cgroup of this process that has a controller ("memory", "cpu"), and then each one
 * above it, up to the one that is mounted. */
void weir__cgroup_each(const char *controller, const char *root,
                       void (*visit)(const struct weir__cgroup *cgroup, void *arg), void *arg);

/* Opens a file of the cgroup. */
bool weir__cgroup_open(struct weir__lines *lines, const struct weir__cgroup *cgroup,
                       const char *file);
/* The number that is the file's first line; "max", or no such file, is WEIR__NO_LIMIT. */
uint64_t weir__cgroup_number(const struct weir__cgroup *cgroup, const char *file);

#endif
