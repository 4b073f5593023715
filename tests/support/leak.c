/* SPDX-License-Identifier: MIT
 *
 * leak.c: what a test may leave behind, before and after.
 *
 * A snapshot is a sorted list of lines, one a thing. Two of them are compared line by line, so a
 * failure names what is there too much (or gone). Descriptors and mappings are this process's only;
 * processes that are not its children are the business of the tests that start them.
 */
#include "leak.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHM_DIR "/dev/shm"

struct snapshot {
    char **lines;
    size_t count;
};

static bool isolated;
static pid_t named_for; /* leak_name() keeps giving the names of the process that began */

/* ---- a /dev/shm of one's own ---------------------------------------------------------------- */

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return written;
}

/* A user namespace in which this user is the same and may mount. */
static bool enter_user_namespace(void)
{
    char uid_map[64], gid_map[64];
    unsigned uid = geteuid(), gid = getegid();

    snprintf(uid_map, sizeof uid_map, "%u %u 1", uid, uid);
    snprintf(gid_map, sizeof gid_map, "%u %u 1", gid, gid);
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", uid_map) && write_text("/proc/self/gid_map", gid_map);
}

bool leak_isolate(void)
{
    if (unshare(CLONE_NEWNS) < 0 && !enter_user_namespace())
        return false;
    isolated = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("tmpfs", SHM_DIR, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0;
    return isolated;
}

bool leak_limit_shm(size_t size)
{
    char options[64];

    snprintf(options, sizeof options, "size=%zu", size);
    return isolated && mount(NULL, SHM_DIR, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, options) == 0;
}

const char *leak_name(const char *word)
{
    static char names[4][NAME_MAX + 1];
    static unsigned next;
    char *name = names[next++ % 4];

    if (named_for == 0)
        named_for = getpid();
    snprintf(name, sizeof names[0], "weirtest-%d-%s", (int)named_for, word);
    return name;
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static void add_line(struct snapshot *snapshot, const char *what, const char *which)
{
    char *line;

    snapshot->lines = realloc(snapshot->lines, (snapshot->count + 1) * sizeof *snapshot->lines);
    if (snapshot->lines == NULL || asprintf(&line, "%s %s", what, which) < 0)
        abort();
    snapshot->lines[snapshot->count++] = line;
}

static void add_files(struct snapshot *snapshot)
{
    DIR *directory = opendir(SHM_DIR);
    const char *ours = leak_name("");
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.' &&
            (isolated || strncmp(entry->d_name, ours, strlen(ours)) == 0))
            add_line(snapshot, "file in " SHM_DIR, entry->d_name);
    if (directory != NULL)
        closedir(directory);
}

static void add_descriptors(struct snapshot *snapshot)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char target[PATH_MAX], line[PATH_MAX + NAME_MAX + 8];
        ssize_t size;

        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(directory))
            continue;
        size = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        target[size < 0 ? 0 : size] = '\0';
        snprintf(line, sizeof line, "%s -> %s", entry->d_name, target);
        add_line(snapshot, "descriptor", line);
    }
    if (directory != NULL)
        closedir(directory);
}

/* Shared ones: the heap and the stacks come and go as they like. */
static void add_mappings(struct snapshot *snapshot)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t size = 0;

    while (maps != NULL && getline(&line, &size, maps) > 0) {
        char *permissions = strchr(line, ' ');

        line[strcspn(line, "\n")] = '\0';
        if (permissions != NULL && permissions[4] == 's')
            add_line(snapshot, "mapping", line);
    }
    free(line);
    if (maps != NULL)
        fclose(maps);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct snapshot *take_snapshot(void)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);

    if (snapshot == NULL)
        abort();
    add_files(snapshot);
    add_mappings(snapshot);
    add_descriptors(snapshot);
    if (snapshot->count > 0)
        qsort(snapshot->lines, snapshot->count, sizeof *snapshot->lines, compare_lines);
    return snapshot;
}

static void free_snapshot(struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++)
        free(snapshot->lines[i]);
    free(snapshot->lines);
    free(snapshot);
}

/* Prints how they differ; returns in how many lines. */
static int compare_snapshots(const struct snapshot *before, const struct snapshot *after)
{
    size_t b = 0, a = 0;
    int differences = 0;

    while (b < before->count || a < after->count) {
        int order = b == before->count  ? 1
                    : a == after->count ? -1
                                        : strcmp(before->lines[b], after->lines[a]);

        if (order > 0)
            print_error("left behind: %s\n", after->lines[a++]);
        else if (order < 0)
            print_error("gone: %s\n", before->lines[b++]);
        else
            a++, b++;
        differences += order != 0;
    }
    return differences;
}

/* ---- fixtures ------------------------------------------------------------------------------- */

int leak_setup(void **state)
{
    *state = take_snapshot();
    return 0;
}

int leak_teardown(void **state)
{
    struct snapshot *before = *state, *after = take_snapshot();
    int differences = compare_snapshots(before, after);
    pid_t child;

    free_snapshot(before);
    free_snapshot(after);
    *state = NULL;
    child = waitpid(-1, NULL, WNOHANG);
    if (child >= 0) {
        print_error("left behind: a child process%s\n", child > 0 ? " that has ended" : "");
        differences++;
    }
    return differences == 0 ? 0 : -1;
}
