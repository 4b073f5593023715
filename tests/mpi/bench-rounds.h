/* SPDX-License-Identifier: MIT
 *
 * bench-rounds.h: when a round of a program of bench.py begins, and what it says.
 *
 * Rounds are ordered by a file, which all processes of all programs look at: so a program that has
 * no round waits in no call of MPI or weir, and takes no time of the others. A program does what a
 * line "NUMBER COMMAND" says that has its name, once, and its first process then writes a line
 * "MS CPU_MS BYTES FOUND": time, that of its own thread, what has gone over the network, and a
 * number that all programs must find.
 */
#ifndef MPI_BENCH_ROUNDS_H
#define MPI_BENCH_ROUNDS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Waits for the next round of the program called `name`; false: there is none any more. */
static inline bool next_round(const char *path, const char *name, char command[32])
{
    const struct timespec nap = {0, 10000000};
    static int last;

    for (;;) {
        FILE *file = fopen(path, "re");
        char who[32] = "";
        int number = 0;

        if (file != NULL) {
            const int fields = fscanf(file, "%d %31s %31s", &number, who, command);

            fclose(file);
            if (fields >= 2 && strcmp(who, "end") == 0)
                return false;
            if (fields == 3 && strcmp(who, name) == 0 && number > last) {
                last = number;
                return true;
            }
        }
        nanosleep(&nap, NULL);
    }
}

static inline double ms_of(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* Bytes that have come and gone by the network of this machine. */
static inline double wire_bytes(void)
{
    FILE *file = fopen("/proc/self/net/dev", "re");
    char line[512];
    double sum = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        double in, out;

        if (colon != NULL && strstr(line, "eth0") != NULL &&
            sscanf(colon + 1, "%lf %*s %*s %*s %*s %*s %*s %*s %lf", &in, &out) == 2)
            sum = in + out;
    }
    if (file != NULL)
        fclose(file);
    return sum;
}

struct measured {
    double ms, cpu_ms, bytes;
};

static inline struct measured measure_now(void)
{
    const struct measured now = {ms_of(CLOCK_MONOTONIC), ms_of(CLOCK_THREAD_CPUTIME_ID),
                                 wire_bytes()};

    return now;
}

static inline void say_round(struct measured since, int calls, double found)
{
    const struct measured now = measure_now();

    printf("%.6f %.6f %.0f %.17g\n", (now.ms - since.ms) / calls,
           (now.cpu_ms - since.cpu_ms) / calls, (now.bytes - since.bytes) / calls, found);
    fflush(stdout);
}

#endif
