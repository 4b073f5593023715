/* SPDX-License-Identifier: MIT
 *
 * memory_limit.c: how much memory this process can still take before something kills it.
 *
 * Reserving more of a tmpfs than the memory cgroup allows is not refused by the kernel: the process
 * is killed. So the limits are read first. They are: what the machine can make available, and for
 * the process's memory cgroup (version 1 or 2) and each one above it, limit minus usage. Page cache
 * counts as free, because the kernel takes it back before it kills anyone; free swap counts too,
 * since shared memory can be swapped out.
 *
 * Failure modes: everything here is advice. A file that is missing, unreadable or unintelligible
 * does not limit. Whatever is read is out of date at once when others allocate at the same time.
 */
#include "shm/block/memory_limit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX

/* ---- reading lines without stdio ------------------------------------------------------------ */

/* Longer lines are skipped: none that matters here is. */
struct lines {
    int fd;
    size_t begin, end;
    char buf[4096];
};

static bool lines_open(struct lines *lines, const char *root, const char *path)
{
    char full[PATH_MAX];
    int size = snprintf(full, sizeof full, "%s%s", root, path);

    lines->begin = lines->end = 0;
    lines->fd = size < (int)sizeof full ? open(full, O_RDONLY | O_CLOEXEC) : -1;
    return lines->fd >= 0;
}

static void lines_close(struct lines *lines)
{
    close(lines->fd);
}

/* The next line without its newline, good until the next call; NULL at the end. */
static char *lines_next(struct lines *lines)
{
    bool skipping = false;

    for (;;) {
        char *line = lines->buf + lines->begin;
        char *newline = memchr(line, '\n', lines->end - lines->begin);
        ssize_t got;

        if (newline != NULL) {
            *newline = '\0';
            lines->begin = (size_t)(newline + 1 - lines->buf);
            if (!skipping)
                return line;
            skipping = false;
            continue;
        }
        if (lines->begin == 0 && lines->end == sizeof lines->buf) {
            skipping = true;
            lines->begin = lines->end;
        }
        memmove(lines->buf, lines->buf + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
        do
            got = read(lines->fd, lines->buf + lines->end, sizeof lines->buf - lines->end);
        while (got < 0 && errno == EINTR);
        if (got <= 0)
            return NULL;
        lines->end += (size_t)got;
    }
}

/* ---- numbers -------------------------------------------------------------------------------- */

static bool parse_number(const char *text, uint64_t *number)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && (*end == '\0' || *end == ' ' || *end == '\n');
}

/* The number that is the first line of directory/file; "max", or no such file, is NO_LIMIT. */
static uint64_t read_number(const char *root, const char *directory, const char *file)
{
    char path[PATH_MAX];
    struct lines lines;
    uint64_t number = NO_LIMIT;
    char *line;

    if (snprintf(path, sizeof path, "%s/%s", directory, file) >= (int)sizeof path)
        return NO_LIMIT;
    if (!lines_open(&lines, root, path))
        return NO_LIMIT;
    line = lines_next(&lines);
    if (line == NULL || !parse_number(line, &number))
        number = NO_LIMIT;
    lines_close(&lines);
    return number;
}

/* The sum of those lines "key number" of directory/memory.stat whose keys are given. */
static uint64_t read_stat(const char *root, const char *directory, const char *const keys[])
{
    char path[PATH_MAX];
    struct lines lines;
    uint64_t sum = 0, number;
    char *line;

    if (snprintf(path, sizeof path, "%s/memory.stat", directory) >= (int)sizeof path)
        return 0;
    if (!lines_open(&lines, root, path))
        return 0;
    while ((line = lines_next(&lines)) != NULL) {
        for (size_t i = 0; keys[i] != NULL; i++) {
            size_t size = strlen(keys[i]);

            if (strncmp(line, keys[i], size) == 0 && line[size] == ' ' &&
                parse_number(line + size + 1, &number))
                sum += number;
        }
    }
    lines_close(&lines);
    return sum;
}

/* A difference that does not go below 0; without a limit there is no bound. */
static uint64_t left_of(uint64_t limit, uint64_t used)
{
    if (limit == NO_LIMIT || used == NO_LIMIT)
        return NO_LIMIT;
    return limit > used ? limit - used : 0;
}

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > NO_LIMIT - b ? NO_LIMIT : a + b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- the machine ---------------------------------------------------------------------------- */

static uint64_t meminfo_number(const char *line, const char *key)
{
    size_t size = strlen(key);
    uint64_t number;

    if (strncmp(line, key, size) != 0)
        return NO_LIMIT;
    line += size;
    line += strspn(line, " ");
    return parse_number(line, &number) ? number * 1024 : NO_LIMIT;
}

/* What is available, and how much of the swap space is free. */
static void read_machine(const char *root, uint64_t *available, uint64_t *swap)
{
    struct lines lines;
    uint64_t number;
    char *line;

    *available = NO_LIMIT;
    *swap = 0;
    if (!lines_open(&lines, root, "/proc/meminfo"))
        return;
    while ((line = lines_next(&lines)) != NULL) {
        if ((number = meminfo_number(line, "MemAvailable:")) != NO_LIMIT)
            *available = number;
        else if ((number = meminfo_number(line, "SwapFree:")) != NO_LIMIT)
            *swap = number;
    }
    lines_close(&lines);
    *available = add(*available, *swap);
}

/* ---- cgroups -------------------------------------------------------------------------------- */

static uint64_t room_in_v2(const char *root, const char *directory, uint64_t swap)
{
    static const char *const reclaimable[] = {"active_file", "inactive_file", "slab_reclaimable",
                                              NULL};
    uint64_t room = left_of(read_number(root, directory, "memory.max"),
                            read_number(root, directory, "memory.current"));

    if (room == NO_LIMIT)
        return NO_LIMIT;
    if (swap > 0)
        swap = least(swap, left_of(read_number(root, directory, "memory.swap.max"),
                                   read_number(root, directory, "memory.swap.current")));
    return add(room, add(read_stat(root, directory, reclaimable), swap));
}

static uint64_t room_in_v1(const char *root, const char *directory, uint64_t swap)
{
    static const char *const reclaimable[] = {"total_active_file", "total_inactive_file", NULL};
    uint64_t limit = read_number(root, directory, "memory.limit_in_bytes");
    uint64_t room, cache, both;

    /* No limit is written as the largest number of whole pages. */
    if (limit >= (uint64_t)1 << 60)
        return NO_LIMIT;
    room = left_of(limit, read_number(root, directory, "memory.usage_in_bytes"));
    if (room == NO_LIMIT)
        return NO_LIMIT;
    cache = read_stat(root, directory, reclaimable);
    room = add(room, cache);
    if (swap == 0)
        return room;
    /* With swap accounting there is a second limit, on memory and swap together. */
    both = left_of(read_number(root, directory, "memory.memsw.limit_in_bytes"),
                   read_number(root, directory, "memory.memsw.usage_in_bytes"));
    return least(add(room, swap), add(both, cache));
}

struct hierarchy {
    int version;         /* 1 or 2; 0: not found */
    char path[PATH_MAX]; /* of this process, from /proc/self/cgroup */
    char root[PATH_MAX]; /* which cgroup is mounted, */
    char at[PATH_MAX];   /* and where */
};

/* True if `list` (comma-separated) has `word`. */
static bool has_word(const char *list, const char *word)
{
    size_t size = strlen(word);

    for (const char *at = list; (at = strstr(at, word)) != NULL; at += size)
        if ((at == list || at[-1] == ',') && (at[size] == ',' || at[size] == '\0'))
            return true;
    return false;
}

/* Lines of /proc/self/cgroup: "4:memory:/path" (version 1), "0::/path" (version 2). */
static void find_own_path(struct hierarchy *hierarchy, const char *root)
{
    struct lines lines;
    char *line;

    if (!lines_open(&lines, root, "/proc/self/cgroup"))
        return;
    while ((line = lines_next(&lines)) != NULL) {
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (path == NULL || strlen(path + 1) >= sizeof hierarchy->path)
            continue;
        *controllers++ = '\0';
        *path++ = '\0';
        if (has_word(controllers, "memory"))
            hierarchy->version = 1;
        else if (strcmp(line, "0") == 0 && *controllers == '\0' && hierarchy->version == 0)
            hierarchy->version = 2;
        else
            continue;
        strcpy(hierarchy->path, path);
    }
    lines_close(&lines);
}

/* A line of mountinfo: "31 23 0:28 ROOT MOUNTPOINT options [tags] - TYPE source SUPER-OPTIONS". */
static bool is_mount_of(struct hierarchy *hierarchy, char *line)
{
    char *fields[5], *save = NULL, *type, *options, *tail = strstr(line, " - ");

    if (tail == NULL)
        return false;
    *tail = '\0';
    for (size_t i = 0; i < 5; i++)
        if ((fields[i] = strtok_r(i == 0 ? line : NULL, " ", &save)) == NULL)
            return false;
    type = strtok_r(tail + 3, " ", &save);
    if (type == NULL || strtok_r(NULL, " ", &save) == NULL)
        return false;
    options = strtok_r(NULL, " ", &save);
    if (hierarchy->version == 1
            ? strcmp(type, "cgroup") != 0 || options == NULL || !has_word(options, "memory")
            : strcmp(type, "cgroup2") != 0)
        return false;
    if (strlen(fields[3]) >= sizeof hierarchy->root || strlen(fields[4]) >= sizeof hierarchy->at)
        return false;
    strcpy(hierarchy->root, strcmp(fields[3], "/") == 0 ? "" : fields[3]);
    strcpy(hierarchy->at, fields[4]);
    return true;
}

static bool find_mount(struct hierarchy *hierarchy, const char *root)
{
    struct lines lines;
    bool found = false;
    char *line;

    if (hierarchy->version == 0 || !lines_open(&lines, root, "/proc/self/mountinfo"))
        return false;
    while (!found && (line = lines_next(&lines)) != NULL)
        found = is_mount_of(hierarchy, line);
    lines_close(&lines);
    return found;
}

/* The directory of this process's cgroup: in a container the mount often shows only a part of the
 * tree, whose root is then the front part of the path. */
static bool own_directory(const struct hierarchy *hierarchy, char *directory, size_t size)
{
    const char *below = hierarchy->path;
    size_t skip = strlen(hierarchy->root);

    if (strncmp(below, hierarchy->root, skip) == 0 && (below[skip] == '/' || below[skip] == '\0'))
        below += skip;
    if (strcmp(below, "/") == 0 || strstr(below, "/..") != NULL)
        below = "";
    return snprintf(directory, size, "%s%s", hierarchy->at, below) < (int)size;
}

static void limit_by_cgroups(struct weir__memory_headroom *headroom, const char *root,
                             uint64_t swap)
{
    struct hierarchy hierarchy = {.version = 0};
    char directory[PATH_MAX];
    size_t top;

    find_own_path(&hierarchy, root);
    if (!find_mount(&hierarchy, root) || !own_directory(&hierarchy, directory, sizeof directory))
        return;
    top = strlen(hierarchy.at);
    for (;;) {
        uint64_t room = hierarchy.version == 1 ? room_in_v1(root, directory, swap)
                                               : room_in_v2(root, directory, swap);
        char *slash;

        if (room < headroom->bytes) {
            headroom->bytes = room;
            snprintf(headroom->where, sizeof headroom->where, "memory cgroup %.180s",
                     directory[top] != '\0' ? directory + top : "/");
        }
        slash = strrchr(directory, '/');
        if (directory[top] == '\0' || slash == NULL || slash < directory + top)
            return;
        *slash = '\0';
    }
}

void weir__memory_headroom(struct weir__memory_headroom *headroom, const char *root)
{
    int saved = errno;
    uint64_t swap;

    read_machine(root, &headroom->bytes, &swap);
    strcpy(headroom->where, "the machine");
    limit_by_cgroups(headroom, root, swap);
    errno = saved;
}
