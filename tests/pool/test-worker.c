/* SPDX-License-Identifier: MIT
 *
 * What a worker knows of itself, random numbers, and SIGTERM: what is sent to all processes of a
 * program is the program's to answer.
 */
#include "child.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define WORKERS 4

/* ---- which worker it is ---------------------------------------------------------------------- */

struct known {
    _Atomic int initialized[WORKERS];
    _Atomic int64_t incarnations[WORKERS];
    _Atomic int wrong;
};

static int know_self(void *arg)
{
    struct known *known = arg;
    const int index = weir_worker_index();
    const int64_t incarnation = weir_worker_incarnation();

    if (index < 0 || index >= WORKERS || incarnation <= known->incarnations[index]) {
        known->wrong++;
        return 1;
    }
    known->initialized[index]++;
    known->incarnations[index] = incarnation;
    return 0;
}

static int ask_self(weir_task *task, weir_range range, void *arg)
{
    struct known *known = arg;
    int status = -1;
    pid_t child;

    (void)range;
    if (weir_worker_index() != weir_task_worker(task) ||
        weir_worker_incarnation() != known->incarnations[weir_task_worker(task)])
        known->wrong++;
    child = fork();
    if (child == 0)
        _exit(weir_worker_index() == weir_task_worker(task) ? 0 : 1);
    if (waitpid(child, &status, 0) != child || status != 0)
        known->wrong++;
    return 0;
}

static void each_worker_and_replacement_knows_which_it_is__in_its_initializer(void **state)
{
    weir_scope *scope = begin();
    struct known *known = shared_memory(sizeof *known);
    weir_pool *pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = WORKERS, .initializer = know_self, .arg = known});

    (void)state;
    assert_non_null(pool);
    for (int round = 1; round <= 4; round++) {
        for (int i = 0; i < WORKERS; i++)
            WAIT_UNTIL(known->initialized[i] == round, 5000);
        assert_int_equal(weir_pool_for(pool, weir_range_of(40), ask_self, known, NULL), 0);
        for (int i = 0; i < WORKERS && round < 4; i++)
            kill(weir_pool_worker_pid(pool, i), SIGKILL);
    }
    assert_int_equal(known->wrong, 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(known, sizeof *known);
}

static int refuse_self(void *arg)
{
    (void)arg;
    return weir_worker_index() == -ESRCH && weir_worker_incarnation() == -ESRCH ? 0 : 1;
}

static void a_process_is_no_worker__outside_of_a_pool(void **state)
{
    weir_scope *scope = begin();
    weir_process *process = weir_process_start(scope, refuse_self, NULL);
    int code = -1;

    (void)state;
    assert_int_equal(weir_worker_index(), -ESRCH);
    assert_int_equal(weir_worker_incarnation(), -ESRCH);
    assert_message_has("not a worker");
    assert_int_equal(weir_process_join(process, 5000, &code), 0);
    assert_int_equal(code, 0);
    weir_process_free(process);
    weir_scope_end(scope);
}

/* ---- random numbers -------------------------------------------------------------------------- */

#define DRAWS 2000

/* As the header shows it; some chunks lose their worker first. */
static int draw(weir_task *task, weir_range range, void *arg)
{
    const uint64_t chunk = (uint64_t)weir_task_chunk(task);
    unsigned short state[3] = {7, (unsigned short)chunk, (unsigned short)(chunk >> 16)};
    double *out = arg;

    if (chunk % 16 == 3 && weir_task_attempt(task) == 1)
        kill(getpid(), SIGKILL);
    WEIR_EACH (i, range)
        out[i] = erand48(state);
    return 0;
}

static void numbers_are_the_same__for_any_number_of_workers(void **state)
{
    weir_scope *scope = begin();
    double *first = weir_scope_doubles(scope, DRAWS);

    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        double *drawn = workers == 1 ? first : weir_scope_doubles(scope, DRAWS);
        weir_pool *pool = new_pool(scope, workers);

        assert_int_equal(
            weir_pool_for(pool, weir_range_of(DRAWS), draw, drawn, OPTIONS(.retries = 1)), 0);
        assert_memory_equal(drawn, first, DRAWS * sizeof(double));
        weir_pool_free(pool);
    }
    for (int i = 1; i < DRAWS; i++)
        assert_true(first[i] != first[i - 1]);
    weir_scope_end(scope);
}

/* ---- SIGTERM to all -------------------------------------------------------------------------- */

static _Atomic int *noted; /* shared: chunks that have begun */
static _Atomic int *pids;  /* shared: of the supervisor and of workers */

static int take_a_while(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    ++*noted;
    for (int i = 0; i < 20; i++)
        sleep_us(10000);
    return 0;
}

static int take_a_while_alone(void *arg)
{
    (void)arg;
    ++*noted;
    sleep_us(400000);
    return 6;
}

static volatile sig_atomic_t told;

static void on_term(int number)
{
    (void)number;
    told = 1;
}

/* The program of a service: it finishes its work when it is told to end. */
static int finish_gracefully(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_process *process;
    weir_pool_stats stats;
    weir_pool *pool;
    int code = 0;

    signal(SIGTERM, on_term);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    process = weir_process_start(scope, take_a_while_alone, NULL);
    if (weir_pool_for(pool, weir_range_of(6), take_a_while, NULL, OPTIONS(.grain = 1)) != 0)
        return 2;
    if (weir_process_join(process, 5000, &code) != 0 || code != 6)
        return 3;
    if (!told || weir_pool_get_stats(pool, &stats) != 0 || stats.workers_died != 0)
        return 4;
    /* Those of the program, or of a task, mean it. */
    process = weir_process_start(scope, take_a_while_alone, NULL);
    if (weir_process_kill(process, SIGTERM) != 0 || weir_process_join(process, 5000, &code) != 0 ||
        code != -SIGTERM)
        return 5;
    weir_pool_free(pool);
    return weir_scope_end(scope) == 0 ? 0 : 6;
}

static int die_of_it(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});

    pids[0] = weir_pool_supervisor_pid(pool);
    pids[1] = weir_pool_worker_pid(pool, 0);
    pids[2] = weir_pool_worker_pid(pool, 1);
    (void)!weir_pool_for(pool, weir_range_of(6), take_a_while, NULL, OPTIONS(.grain = 1));
    return 7;
}

/* Runs it as the leader of a group, sends the group SIGTERM when work has begun, and returns the
 * status. */
static int terminate_all(int (*program)(void), int begun)
{
    int status;
    pid_t child;

    *noted = 0;
    child = start_group(program);
    WAIT_UNTIL(*noted >= begun, 10000);
    assert_int_equal(kill(-child, SIGTERM), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void work_is_finished__when_all_processes_get_sigterm(void **state)
{
    int status;

    (void)state;
    status = terminate_all(finish_gracefully, 3);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void nothing_is_left__when_the_program_dies_of_sigterm(void **state)
{
    int status;

    (void)state;
    status = terminate_all(die_of_it, 2);
    assert_true(WIFSIGNALED(status));
    for (int i = 0; i < 3; i++)
        WAIT_UNTIL(!is_alive(pids[i]), 5000);
}

static int terminate_self(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    if (weir_task_attempt(task) == 1)
        raise(SIGTERM);
    return 0;
}

/* A tool has the default, and so has what a task forks if the end of the pool is what ends it. */
static int run_tool(weir_task *task, weir_range range, void *arg)
{
    int status = system("kill -TERM $$; exec true");
    pid_t child = fork();

    (void)range;
    (void)arg;
    if (child == 0) {
        while (pause() < 0)
            ;
    }
    pids[3] = child;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM
               ? 0
               : weir_task_fail(task, 1, "status %d", status);
}

static void sigterm_ends_what_it_is_meant_for__in_tasks(void **state)
{
    weir_scope *scope = begin();
    double took = 1000;

    (void)state;
    for (int i = 0; i < 5 && took >= 450; i++) { /* a busy machine may be late */
        weir_pool *pool = new_pool(scope, 2);
        weir_pool_stats stats;
        double start;

        assert_int_equal(
            weir_pool_for(pool, weir_range_of(1), terminate_self, NULL, OPTIONS(.retries = 1)), 0);
        assert_int_equal(weir_pool_get_stats(pool, &stats), 0);
        assert_int_equal(stats.workers_died, 1);
        assert_int_equal(weir_pool_for(pool, weir_range_of(1), run_tool, NULL, NULL), 0);
        start = now_ms();
        weir_pool_free(pool);
        took = now_ms() - start;
        assert_false(is_alive(pids[3]));
    }
    assert_true(took < 450); /* SIGKILL would come after 500 */
    weir_scope_end(scope);
}

static int die_as_others(void *arg)
{
    (void)arg;
    signal(SIGTERM, SIG_DFL);
    return 0;
}

static int terminate_once(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    pids[0] = getpid();
    ++*noted;
    for (int i = 0; i < 500 && weir_task_attempt(task) == 1; i++)
        sleep_us(10000);
    return 0;
}

static void a_worker_dies_of_sigterm__when_its_initializer_says_so(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 1, .initializer = die_as_others});
    weir_future *future;
    weir_pool_stats stats;

    (void)state;
    *noted = 0;
    future =
        weir_pool_for_async(pool, weir_range_of(1), terminate_once, NULL, OPTIONS(.retries = 1));
    assert_non_null(future);
    WAIT_UNTIL(*noted == 1, 5000);
    kill(pids[0], SIGTERM);
    assert_int_equal(weir_future_wait(future, 5000), 0);
    assert_int_equal(weir_pool_get_stats(pool, &stats), 0);
    assert_int_equal(stats.workers_died, 1);
    weir_future_free(future);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(each_worker_and_replacement_knows_which_it_is__in_its_initializer),
        UNIT(a_process_is_no_worker__outside_of_a_pool),
        UNIT(numbers_are_the_same__for_any_number_of_workers),
        UNIT(work_is_finished__when_all_processes_get_sigterm),
        UNIT(nothing_is_left__when_the_program_dies_of_sigterm),
        UNIT(sigterm_ends_what_it_is_meant_for__in_tasks),
        UNIT(a_worker_dies_of_sigterm__when_its_initializer_says_so),
    };

    leak_isolate();
    noted = shared_memory(4096);
    pids = shared_memory(4096);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
