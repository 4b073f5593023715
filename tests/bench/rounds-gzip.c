/* SPDX-License-Identifier: MIT
 *
 * rounds-gzip.c: a file compressed in blocks by two processes, beside `pigz -p 2`: one round for
 * each line on stdin.
 *
 *   rounds-gzip weir        a stream of calls, each of which gives a gzip member of BLOCK bytes
 *   rounds-gzip pigz        runs that program on a file
 *
 * Both write to /dev/null. The text is the same 32 MiB of letters, some more frequent.
 */
#include <weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "now.h"
#include "run-program.h"

#define TEXT  ((size_t)32 << 20)
#define BLOCK ((size_t)128 << 10) /* as pigz's */
#define LEVEL 6

static char *text;
static FILE *sink;

static void must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "rounds-gzip: %s\n", what);
    exit(1);
}

static void fill(char *bytes)
{
    uint64_t random = 42;

    for (size_t i = 0; i < TEXT; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        bytes[i] =
            random >> 60 == 0 ? ' ' : (char)('a' + (random >> 33) % (1 + (random >> 50) % 26));
    }
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int compress_block(weir_task *task, void *arg)
{
    static unsigned char out[BLOCK + BLOCK / 8];
    const size_t at = *(const size_t *)arg;
    z_stream z = {.next_in = (unsigned char *)text + at,
                  .avail_in = (unsigned)(TEXT - at < BLOCK ? TEXT - at : BLOCK),
                  .next_out = out,
                  .avail_out = sizeof out};

    if (deflateInit2(&z, LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return weir_task_fail(task, 1, "deflateInit2");
    if (deflate(&z, Z_FINISH) != Z_STREAM_END || deflateEnd(&z) != Z_OK)
        return weir_task_fail(task, 1, "deflate");
    return weir_task_result(task, out, z.total_out);
}

static void by_weir(weir_pool *pool)
{
    weir_stream *stream = weir_stream_new(pool, compress_block, NULL);
    weir_item item;
    int result;

    must(stream != NULL, weir_last_error()->message);
    for (size_t at = 0; at < TEXT; at += BLOCK) {
        must(weir_stream_put(stream, &at, sizeof at) == 0, weir_last_error()->message);
        while ((result = weir_stream_next(stream, &item, 0)) == 1)
            must(item.code == 0 && fwrite(item.data, 1, item.size, sink) == item.size, "an item");
    }
    while ((result = weir_stream_next(stream, &item, -1)) == 1)
        must(item.code == 0 && fwrite(item.data, 1, item.size, sink) == item.size, "an item");
    must(result == 0, weir_last_error()->message);
    weir_stream_free(stream);
}

static void weir_rounds(void)
{
    char line[64];

    WEIR_SCOPE (scope, NULL) {
        weir_shm *block = weir_scope_shm(scope, TEXT);
        weir_pool *pool;

        must(block != NULL, weir_last_error()->message);
        text = weir_shm_buf(block);
        fill(text);
        pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
        must(pool != NULL, weir_last_error()->message);
        while (fgets(line, sizeof line, stdin) != NULL) {
            const double begin = now_us();

            by_weir(pool);
            printf("%.1f\n", now_us() - begin);
            fflush(stdout);
        }
    }
}

/* ---- pigz ----------------------------------------------------------------------------------- */

static void run_pigz(const char *file)
{
    char *const words[] = {"pigz", "-p", "2", "-6", "-c", (char *)(uintptr_t)file, NULL};

    must(run_program(words, "/dev/null"), "pigz");
}

static void pigz_rounds(void)
{
    char file[] = "/dev/shm/weir-bench-gzip.XXXXXX", line[64];
    int fd = mkstemp(file);

    text = malloc(TEXT);
    must(fd >= 0 && text != NULL, "a file");
    fill(text);
    must(write(fd, text, TEXT) == (ssize_t)TEXT && close(fd) == 0, "a file");
    while (fgets(line, sizeof line, stdin) != NULL) {
        const double begin = now_us();

        run_pigz(file);
        printf("%.1f\n", now_us() - begin);
        fflush(stdout);
    }
    unlink(file);
}

int main(int argc, char **argv)
{
    sink = fopen("/dev/null", "w");
    must(sink != NULL, "/dev/null");
    if (argc == 2 && !strcmp(argv[1], "weir"))
        weir_rounds();
    else if (argc == 2 && !strcmp(argv[1], "pigz"))
        pigz_rounds();
    else
        must(0, "usage: rounds-gzip weir|pigz; then a line for each round");
    return 0;
}
