/* SPDX-License-Identifier: MIT
 *
 * bench-log.c: of each path of a web server's log, how often it was asked for, and the time that 95
 * of 100 answers stayed below.
 *
 * A line is "DATE METHOD PATH STATUS MS". weir counts pairs of a path and a time, with the key
 * "PATH\0TIME" in two bytes, by one map-reduce, and then goes over the table. OpenMP does it as one
 * would by hand: each thread has a table of paths with a histogram each; these are added up.
 */
#include "kernel.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATHS         1000
#define TIMES         512 /* milliseconds; what takes longer counts as the last */
#define PATH_MAX_SIZE 24

struct line {
    const char *path;
    uint32_t size;
    uint32_t ms;
};

/* What is found of a path. */
struct path {
    char name[PATH_MAX_SIZE];
    uint32_t size; /* of the name; 0: there is none */
    int64_t times[TIMES];
};

/* Open addressing; never full. */
struct paths {
    struct path at[2 * PATHS];
};

static char log_path[256];
static size_t log_size;
static weir_text *text;
static struct paths *weir_found, *openmp_found;

/* The third word and the last one. */
static bool parse(const char *at, const char *end, struct line *line)
{
    const char *last;

    for (int i = 0; i < 2; i++, at++) {
        at = memchr(at, ' ', (size_t)(end - at));
        if (at == NULL)
            return false;
    }
    line->path = at;
    last = memchr(at, ' ', (size_t)(end - at));
    if (last == NULL || last - at >= PATH_MAX_SIZE)
        return false;
    line->size = (uint32_t)(last - at);
    for (last = end; last[-1] != ' '; last--)
        ;
    line->ms = 0;
    for (; last < end; last++)
        line->ms = line->ms * 10 + (uint32_t)(*last - '0');
    if (line->ms >= TIMES)
        line->ms = TIMES - 1;
    return true;
}

static struct path *find(struct paths *paths, const char *name, size_t size)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619U;
    for (size_t i = hash ^ hash >> 15;; i++) {
        struct path *path = &paths->at[i % (2 * PATHS)];

        if (path->size == 0) {
            memcpy(path->name, name, size);
            path->size = (uint32_t)size;
        }
        if (path->size == size && memcmp(path->name, name, size) == 0)
            return path;
    }
}

static struct paths *new_paths(void)
{
    struct paths *paths = calloc(1, sizeof *paths);

    must(paths != NULL, "calloc");
    return paths;
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int map(weir_task *task, weir_range range, void *arg)
{
    weir_text_cursor lines;
    weir_text_record record;

    if (weir_text_slice(arg, range, WEIR_TEXT_LINES, &lines) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    while (weir_text_next(&lines, &record) == 1) {
        char key[PATH_MAX_SIZE + 3];
        struct line line;

        if (!parse(record.data, record.data + record.size, &line))
            continue;
        memcpy(key, line.path, line.size);
        key[line.size] = '\0';
        key[line.size + 1] = (char)(line.ms & 255);
        key[line.size + 2] = (char)(line.ms >> 8);
        weir_emit_int64(task, key, line.size + 3, 1);
    }
    return 0;
}

static void by_weir(const struct bench *bench)
{
    static const weir_map_reduction counting = {
        .map = map, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    weir_table_cursor cursor = {0};
    weir_table *table;
    weir_pair pair;

    text = weir_text_open(bench->scope, log_path);
    must(text != NULL, "weir_text_open");
    table = weir_pool_map_reduce(bench->pool, weir_text_range(text), &counting, text, NULL);
    must(table != NULL, "weir_pool_map_reduce");
    weir_found = new_paths();
    while (weir_table_next(table, &cursor, &pair) == 1) {
        const unsigned char *key = (const unsigned char *)pair.key;
        const size_t size = pair.key_size - 3;

        find(weir_found, pair.key, size)->times[key[size + 1] | key[size + 2] << 8] =
            *(const int64_t *)pair.value;
    }
    weir_table_free(table);
    weir_text_close(text);
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

static void count_lines(const char *data, size_t begin, size_t end, struct paths *paths)
{
    const char *at = data + begin, *line_end;

    if (begin > 0 && at[-1] != '\n')
        at = (const char *)memchr(at, '\n', log_size - begin) + 1;
    for (; at < data + end; at = line_end + 1) {
        struct line line;

        line_end = memchr(at, '\n', log_size - (size_t)(at - data));
        if (parse(at, line_end, &line))
            find(paths, line.path, line.size)->times[line.ms]++;
    }
}

static void add_paths(struct paths *into, const struct paths *from)
{
    for (int i = 0; i < 2 * PATHS; i++) {
        const struct path *path = &from->at[i];
        struct path *sum;

        if (path->size == 0)
            continue;
        sum = find(into, path->name, path->size);
        for (int k = 0; k < TIMES; k++)
            sum->times[k] += path->times[k];
    }
}

static void by_openmp(const struct bench *bench)
{
    const int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    const char *data = mmap(NULL, log_size, PROT_READ, MAP_PRIVATE, fd, 0);

    must(fd >= 0 && data != MAP_FAILED, "the log");
    close(fd);
    openmp_found = new_paths();
#pragma omp parallel num_threads(bench->workers)
    {
        struct paths *mine = new_paths();
        const size_t parts = 64;

#pragma omp for schedule(dynamic, 1) nowait
        for (size_t i = 0; i < parts; i++)
            count_lines(data, log_size / parts * i,
                        i == parts - 1 ? log_size : log_size / parts * (i + 1), mine);
#pragma omp critical
        add_paths(openmp_found, mine);
        free(mine);
    }
    munmap((void *)(uintptr_t)data, log_size);
}

/* ---- both ----------------------------------------------------------------------------------- */

/* 0: there is no such path. */
static int percentile(const struct path *path, int64_t *count)
{
    int64_t sum = 0;

    *count = 0;
    for (int i = 0; i < TIMES; i++)
        *count += path->times[i];
    for (int i = 0; i < TIMES; i++) {
        sum += path->times[i];
        if (sum * 100 >= *count * 95)
            return i;
    }
    return 0;
}

/* How many paths have another count or percentile. */
static double difference(void)
{
    int64_t different = 0;

    for (int i = 0; i < 2 * PATHS; i++) {
        const struct path *path = &openmp_found->at[i];
        int64_t count, weir_count;

        if (path->size == 0)
            continue;
        different += percentile(path, &count) !=
                         percentile(find(weir_found, path->name, path->size), &weir_count) ||
                     count != weir_count || count == 0;
    }
    return (double)different;
}

static void clear(void)
{
    free(weir_found);
    free(openmp_found);
}

/* Each path has a time of its own around which its answers are; one of 32 is late. */
static void prepare(const struct bench *bench)
{
    weir_shm *block = weir_scope_shm(bench->scope, (size_t)bench->bytes);
    char *begin, *at;

    must(block != NULL, "weir_scope_shm");
    snprintf(log_path, sizeof log_path, "/dev/shm/%s", weir_shm_name(block));
    begin = at = weir_shm_buf(block);
    for (uint64_t i = 0; begin + bench->bytes - at > 128; i++) {
        const uint64_t random = random_of(bench->seed, i);
        const uint64_t number = random % PATHS;
        const uint64_t late = (random >> 20 & 31) == 0 ? 200 : 0;

        at +=
            sprintf(at, "2026-11-26T%02d:%02d:%02d GET /api/items/%d %d %d\n", (int)(i / 3600 % 24),
                    (int)(i / 60 % 60), (int)(i % 60), (int)number, random >> 30 & 15 ? 200 : 404,
                    (int)(number % 97 + (random >> 40 & 31) + late));
    }
    memset(at, '\n', (size_t)(begin + bench->bytes - at));
    log_size = (size_t)bench->bytes;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "log",
        .target = 1.05,
        .mib = 338,
        .rounds = 7,
        .prepare = prepare,
        .clear = clear,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
