/* SPDX-License-Identifier: MIT
 *
 * dict-rounds.c: PROGRAM CASE [KEYS [PROCESSES]]: a store of ints, one round for each line on
 * stdin, for beside.py.
 *
 * get, set, add, get_many and set_many take a key at random each time, of a store that has them
 * all; insert and insert_many put all keys in random order into an empty store. Prints microseconds
 * an operation, of all processes together: two that do twice as much in the same time halve it.
 */
#include "dict-rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "now.h"

enum { OPERATIONS = 200000, PROCESSES_MAX = 16 };

static const char *const cases[] = {"get",      "set",    "add",        "get_many",
                                    "set_many", "insert", "insert_many"};
enum which { GET, SET, ADD, GET_MANY, SET_MANY, INSERT, INSERT_MANY, CASES };

int store_id;
static enum which which = CASES;
static uint64_t keys = 1000, processes = 1;
static uint64_t seed;
static int64_t *order; /* of all keys, at random */

_Noreturn void store_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    _exit(1);
}

static uint64_t random_below(uint64_t end)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % end;
}

static void shuffle(void)
{
    order = malloc(keys * sizeof *order);
    if (order == NULL)
        store_fail("malloc", "no memory");
    for (uint64_t i = 0; i < keys; i++)
        order[i] = (int64_t)i;
    for (uint64_t i = keys - 1; i > 0; i--) {
        uint64_t other = random_below(i + 1);
        int64_t key = order[i];

        order[i] = order[other];
        order[other] = key;
    }
}

/* One process's part of all keys. */
static void insert_part(uint64_t process, int many)
{
    uint64_t from = keys * process / processes, end = keys * (process + 1) / processes;

    while (from < end) {
        if (many && end - from >= BATCH) {
            store_set_many(order + from);
            from += BATCH;
        } else {
            store_set(order[from], 0);
            from++;
        }
    }
}

static void operate_many(void)
{
    int64_t some[BATCH];

    for (int i = 0; i < OPERATIONS; i += BATCH) {
        for (int j = 0; j < BATCH; j++)
            some[j] = (int64_t)random_below(keys);
        if (which == GET_MANY)
            store_get_many(some);
        else
            store_set_many(some);
    }
}

static void operate(void)
{
    for (int i = 0; i < OPERATIONS; i++) {
        int64_t key = (int64_t)random_below(keys);

        if (which == GET)
            store_get(key);
        else if (which == SET)
            store_set(key, i);
        else
            store_add(key);
    }
}

static void run_part(uint64_t process)
{
    if (which >= INSERT) {
        store_open();
        insert_part(process, which == INSERT_MANY);
        store_close();
    } else if (which >= GET_MANY) {
        operate_many();
    } else {
        operate();
    }
}

/* ---- the other processes -------------------------------------------------------------------- */

struct other {
    pid_t pid;
    int begin, end; /* a byte begins a round, a byte says that it is done */
};

static _Noreturn void be_other(uint64_t process, int begin, int end)
{
    char byte;

    seed = process + 1;
    if (which < INSERT)
        store_open();
    while (read(begin, &byte, 1) == 1) {
        run_part(process);
        if (write(end, &byte, 1) != 1)
            break;
    }
    _exit(0);
}

static struct other start_other(uint64_t process)
{
    int begin[2], end[2];
    pid_t pid;

    if (pipe(begin) < 0 || pipe(end) < 0)
        store_fail("pipe", "failed");
    pid = fork();
    if (pid < 0)
        store_fail("fork", "failed");
    if (pid == 0) {
        close(begin[1]);
        close(end[0]);
        be_other(process, begin[0], end[1]);
    }
    close(begin[0]);
    close(end[1]);
    return (struct other){pid, begin[1], end[0]};
}

static double run_round(const struct other *others)
{
    double begin, us;
    char byte = 0;

    if (which >= INSERT)
        store_make(keys);
    begin = now_us();
    for (uint64_t i = 1; i < processes; i++)
        if (write(others[i].begin, &byte, 1) != 1)
            store_fail("write", "failed");
    run_part(0);
    for (uint64_t i = 1; i < processes; i++)
        if (read(others[i].end, &byte, 1) != 1)
            store_fail("a process", "ended");
    us = now_us() - begin;
    if (which >= INSERT)
        store_remove();
    return us / (which >= INSERT ? (double)keys : (double)(OPERATIONS * processes));
}

static void fill(void)
{
    store_open();
    insert_part(0, 1);
    store_close();
}

int main(int argc, char **argv)
{
    struct other others[PROCESSES_MAX];
    uint64_t wanted = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    char line[64];

    for (int i = 0; argc > 1 && i < CASES; i++)
        if (strcmp(argv[1], cases[i]) == 0)
            which = (enum which)i;
    keys = argc > 2 ? strtoull(argv[2], NULL, 10) : keys;
    if (which == CASES || keys == 0 || wanted == 0 || wanted > PROCESSES_MAX) {
        fprintf(stderr,
                "usage: %s get|set|add|get_many|set_many|insert|insert_many [KEYS [PROCESSES]]\n",
                argv[0]);
        return 2;
    }
    store_id = getpid();
    shuffle();
    store_make(keys);
    if (which < INSERT)
        fill();
    else
        store_remove();
    processes = wanted;
    for (uint64_t i = 1; i < processes; i++)
        others[i] = start_other(i);
    if (which < INSERT)
        store_open();
    while (fgets(line, sizeof line, stdin)) {
        printf("%.5f\n", run_round(others));
        fflush(stdout);
    }
    for (uint64_t i = 1; i < processes; i++) {
        close(others[i].begin);
        waitpid(others[i].pid, NULL, 0);
    }
    if (which < INSERT) {
        store_close();
        store_remove();
    }
    free(order);
    return 0;
}
