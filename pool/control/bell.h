/* SPDX-License-Identifier: MIT
 *
 * bell.h: waking the host.
 *
 * Threads of the host sleep on a futex (control.host_bell) or poll a socket, of which
 * control.event_fd is the other end.
 * Workers, the supervisor and the host itself ring either when a job or call may have settled.
 */
#ifndef WEIR_BELL_H
#define WEIR_BELL_H

#include "pool/control/control.h"

/* Tells the threads of the host that wait for `job` that it may be settled. Signal-safe. */
void weir__host_ring(struct weir__control *control, struct weir__job *job);

/* The same for whatever they wait for: `waiting` says how (WAITING_...), bit `bit` of `notified`
 * names it. */
void weir__host_notify(struct weir__control *control, uint32_t waiting, _Atomic uint64_t *notified,
                       unsigned bit);

/* Wakes all threads of the host that sleep. Signal-safe. */
void weir__host_wake(struct weir__control *control);

/* Makes event_fd readable, unless it is, or another process is about to make it so. If that process
 * is killed first, the supervisor makes it good with weir__event_write(). Signal-safe, both. */
void weir__event_ring(struct weir__control *control);
void weir__event_write(struct weir__control *control);

#endif
