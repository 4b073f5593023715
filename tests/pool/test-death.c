/* SPDX-License-Identifier: MIT
 *
 * Workers and supervisors that die, stop or exit: what the call reports, and that the pool goes on.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

struct trap {
    _Atomic int started, attempts;
    _Atomic pid_t pid;
    int from, how; /* what the task does in the chunk with that item */
    int times;     /* in how many attempts */
};

enum { TRAP_KILL, TRAP_ABORT, TRAP_EXIT, TRAP_SEGV, TRAP_STOP };

static int fall(weir_task *task, weir_range range, void *arg)
{
    struct trap *trap = *(struct trap **)arg;

    trap->started++;
    if (range.begin > trap->from || trap->from >= range.end)
        return 0;
    trap->pid = getpid();
    trap->attempts++;
    if (weir_task_attempt(task) > trap->times)
        return 0;
    switch (trap->how) {
    case TRAP_KILL:
        kill(getpid(), SIGKILL);
        break;
    case TRAP_ABORT:
        abort();
    case TRAP_EXIT:
        exit(7);
    case TRAP_SEGV:
        raise(SIGSEGV);
        break;
    case TRAP_STOP:
        kill(getpid(), SIGSTOP);
        break;
    }
    return 0;
}

#define TRAP_OPTIONS(...) OPTIONS(.grain = 10, .arg_size = sizeof(void *), __VA_ARGS__)

static void assert_death(const struct trap *trap, int signal, int status, int attempt)
{
    const weir_error *error = weir_last_error();

    assert_int_equal(error->code, WEIR_EDIED);
    assert_int_equal(error->signal, signal);
    assert_int_equal(error->exit_status, status);
    assert_int_equal(error->pid, trap->pid);
    assert_int_equal(error->attempt, attempt);
    assert_true(error->range.begin == trap->from && error->range.end == trap->from + 10);
    assert_true(error->worker >= 0 && error->worker < 2);
    assert_message_has("[50, 60)");
}

static void the_call_says_who_died_and_the_pool_goes_on__however_a_worker_dies(void **state)
{
    static const struct {
        int how, signal, status;
        const char *message;
    } cases[] = {
        {TRAP_KILL, SIGKILL, -1, "signal 9"},
        {TRAP_ABORT, SIGABRT, -1, "signal 6"},
        {TRAP_EXIT, 0, 7, "status 7"},
        {TRAP_SEGV, SIGSEGV, -1, "signal 11"},
    };
    weir_scope *scope = begin();
    struct trap *trap = shared_memory(4096);
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        *trap = (struct trap){.from = 50, .how = cases[i].how, .times = 99};
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 100}, fall, &trap, TRAP_OPTIONS(.retries = 0)),
            WEIR_EDIED);
        assert_death(trap, cases[i].signal, cases[i].status, 1);
        assert_message_has(cases[i].message);
        assert_int_equal(trap->attempts, 1);
        assert_false(is_alive(trap->pid));
        memset((void *)items, 0, 4096);
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, count_items, items, NULL), 0);
        for (int item = 0; item < 100; item++)
            assert_int_equal(items[item], 1);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(trap, 4096);
    munmap(items, 4096);
}

static void a_chunk_is_run_again__as_often_as_retries_allow(void **state)
{
    weir_scope *scope = begin();
    struct trap *trap = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int retries = 0; retries <= 30; retries += retries == 3 ? 27 : 1) {
        *trap = (struct trap){.from = 50, .how = TRAP_KILL, .times = retries};
        if (weir_pool_for(pool, (weir_range){0, 100}, fall, &trap,
                          TRAP_OPTIONS(.retries = retries)) != 0)
            fail_msg("%d retries: %s", retries, weir_last_error()->message);
        assert_int_equal(trap->attempts, retries + 1);
        assert_int_equal(trap->started, 10 + retries); /* no other chunk ran twice */

        *trap = (struct trap){.from = 50, .how = TRAP_KILL, .times = retries + 1};
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, fall, &trap,
                                       TRAP_OPTIONS(.retries = retries)),
                         WEIR_EDIED);
        assert_death(trap, SIGKILL, -1, retries + 1);
        assert_int_equal(trap->attempts, retries + 1);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(trap, 4096);
}

static void the_other_chunks_are_run__when_a_worker_dies_and_the_job_keeps_going(void **state)
{
    weir_scope *scope = begin();
    struct trap *trap = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    *trap = (struct trap){.from = 50, .how = TRAP_KILL, .times = 99};
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1000}, fall, &trap,
                                   TRAP_OPTIONS(.keep_going = true, .retries = 1)),
                     WEIR_EDIED);
    assert_death(trap, SIGKILL, -1, 2);
    assert_int_equal(trap->started, 101);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(trap, 4096);
}

static void retries_are_for_deaths_only__when_a_task_fails(void **state)
{
    weir_scope *scope = begin();
    struct trap *trap = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    *trap = (struct trap){.from = 50, .how = TRAP_EXIT, .times = 1};
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 100}, fall, &trap, TRAP_OPTIONS(.retries = 1)), 0);
    assert_int_equal(trap->attempts, 2);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(trap, 4096);
}

/* ---- idle workers --------------------------------------------------------------------------- */

static void a_worker_is_replaced__when_killed_idle(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int round = 0; round < 20; round++) {
        pid_t first = weir_pool_worker_pid(pool, 0), second = weir_pool_worker_pid(pool, 1);

        assert_int_equal(kill(first, SIGKILL), 0);
        if (round % 2)
            assert_int_equal(kill(second, SIGKILL), 0);
        memset((void *)items, 0, 4096);
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 1000}, count_items, items, OPTIONS(.retries = 1)),
            0);
        for (int i = 0; i < 1000; i++)
            assert_true(items[i] == 1 || items[i] == 2); /* killed in a chunk: run twice */
        WAIT_UNTIL(weir_pool_worker_pid(pool, 0) > 0 && weir_pool_worker_pid(pool, 0) != first,
                   2000);
        WAIT_UNTIL(weir_pool_worker_pid(pool, 1) > 0 &&
                       (round % 2 == 0 || weir_pool_worker_pid(pool, 1) != second),
                   2000);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 4096);
}

/* A job of one chunk is not widened: it depends on the first wake-up alone. */
static void a_small_job_is_started_at_once__after_workers_were_killed(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    int slow = 0;

    (void)state;
    for (int round = 0; round < 60; round++) {
        pid_t pid = weir_pool_worker_pid(pool, round % 2);

        if (pid > 0)
            kill(pid, SIGKILL);
        for (int i = 0; i < 20; i++)
            assert_int_equal(
                weir_pool_for(pool, (weir_range){0, 1}, count_items, items, OPTIONS(.retries = 30)),
                0);
    }
    usleep(20000);
    for (int i = 0; i < 20; i++) {
        double start = now_ms();

        usleep(2000);
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 1}, count_items, items, OPTIONS(.retries = 30)), 0);
        slow += now_ms() - start > 45; /* the host's tick is 50 ms */
    }
    assert_true(slow <= 2);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, 4096);
}

/* ---- stopped workers ------------------------------------------------------------------------ */

static void *kill_what_stopped(void *arg)
{
    struct trap *trap = arg;

    while (trap->pid == 0)
        usleep(1000);
    usleep(150000);
    kill(trap->pid, SIGKILL);
    return NULL;
}

static void no_chunk_is_lost__when_a_worker_is_stopped_and_then_killed(void **state)
{
    weir_scope *scope = begin();
    struct trap *trap = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    pthread_t thread;

    (void)state;
    *trap = (struct trap){.from = 50, .how = TRAP_STOP, .times = 1};
    assert_int_equal(pthread_create(&thread, NULL, kill_what_stopped, trap), 0);
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 100}, fall, &trap, TRAP_OPTIONS(.retries = 1)), 0);
    pthread_join(thread, NULL);
    assert_int_equal(trap->attempts, 2);
    assert_int_equal(trap->started, 11);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(trap, 4096);
}

static void jobs_are_done_by_the_others__when_an_idle_worker_is_stopped(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    pid_t stopped = weir_pool_worker_pid(pool, 0);
    double start;

    (void)state;
    usleep(20000);
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    usleep(5000);
    for (int round = 1; round <= 20; round++) {
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 100}, count_items, items, OPTIONS(.grain = 10)), 0);
        for (int i = 0; i < 100; i++)
            assert_int_equal(items[i], round);
    }
    /* and the end of the pool does not wait for it for ever */
    start = now_ms();
    weir_pool_free(pool);
    assert_true(now_ms() - start < 7500);
    assert_false(is_alive(stopped));
    weir_scope_end(scope);
    munmap(items, 4096);
}

/* ---- the supervisor ------------------------------------------------------------------------- */

static void assert_supervisor_lost(weir_pool *pool, struct trap *trap, pid_t supervisor,
                                   const pid_t workers[2])
{
    double start = now_ms();

    assert_int_equal(weir_last_error()->code, WEIR_EDIED);
    assert_int_equal(weir_last_error()->pid, supervisor);
    assert_int_equal(weir_last_error()->worker, -1);
    assert_message_has("supervisor");
    for (int i = 0; i < 2; i++)
        WAIT_UNTIL(!is_alive(workers[i]), 1000);
    /* later calls too, at once */
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 100}, fall, &trap, TRAP_OPTIONS(.retries = 3)),
        WEIR_EDIED);
    assert_true(now_ms() - start < 1500);
}

struct assassin {
    struct trap *trap;
    pid_t victim;
};

static void *kill_when_started(void *arg)
{
    struct assassin *assassin = arg;

    while (assassin->trap->started < 2)
        usleep(1000);
    usleep(20000);
    kill(assassin->victim, SIGKILL);
    return NULL;
}

static int dawdle(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (*(struct trap **)arg)->started++;
    usleep(200000);
    return 0;
}

static void the_call_returns_and_the_scope_goes_on__when_the_supervisor_is_killed(void **state)
{
    weir_scope *scope = begin();
    struct trap *trap = shared_memory(4096);

    (void)state;
    for (int idle = 0; idle < 2; idle++) {
        weir_pool *pool = new_pool(scope, 2);
        pid_t workers[2] = {weir_pool_worker_pid(pool, 0), weir_pool_worker_pid(pool, 1)};
        struct assassin assassin = {trap, weir_pool_supervisor_pid(pool)};
        pthread_t thread;

        *trap = (struct trap){.from = -1};
        if (idle) {
            kill(assassin.victim, SIGKILL);
            WAIT_UNTIL(!is_alive(workers[0]) && !is_alive(workers[1]), 1000);
        } else {
            assert_int_equal(pthread_create(&thread, NULL, kill_when_started, &assassin), 0);
        }
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 1000}, dawdle, &trap, TRAP_OPTIONS(.retries = 30)),
            WEIR_EDIED);
        if (!idle)
            pthread_join(thread, NULL);
        assert_supervisor_lost(pool, trap, assassin.victim, workers);
        weir_pool_free(pool);

        pool = new_pool(scope, 2);
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 100}, fall, &trap, TRAP_OPTIONS(.retries = 0)), 0);
        if (idle)
            weir_pool_kill(pool);
        else
            weir_pool_free(pool);
    }
    assert_int_equal(weir_scope_end(scope), 0);
    munmap(trap, 4096);
}

static void the_scope_ends__when_its_pools_supervisor_was_killed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    kill(weir_pool_supervisor_pid(pool), SIGKILL);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- those that cannot start ---------------------------------------------------------------- */

static _Atomic int *starts;

static int die_after_the_first(void *arg)
{
    (void)arg;
    if (++*starts > 2)
        raise(SIGKILL);
    return 0;
}

static void a_job_is_given_up__when_no_worker_can_be_replaced(void **state)
{
    weir_scope *scope = begin();
    struct trap *trap = shared_memory(4096);
    weir_pool *pool;
    double start = now_ms();

    (void)state;
    starts = shared_memory(4096);
    pool = weir_pool_new(scope,
                         &(weir_pool_options){.workers = 2, .initializer = die_after_the_first});
    assert_non_null(pool);
    WAIT_UNTIL(*starts == 2, 2000);
    *trap = (struct trap){.from = 50, .how = TRAP_KILL, .times = 99};
    /* The first worker falls; its replacement never starts; the second worker falls too. */
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 100}, fall, &trap, TRAP_OPTIONS(.retries = 30)),
        WEIR_EDIED);
    assert_message_has("no worker can be started");
    assert_true(now_ms() - start < 5000);
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 100}, fall, &trap, TRAP_OPTIONS(.retries = 30)),
        WEIR_EDIED);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(trap, 4096);
    munmap((void *)starts, 4096);
}

static int never_end(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    ++*(_Atomic int *)arg;
    while (!pause() || errno != 0)
        ;
    return 0;
}

static void *run_never_ending(void *arg)
{
    void **context = arg;

    context[2] = (void *)(intptr_t)weir_pool_for(context[0], (weir_range){0, 2}, never_end,
                                                 context[1], NULL);
    return NULL;
}

static void a_task_that_never_ends_is_killed__with_its_pool(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *started = shared_memory(4096);
    weir_pool *pool = new_pool(scope, 2);
    void *context[3] = {pool, started, NULL};
    pthread_t thread;
    double start;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, run_never_ending, context), 0);
    WAIT_UNTIL(*started == 2, 2000);
    start = now_ms();
    weir_pool_kill(pool);
    assert_true(now_ms() - start < 1500);
    pthread_join(thread, NULL);
    assert_int_equal((int)(intptr_t)context[2], WEIR_EDIED);
    weir_scope_end(scope);
    munmap((void *)started, 4096);
}

static int spin_us(weir_task *task, weir_range range, void *arg)
{
    const double until = now_us() + *(const int *)arg;

    (void)task;
    (void)range;
    while (now_us() < until)
        ;
    return 0;
}

/* Chunks end just when their time is over, and the worker goes on to a job without a deadline. */
static void only_the_late_chunk_dies__when_its_worker_goes_on_to_another_job(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    int late = 0;

    (void)state;
    for (int i = 0; i < 150; i++) {
        const int about = 3000 + i * 37 % 400, other = 500;
        weir_future *timed, *free_of_time;
        int result;

        timed = weir_pool_for_async(pool, (weir_range){0, 1}, spin_us, (void *)&about,
                                    OPTIONS(.arg_size = sizeof about, .chunk_timeout_ms = 3));
        free_of_time = weir_pool_for_async(pool, (weir_range){0, 2}, spin_us, (void *)&other,
                                           OPTIONS(.arg_size = sizeof other, .grain = 1));
        result = weir_future_wait(timed, -1);
        assert_true(result == 0 || result == -ETIMEDOUT);
        late += result != 0;
        if (weir_future_wait(free_of_time, -1) != 0)
            fail_msg("%s", weir_last_error()->message);
        weir_future_free(timed);
        weir_future_free(free_of_time);
    }
    print_message("%d of 150 were late\n", late);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_call_says_who_died_and_the_pool_goes_on__however_a_worker_dies),
        UNIT(a_chunk_is_run_again__as_often_as_retries_allow),
        UNIT(the_other_chunks_are_run__when_a_worker_dies_and_the_job_keeps_going),
        UNIT(retries_are_for_deaths_only__when_a_task_fails),
        UNIT(a_worker_is_replaced__when_killed_idle),
        UNIT(a_small_job_is_started_at_once__after_workers_were_killed),
        UNIT(no_chunk_is_lost__when_a_worker_is_stopped_and_then_killed),
        UNIT(jobs_are_done_by_the_others__when_an_idle_worker_is_stopped),
        UNIT(the_call_returns_and_the_scope_goes_on__when_the_supervisor_is_killed),
        UNIT(the_scope_ends__when_its_pools_supervisor_was_killed),
        UNIT(a_job_is_given_up__when_no_worker_can_be_replaced),
        UNIT(a_task_that_never_ends_is_killed__with_its_pool),
        UNIT(only_the_late_chunk_dies__when_its_worker_goes_on_to_another_job),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
