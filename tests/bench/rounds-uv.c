/* SPDX-License-Identifier: MIT
 *
 * rounds-uv.c: libuv's side of the benchmarks that beside.py runs: one round for each line on
 * stdin.
 *
 * "submit": 10,000 empty calls of uv_queue_work() on the threads of libuv, and the loop until the
 * last one has been told. Their requests lie in one array, which is the best a program can do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "now.h"

#define TASKS 10000

static uv_work_t requests[TASKS];
static int told;

static void nothing(uv_work_t *request)
{
    (void)request;
}

static void after(uv_work_t *request, int status)
{
    (void)request;
    told += status == 0;
}

static double submit(void)
{
    double begin = now_us();

    told = 0;
    for (int i = 0; i < TASKS; i++) {
        if (uv_queue_work(uv_default_loop(), &requests[i], nothing, after) != 0)
            abort();
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    if (told != TASKS)
        abort();
    return (now_us() - begin) / TASKS;
}

int main(void)
{
    char line[64];

    submit(); /* starts the threads */
    while (fgets(line, sizeof line, stdin)) {
        printf("%.5f\n", submit());
        fflush(stdout);
    }
    return 0;
}
