/* SPDX-License-Identifier: MIT
 *
 * bench-walk.c: how many files a tree of folders has, and how many bytes are in them.
 *
 * A folder is a call of a stream, whose result is what is in it: two sums, and the names of the
 * folders below, which the program puts into the stream. With OpenMP a folder is a task that makes
 * more tasks. Both read a folder by the same function.
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

/* The result: a folder as far as it is used, and then its path. */
static int walk(weir_task *task, void *arg)
{
    static struct {
        struct folder folder;
        char path[PATH_MAX];
    } found;
    const size_t size = strlen(arg) + 1;

    if (!read_folder(arg, &found.folder))
        return weir_task_fail(task, 1, "%s cannot be read", (const char *)arg);
    memcpy(found.folder.names + found.folder.used, arg, size);
    return weir_task_result(task, &found,
                            offsetof(struct folder, names) + found.folder.used + size);
}

static void put_below(weir_stream *stream, const struct folder *folder)
{
    const char *path = folder->names + folder->used;
    char below[PATH_MAX];

    for (size_t at = 0; at < folder->used; at += strlen(folder->names + at) + 1) {
        const size_t size = join(below, path, folder->names + at);

        must(weir_stream_put(stream, below, size) == 0, "weir_stream_put");
    }
}

static void by_weir(const struct bench *bench)
{
    weir_stream *stream = weir_stream_new(
        bench->pool, walk, &(weir_stream_options){.unordered = true, .in_flight = 1024});
    weir_item item;

    weir_found = (struct sums){0};
    must(stream != NULL && weir_stream_put(stream, root, strlen(root) + 1) == 0, "a stream");
    while (weir_stream_next(stream, &item, -1) == 1) {
        const struct folder *folder = item.data;

        must(item.code == 0, "a folder");
        weir_found.files += folder->sums.files;
        weir_found.bytes += folder->sums.bytes;
        put_below(stream, folder);
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
