/* SPDX-License-Identifier: MIT
 *
 * pipeline: two stages over the lines of its input. The first finds the numbers of a line, the
 * second the sum of their squares. Lines come out in their order; one that is wrong is passed over.
 *
 *   cc pipeline.c $(pkg-config --cflags --libs weir) -o pipeline && printf '3 4\n' | ./pipeline
 *
 * SIGTERM ends the input: what has been read is finished, and the program ends in order.
 */
#include <weir.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX 100

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

/* ---- in workers ------------------------------------------------------------------------------*/

static int parse(weir_task *task, void *line)
{
    int64_t numbers[NUMBERS_MAX];
    size_t count = 0;
    char *rest = line;

    while (*rest != '\0') {
        char *end;
        const int64_t number = strtoll(rest, &end, 10);

        if (end == rest || count == NUMBERS_MAX)
            return weir_task_fail(task, EINVAL, "not a list of numbers: %s", rest);
        numbers[count++] = number;
        rest = end;
    }
    return weir_task_result(task, numbers, count * sizeof(*numbers));
}

static int weigh(weir_task *task, void *arg)
{
    const struct numbers {
        size_t count;
        int64_t number[NUMBERS_MAX];
    } *numbers = arg;
    int64_t sum = 0;

    for (size_t i = 0; i < numbers->count; i++)
        sum += numbers->number[i] * numbers->number[i];
    return weir_task_result(task, &sum, sizeof(sum));
}

/* ---- in the program --------------------------------------------------------------------------*/

/* Gives what the first stage has found to the second one. Returns 0, or -1. */
static int pass_on(weir_stream *second, const weir_item *item)
{
    struct {
        size_t count;
        int64_t number[NUMBERS_MAX];
    } numbers = {.count = item->size / sizeof(int64_t)};

    if (item->code < 0) { /* a failed item is an item, too */
        fprintf(stderr, "line %" PRId64 ": %s\n", item->index + 1, item->error->message);
        return 0;
    }
    if (item->size > 0)
        memcpy(numbers.number, item->data, item->size);
    return weir_stream_put(second, &numbers, sizeof(numbers));
}

/* Moves what is ready from stage to stage; at the end of the input it waits for all. */
static int move(weir_stream *first, weir_stream *second, bool end)
{
    weir_item item;

    while (weir_stream_next(first, &item, end ? -1 : 0) == 1)
        if (pass_on(second, &item) < 0)
            return -1;
    while (weir_stream_next(second, &item, end ? -1 : 0) == 1)
        if (item.code == 0)
            printf("%" PRId64 "\n", *(const int64_t *)item.data);
        else
            fprintf(stderr, "%s\n", item.error->message);
    return 0;
}

static int run(weir_scope *scope)
{
    char line[1000];

    weir_pool *pool = weir_pool_new(scope, NULL);
    weir_stream *first = weir_stream_new(pool, parse, NULL);
    weir_stream *second = weir_stream_new(pool, weigh, NULL);
    if (pool == NULL || first == NULL || second == NULL)
        return -1;
    while (!stopping && fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (weir_stream_put(first, line, strlen(line) + 1) < 0 || move(first, second, false) < 0)
            return -1;
    }
    return move(first, second, true);
}

int main(void)
{
    int status = -1;

    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL); /* ends fgets() */
    WEIR_SCOPE (scope, NULL) {
        status = run(scope);
    }
    if (status < 0)
        fprintf(stderr, "pipeline: %s\n", weir_last_error()->message);
    return status < 0;
}
