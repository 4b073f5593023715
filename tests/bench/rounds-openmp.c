/* SPDX-License-Identifier: MIT
 *
 * rounds-openmp.c: libgomp's side of the benchmarks that beside.py runs: one round for each line on
 * stdin.
 *
 * An empty parallel loop of 16 iterations on 2 threads: "pool_map" one after the other,
 * "pool_map_cold" with a pause in which the threads fall asleep.
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

static double cold(void)
{
    double sum = 0;

    for (int i = 0; i < 20; i++) {
        double begin;

        usleep(3000);
        begin = now_us();
        loop();
        sum += now_us() - begin;
    }
    return sum / 20;
}

int main(int argc, char **argv)
{
    double (*round)(void) = argc == 2 && !strcmp(argv[1], "pool_map_cold") ? cold : hot;
    char line[64];

    round(); /* starts the threads */
    while (fgets(line, sizeof line, stdin)) {
        printf("%.5f\n", round());
        fflush(stdout);
    }
    return 0;
}
