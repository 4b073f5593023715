/* SPDX-License-Identifier: MIT
 *
 * wait.c: how a thread of the host waits.
 *
 * Each sleep is bounded by TICK_MS, so a wake-up that a killed process owed is late at worst, never
 * missing. After each tick the supervisor's pidfd is looked at, because with it gone no process is
 * left that would report anything; and once a second it is asked to look around, because a stopped
 * one reports nothing either (look.c).
 */
#include "pool/host/wait.h"

#include <errno.h>
#include <poll.h>

#include "pool/control/futex.h"
#include "pool/control/supervision.h"
#include "pool/host/look.h"

#define TICK_MS        50
#define SPIN_MAX_NS    20000 /* then the host sleeps */
#define SPIN_MIN_NS    2000
#define WORTH_NS       50000
#define IN_THE_WAY_NS  15000
#define SPIN_PAUSE_NS  50000000
#define LAST_DEATHS_MS 2000

/* What ended within WORTH_NS was worth spinning for, whether its end was met spinning or
 * asleep. But what ended just when the whole spin was over and the host slept had been waiting
 * for the very CPU on which the host spun: then the host does not spin for a while. */
void weir__spin_learn(weir_pool *pool, int64_t spun_ns, int64_t slept_ns)
{
    int64_t budget = atomic_load_explicit(&pool->spin.budget_ns, memory_order_relaxed);

    if (slept_ns > 0 && slept_ns <= IN_THE_WAY_NS && spun_ns >= SPIN_MAX_NS)
        atomic_store_explicit(&pool->spin.not_before_ns, weir__now_ns() + SPIN_PAUSE_NS,
                              memory_order_relaxed);
    budget = spun_ns + slept_ns <= WORTH_NS ? SPIN_MAX_NS : budget / 2;
    atomic_store_explicit(&pool->spin.budget_ns, budget < SPIN_MIN_NS ? SPIN_MIN_NS : budget,
                          memory_order_relaxed);
}

int64_t weir__spin_budget(weir_pool *pool, int64_t now_ns)
{
    if (now_ns < atomic_load_explicit(&pool->spin.not_before_ns, memory_order_relaxed))
        return SPIN_MIN_NS;
    return atomic_load_explicit(&pool->spin.budget_ns, memory_order_relaxed);
}

void weir__look_after_supervisor(weir_pool *pool)
{
    struct weir__detached *supervisor = &pool->supervisor;
    struct pollfd gone = {.fd = weir__detached_pidfd(supervisor), .events = POLLIN};

    if (pool->here)
        return;
    /* Without a pidfd it was gone before the pool was there (fork.c), or the program has closed it
     * and there is no such process any more, or no way to tell (before Linux 6.9). */
    if (gone.fd >= 0 ? poll(&gone, 1, 0) <= 0 || !(gone.revents & POLLIN)
                     : supervisor->pidfd.fd >= 0 && !weir__detached_is_lost(supervisor) &&
                           !weir__detached_wait(supervisor, 0)) {
        weir__look_asked(supervisor);
        return;
    }
    /* The kernel has signalled its workers; wait until they are really gone. */
    weir__detached_wait(supervisor, weir__end_ms(pool->control, LAST_DEATHS_MS));
    atomic_store_explicit(&pool->supervisor_gone, true, memory_order_release);
}

bool weir__host_sleep(weir_pool *pool, uint32_t bell, int64_t limit_ns)
{
    int64_t tick = (int64_t)TICK_MS * 1000000, remaining = limit_ns - weir__now_ns();

    if (remaining < tick)
        tick = remaining > 0 ? remaining : 0;
    if (weir__futex_wait(&pool->control->host_bell, bell, tick) != -ETIMEDOUT)
        return false;
    weir__look_after_supervisor(pool);
    return true;
}
