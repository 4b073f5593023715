/* SPDX-License-Identifier: MIT
 *
 * factors: the prime factors of numbers that come line by line, as factor(1) prints them.
 *
 * A program with a poll() loop of its own. It waits for its input and for the pool's descriptor
 * together; when the pool's descriptor is readable, weir_pool_dispatch() calls the callbacks that
 * weir_future_then() has set. So numbers can be typed while others are worked on, and answers come
 * as they are ready. A number that takes longer than five seconds is given up, its worker with it.
 *
 *   cc factors.c $(pkg-config --cflags --libs weir) -o factors && ./factors
 *
 * Prints "NUMBER: FACTOR..." for each number.
 */
#include <weir.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FACTORS_MAX 64 /* a number of 64 bits has fewer */
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

    if (answer != NULL) {
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

/* From 1 to 2^64 - 1; 0: the text is no such number. */
static uint64_t parse(const char *text)
{
    char *end;
    uint64_t number;

    errno = 0;
    number = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    return number > 0 && *end == '\0' && errno == 0 ? number : 0;
}

/* Returns 0, or -1 with the last error set. A line that is not a number is only reported. */
static int ask(weir_pool *pool, const char *text)
{
    const weir_job_options options = {.chunk_timeout_ms = TIMEOUT_MS};
    uint64_t *number;
    weir_future *future;

    if (parse(text) == 0) {
        fprintf(stderr, "factors: %s is not a number that can be factored\n", text);
        return 0;
    }
    number = malloc(sizeof(*number));
    if (number == NULL) {
        fprintf(stderr, "factors: no memory for %s\n", text);
        return 0;
    }
    *number = parse(text);
    future = weir_pool_submit(pool, find_factors, number, sizeof(*number), &options);
    if (future == NULL || weir_future_then(future, on_found, number) < 0) {
        weir_future_free(future);
        free(number);
        return -1;
    }
    out++;
    return 0;
}

/* Reads what is there, and asks for each whole line. Returns 1, 0 when the input has ended, or -1
 * with the last error set. */
static int read_lines(weir_pool *pool)
{
    static char text[256];
    static size_t used;
    ssize_t got = read(STDIN_FILENO, text + used, sizeof(text) - 1 - used);
    char *end;

    if (got < 0)
        perror("factors: the input");
    if (got <= 0)
        return 0;
    used += (size_t)got;
    text[used] = '\0';
    while ((end = strchr(text, '\n')) != NULL) {
        *end = '\0';
        if (ask(pool, text) < 0)
            return -1;
        used -= (size_t)(end + 1 - text);
        memmove(text, end + 1, used + 1);
    }
    return used < sizeof(text) - 1; /* a line that fills the buffer ends the input */
}

/* Returns 0, 1 with a message printed, or -1 with the last error set. */
static int serve(weir_scope *scope)
{
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
    int more = 1;

    weir_pool *pool = weir_pool_new(scope, NULL);
    if (pool == NULL)
        return -1;
    fds[1].fd = weir_pool_fd(pool);
    if (fds[1].fd < 0)
        return -1;
    while (more || out > 0) {
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            perror("factors: poll");
            return 1;
        }
        if (fds[1].revents != 0 && weir_pool_dispatch(pool) < 0)
            return -1;
        if (fds[0].revents != 0)
            more = read_lines(pool);
        if (more < 0)
            return -1;
        if (more == 0)
            fds[0].fd = -1; /* poll() skips it */
    }
    return 0;
}

int main(void)
{
    int status = -1;

    WEIR_SCOPE (scope, NULL) {
        status = serve(scope);
    }
    if (status < 0)
        fprintf(stderr, "factors: %s\n", weir_last_error()->message);
    return status != 0;
}
