/* SPDX-License-Identifier: MIT
 *
 * cold.c: a job that a thread waits for, and for which a worker had to be woken.
 *
 * Where the kernel finds no idle CPU it puts a woken process on the CPU of its waker. In a virtual
 * machine that is often so, as an idle CPU of the guest looks like one that the machine below has
 * taken away. There the worker waits as long as the host spins, and longer; so the host gives its
 * CPU up, once. Where the worker is on another CPU that costs a system call of 0.3 us while nothing
 * is to do.
 *
 * While the worker has the CPU the host cannot wake more workers. So it gives its CPU up only for a
 * job whose likes (same function, as many items and chunks) were over at once the last time that a
 * worker was woken for them. A thread of the program's that has the CPU for longer, or another
 * program, is learnt from too: then the host does not for a while.
 */
#include "pool/host/cold.h"

#include <sched.h>

#include "pool/control/park.h"
#include "shm/clock.h"

#define QUICK_NS     60000  /* over at once, the worker's waking included */
#define TAKEN_NS     200000 /* the CPU was another program's meanwhile */
#define PAUSE_MIN_NS INT64_C(100000000)
#define PAUSE_MAX_NS INT64_C(10000000000)

static _Atomic uint8_t *was_quick(weir_pool *pool, const struct weir__job *job)
{
    const uint64_t likes = (uint64_t)(uintptr_t)job->function ^
                           ((uint64_t)job->range.end - (uint64_t)job->range.begin) ^
                           (uint64_t)job->count << 40;

    return &pool->cold.was_quick[likes * UINT64_C(0x9e3779b97f4a7c15) >> (64 - WEIR__LIKES_BITS)];
}

void weir__cold_note_cpu(weir_pool *pool)
{
    const int cpu = sched_getcpu();

    if (atomic_load_explicit(&pool->control->host_cpu, memory_order_relaxed) != cpu)
        atomic_store_explicit(&pool->control->host_cpu, cpu, memory_order_relaxed);
}

static void give_cpu_up(weir_pool *pool, int64_t now_ns)
{
    struct weir__host_cold *cold = &pool->cold;
    const int64_t ended = atomic_load_explicit(&cold->not_before_ns, memory_order_relaxed);
    int64_t took, pause;

    if (now_ns < ended)
        return;
    sched_yield();
    took = weir__now_ns() - now_ns;
    if (took < TAKEN_NS)
        return;
    pause = weir__next_pause(atomic_load_explicit(&cold->pause_ns, memory_order_relaxed), ended,
                             now_ns, PAUSE_MIN_NS, PAUSE_MAX_NS);
    atomic_store_explicit(&cold->pause_ns, pause, memory_order_relaxed);
    atomic_store_explicit(&cold->not_before_ns, now_ns + took + pause, memory_order_relaxed);
}

int64_t weir__cold_begin(weir_pool *pool, const struct weir__job *job)
{
    const int64_t now = weir__now_ns();

    if (atomic_load_explicit(was_quick(pool, job), memory_order_relaxed))
        give_cpu_up(pool, now);
    return now;
}

void weir__cold_end(weir_pool *pool, const struct weir__job *job, int64_t began_ns)
{
    const bool quick = weir__now_ns() - began_ns <= QUICK_NS;

    atomic_store_explicit(was_quick(pool, job), quick, memory_order_relaxed);
}
