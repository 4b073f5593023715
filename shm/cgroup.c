/* SPDX-License-Identifier: MIT
 *
 * cgroup.c: the cgroups of this process, and the small text files of the kernel that describe them.
 *
 * A controller is in one hierarchy: in one of version 1 that names it, else in that of version 2.
 * /proc/self/cgroup says where in it this process is, /proc/self/mountinfo where it is mounted. A
 * limit holds for all cgroups below, so each one up to the mount is visited.
 *
 * Invariants. No stdio and no allocation: a block's creation comes here.
 *
 * Failure modes: what cannot be read is left out.
 */
#include "shm/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- lines ---------------------------------------------------------------------------------- */

bool weir__lines_open(struct weir__lines *lines, const char *root, const char *path)
{
    char full[PATH_MAX];
    int size = snprintf(full, sizeof full, "%s%s", root, path);

    lines->begin = lines->end = 0;
    lines->fd = size < (int)sizeof full ? open(full, O_RDONLY | O_CLOEXEC) : -1;
    return lines->fd >= 0;
}

void weir__lines_close(struct weir__lines *lines)
{
    close(lines->fd);
}

char *weir__lines_next(struct weir__lines *lines)
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

bool weir__parse_number(const char *text, uint64_t *number)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && (*end == '\0' || *end == ' ' || *end == '\n');
}

bool weir__cgroup_open(struct weir__lines *lines, const struct weir__cgroup *cgroup,
                       const char *file)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof path, "%s/%s", cgroup->directory, file) < (int)sizeof path &&
           weir__lines_open(lines, cgroup->root, path);
}

uint64_t weir__cgroup_number(const struct weir__cgroup *cgroup, const char *file)
{
    uint64_t number = WEIR__NO_LIMIT;
    struct weir__lines lines;
    char *line;

    if (!weir__cgroup_open(&lines, cgroup, file))
        return WEIR__NO_LIMIT;
    line = weir__lines_next(&lines);
    if (line == NULL || !weir__parse_number(line, &number))
        number = WEIR__NO_LIMIT;
    weir__lines_close(&lines);
    return number;
}

/* ---- hierarchies ---------------------------------------------------------------------------- */

struct hierarchy {
    const char *controller;
    int version;            /* 1 or 2; 0: not found */
    char path[PATH_MAX];    /* of this process, from /proc/self/cgroup */
    char mounted[PATH_MAX]; /* which cgroup is mounted, */
    char at[PATH_MAX];      /* and where */
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
    struct weir__lines lines;
    char *line;

    if (!weir__lines_open(&lines, root, "/proc/self/cgroup"))
        return;
    while ((line = weir__lines_next(&lines)) != NULL) {
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (path == NULL || strlen(path + 1) >= sizeof hierarchy->path)
            continue;
        *controllers++ = '\0';
        *path++ = '\0';
        if (has_word(controllers, hierarchy->controller))
            hierarchy->version = 1;
        else if (strcmp(line, "0") == 0 && *controllers == '\0' && hierarchy->version == 0)
            hierarchy->version = 2;
        else
            continue;
        strcpy(hierarchy->path, path);
    }
    weir__lines_close(&lines);
}

/* How much of this process's path a mount of the cgroup `mounted` leaves out; -1: it shows another
 * part of the tree. */
static ssize_t left_out(const struct hierarchy *hierarchy, const char *mounted)
{
    size_t size = strlen(mounted);

    return strncmp(hierarchy->path, mounted, size) == 0 && strchr("/", hierarchy->path[size])
               ? (ssize_t)size
               : -1;
}

/* A line of mountinfo: "31 23 0:28 ROOT MOUNTPOINT options [tags] - TYPE source SUPER-OPTIONS".
 * True if it shows this process's cgroup. The first mount that does not is noted, for lack of
 * another. */
static bool note_mount(struct hierarchy *hierarchy, char *line)
{
    char *fields[5], *save = NULL, *type, *options, *tail = strstr(line, " - ");
    bool shows;

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
    if (hierarchy->version == 1 ? strcmp(type, "cgroup") != 0 || options == NULL ||
                                      !has_word(options, hierarchy->controller)
                                : strcmp(type, "cgroup2") != 0)
        return false;
    if (strlen(fields[3]) >= sizeof hierarchy->mounted || strlen(fields[4]) >= sizeof hierarchy->at)
        return false;
    if (strcmp(fields[3], "/") == 0)
        fields[3] = "";
    shows = left_out(hierarchy, fields[3]) >= 0;
    if (!shows && hierarchy->at[0] != '\0')
        return false;
    strcpy(hierarchy->mounted, fields[3]);
    strcpy(hierarchy->at, fields[4]);
    return shows;
}

static bool find_mount(struct hierarchy *hierarchy, const char *root)
{
    struct weir__lines lines;
    bool shown = false;
    char *line;

    if (hierarchy->version == 0 || !weir__lines_open(&lines, root, "/proc/self/mountinfo"))
        return false;
    while (!shown && (line = weir__lines_next(&lines)) != NULL)
        shown = note_mount(hierarchy, line);
    weir__lines_close(&lines);
    return hierarchy->at[0] != '\0';
}

/* The directory of this process's cgroup: in a container the mount often shows only a part of the
 * tree, whose root is then the front part of the path. */
static bool own_directory(const struct hierarchy *hierarchy, char *directory, size_t size)
{
    ssize_t skip = left_out(hierarchy, hierarchy->mounted);
    const char *below = hierarchy->path + (skip > 0 ? skip : 0);

    if (strcmp(below, "/") == 0 || strstr(below, "/..") != NULL)
        below = "";
    return snprintf(directory, size, "%s%s", hierarchy->at, below) < (int)size;
}

void weir__cgroup_each(const char *controller, const char *root,
                       void (*visit)(const struct weir__cgroup *cgroup, void *arg), void *arg)
{
    struct hierarchy hierarchy = {.controller = controller};
    struct weir__cgroup cgroup = {.root = root};
    char directory[PATH_MAX], *top;

    find_own_path(&hierarchy, root);
    if (!find_mount(&hierarchy, root) || !own_directory(&hierarchy, directory, sizeof directory))
        return;
    cgroup.version = hierarchy.version;
    cgroup.directory = directory;
    top = directory + strlen(hierarchy.at);
    for (;;) {
        char *slash = strrchr(directory, '/');

        cgroup.path = *top != '\0' ? top : "/";
        visit(&cgroup, arg);
        if (*top == '\0' || slash == NULL || slash < top)
            return;
        *slash = '\0';
    }
}
