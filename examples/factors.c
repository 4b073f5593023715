/* SPDX-License-Identifier: MIT
 *
 * factors: the prime factors of numbers that come line by line, as factor(1) prints them.
 *
 * A program with a poll() loop of its own. It waits for its input and for the pool's descriptor
 * together; when the pool's is readable, weir_pool_dispatch() calls what was asked for with
 * weir_future_then(). So numbers can be typed while others are worked on, and answers come as they
 * are ready. A number that takes longer than five seconds is given up, its worker with it.
 *
 *   cc factors.c $(pkg-config --cflags --libs weir) -o factors && ./factors
 */
#include <weir.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FACTORS_MAX 64
#define TIMEOUT_MS  5000

struct answer {
    int count;
    uint64_t factor[FACTORS_MAX];
};

static int out; /* answers to come */

/* In a worker. */
static int find_factors(weir_task *task, void *arg)
{
    uint64_t number = *(const uint64_t *)arg;
    struct answer answer = {0};

    for (uint64_t d = 2; d <= number / d; d += 1 + d % 2) {
        for (; number % d == 0; number /= d)
            answer.factor[answer.count++] = d;
    }
    if (number > 1)
        answer.factor[answer.count++] = number;
    return weir_task_result(task, &answer, sizeof(answer));
}

/* From weir_pool_dispatch(). `arg` is the number. */
static void on_found(weir_future *future, void *arg)
{
    const struct answer *answer = weir_future_result(future, NULL);

    if (answer) {
        printf("%" PRIu64 ":", *(const uint64_t *)arg);
        for (int i = 0; i < answer->count; i++)
            printf(" %" PRIu64, answer->factor[i]);
        printf("\n");
    } else {
        fprintf(stderr, "factors: %" PRIu64 ": %s\n", *(const uint64_t *)arg,
                weir_future_error(future)->message);
    }
    fflush(stdout);
    weir_future_free(future);
    free(arg);
    out--;
}

/* False: it is no number, or there is no memory. */
static bool ask(weir_pool *pool, const char *text)
{
    const weir_job_options options = {.chunk_timeout_ms = TIMEOUT_MS};
    uint64_t *number = malloc(sizeof(*number));
    weir_future *future = NULL;
    char *end = NULL;

    if (number) {
        *number = strtoull(text, &end, 10);
        if (*number > 0 && *end == '\0')
            future = weir_pool_submit(pool, find_factors, number, sizeof(*number), &options);
    }
    if (!future || weir_future_then(future, on_found, number) < 0) {
        fprintf(stderr, "factors: %s is no number that can be factored\n", text);
        weir_future_free(future);
        free(number);
        return false;
    }
    out++;
    return true;
}

/* Reads what is there, and asks for each whole line. False: the input has ended. */
static bool read_lines(weir_pool *pool)
{
    static char text[256];
    static size_t used;
    ssize_t got = read(STDIN_FILENO, text + used, sizeof(text) - 1 - used);
    char *end;

    if (got <= 0)
        return false;
    used += (size_t)got;
    text[used] = '\0';
    while ((end = strchr(text, '\n')) != NULL) {
        *end = '\0';
        ask(pool, text);
        used -= (size_t)(end + 1 - text);
        memmove(text, end + 1, used + 1);
    }
    return used < sizeof(text) - 1; /* nobody has a number that long */
}

static int serve(weir_pool *pool)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = weir_pool_fd(pool), .events = POLLIN}};

    if (fds[1].fd < 0)
        return -1;
    while (fds[0].fd >= 0 || out > 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return -1;
        if (fds[1].revents != 0 && weir_pool_dispatch(pool) < 0)
            return -1;
        if (fds[0].revents != 0 && !read_lines(pool))
            fds[0].fd = -1; /* poll() passes over it */
    }
    return 0;
}

int main(void)
{
    int result = -1;

    WEIR_SCOPE (scope, NULL) {
        weir_pool *pool = weir_pool_new(scope, NULL);

        if (pool)
            result = serve(pool);
    }
    if (result < 0)
        fprintf(stderr, "factors: %s\n", weir_last_error()->message);
    return result < 0;
}
