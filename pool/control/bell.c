/* SPDX-License-Identifier: MIT
 *
 * bell.c: waking the host.
 *
 * Invariant: what a ring is about (a cell, a bit of `notified`) is written before the ring. Killed
 * in between: the supervisor notifies of all jobs after each death, and rings both bells.
 *
 * A worker, or the program, may have closed event_fd, and then the number is that of a file of its
 * own: nothing is written to it. The host looks once a second all the same (dispatch.c).
 */
#include "pool/control/bell.h"

#include <errno.h>
#include <sys/socket.h>

#include "manager/space/descriptor.h"
#include "pool/control/futex.h"

#include "pool/control/no_malloc.h"

void weir__event_write(struct weir__control *control)
{
    const char one = 1;
    int before = errno;

    /* It fails only when much is there, and so it is readable, or when the host is gone. */
    if (weir__is_file(control->event_fd, control->event_device, control->event_inode))
        (void)!send(control->event_fd, &one, sizeof(one), MSG_NOSIGNAL | MSG_DONTWAIT);
    errno = before;
}

void weir__event_ring(struct weir__control *control)
{
    /* seq_cst; pairs with dispatch.c, drain(): the host sees what was noted before an exchange that
     * finds 1, as its own exchange comes after it */
    if (atomic_exchange(&control->event, 1) == 0)
        weir__event_write(control);
}

void weir__host_wake(struct weir__control *control)
{
    atomic_fetch_add(&control->host_bell, 1);
    weir__futex_wake(&control->host_bell, INT32_MAX);
}

void weir__host_notify(struct weir__control *control, uint32_t waiting, _Atomic uint64_t *notified,
                       unsigned bit)
{
    bool wake = waiting & WAITING_ASLEEP;

    if (waiting & (WAITING_EVENT | WAITING_NOTED))
        atomic_fetch_or(notified, UINT64_C(1) << bit);
    if (waiting & WAITING_EVENT)
        weir__event_ring(control);
    /* seq_cst, after the bit; pairs with waiter.c, mark_waiter(): that counts itself, then looks at
     * the bits */
    if ((waiting & WAITING_NOTED) && atomic_load(&control->listeners) > 0)
        wake = true;
    if (wake)
        weir__host_wake(control);
}

void weir__host_ring(struct weir__control *control, struct weir__job *job)
{
    /* seq_cst; pairs with job.c, weir__job_mark(): that sets `waiting`, then looks at the job once
     * more */
    uint32_t waiting = atomic_load(&job->waiting);
    unsigned index = (unsigned)(job - control->jobs);

    if (waiting != 0)
        weir__host_notify(control, waiting, &control->notified[index / 64], index % 64);
}
