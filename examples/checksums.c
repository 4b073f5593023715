/* SPDX-License-Identifier: MIT
 *
 * checksums: the checksum of each file whose name is a line of its input, as cksum(1) prints them.
 *
 * A stream, as Python's Pool.imap: the number of names is not known before, some files are long and
 * some short, and the lines come out in the order of the names (with -u: as they are ready). A
 * limited number of calls is out at a time, so a list of any length needs little memory. A file
 * that cannot be read is an item with an error; the others go on. Each worker makes its table once,
 * in the initializer.
 *
 *   cc checksums.c $(pkg-config --cflags --libs weir) -o checksums && find . -type f | ./checksums
 *
 * Prints the checksum, the size and the name of each file. Exit status: 1 if one could not be read.
 */
#include <weir.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sum {
    uint32_t crc;
    int64_t size;
    char path[4096];
};

static uint32_t table[256];

/* In each worker, before its first file. */
static int make_table(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i << 24;

        for (int bit = 0; bit < 8; bit++)
            crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7 : 0);
        table[i] = crc;
    }
    return 0;
}

static uint32_t add_byte(uint32_t crc, unsigned char byte)
{
    return crc << 8 ^ table[crc >> 24 ^ byte];
}

/* In a worker: `arg` is a copy of the name. */
static int sum_file(weir_task *task, void *arg)
{
    struct sum sum = {0};
    unsigned char bytes[65536];
    FILE *file;
    size_t got;
    int failed;

    if (strlen(arg) >= sizeof(sum.path))
        return weir_task_fail(task, ENAMETOOLONG, "%.40s...: the name is too long", (char *)arg);
    file = fopen(arg, "r");
    if (file == NULL)
        return weir_task_fail(task, errno, "%s: %s", (const char *)arg, strerror(errno));
    while ((got = fread(bytes, 1, sizeof(bytes), file)) > 0) {
        for (size_t i = 0; i < got; i++)
            sum.crc = add_byte(sum.crc, bytes[i]);
        sum.size += (int64_t)got;
    }
    failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed)
        return weir_task_fail(task, failed, "%s: %s", (const char *)arg, strerror(failed));
    for (int64_t size = sum.size; size > 0; size >>= 8) /* and the length, lowest byte first */
        sum.crc = add_byte(sum.crc, (unsigned char)size);
    strcpy(sum.path, arg);
    return weir_task_result(task, &sum, sizeof(sum));
}

/* Prints the next result if it comes within timeout_ms (0: if it is there already), and counts in
 * *errors if the file has no checksum. Returns as weir_stream_next(). */
static int print_next(weir_stream *stream, int timeout_ms, int64_t *errors)
{
    weir_item item;
    int result = weir_stream_next(stream, &item, timeout_ms);
    const struct sum *sum = result == 1 ? item.data : NULL;

    if (result == 1 && item.code == 0) {
        printf("%" PRIu32 " %" PRId64 " %s\n", ~sum->crc, sum->size, sum->path);
    } else if (result == 1) {
        fprintf(stderr, "checksums: %s\n", item.error->message);
        (*errors)++;
    }
    return result;
}

/* Prints all results that come within timeout_ms. Returns 0, or -1 with the last error set. */
static int print_results(weir_stream *stream, int timeout_ms, int64_t *errors)
{
    int result;

    while ((result = print_next(stream, timeout_ms, errors)) == 1)
        ;
    return result == 0 || result == -ETIMEDOUT ? 0 : -1;
}

/* Puts each line of the input into the stream. Returns 0, or -1 with the last error set. */
static int sum_all(weir_stream *stream, int64_t *errors)
{
    char *line = NULL;
    size_t capacity = 0;
    int result = 0;

    while (result == 0 && getline(&line, &capacity, stdin) > 0) {
        line[strcspn(line, "\n")] = '\0';
        while ((result = weir_stream_put(stream, line, strlen(line) + 1)) == -EAGAIN) {
            result = print_next(stream, -1, errors);
            if (result < 0)
                break;
        }
        if (result == 0)
            result = print_results(stream, 0, errors);
    }
    free(line);
    if (result == 0 && !feof(stdin)) {
        fprintf(stderr, "checksums: the input cannot be read\n");
        (*errors)++;
    }
    return result < 0 ? -1 : print_results(stream, -1, errors);
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_scope *scope, const weir_stream_options *options, int64_t *errors)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.initializer = make_table});
    if (pool == NULL)
        return 1;
    weir_stream *stream = weir_stream_new(pool, sum_file, options);
    if (stream == NULL)
        return 1;

    int status = sum_all(stream, errors) < 0;
    weir_stream_free(stream);
    return status;
}

int main(int argc, char **argv)
{
    const weir_stream_options options = {
        .unordered = argc > 1 && strcmp(argv[1], "-u") == 0,
        .untaken = 10000, /* checksums in order wait for that of a large file before them */
    };
    int64_t errors = 0;
    int status = 1;

    if (argc > 1 + options.unordered) {
        fprintf(stderr, "usage: checksums [-u] < NAMES\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, &options, &errors);
    }
    if (status != 0)
        fprintf(stderr, "checksums: %s\n", weir_last_error()->message);
    return status != 0 || errors > 0;
}
