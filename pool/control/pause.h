/* SPDX-License-Identifier: MIT
 *
 * pause.h: how a process finds out that it stood still.
 *
 * Nothing tells it: neither a stop (SIGSTOP, Ctrl-Z) nor a frozen cgroup nor a machine that was
 * paused. But it wakes later than it meant to. So waits that have a limit are cut into short ones,
 * and what one of them was late does not count.
 */
#ifndef WEIR_PAUSE_H
#define WEIR_PAUSE_H

#include <stdint.h>

#define WEIR__TICK_MS  50 /* of a wait with a limit; a pause is known up to so much */
#define WEIR__PAUSE_NS INT64_C(500000000) /* later than any busy machine has it */

/* How long a wait of `remaining_ns` is to last, in ms: rounded up, and a tick at most. */
static inline int weir__tick_ms(int64_t remaining_ns)
{
    if (remaining_ns > WEIR__TICK_MS * INT64_C(1000000))
        return WEIR__TICK_MS;
    return remaining_ns > 0 ? (int)((remaining_ns + 999999) / 1000000) : 0;
}

/* For how long a process stood still that meant to wake at `planned_ns`; 0: it did not. */
static inline int64_t weir__pause_after(int64_t planned_ns, int64_t now_ns)
{
    return now_ns - planned_ns >= WEIR__PAUSE_NS ? now_ns - planned_ns : 0;
}

#endif
