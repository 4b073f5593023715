/* SPDX-License-Identifier: MIT
 *
 * rounds-result.c: what a result costs, a size at a time, for beside.py: one round for each line on
 * stdin.
 *
 *     calls       calls of a pool of 2, submitted in bulk, and their results
 *     one         the same, each awaited before the next
 *     stream      a stream's items, with 32 in flight
 *     socketpair  a child writes as many bytes, and this process reads them
 *     copies      as many bytes are copied, to as much memory as the results of calls are in, and
 *                 then from there
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "now.h"

#define BULK_MOST  2000
#define BULK_BYTES (4 << 20) /* in flight */
#define IN_FLIGHT  32
#define SIZE_MOST  (64 << 20)

struct bench {
    size_t size;
    int count; /* results, several times a round */
    weir_pool *pool;
    weir_future *futures[BULK_MOST];
    int sockets[2];
    unsigned char *from, *between, *to;
};

static unsigned char *given; /* in the workers, as it was when they were forked */

static int give(weir_task *task, void *arg)
{
    return weir_task_result(task, given, *(const size_t *)arg);
}

static void take(weir_future *future, size_t size)
{
    size_t got;
    const unsigned char *bytes = weir_future_result(future, &got);

    must(bytes != NULL && got == size && bytes[size - 1] == given[size - 1], "a result");
    weir_future_free(future);
}

static void run_calls(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++) {
        bench->futures[i] =
            weir_pool_submit(bench->pool, give, &bench->size, sizeof bench->size, NULL);
        must(bench->futures[i] != NULL, "weir_pool_submit");
    }
    for (int i = 0; i < bench->count; i++)
        take(bench->futures[i], bench->size);
}

static void run_one(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++)
        take(weir_pool_submit(bench->pool, give, &bench->size, sizeof bench->size, NULL),
             bench->size);
}

static void run_stream(struct bench *bench)
{
    weir_stream *stream = weir_stream_new(
        bench->pool, give, &(weir_stream_options){.in_flight = IN_FLIGHT, .untaken = IN_FLIGHT});
    int puts = 0, takes = 0, result;
    weir_item item;

    must(stream != NULL, "weir_stream_new");
    while (takes < bench->count) {
        result = puts < bench->count ? weir_stream_put(stream, &bench->size, sizeof bench->size)
                                     : -EAGAIN;
        if (result == 0) {
            puts++;
            continue;
        }
        must(weir_stream_next(stream, &item, -1) == 1 && item.size == bench->size, "a result");
        takes++;
    }
    weir_stream_free(stream);
}

static void run_socketpair(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++) {
        for (size_t got = 0; got < bench->size;) {
            ssize_t more = read(bench->sockets[0], bench->to + got, bench->size - got);

            must(more > 0, "read");
            got += (size_t)more;
        }
    }
}

static void copy(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    __asm__ volatile("" : : "r"(to) : "memory"); /* it is not left out */
}

static void run_copies(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++)
        copy(bench->between + (size_t)i * bench->size, bench->from, bench->size);
    for (int i = 0; i < bench->count; i++)
        copy(bench->to, bench->between + (size_t)i * bench->size, bench->size);
}

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
} kinds[] = {
    {"calls", run_calls},           {"one", run_one},       {"stream", run_stream},
    {"socketpair", run_socketpair}, {"copies", run_copies},
};

static pid_t fork_writer(struct bench *bench)
{
    pid_t pid;

    must(socketpair(AF_UNIX, SOCK_STREAM, 0, bench->sockets) == 0, "socketpair");
    pid = fork();
    if (pid == 0) {
        close(bench->sockets[0]);
        while (write(bench->sockets[1], given, bench->size) > 0)
            ;
        _exit(0);
    }
    close(bench->sockets[1]);
    return pid;
}

static double run_round(struct bench *bench, void (*run)(struct bench *bench))
{
    const int times = BULK_MOST / bench->count;
    const double begin = now_us();

    for (int i = 0; i < times; i++)
        run(bench);
    return (now_us() - begin) / times / bench->count;
}

static void run_kind(struct bench *bench, void (*run)(struct bench *bench))
{
    weir_scope *scope = NULL;
    pid_t writer = -1;
    char line[64];

    if (run == run_socketpair) {
        signal(SIGPIPE, SIG_DFL);
        writer = fork_writer(bench);
    } else if (run != run_copies) {
        scope = weir_scope_begin(NULL);
        bench->pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
        must(bench->pool != NULL, "weir_pool_new");
    }
    for (int i = 0; i < 3; i++) /* what is done only at first is done now */
        run_round(bench, run);
    while (fgets(line, sizeof line, stdin)) {
        printf("%.5f\n", run_round(bench, run));
        fflush(stdout);
    }
    if (writer > 0) {
        close(bench->sockets[0]);
        waitpid(writer, NULL, 0);
    }
    if (scope != NULL)
        must(weir_scope_end(scope) == 0, "weir_scope_end");
}

int main(int argc, char **argv)
{
    static struct bench bench;

    bench.size = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    for (size_t i = 0;
         bench.size > 0 && bench.size <= SIZE_MOST && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        bench.count =
            BULK_BYTES / bench.size < BULK_MOST ? (int)(BULK_BYTES / bench.size) : BULK_MOST;
        bench.count = bench.count > 0 ? bench.count : 1;
        given = malloc(bench.size);
        bench.from = malloc(bench.size);
        bench.between = malloc((size_t)bench.count * bench.size);
        bench.to = malloc(bench.size);
        must(given && bench.from && bench.between && bench.to, "memory");
        memset(given, 7, bench.size);
        memset(bench.from, 7, bench.size);
        run_kind(&bench, kinds[i].run);
        return 0;
    }
    fprintf(stderr,
            "usage: rounds-result calls|one|stream|socketpair|copies BYTES; then a line for "
            "each round\n");
    return 2;
}
