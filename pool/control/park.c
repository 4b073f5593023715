/* SPDX-License-Identifier: MIT
 *
 * park.c: how workers wait for work.
 *
 * A worker first spins: a hand-over between spinning processes takes 0.1 us, waking a sleeper 4 to
 * 45 us. Only as many workers spin as there are CPUs beside the host's, the latest to have worked,
 * and for a time that adapts: longer while spinning finds work, shorter while it does not, so a
 * pool that is idle, or that shares its CPUs with others, soon sleeps at once.
 *
 * Falling asleep and waking, with the store-load pair that keeps a wake-up from getting lost:
 *
 *     worker                                  the process that makes work visible
 *     seen = bell                             adds to the ready set        (seq_cst)
 *     sets its parked bit       (seq_cst)     looks at the parked bits     (seq_cst)
 *     looks at the ready set    (seq_cst)     takes one out: bell + 1, wake
 *     sleeps while bell == seen
 *
 * Killed between taking a bit out and ringing: after each death the supervisor rings all workers
 * whose bit is out, which are those that run or that such a process owed a ring.
 *
 * What the program does about spinning workers stands in job.c, publish_and_wake().
 *
 * A worker that finds itself on the CPU of the program, which waits for a job or has just been
 * given one's result, does not spin: the program would wait for the CPU. It sleeps, and is woken
 * there without an interrupt. When jobs follow each other at once it goes to another CPU and spins
 * there.
 */
#include "pool/control/park.h"

#include <sched.h>
#include <string.h>

#include "pool/control/futex.h"
#include "pool/control/ready.h"

#include "pool/control/no_malloc.h"

#define SPIN_MIN_NS 1000
#define SPIN_MAX_NS 50000
/* Between two looks: the worker was off its CPU, and for longer than a worker spins that was woken
 * for nothing. */
#define PUSHED_NS    50000
#define PAUSE_MIN_NS 2000000
#define PAUSE_MAX_NS 50000000

/* So many jobs in a row that came soon: more are taken to follow. */
#define SOON_MANY 4

static void ring_slot(struct weir__slot *slot)
{
    atomic_fetch_add(&slot->bell, 1);
    weir__futex_wake(&slot->bell, 1);
}

static bool something_to_do(struct weir__control *control, unsigned index)
{
    return weir__ready_any(control) || weir__each_is_new(control, index) ||
           atomic_load(&control->state) != POOL_RUNNING;
}

/* Whether a worker that has nothing to do has the CPU of a program that waits for its jobs. */
static bool is_in_the_way(const struct weir__control *control)
{
    return sched_getcpu() == atomic_load_explicit(&control->host_cpu, memory_order_relaxed);
}

static int spinners_max(const struct weir__control *control)
{
    return atomic_load_explicit(&control->spinners_max, memory_order_relaxed);
}

static int spinners(const struct weir__control *control)
{
    int count = 0;

    for (int w = 0; w * 64 < control->workers; w++)
        count += __builtin_popcountll(atomic_load(&control->meeting[w].spinning));
    return count;
}

/* Takes the place of another spinning worker if there are too many. This one runs right now; the
 * other may have lost its CPU while it spun. */
static void take_spinning_place(struct weir__control *control, unsigned index)
{
    for (int w = 0; w * 64 < control->workers; w++) {
        uint64_t others = atomic_load(&control->meeting[w].spinning);

        if ((unsigned)w == index / 64)
            others &= ~(UINT64_C(1) << (index % 64));
        for (; others != 0 && spinners(control) > spinners_max(control); others &= others - 1)
            atomic_fetch_and(&control->meeting[w].spinning, ~(others & -others));
    }
}

/* A few hundred nanoseconds, without a pause. */
static bool look_hard(struct weir__control *control, unsigned index)
{
    for (int i = 0; i < WEIR__LOOKS_AT_FIRST; i++) {
        if (something_to_do(control, index))
            return true;
    }
    return false;
}

enum spun {
    SPUN_WORK,  /* there is work */
    SPUN_OUT,   /* the time is up, or the place was taken */
    SPUN_PUSHED /* this worker lost its CPU meanwhile: there are more processes than CPUs */
};

static enum spun spin_for_work(struct weir__control *control, unsigned index, int64_t start_ns,
                               int64_t budget_ns)
{
    const _Atomic uint64_t *spinning = &control->meeting[index / 64].spinning;
    uint64_t bit = UINT64_C(1) << (index % 64);
    int64_t last = start_ns;

    while (atomic_load_explicit(spinning, memory_order_relaxed) & bit) {
        int64_t now;

        for (int i = 0; i < WEIR__LOOKS_A_ROUND; i++) {
            if (something_to_do(control, index))
                return SPUN_WORK;
            weir__pause();
        }
        now = weir__now_ns();
        if (now - last > PUSHED_NS)
            return SPUN_PUSHED;
        if (now - start_ns >= budget_ns)
            return SPUN_OUT;
        last = now;
    }
    /* Its bit was taken: by another worker that spins in its place; or by the host, and then there
     * is a job in a moment. */
    return look_hard(control, index) ? SPUN_WORK : SPUN_OUT;
}

static void announce(struct weir__control *control, unsigned index)
{
    if (spinners_max(control) == 0)
        return;
    atomic_fetch_or(&control->meeting[index / 64].spinning, UINT64_C(1) << (index % 64));
    if (spinners(control) > spinners_max(control))
        take_spinning_place(control, index);
}

void weir__announce_spin(struct weir__control *control, unsigned index)
{
    if (!is_in_the_way(control))
        announce(control, index);
}

void weir__end_spin(struct weir__control *control, unsigned index)
{
    _Atomic uint64_t *spinning = &control->meeting[index / 64].spinning;
    uint64_t bit = UINT64_C(1) << (index % 64);

    if (atomic_load_explicit(spinning, memory_order_relaxed) & bit)
        atomic_fetch_and(spinning, ~bit);
}

static void sleep_until_rung(struct weir__control *control, unsigned index, struct weir__tie *tie)
{
    struct weir__slot *slot = &control->slots[index];
    _Atomic uint64_t *parked = &control->meeting[index / 64].parked;
    uint64_t bit = UINT64_C(1) << (index % 64);
    uint32_t seen = atomic_load(&slot->bell);

    weir__tie_keep(control, tie);
    /* seq_cst, then look; pairs with park.c, weir__wake_spinner(); pairs with park.c,
     * weir__wake_one(); pairs with park.c, weir__wake_lost(): they look at the bit after the job
     * was added */
    atomic_fetch_or(parked, bit);
    if (!something_to_do(control, index))
        weir__futex_wait(&slot->bell, seen, weir__tie_sleep_ns(tie));
    if (atomic_load_explicit(parked, memory_order_relaxed) & bit)
        atomic_fetch_and(parked, ~bit);
}

/* Work that came within the longest spin was worth spinning for, whether it was met spinning or
 * asleep. But where processes share CPUs, a spinning one only keeps the others from running, and
 * has used up its time when it is wanted, while one that was asleep is given a CPU at once: then
 * none spins for a while. */
static void learn_spin(struct weir__spin *spin, enum spun spun, int64_t start_ns, int64_t now_ns)
{
    if (spun == SPUN_PUSHED) {
        spin->pause_ns = weir__next_pause(spin->pause_ns, spin->not_before_ns, now_ns, PAUSE_MIN_NS,
                                          PAUSE_MAX_NS);
        spin->not_before_ns = now_ns + spin->pause_ns;
    } else if (now_ns - start_ns <= SPIN_MAX_NS) {
        spin->budget_ns = SPIN_MAX_NS;
    } else if (spin->budget_ns / 2 >= SPIN_MIN_NS) {
        spin->budget_ns /= 2;
    }
}

/* Takes this process to another CPU that it may use, and leaves it where it may be as it was. A
 * mask that says nothing is set as all CPUs, so that it follows what the machine, or a container,
 * allows later. */
static bool change_cpu(void)
{
    cpu_set_t may, others, all, now;

    if (sched_getaffinity(0, sizeof(may), &may) < 0)
        return false;
    others = may;
    CPU_CLR((size_t)sched_getcpu(), &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof(others), &others) < 0)
        return false;
    memset(&all, 0xff, sizeof(all));
    if (sched_setaffinity(0, sizeof(all), &all) < 0 ||
        sched_getaffinity(0, sizeof(now), &now) < 0 || !CPU_EQUAL(&now, &may))
        sched_setaffinity(0, sizeof(may), &may);
    return true;
}

/* While job follows job a worker that spins on another CPU costs the program least: then a worker
 * that is in its way goes to one, if no other worker spins there. The kernel would leave it where
 * it is, as it sleeps whenever the kernel looks. */
static bool make_room(const struct weir__control *control, struct weir__spin *spin)
{
    if (spin->soon < SOON_MANY || spin->stays || spinners(control) >= spinners_max(control) ||
        weir__now_ns() < spin->not_before_ns)
        return false;
    spin->soon = 0;
    spin->stays = !change_cpu();
    return !spin->stays;
}

void weir__park(struct weir__control *control, unsigned index, struct weir__spin *spin,
                struct weir__tie *tie)
{
    bool in_the_way = is_in_the_way(control);
    int64_t start;
    enum spun spun = SPUN_OUT;

    if (in_the_way && make_room(control, spin)) {
        in_the_way = false;
        announce(control, index);
    }
    if (!in_the_way && look_hard(control, index))
        return;
    start = weir__now_ns();
    if (!in_the_way && start >= spin->not_before_ns)
        spun = spin_for_work(control, index, start, spin->budget_ns);
    if (spun != SPUN_WORK) {
        weir__end_spin(control, index);
        sleep_until_rung(control, index, tie);
    }
    learn_spin(spin, spun, start, weir__now_ns());
    if (in_the_way)
        spin->soon = weir__now_ns() - start <= SPIN_MAX_NS ? spin->soon + 1 : 0;
}

int weir__take_spinner(struct weir__control *control)
{
    for (int w = 0; w * 64 < control->workers; w++) {
        _Atomic uint64_t *spinning = &control->meeting[w].spinning;
        uint64_t bits = atomic_load(spinning), bit = bits & -bits;

        if (bits != 0 && (atomic_fetch_and(spinning, ~bit) & bit))
            return w * 64 + __builtin_ctzll(bit);
    }
    return -1;
}

void weir__wake_spinner(struct weir__control *control, int slot)
{
    _Atomic uint64_t *parked = &control->meeting[slot / 64].parked;
    uint64_t bit = UINT64_C(1) << (slot % 64);

    /* seq_cst, after the job was added; pairs with park.c, sleep_until_rung(): that sets the bit,
     * then looks for jobs */
    if ((atomic_load(parked) & bit) && (atomic_fetch_and(parked, ~bit) & bit))
        ring_slot(&control->slots[slot]);
}

bool weir__any_spinning(const struct weir__control *control)
{
    return spinners(control) > 0;
}

bool weir__any_parked(const struct weir__control *control)
{
    for (int w = 0; w * 64 < control->workers; w++) {
        if (atomic_load(&control->meeting[w].parked) != 0)
            return true;
    }
    return false;
}

bool weir__wake_one(struct weir__control *control)
{
    for (int w = 0; w * 64 < control->workers; w++) {
        /* seq_cst, after the job was added; pairs with park.c, sleep_until_rung() */
        uint64_t bits = atomic_load(&control->meeting[w].parked);

        for (; bits != 0; bits &= bits - 1) {
            uint64_t bit = bits & -bits;

            if (!(atomic_fetch_and(&control->meeting[w].parked, ~bit) & bit))
                continue; /* another process woke it */
            ring_slot(&control->slots[w * 64 + __builtin_ctzll(bit)]);
            return true;
        }
    }
    return false;
}

void weir__wake_all(struct weir__control *control)
{
    for (int i = 0; i < control->workers; i++)
        ring_slot(&control->slots[i]);
}

/* What is ready may have been for a worker that has died: it is for another one. */
void weir__wake_lost(struct weir__control *control)
{
    for (int i = 0; i < control->workers; i++) {
        struct weir__slot *slot = &control->slots[i];

        /* seq_cst, after jobs were added; pairs with park.c, sleep_until_rung() */
        if (!(atomic_load(&control->meeting[i / 64].parked) >> (i % 64) & 1) &&
            atomic_load(&slot->state) != SLOT_EMPTY)
            ring_slot(slot);
    }
    if (weir__ready_any(control))
        weir__wake_one(control);
}
