/* SPDX-License-Identifier: MIT
 *
 * bench-walk.c: how many files a tree of folders has, and how many bytes are in them.
 *
 * With weir a call of a stream is given the paths of some folders. It reads these and goes on with
 * those below, up to FOLDERS_A_CALL; its result is two sums, and the paths that are left, of which
 * the program makes more calls. With OpenMP a folder is a task that makes more tasks. Both read a
 * folder by the same function.
 */
#include "kernel.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES      24 /* in a folder */
#define FOLDERS    4  /* in a folder, down to DEPTH */
#define NAMES_SIZE 8192
#define PATHS_SIZE 65536

/* One folder a call would make the program, a third process, do as much as a worker. With many
 * paths a call there are too few calls, and workers wait. */
#define FOLDERS_A_CALL 16
#define PATHS_A_CALL   2

struct sums {
    int64_t files, bytes;
};

/* What is in a folder; the names of folders end with a NUL each. */
struct folder {
    struct sums sums;
    size_t used;
    char names[NAMES_SIZE];
};

static char root[256];
static struct sums weir_found, openmp_found;

/* False: it cannot be read. */
SHARED_LOOP bool read_folder(const char *path, struct folder *folder)
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    memset(&folder->sums, 0, sizeof folder->sums);
    folder->used = 0;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        const size_t size = strlen(entry->d_name) + 1;
        struct stat st;

        if (entry->d_name[0] == '.')
            continue;
        if (entry->d_type == DT_DIR && folder->used + size <= NAMES_SIZE) {
            memcpy(folder->names + folder->used, entry->d_name, size);
            folder->used += size;
        } else if (fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            folder->sums.files++;
            folder->sums.bytes += st.st_size;
        }
    }
    return stream != NULL && closedir(stream) == 0;
}

/* The size of the path with its NUL. */
static size_t join(char *path, const char *folder, const char *name)
{
    const int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);

    must(length > 0 && length < PATH_MAX, "a path");
    return (size_t)length + 1;
}

/* ---- weir ----------------------------------------------------------------------------------- */

/* What a call has found, and the paths that it has left, each with its NUL. */
struct found {
    struct sums sums;
    size_t used;
    char paths[PATHS_SIZE];
};

/* False: there is no room for the paths of the folders below. */
static bool add_below(struct found *found, const char *path, const struct folder *folder)
{
    for (size_t at = 0; at < folder->used; at += strlen(folder->names + at) + 1) {
        if (PATHS_SIZE - found->used < PATH_MAX)
            return false;
        found->used += join(found->paths + found->used, path, folder->names + at);
    }
    return true;
}

/* The last path, which is taken away. */
static void take_path(struct found *found, char *path)
{
    size_t begin = found->used - 1;

    while (begin > 0 && found->paths[begin - 1] != '\0')
        begin--;
    memcpy(path, found->paths + begin, found->used - begin);
    found->used = begin;
}

/* `arg`: paths, with an empty one behind the last. */
static int walk(weir_task *task, void *arg)
{
    static struct folder folder;
    static struct found found;
    char path[PATH_MAX];

    found.sums = (struct sums){0};
    found.used = 0;
    for (const char *next = arg; *next != '\0'; next = (const char *)arg + found.used)
        found.used += strlen(next) + 1;
    memcpy(found.paths, arg, found.used);
    for (int i = 0; i < FOLDERS_A_CALL && found.used > 0; i++) {
        take_path(&found, path);
        if (!read_folder(path, &folder))
            return weir_task_fail(task, 1, "%s cannot be read", path);
        found.sums.files += folder.sums.files;
        found.sums.bytes += folder.sums.bytes;
        if (!add_below(&found, path, &folder))
            return weir_task_fail(task, 1, "too many folders in %s", path);
    }
    return weir_task_result(task, &found, offsetof(struct found, paths) + found.used);
}

static void put_paths(weir_stream *stream, const char *paths, size_t size)
{
    static char arg[PATHS_SIZE + 1];

    if (size == 0)
        return;
    memcpy(arg, paths, size);
    arg[size] = '\0';
    must(weir_stream_put(stream, arg, size + 1) == 0, "weir_stream_put");
}

static void put_left(weir_stream *stream, const struct found *found)
{
    size_t begin = 0, at = 0;

    for (int count = 1; at < found->used; count++) {
        at += strlen(found->paths + at) + 1;
        if (count % PATHS_A_CALL != 0 && at < found->used)
            continue;
        put_paths(stream, found->paths + begin, at - begin);
        begin = at;
    }
}

static void by_weir(const struct bench *bench)
{
    weir_stream *stream = weir_stream_new(
        bench->pool, walk, &(weir_stream_options){.unordered = true, .in_flight = 1024});
    weir_item item;

    weir_found = (struct sums){0};
    must(stream != NULL, "weir_stream_new");
    put_paths(stream, root, strlen(root) + 1);
    while (weir_stream_next(stream, &item, -1) == 1) {
        const struct found *found = item.data;

        must(item.code == 0, "a folder");
        weir_found.files += found->sums.files;
        weir_found.bytes += found->sums.bytes;
        put_left(stream, found);
    }
    weir_stream_free(stream);
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

static void walk_below(const char *path)
{
    struct folder folder;

    if (!read_folder(path, &folder))
        abort();
#pragma omp atomic
    openmp_found.files += folder.sums.files;
#pragma omp atomic
    openmp_found.bytes += folder.sums.bytes;
    for (size_t at = 0; at < folder.used; at += strlen(folder.names + at) + 1) {
        char *below = malloc(PATH_MAX);

        must(below != NULL, "malloc");
        join(below, path, folder.names + at);
#pragma omp task firstprivate(below)
        {
            walk_below(below);
            free(below);
        }
    }
}

static void by_openmp(const struct bench *bench)
{
    openmp_found = (struct sums){0};
#pragma omp parallel num_threads(bench->workers)
#pragma omp single
    walk_below(root);
}

/* ---- both ----------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

static void remove_tree(void)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_file(const char *folder, int i)
{
    char name[32], path[PATH_MAX];
    int fd;

    snprintf(name, sizeof name, "file-%d", i);
    join(path, folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    must(fd >= 0 && ftruncate(fd, i) == 0 && close(fd) == 0, path);
}

/* A folder with folders below it, until there are so many. */
static void make_folder(const char *path, int64_t *left, int depth)
{
    if (mkdir(path, 0700) < 0 && depth > 0)
        must(false, path);
    for (int i = 0; i < FILES; i++)
        make_file(path, i);
    for (int i = 0; i < FOLDERS && depth < 6 && *left > 0; i++) {
        char name[32], below[PATH_MAX];

        snprintf(name, sizeof name, "a folder of a name, %d", i);
        join(below, path, name);
        --*left;
        make_folder(below, left, depth + 1);
    }
}

/* 1 MiB stands for 64 folders. */
static void prepare(const struct bench *bench)
{
    const char *temporary = getenv("TMPDIR");
    int64_t folders = bench->bytes >> 14;

    must(snprintf(root, sizeof root, "%s/weir-walk.XXXXXX",
                  temporary != NULL ? temporary : "/tmp") < (int)sizeof root,
         "TMPDIR");
    must(mkdtemp(root) != NULL, root);
    atexit(remove_tree);
    make_folder(root, &folders, 0);
}

static double difference(void)
{
    return memcmp(&weir_found, &openmp_found, sizeof weir_found) == 0 && weir_found.files > 0 ? 0
                                                                                              : 1;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "walk",
        .target = 1.05,
        .mib = 64, /* 4,096 folders */
        .rounds = 11,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
