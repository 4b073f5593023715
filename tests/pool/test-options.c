/* SPDX-License-Identifier: MIT
 *
 * Options of pools and jobs that have no test program of their own: pinned workers, arrays that the
 * caller shares, finalizers of workers that are replaced.
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

/* ---- pin ------------------------------------------------------------------------------------- */

#define WORKERS 5

struct masks {
    _Atomic int seen;
    cpu_set_t of[WORKERS];
};

/* Each chunk waits until all workers have one. */
static int note_mask(weir_task *task, weir_range range, void *arg)
{
    struct masks *masks = arg;
    double limit = now_ms() + 5000;

    (void)range;
    sched_getaffinity(0, sizeof(cpu_set_t), &masks->of[weir_task_worker(task)]);
    masks->seen++;
    while (masks->seen % WORKERS != 0 && now_ms() < limit)
        usleep(100);
    return 0;
}

/* The number of the n-th CPU of the mask, counted round. */
static int nth_cpu(const cpu_set_t *mask, int n)
{
    n %= CPU_COUNT(mask);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, mask) && n-- == 0)
            return cpu;
    return -1;
}

static void assert_pinned(weir_pool *pool, struct masks *masks, const cpu_set_t *all, bool pinned)
{
    memset(masks, 0, sizeof *masks);
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, WORKERS}, note_mask, masks, OPTIONS(.grain = 1)), 0);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(CPU_COUNT(&masks->of[i]), pinned ? 1 : CPU_COUNT(all));
        assert_true(CPU_ISSET(nth_cpu(all, i), &masks->of[i]));
    }
}

static void worker_i_has_the_ith_cpu__when_a_pool_is_pinned(void **state)
{
    struct masks *masks = shared_memory(sizeof *masks);
    cpu_set_t all, one, now;
    weir_scope *scope = begin();

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    CPU_SET(nth_cpu(&all, CPU_COUNT(&all) - 1), &one);
    for (int pinned = 0; pinned < 2; pinned++) {
        /* all CPUs of the program, and one only */
        for (int i = 0; i < 2; i++) {
            const cpu_set_t *may = i == 0 ? &all : &one;
            weir_pool *pool;
            pid_t before;

            sched_setaffinity(0, sizeof *may, may);
            pool = weir_pool_new(scope, &(weir_pool_options){.workers = WORKERS, .pin = pinned});
            sched_setaffinity(0, sizeof all, &all);
            assert_pinned(pool, masks, may, pinned);
            before = weir_pool_worker_pid(pool, 1);
            kill(before, SIGKILL);
            WAIT_UNTIL(weir_pool_worker_pid(pool, 1) > 0 && weir_pool_worker_pid(pool, 1) != before,
                       5000);
            assert_pinned(pool, masks, may, pinned); /* its replacement, too */
            weir_pool_free(pool);
        }
    }
    sched_getaffinity(0, sizeof now, &now);
    assert_true(CPU_EQUAL(&now, &all));
    weir_scope_end(scope);
    munmap(masks, sizeof *masks);
}

/* ---- shared ---------------------------------------------------------------------------------- */

#define COUNT 5000

struct element {
    int64_t number;
    const struct element *seen_at;
};

static int square(weir_task *task, const void *in, void *out, void *arg)
{
    const struct element *from = in;
    struct element *to = out;

    (void)task;
    (void)arg;
    to->number = from->number * from->number;
    to->seen_at = from;
    return from->number == *(const int64_t *)arg;
}

/* Elements are read and written where they are, so a failed call leaves what it has done. */
static void arrays_are_used_in_place__when_the_caller_shares_them(void **state)
{
    const size_t size = COUNT * sizeof(struct element);
    struct element *in = shared_memory(size), *out = shared_memory(size);
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    int64_t fail_at = -1;

    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        for (int64_t i = 0; i < COUNT; i++)
            in[i] = (struct element){.number = i};
        memset(out, 0, size);
        fail_at = -1;
        assert_int_equal(weir_pool_map(pool, square, in, sizeof *in, out, sizeof *out, COUNT,
                                       &fail_at,
                                       OPTIONS(.arg_size = sizeof fail_at, .shared = shared)),
                         0);
        for (int64_t i = 0; i < COUNT; i++) {
            assert_int_equal(out[i].number, i * i);
            assert_true((out[i].seen_at == &in[i]) == shared);
        }
        memset(out, 0, size);
        fail_at = COUNT - 1;
        assert_int_equal(weir_pool_map(pool, square, in, sizeof *in, out, sizeof *out, COUNT,
                                       &fail_at,
                                       OPTIONS(.arg_size = sizeof fail_at, .shared = shared)),
                         WEIR_EFAILED);
        assert_int_equal(weir_last_error()->range.begin, COUNT - 1);
        assert_int_equal(out[COUNT - 1].number, shared ? (COUNT - 1) * (COUNT - 1) : 0);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(in, size);
    munmap(out, size);
}

/* ---- finalizers ------------------------------------------------------------------------------ */

static _Atomic int *calls; /* initializers, finalizers */

static int initialize(void *arg)
{
    (void)arg;
    calls[0]++;
    return 0;
}

static void finalize(void *arg)
{
    (void)arg;
    calls[1]++;
}

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static void each_fresh_worker_is_initialized_and_finalized__unless_it_is_killed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    pid_t before;

    (void)state;
    calls = shared_memory(4096);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1,
                                                     .initializer = initialize,
                                                     .finalizer = finalize,
                                                     .chunks_per_worker = 10});
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 95}, do_nothing, NULL, OPTIONS(.grain = 1)), 0);
    WAIT_UNTIL(calls[0] == 10 && calls[1] == 9, 5000); /* the last one has had five chunks */
    before = weir_pool_worker_pid(pool, 0);
    kill(before, SIGKILL);
    WAIT_UNTIL(calls[0] == 11, 5000);
    assert_int_equal(calls[1], 9);
    weir_pool_free(pool);
    assert_int_equal(calls[0], 11);
    assert_int_equal(calls[1], 10);
    weir_scope_end(scope);
    munmap((void *)calls, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(worker_i_has_the_ith_cpu__when_a_pool_is_pinned),
        UNIT(arrays_are_used_in_place__when_the_caller_shares_them),
        UNIT(each_fresh_worker_is_initialized_and_finalized__unless_it_is_killed),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
