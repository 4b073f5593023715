/* SPDX-License-Identifier: MIT
 *
 * look.h: having the supervisor look at the time, and at what it may have missed.
 */
#ifndef WEIR_LOOK_H
#define WEIR_LOOK_H

#include "pool/host/fork.h"

/* It is to look at the time at `when_ns` (CLOCK_MONOTONIC). It is woken only if it would sleep
 * longer. What there is to see has been published before. Does not block. */
void weir__look_at(const struct weir__detached *supervisor, int64_t when_ns);

/* Called every now and then by a thread that waits for something that the supervisor may owe. Once
 * a second it has the supervisor look; one that has not looked since the last time is stopped,
 * perhaps, and is sent SIGCONT. */
void weir__look_asked(struct weir__detached *supervisor);

#endif
