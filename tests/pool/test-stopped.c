/* SPDX-License-Identifier: MIT
 *
 * A supervisor that is stopped, alone or with the manager: nothing of the program waits for it
 * without a bound, signals need it not, and it is continued when it owes something.
 */
#include "child.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static pid_t stop_supervisor(const weir_pool *pool)
{
    const pid_t pid = weir_pool_supervisor_pid(pool);

    assert_int_equal(kill(pid, SIGSTOP), 0);
    return pid;
}

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int sleep_long(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    *(_Atomic int *)arg = 1;
    while (pause() < 0)
        ;
    return 0;
}

static int wait_for_ever(void *arg)
{
    (void)arg;
    while (pause() < 0)
        ;
    return 0;
}

static void jobs_with_deadlines_return__when_the_supervisor_is_stopped(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    stop_supervisor(pool);
    /* More than a socket's buffer has places, if each sent something. */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, do_nothing, NULL,
                                       OPTIONS(.timeout_ms = 1 + i % 2 * 100000)),
                         0);
    weir_pool_kill(pool);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_deadline_ends_the_job__when_the_supervisor_is_stopped(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    _Atomic int *begun = shared_memory(4096);
    double start;

    (void)state;
    stop_supervisor(pool);
    start = now_ms();
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 2}, sleep_long, (void *)begun,
                                   OPTIONS(.timeout_ms = 200)),
                     -ETIMEDOUT);
    assert_true(now_ms() - start < 10000);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
    munmap((void *)begun, 4096);
}

struct counted {
    _Atomic int runs;
};

static int sleep_at_first(weir_task *task, weir_range range, void *arg)
{
    struct counted *counted = arg;

    (void)task;
    (void)range;
    if (counted->runs++ == 0)
        while (pause() < 0)
            ;
    return 0;
}

static void *kill_worker_when_begun(void *arg)
{
    void **both = arg;
    const struct counted *counted = both[0];
    weir_pool *pool = both[1];

    while (counted->runs == 0)
        usleep(200);
    stop_supervisor(pool);
    kill(weir_pool_worker_pid(pool, 0), SIGKILL);
    return NULL;
}

static void a_dead_workers_chunk_is_run_again__when_the_supervisor_is_stopped(void **state)
{
    weir_scope *scope = begin();
    struct counted *counted = shared_memory(sizeof *counted);
    weir_pool *pool = new_pool(scope, 1);
    pthread_t thread;

    (void)state;
    pthread_create(&thread, NULL, kill_worker_when_begun, (void *[]){counted, pool});
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 1}, sleep_at_first, counted, OPTIONS(.retries = 1)), 0);
    pthread_join(thread, NULL);
    assert_int_equal(counted->runs, 2);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
    munmap(counted, sizeof *counted);
}

static void no_worker_is_left__when_a_pool_with_a_stopped_supervisor_ends(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 2);
        const pid_t worker = weir_pool_worker_pid(pool, 1), supervisor = stop_supervisor(pool);
        const double start = now_ms();

        if (way == 0)
            weir_pool_free(pool);
        else if (way == 1)
            weir_pool_kill(pool);
        assert_int_equal(weir_scope_end(scope), 0);
        assert_true(now_ms() - start < 10000);
        assert_false(is_alive(worker) || is_alive(supervisor));
    }
}

static void the_scope_ends__when_supervisor_and_manager_are_stopped(void **state)
{
    weir_scope *scope = weir_scope_begin(&(weir_scope_options){.timeout_ms = 500});
    weir_pool *pool = new_pool(scope, 2);
    const pid_t supervisor = stop_supervisor(pool), manager = weir_scope_manager_pid(scope);
    const double start = now_ms();
    weir_block_info info;

    (void)state;
    kill(manager, SIGSTOP);
    assert_int_equal(weir_scope_lookup(scope, "x", &info), -ETIMEDOUT);
    assert_int_equal(weir_scope_end(scope), 0);
    assert_true(now_ms() - start < 10000);
    assert_false(is_alive(supervisor) || is_alive(manager));
}

/* Of a program that is killed: pool or process, and its supervisor. */
struct left {
    _Atomic pid_t worker, supervisor;
};

_Noreturn static void be_killed(struct left *left, bool process)
{
    weir_scope *scope;

    child_reset();
    scope = weir_scope_begin(NULL);
    if (process) {
        weir_process *made = weir_process_start(scope, wait_for_ever, NULL);

        left->worker = weir_process_pid(made);
        left->supervisor = parent_of(left->worker);
    } else {
        weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});

        left->worker = weir_pool_worker_pid(pool, 0);
        left->supervisor = weir_pool_supervisor_pid(pool);
    }
    kill(left->supervisor, SIGSTOP);
    raise(SIGKILL);
    _exit(1);
}

static void nothing_is_left__when_a_program_with_a_stopped_supervisor_is_killed(void **state)
{
    struct left *left = shared_memory(sizeof *left);

    (void)state;
    for (int process = 0; process < 2; process++) {
        const pid_t pid = fork();
        int status;

        if (pid == 0)
            be_killed(left, process != 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && left->supervisor > 0 && left->worker > 0);
        WAIT_UNTIL(!is_alive(left->worker) && !is_alive(left->supervisor), 10000);
    }
    munmap(left, sizeof *left);
}

/* Neither SIGCONT nor anything else has it go on: as under a debugger, or in a frozen cgroup. */
static void the_pool_ends__when_its_supervisor_cannot_go_on(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 2);
        const pid_t worker = weir_pool_worker_pid(pool, 1), pid = weir_pool_supervisor_pid(pool);
        const double start = now_ms();
        int status;

        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0) {
            assert_int_equal(errno, EPERM); /* a machine that does not allow it */
            weir_pool_free(pool);
            assert_int_equal(weir_scope_end(scope), 0);
            skip();
        }
        assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, __WALL), pid);
        assert_true(WIFSTOPPED(status));
        if (way == 0)
            weir_pool_free(pool);
        else
            weir_pool_kill(pool);
        assert_true(now_ms() - start < 20000);
        waitpid(pid, &status, __WALL); /* what a tracer owes */
        assert_int_equal(weir_scope_end(scope), 0);
        WAIT_UNTIL(!is_alive(worker) && !is_alive(pid), 10000); /* the worker dies of its death */
    }
}

static int wait_for_signal(void *arg)
{
    sigset_t set;
    int number;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *(_Atomic int *)arg = 1;
    sigwait(&set, &number);
    return number == SIGUSR1 ? 3 : 4;
}

static void a_process_gets_its_signal__when_its_supervisor_is_stopped(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *ready = shared_memory(4096);
    weir_process *process = weir_process_start(scope, wait_for_signal, (void *)ready);
    const double start = now_ms();
    int code = -77;
    pid_t supervisor;

    (void)state;
    assert_non_null(process);
    WAIT_UNTIL(*ready, 5000);
    supervisor = parent_of(weir_process_pid(process));
    kill(supervisor, SIGSTOP);
    assert_int_equal(weir_process_join(process, 50, NULL), -ETIMEDOUT);
    assert_int_equal(weir_process_kill(process, SIGUSR1), 0);
    WAIT_UNTIL(!is_alive(weir_process_pid(process)), 5000);
    /* The supervisor is continued, and so the end is known. */
    assert_int_equal(weir_process_join(process, 20000, &code), 0);
    assert_int_equal(code, 3);
    assert_int_equal(weir_process_kill(process, SIGUSR1), -ESRCH);
    kill(supervisor, SIGSTOP);
    weir_process_free(process);
    assert_true(now_ms() - start < 20000);
    assert_int_equal(weir_scope_end(scope), 0);
    munmap((void *)ready, 4096);
}

static void a_stopped_processs_handle_is_freed__in_bounded_time(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *ready = shared_memory(4096);
    weir_process *process = weir_process_start(scope, wait_for_signal, (void *)ready);
    const double start = now_ms();
    pid_t pid;

    (void)state;
    assert_non_null(process);
    WAIT_UNTIL(*ready, 5000);
    pid = weir_process_pid(process);
    kill(parent_of(pid), SIGSTOP);
    kill(pid, SIGSTOP);
    weir_process_free(process);
    assert_true(now_ms() - start < 10000);
    assert_false(is_alive(pid));
    assert_int_equal(weir_scope_end(scope), 0);
    munmap((void *)ready, 4096);
}

/* How often the process has gone to sleep. */
static long sleeps_of(pid_t pid)
{
    char path[64], line[200];
    long count = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "voluntary_ctxt_switches: %ld", &count);
    fclose(file);
    return count;
}

static void the_supervisor_sleeps_on__when_jobs_have_deadlines_far_away(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const pid_t pid = weir_pool_supervisor_pid(pool);
    _Atomic int *begun = shared_memory(4096);
    long before;

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, do_nothing, NULL,
                                   OPTIONS(.timeout_ms = 100000, .chunk_timeout_ms = 100000)),
                     0);
    usleep(20000);
    before = sleeps_of(pid);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, do_nothing, NULL,
                                       OPTIONS(.timeout_ms = 100000, .chunk_timeout_ms = 200000)),
                         0);
    assert_in_range(sleeps_of(pid) - before, 0, 20);
    /* It is woken for one that is nearer. */
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, sleep_long, (void *)begun,
                                   OPTIONS(.timeout_ms = 50)),
                     -ETIMEDOUT);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
    munmap((void *)begun, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(jobs_with_deadlines_return__when_the_supervisor_is_stopped),
        UNIT(a_deadline_ends_the_job__when_the_supervisor_is_stopped),
        UNIT(a_dead_workers_chunk_is_run_again__when_the_supervisor_is_stopped),
        UNIT(no_worker_is_left__when_a_pool_with_a_stopped_supervisor_ends),
        UNIT(the_scope_ends__when_supervisor_and_manager_are_stopped),
        UNIT(nothing_is_left__when_a_program_with_a_stopped_supervisor_is_killed),
        UNIT(the_pool_ends__when_its_supervisor_cannot_go_on),
        UNIT(a_process_gets_its_signal__when_its_supervisor_is_stopped),
        UNIT(a_stopped_processs_handle_is_freed__in_bounded_time),
        UNIT(the_supervisor_sleeps_on__when_jobs_have_deadlines_far_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
