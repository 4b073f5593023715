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
 *
 * Prints the number and its hash.
 */
#include <weir.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECE 200000 /* numbers of a piece */
#define OUT   8      /* pieces at a time */

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

/* In a worker: its result is the first number of the piece that will do; none if there is none. */
static int search(weir_task *task, void *arg)
{
    const struct piece *piece = arg;

    for (uint64_t i = piece->first; i < piece->first + PIECE; i++) {
        if (hash(i) >> (64 - piece->bits) == 0)
            return weir_task_result(task, &i, sizeof(i));
        if (i % 4096 == 0 && weir_task_cancelled(task))
            return 0; /* the result is no longer of interest */
    }
    return 0;
}

struct race {
    weir_future *futures[OUT]; /* of the pieces with these numbers modulo OUT */
    uint64_t next;             /* the next piece to be begun */
    uint64_t last;             /* the piece with the lowest number so far; UINT64_MAX: none */
    uint64_t found;            /* that number */
};

/* Begins as many pieces as may be out. Returns 0, or -1 with the last error set. */
static int begin_pieces(struct race *race, int bits)
{
    for (; race->next < race->last && race->futures[race->next % OUT] == NULL; race->next++) {
        const struct piece piece = {race->next * PIECE, bits};
        weir_future *future = WEIR_SUBMIT(pool, search, piece, NULL);

        if (future == NULL)
            return -1;
        race->futures[race->next % OUT] = future;
    }
    return 0;
}

static void free_future(weir_future **future)
{
    weir_future_free(*future); /* cancels it, unless it has ended */
    *future = NULL;
}

/* Takes the result of a piece that has ended. Returns 0, or -1 with the last error set. */
static int take_result(struct race *race, weir_future **future)
{
    const uint64_t *number;

    if (weir_future_wait(*future, 0) < 0)
        return -1;
    number = weir_future_result(*future, NULL);
    if (number != NULL) {
        race->found = *number;
        race->last = race->found / PIECE;
        for (uint64_t i = race->last + 1; i < race->next; i++)
            free_future(&race->futures[i % OUT]);
        race->next = race->last;
    }
    free_future(future);
    return 0;
}

/* Returns 0, or -1 with the last error set. */
static int run_race(struct race *race, int bits)
{
    for (;;) {
        int64_t ended;

        if (begin_pieces(race, bits) < 0)
            return -1;
        ended = weir_future_wait_many(race->futures, OUT, WEIR_WHEN_ANY, -1);
        if (ended < 0)
            return -1;
        if (ended == OUT)
            return 0; /* no piece is out: all below the number have been searched */
        if (take_result(race, &race->futures[ended]) < 0)
            return -1;
    }
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_scope *scope, int bits, int workers)
{
    struct race race = {.last = UINT64_MAX};
    int result;

    pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    if (pool == NULL)
        return 1;
    signal(SIGINT, on_interrupt);
    result = run_race(&race, bits);
    signal(SIGINT, SIG_DFL);
    for (int i = 0; i < OUT; i++)
        free_future(&race.futures[i]);
    if (result < 0)
        return 1;
    printf("%" PRIu64 " has the hash %016" PRIx64 "\n", race.found, hash(race.found));
    return 0;
}

/* A decimal number from 1 to max, or -1. */
static int64_t parse(const char *text, int64_t max)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    return *end || number < 1 || number > max ? -1 : number;
}

int main(int argc, char **argv)
{
    int64_t bits = argc > 1 ? parse(argv[1], 40) : 26;
    int64_t workers = argc > 2 ? parse(argv[2], WEIR_WORKERS_MAX) : weir_cpu_count();
    int status = 1;

    if (bits < 0 || workers < 0 || argc > 3) {
        fprintf(stderr, "usage: race [BITS (1 to 40) [WORKERS (1 to %d)]]\n", WEIR_WORKERS_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, (int)bits, (int)workers);
    }
    if (status != 0)
        fprintf(stderr, "race: %s\n", weir_last_error()->message);
    return status;
}
