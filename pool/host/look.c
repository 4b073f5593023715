/* SPDX-License-Identifier: MIT
 *
 * look.c: having the supervisor look.
 *
 * control.look_ns says when it looks next. The host only makes it earlier, and rings when it did:
 * with jobs that all have the same timeout that is once a timeout, and not once a job. Both sides
 * store and then load, sequentially consistent:
 *
 *     the host                                  the supervisor
 *     publishes the job (state, timed_jobs)     look_ns = INT64_MAX
 *     loads look_ns; lowers it, rings           looks at the jobs; lowers look_ns
 *
 * So either the supervisor sees the job, or the host sees what the supervisor has stored.
 *
 * A stopped supervisor (SIGSTOP) does not look. Nothing of the host blocks for that; but a chunk of
 * a dead worker and a deadline wait for it, and with them the program. So a thread that waits asks
 * once a second, which is a look that is due at once, and continues a supervisor that has not
 * answered the last time. Against a debugger or a frozen cgroup that does nothing. It says so in
 * control.alone_ns, because time in which the supervisor alone stands still counts for deadlines.
 */
#include "pool/host/look.h"

#include "pool/control/control.h"
#include "shm/clock.h"

#define ASK_NS INT64_C(1000000000)

void weir__look_at(const struct weir__detached *supervisor, int64_t when_ns)
{
    _Atomic int64_t *look_ns = &supervisor->control->look_ns;
    /* seq_cst, after the job is there; pairs with supervisor.c, look_at_deadlines() */
    int64_t seen = atomic_load(look_ns);

    while (when_ns < seen) {
        if (!atomic_compare_exchange_weak(look_ns, &seen, when_ns))
            continue;
        weir__detached_ring(supervisor);
        return;
    }
}

void weir__look_asked(struct weir__detached *supervisor)
{
    int64_t now = weir__now_ns();
    /* relaxed, both: they only decide how often it is asked, and which thread asks. */
    int64_t last = atomic_load_explicit(&supervisor->asked_ns, memory_order_relaxed);

    if (now - last < ASK_NS ||
        !atomic_compare_exchange_strong_explicit(&supervisor->asked_ns, &last, now,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    if (atomic_load(&supervisor->control->look_ns) <= now - ASK_NS) {
        /* If this process has stood still too, its last question was long ago. relaxed: the signal
         * comes after it; pairs with supervisor.c, note_pause() */
        if (now - last < ASK_NS + ASK_NS / 5)
            atomic_store_explicit(&supervisor->control->alone_ns, now, memory_order_relaxed);
        weir__detached_continue(supervisor);
    }
    weir__look_at(supervisor, now);
}
