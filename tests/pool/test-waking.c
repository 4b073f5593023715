/* SPDX-License-Identifier: MIT
 *
 * A worker on the CPU of the program that waits for its job: it does not spin there, goes to
 * another CPU when job follows job, and the program gives its CPU up for jobs that are over at
 * once.
 *
 * This program's processes believe in the machine below: which CPUs there are, which each may use,
 * and on which it runs. That is its first one until its mask excludes that.
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>

#define FOREVER_MS 60000

static struct machine {
    cpu_set_t allowed;   /* as a container allows them */
    _Atomic int changes; /* of masks */
    _Atomic int yields;
    _Atomic int yield_ms;
    _Atomic int cpu, mask_count; /* of the worker, as its last task found them */
} * machine;

/* Of each process: what it has asked for, and where it is. */
static cpu_set_t asked;
static int cpu;

static cpu_set_t effective(void)
{
    cpu_set_t both;

    CPU_AND(&both, &asked, &machine->allowed);
    return both;
}

int sched_getcpu(void)
{
    return cpu;
}

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *mask)
{
    (void)pid;
    assert_int_equal(size, sizeof *mask);
    *mask = effective();
    return 0;
}

int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *mask)
{
    const cpu_set_t before = asked;
    cpu_set_t now;

    assert_int_equal(pid, 0);
    assert_int_equal(size, sizeof *mask);
    machine->changes++;
    asked = *mask;
    now = effective();
    if (CPU_COUNT(&now) == 0) {
        asked = before;
        errno = EINVAL;
        return -1;
    }
    for (int i = 0; !CPU_ISSET(cpu, &now); i++)
        cpu = CPU_ISSET(i, &now) ? i : cpu;
    return 0;
}

int sched_yield(void)
{
    machine->yields++;
    if (machine->yield_ms > 0)
        usleep((useconds_t)machine->yield_ms * 1000);
    return (int)syscall(SYS_sched_yield);
}

/* The first `allowed` CPUs are allowed, and the program has asked for the first `mine`. */
static void make_machine(int allowed, int mine)
{
    memset(machine, 0, sizeof *machine);
    for (int i = 0; i < allowed; i++)
        CPU_SET(i, &machine->allowed);
    CPU_ZERO(&asked);
    for (int i = 0; i < mine; i++)
        CPU_SET(i, &asked);
    cpu = 0;
}

static int look(weir_task *task, weir_range range, void *arg)
{
    cpu_set_t now = effective();

    (void)task;
    (void)range;
    (void)arg;
    machine->cpu = cpu;
    machine->mask_count = CPU_COUNT(&now);
    return 0;
}

static int linger(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    usleep(20000);
    return 0;
}

static void run(weir_pool *pool, weir_task_fn task)
{
    assert_int_equal(weir_pool_for(pool, weir_range_of(4), task, NULL, NULL), 0);
}

static weir_scope *scope;

static weir_pool *begin_pool(int allowed, int mine)
{
    make_machine(allowed, mine);
    scope = begin();
    return new_pool(scope, 1);
}

static void end_pool(weir_pool *pool)
{
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void run_until_it_is_elsewhere(weir_pool *pool)
{
    const double limit = now_ms() + FOREVER_MS;

    do {
        for (int i = 0; i < 100; i++)
            run(pool, look);
    } while (machine->cpu == 0 && now_ms() < limit);
    assert_int_not_equal(machine->cpu, 0);
}

static void skip_on_one_cpu(void)
{
    make_machine(4, 4);
    if (weir_cpu_count() >= 2)
        return;
    print_message("skipped: with one CPU no worker spins\n");
    skip();
}

static void worker_makes_room__when_job_follows_job(void **state)
{
    weir_pool *pool;

    (void)state;
    skip_on_one_cpu();
    pool = begin_pool(4, CPU_SETSIZE);
    run_until_it_is_elsewhere(pool);
    assert_int_equal(machine->mask_count, 4);
    for (int i = 4; i < 8; i++) /* the container is given more */
        CPU_SET(i, &machine->allowed);
    run(pool, look);
    assert_int_equal(machine->mask_count, 8);
    end_pool(pool);
}

static void worker_keeps_its_mask__when_the_program_has_asked_for_less(void **state)
{
    weir_pool *pool;

    (void)state;
    skip_on_one_cpu();
    pool = begin_pool(4, 3);
    run_until_it_is_elsewhere(pool);
    assert_int_equal(machine->mask_count, 3);
    end_pool(pool);
}

static void worker_stays__when_it_may_use_no_other_cpu(void **state)
{
    weir_pool *pool = begin_pool(4, 1);

    (void)state;
    for (int i = 0; i < 2000; i++)
        run(pool, look);
    assert_int_equal(machine->changes, 0);
    assert_int_equal(machine->cpu, 0);
    end_pool(pool);
}

static void worker_stays__when_there_are_pauses_between_jobs(void **state)
{
    weir_pool *pool = begin_pool(4, 4);

    (void)state;
    for (int i = 0; i < 200; i++) {
        usleep(1000);
        run(pool, look);
    }
    assert_int_equal(machine->changes, 0);
    end_pool(pool);
}

/* A job for which the worker has to be woken. False: none was over so soon that the program gave
 * its CPU up for the next one. */
static bool run_until_it_yields(weir_pool *pool)
{
    const int before = machine->yields;
    const double limit = now_ms() + FOREVER_MS;

    while (machine->yields == before && now_ms() < limit) {
        usleep(1000);
        run(pool, look);
    }
    return machine->yields > before;
}

static void skip_if_slow(bool quick)
{
    if (quick)
        return;
    print_message("skipped: no worker was woken, and through with a job, within 60 us\n");
    skip();
}

static void cpu_is_given_up__for_jobs_that_are_over_at_once(void **state)
{
    weir_pool *pool = begin_pool(4, 4);
    bool quick;
    int before;

    (void)state;
    usleep(1000);
    run(pool, look);
    assert_int_equal(machine->yields, 0); /* it is not known yet */
    quick = run_until_it_yields(pool);
    before = machine->yields;
    for (int i = 0; i < 5; i++) {
        usleep(1000);
        run(pool, linger);
    }
    assert_int_equal(machine->yields, before);
    end_pool(pool);
    skip_if_slow(quick);
}

static void cpu_is_kept_for_a_while__when_another_program_took_it(void **state)
{
    weir_pool *pool = begin_pool(4, 4);
    bool quick;
    double until;
    int before;

    (void)state;
    machine->yield_ms = 5;
    quick = run_until_it_yields(pool);
    until = now_ms() + 50;
    before = machine->yields;
    while (quick && now_ms() < until) {
        usleep(1000);
        run(pool, look);
    }
    if (now_ms() < until + 40) /* the pause is 100 ms */
        assert_int_equal(machine->yields, before);
    end_pool(pool);
    skip_if_slow(quick);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(worker_makes_room__when_job_follows_job),
        UNIT(worker_keeps_its_mask__when_the_program_has_asked_for_less),
        UNIT(worker_stays__when_it_may_use_no_other_cpu),
        UNIT(worker_stays__when_there_are_pauses_between_jobs),
        UNIT(cpu_is_given_up__for_jobs_that_are_over_at_once),
        UNIT(cpu_is_kept_for_a_while__when_another_program_took_it),
    };

    machine = shared_memory(sizeof *machine);
    make_machine(4, 4);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
