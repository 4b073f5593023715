/* SPDX-License-Identifier: MIT
 *
 * park.h: how workers wait for work (spin a little, then sleep), and how they are woken.
 */
#ifndef WEIR_PARK_H
#define WEIR_PARK_H

#include "pool/control/control.h"
#include "pool/control/tie.h"
#include "shm/clock.h"

static inline void weir__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* A spinning process first looks so often without a pause, in less than a microsecond; then so
 * often between two looks at the clock, with pauses. */
#define WEIR__LOOKS_AT_FIRST 200
#define WEIR__LOOKS_A_ROUND  8

/* How long not to do again what cost time: `min_ns`, as it may have been the machine for once;
 * twice the last pause, up to `max_ns`, when that is over for less than twice its time. */
static inline int64_t weir__next_pause(int64_t last_ns, int64_t ended_ns, int64_t now_ns,
                                       int64_t min_ns, int64_t max_ns)
{
    if (last_ns == 0 || now_ns - ended_ns > 2 * last_ns)
        return min_ns;
    return 2 * last_ns < max_ns ? 2 * last_ns : max_ns;
}

/* How long a worker spins before it sleeps; it learns from whether spinning was
 * worth it. Private. */
struct weir__spin {
    int64_t budget_ns;
    int64_t not_before_ns;
    int64_t pause_ns; /* the last one; not_before_ns is its end */
    int soon;         /* jobs in a row that came soon after it slept on the program's CPU */
    bool stays;       /* it may use no other CPU */
};

/* Worker: it is about to look for work, so the host may count on it for a job. Said before the end
 * of the last one is, so that a program that opens one job after the other finds it. */
void weir__announce_spin(struct weir__control *control, unsigned slot);

/* Worker: it has found work, and the host may not count on it. */
void weir__end_spin(struct weir__control *control, unsigned slot);

/* Worker: returns when there may be work, the pool's state has changed, or its tie is to be looked
 * at. */
void weir__park(struct weir__control *control, unsigned slot, struct weir__spin *spin,
                struct weir__tie *tie);

/* Host, before it makes a job visible that it waits for: takes a spinning worker's bit. Its slot,
 * or -1. */
int weir__take_spinner(struct weir__control *control);

/* Host, after it has: wakes that worker if it has gone to sleep. */
void weir__wake_spinner(struct weir__control *control, int slot);

/* Whether a worker spins for work. */
bool weir__any_spinning(const struct weir__control *control);

/* Whether a worker sleeps, or is about to. */
bool weir__any_parked(const struct weir__control *control);

/* Wakes one sleeping worker. False when none sleeps. */
bool weir__wake_one(struct weir__control *control);

/* Wakes every worker, asleep or about to be: for changes that all must see. */
void weir__wake_all(struct weir__control *control);

/* Supervisor, after deaths and when what is ready has been added again: makes up for all wake-ups
 * that the dead have owed. */
void weir__wake_lost(struct weir__control *control);

#endif
