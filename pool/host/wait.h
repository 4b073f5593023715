/* SPDX-License-Identifier: MIT
 *
 * wait.h: how a thread of the host waits: it spins, then sleeps, and learns from both.
 */
#ifndef WEIR_WAIT_H
#define WEIR_WAIT_H

#include "pool/control/park.h"
#include "pool/control/ready.h"
#include "pool/host/state.h"
#include "shm/clock.h"

/* What is waited for: a job, or a call of the queue. Each is one const object, so that the compiler
 * puts these functions into the loops below. */
struct weir__wait_kind {
    /* Whether it is over. Cheap while it is not. */
    bool (*is_over)(weir_pool *pool, void *what);
    /* After each round of looks at the clock; NULL: nothing. */
    void (*spun)(weir_pool *pool, void *what, int64_t spun_ns);
    /* Says that a thread is about to sleep, then looks once more whether it is over. */
    bool (*mark)(weir_pool *pool, void *what);
};

/* When what a thread waits for does not come at once, it spins for so long; then it learns from how
 * long that took, and how long it slept thereafter. */
int64_t weir__spin_budget(weir_pool *pool, int64_t now_ns);
void weir__spin_learn(weir_pool *pool, int64_t spun_ns, int64_t slept_ns);

/* Sleeps until host_bell is not `bell` any more, at most a tick, and not past the limit. `bell` was
 * read before the caller marked what it waits for and looked at it. True: a tick has passed. */
bool weir__host_sleep(weir_pool *pool, uint32_t bell, int64_t limit_ns);

/* Notices that the supervisor is gone, and its workers with it. */
void weir__look_after_supervisor(weir_pool *pool);

static inline __attribute__((always_inline)) bool
weir__wait_spinning(weir_pool *pool, const struct weir__wait_kind *kind, void *what,
                    int64_t *spun_ns)
{
    int64_t start, budget;

    *spun_ns = 0;
    /* The shortest ones end within a microsecond: not a pause nor a look at the clock for them. */
    for (int i = 0; i < WEIR__LOOKS_AT_FIRST; i++) {
        if (kind->is_over(pool, what))
            return true;
    }
    start = weir__now_ns();
    budget = weir__spin_budget(pool, start);
    do {
        for (int i = 0; i < WEIR__LOOKS_A_ROUND; i++) {
            if (kind->is_over(pool, what))
                return true;
            weir__pause();
        }
        *spun_ns = weir__now_ns() - start;
        if (kind->spun != NULL)
            kind->spun(pool, what, *spun_ns);
    } while (*spun_ns < budget);
    return false;
}

/* Waits until it is over, or `limit_ns` of CLOCK_MONOTONIC (INT64_MAX: no limit). */
static inline __attribute__((always_inline)) bool
weir__wait(weir_pool *pool, const struct weir__wait_kind *kind, void *what, int64_t limit_ns)
{
    struct weir__control *control = pool->control;
    int64_t spun, asleep;

    if (weir__wait_spinning(pool, kind, what, &spun)) {
        weir__spin_learn(pool, spun, 0);
        return true;
    }
    asleep = weir__now_ns();
    for (;;) {
        uint32_t bell = atomic_load(&control->host_bell);

        if (kind->mark(pool, what)) {
            weir__spin_learn(pool, spun, weir__now_ns() - asleep);
            return true;
        }
        if (limit_ns != INT64_MAX && weir__now_ns() >= limit_ns)
            return false;
        if (weir__host_sleep(pool, bell, limit_ns) && weir__ready_any(control))
            weir__wake_one(control);
    }
}

#endif
