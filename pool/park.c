/* SPDX-License-Identifier: MIT
 *
 * park.c: how workers wait for work.
 *
 * A worker first spins: a hand-over between spinning processes takes 0.1 us, waking a sleeper 4 to
 * 45 us. Only as many workers spin as there are CPUs beside the host's, and for a time that adapts:
 * longer while spinning finds work, shorter while it does not, so a pool that is idle, or that
 * shares its CPUs with others, soon sleeps at once.
 *
 * Falling asleep and waking, with the store-load pair that keeps a wake-up from getting lost:
 *
 *     worker                                  who makes work visible
 *     seen = bell                             adds to the ready set        (seq_cst)
 *     sets its parked bit       (seq_cst)     looks at the parked bits     (seq_cst)
 *     looks at the ready set    (seq_cst)     takes one out: bell + 1, wake
 *     sleeps while bell == seen
 *
 * Killed between taking a bit out and ringing: the supervisor wakes everybody after each death.
 */
#include "pool/park.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/ready.h"

#define SPIN_MIN_NS    1000
#define SPIN_MAX_NS    50000
#define LOOKS_AT_FIRST 200 /* without a pause: less than a microsecond */
#define LOOKS_A_ROUND  8

int weir__futex_wait(const _Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns)
{
    struct timespec limit = {timeout_ns / 1000000000, timeout_ns % 1000000000};

    if (syscall(SYS_futex, word, FUTEX_WAIT, seen, timeout_ns < 0 ? NULL : &limit, NULL, 0) == 0 ||
        errno == EAGAIN)
        return 0;
    return -errno;
}

void weir__futex_wake(const _Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

int64_t weir__now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool something_to_do(struct weir__control *control)
{
    return weir__ready_any(control) || atomic_load(&control->state) != POOL_RUNNING;
}

/* True when spinning was answered. */
static bool spin_for_work(struct weir__control *control, struct weir__spin *spin)
{
    int64_t start;

    for (int i = 0; i < LOOKS_AT_FIRST; i++) {
        if (something_to_do(control))
            return true;
    }
    start = weir__now_ns();
    for (;;) {
        for (int i = 0; i < LOOKS_A_ROUND; i++) {
            if (something_to_do(control))
                return true;
            weir__pause();
        }
        if (weir__now_ns() - start >= spin->budget_ns)
            return false;
    }
}

int weir__spinners(const struct weir__control *control)
{
    int count = 0;

    for (int w = 0; w * 64 < control->workers; w++) {
        uint64_t bits = atomic_load(&control->spinning[w]);

        if (bits != 0)
            count += __builtin_popcountll(bits);
    }
    return count;
}

static bool try_spinning(struct weir__control *control, unsigned index, struct weir__spin *spin)
{
    _Atomic uint64_t *spinning = &control->spinning[index / 64];
    uint64_t bit = UINT64_C(1) << (index % 64);
    bool found = false;

    if (weir__spinners(control) >= control->spinners_max)
        return false;
    atomic_fetch_or(spinning, bit);
    /* Two that begin at once may both give up: they sleep, and are woken as any other. */
    if (weir__spinners(control) <= control->spinners_max) {
        found = spin_for_work(control, spin);
        spin->budget_ns = found ? spin->budget_ns * 2 : spin->budget_ns / 2;
        if (spin->budget_ns > SPIN_MAX_NS)
            spin->budget_ns = SPIN_MAX_NS;
        if (spin->budget_ns < SPIN_MIN_NS)
            spin->budget_ns = SPIN_MIN_NS;
    }
    atomic_fetch_and(spinning, ~bit);
    return found;
}

void weir__park(struct weir__control *control, unsigned index, struct weir__spin *spin)
{
    struct weir__slot *slot = &control->slots[index];
    _Atomic uint64_t *parked = &control->parked[index / 64];
    uint64_t bit = UINT64_C(1) << (index % 64);
    uint32_t seen;

    if (something_to_do(control) || try_spinning(control, index, spin))
        return;
    seen = atomic_load(&slot->bell);
    atomic_fetch_or(parked, bit);
    if (!something_to_do(control))
        weir__futex_wait(&slot->bell, seen, -1);
    if (atomic_load_explicit(parked, memory_order_relaxed) & bit)
        atomic_fetch_and(parked, ~bit);
}

static void ring(struct weir__slot *slot)
{
    atomic_fetch_add(&slot->bell, 1);
    weir__futex_wake(&slot->bell, 1);
}

bool weir__any_parked(const struct weir__control *control)
{
    for (int w = 0; w * 64 < control->workers; w++) {
        if (atomic_load(&control->parked[w]) != 0)
            return true;
    }
    return false;
}

bool weir__wake_one(struct weir__control *control)
{
    for (int w = 0; w * 64 < control->workers; w++) {
        uint64_t bits = atomic_load(&control->parked[w]);

        for (; bits != 0; bits &= bits - 1) {
            uint64_t bit = bits & -bits;

            if (!(atomic_fetch_and(&control->parked[w], ~bit) & bit))
                continue; /* somebody else woke it */
            ring(&control->slots[w * 64 + __builtin_ctzll(bit)]);
            return true;
        }
    }
    return false;
}

void weir__wake_all(struct weir__control *control)
{
    for (int i = 0; i < control->workers; i++)
        ring(&control->slots[i]);
}
