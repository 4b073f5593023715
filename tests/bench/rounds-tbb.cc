/* SPDX-License-Identifier: MIT
 *
 * rounds-tbb.cc: oneTBB's side of the benchmarks that beside.py runs: one round for each line on
 * stdin.
 *
 * "pool_map": an empty loop of 16 iterations, one a task, on 2 threads; "pool_map_cold" and
 * "pool_map_cool" with pauses of 3 and 0.2 ms between the loops. "submit": 10,000 empty tasks of a
 * task_group, then the wait for all.
 */
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_group.h>

#include <cstdio>
#include <cstring>
#include <unistd.h>

#include "now.h"

namespace
{

constexpr int tasks = 10000;

void loop()
{
    oneapi::tbb::parallel_for(
        oneapi::tbb::blocked_range<int>(0, 16, 1),
        [](const oneapi::tbb::blocked_range<int> &) {
            __asm__ volatile("" ::: "memory");
        },
        oneapi::tbb::simple_partitioner());
}

double loops(int count, useconds_t pause_us)
{
    double sum = 0;

    for (int i = 0; i < count; i++) {
        if (pause_us > 0)
            usleep(pause_us);
        const double begin = now_us();

        loop();
        sum += now_us() - begin;
    }
    return sum / count;
}

double hot()
{
    const double begin = now_us();

    for (int i = 0; i < 2000; i++)
        loop();
    return (now_us() - begin) / 2000;
}

double submit()
{
    const double begin = now_us();
    oneapi::tbb::task_group group;

    for (int i = 0; i < tasks; i++)
        group.run([] { __asm__ volatile("" ::: "memory"); });
    group.wait();
    return (now_us() - begin) / tasks;
}

double run_round(const char *name)
{
    return !strcmp(name, "pool_map_cold")   ? loops(20, 3000)
           : !strcmp(name, "pool_map_cool") ? loops(100, 200)
           : !strcmp(name, "submit")        ? submit()
                                            : hot();
}

} // namespace

int main(int argc, char **argv)
{
    const oneapi::tbb::global_control two(oneapi::tbb::global_control::max_allowed_parallelism, 2);
    const char *name = argc == 2 ? argv[1] : "";
    char line[64];

    run_round(name); /* starts the threads */
    while (fgets(line, sizeof line, stdin) != nullptr) {
        printf("%.5f\n", run_round(name));
        fflush(stdout);
    }
    return 0;
}
