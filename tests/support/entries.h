/* SPDX-License-Identifier: MIT
 *
 * entries.h: how many files a folder has.
 */
#ifndef TEST_ENTRIES_H
#define TEST_ENTRIES_H

#include <dirent.h>
#include <stddef.h>

/* The number of entries whose names do not begin with a dot; -1 when the folder cannot be read. */
static inline int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (directory == NULL)
        return -1;
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

#endif
