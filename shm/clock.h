/* SPDX-License-Identifier: MIT
 *
 * clock.h: the one clock of all deadlines, CLOCK_MONOTONIC.
 */
#ifndef WEIR_SHM_CLOCK_H
#define WEIR_SHM_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t weir__now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The same clock at its last tick, up to some 10 ms ago (1 ms to 10 ms, as the kernel was built): a
 * fifth of the time. */
static inline int64_t weir__now_coarse_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t weir__now_ms(void)
{
    return weir__now_ns() / 1000000;
}

/* When a wait of `timeout_ms` that begins now is over; negative: never (INT64_MAX). */
static inline int64_t weir__limit_ns(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : weir__now_ns() + (int64_t)timeout_ms * 1000000;
}

#endif
