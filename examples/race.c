/* SPDX-License-Identifier: MIT
 *
 * race: the lowest number whose hash begins with so many zero bits, searched for by all workers.
 *
 * Calls that race: some pieces of the numbers are searched at a time, each a future. When one has
 * ended (weir_future_wait_many) the next piece is begun; when one has found a number, the pieces
 * above it are cancelled, and only those below are waited for. Ctrl-C ends the search whenever it
 * comes: the handler cancels what runs and what would be begun (weir_pool_interrupt).
 *
 *   cc race.c $(pkg-config --cflags --libs weir) -o race && ./race [BITS [WORKERS]]
 */
#include <weir.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECE 200000
#define OUT   8 /* pieces at a time */

struct piece {
    uint64_t first;
    int bits;
};

static weir_pool *pool;

static void on_interrupt(int signal)
{
    (void)signal;
    weir_pool_interrupt(pool);
}

static uint64_t hash(uint64_t number)
{
    number = (number + 1) * 0x9e3779b97f4a7c15;
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
    number = (number ^ number >> 27) * 0x94d049bb133111eb;
    return number ^ number >> 31;
}

/* In a worker: gives the first number of the piece that will do; nothing if there is none. */
static int search(weir_task *task, void *arg)
{
    const struct piece *piece = arg;

    for (uint64_t i = piece->first; i < piece->first + PIECE; i++) {
        if (hash(i) >> (64 - piece->bits) == 0)
            return weir_task_result(task, &i, sizeof(i));
        if (i % 4096 == 0 && weir_task_cancelled(task))
            return 0; /* it does not matter any more */
    }
    return 0;
}

/* 0, or the error of the call that failed. *found: the number. */
static int race(int bits, uint64_t *found)
{
    weir_future *futures[OUT] = {NULL};   /* of the pieces with these numbers modulo OUT */
    uint64_t next = 0, last = UINT64_MAX; /* pieces: to be begun, and the one with the number */
    int result = 0;

    do {
        int64_t ended;

        for (; next < last && !futures[next % OUT] && result == 0; next++) {
            const struct piece piece = {next * PIECE, bits};

            futures[next % OUT] = weir_pool_submit(pool, search, &piece, sizeof(piece), NULL);
            if (!futures[next % OUT])
                result = weir_last_error()->code;
        }
        ended = weir_future_wait_many(futures, OUT, WEIR_WHEN_ANY, -1);
        if (ended < 0 || ended == OUT)
            break; /* OUT: there is none left */
        if (weir_future_wait(futures[ended], 0) < 0) {
            result = weir_last_error()->code;
        } else if (weir_future_result(futures[ended], NULL)) {
            *found = *(const uint64_t *)weir_future_result(futures[ended], NULL);
            last = *found / PIECE;
        }
        weir_future_free(futures[ended]);
        futures[ended] = NULL;
        for (uint64_t i = last + 1; i < next && last != UINT64_MAX; i++) {
            weir_future_free(futures[i % OUT]); /* cancels it, unless it has ended */
            futures[i % OUT] = NULL;
        }
        next = last == UINT64_MAX ? next : last;
    } while (result == 0);
    for (int i = 0; i < OUT; i++)
        weir_future_free(futures[i]);
    return result;
}

int main(int argc, char **argv)
{
    int bits = argc > 1 ? atoi(argv[1]) : 26, workers = argc > 2 ? atoi(argv[2]) : 0, result = -1;
    uint64_t found = 0;

    if (bits < 1 || bits > 40 || workers < 0 || argc > 3) {
        fprintf(stderr, "usage: race [BITS (1 to 40) [WORKERS]]\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
        if (!pool)
            break;
        signal(SIGINT, on_interrupt);
        result = race(bits, &found);
        signal(SIGINT, SIG_DFL);
    }
    if (result < 0) {
        fprintf(stderr, "race: %s\n", weir_last_error()->message);
        return 1;
    }
    printf("%" PRIu64 " has the hash %016" PRIx64 "\n", found, hash(found));
    return 0;
}
