/* SPDX-License-Identifier: MIT
 *
 * now.h: the clock of all tests and benchmarks.
 */
#ifndef TEST_NOW_H
#define TEST_NOW_H

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static inline double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static inline double now_ms(void)
{
    return now_us() / 1e3;
}

/* A limit of time on this machine, in the unit of `usual`, which is enough on a usual one.
 * WEIR_TEST_SLOWER says how many times as long all takes here, as cross/run does. */
static inline double at_most(double usual)
{
    const char *slower = getenv("WEIR_TEST_SLOWER");

    return slower != NULL ? usual * strtod(slower, NULL) : usual;
}

/* All of it, whatever signals come in. */
static inline void sleep_us(int us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000L};

    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

#endif
