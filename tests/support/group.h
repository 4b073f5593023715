/* SPDX-License-Identifier: MIT
 *
 * group.h: a memory cgroup for a test's child.
 */
#ifndef TEST_GROUP_H
#define TEST_GROUP_H

#include "leak.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A memory cgroup with that limit, of either version; false where none can be made. */
static inline bool make_group(char folder[300], size_t limit)
{
    const char *const limits[] = {"memory.limit_in_bytes", "memory.max"};
    const char *const tops[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"};

    for (int i = 0; i < 2; i++) {
        char path[400];
        FILE *file;
        bool written;

        snprintf(folder, 300, "%s/%s", tops[i], leak_name("group"));
        if (mkdir(folder, 0755) < 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, limits[i]);
        file = fopen(path, "we");
        written = file && fprintf(file, "%zu", limit) > 0;
        if (file && fclose(file) == 0 && written)
            return true;
        rmdir(folder);
    }
    return false;
}

/* This process goes into the group. */
static inline bool enter_group(const char *folder)
{
    char path[400];
    FILE *file;

    snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
    file = fopen(path, "we");
    return file && fputs("0", file) >= 0 && fclose(file) == 0;
}

/* Processes that were in it may be on their way out. */
static inline void remove_group(const char *folder)
{
    for (int i = 0; i < 1000 && rmdir(folder) < 0; i++)
        usleep(1000);
}

#endif
