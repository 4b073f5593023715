/* SPDX-License-Identifier: MIT
 *
 * rounds-openmp.c: libgomp's side of the benchmarks that beside.py runs: one round for each line on
 * stdin.
 *
 * An empty parallel loop of 16 iterations on 2 threads: "pool_map" one after the other,
 * "pool_map_cold" and "pool_map_cool" with pauses of 3 and 0.2 ms, in which threads fall asleep
 * that do not spin for long.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "now.h"

static void loop(void)
{
#pragma omp parallel for schedule(dynamic, 1) num_threads(2)
    for (int i = 0; i < 16; i++)
        __asm__ volatile("" ::: "memory");
}

static double hot(void)
{
    double begin = now_us();

    for (int i = 0; i < 2000; i++)
        loop();
    return (now_us() - begin) / 2000;
}

static double after_pauses(int count, useconds_t pause_us)
{
    double sum = 0;

    for (int i = 0; i < count; i++) {
        double begin;

        usleep(pause_us);
        begin = now_us();
        loop();
        sum += now_us() - begin;
    }
    return sum / count;
}

static double cold(void)
{
    return after_pauses(20, 3000);
}

static double cool(void)
{
    return after_pauses(100, 200);
}

int main(int argc, char **argv)
{
    const char *name = argc == 2 ? argv[1] : "";
    double (*round)(void) = !strcmp(name, "pool_map_cold")   ? cold
                            : !strcmp(name, "pool_map_cool") ? cool
                                                             : hot;
    char line[64];

    round(); /* starts the threads */
    while (fgets(line, sizeof line, stdin)) {
        printf("%.5f\n", round());
        fflush(stdout);
    }
    return 0;
}
