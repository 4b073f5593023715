/* SPDX-License-Identifier: MIT
 *
 * What a worker has of the program's surroundings: its signals and what it prints.
 */
#include "child.h"
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static int look_around(weir_task *task, weir_range range, void *arg)
{
    struct sigaction action;
    sigset_t mask;

    (void)range;
    (void)arg;
    for (int i = 0; i < 3; i++) {
        static const int passed_over[] = {SIGINT, SIGQUIT, SIGHUP};

        sigaction(passed_over[i], NULL, &action);
        raise(passed_over[i]);
        if (action.sa_handler == SIG_IGN)
            return weir_task_fail(task, 1, "a program would ignore signal %d", passed_over[i]);
    }
    sigaction(SIGUSR1, NULL, &action);
    if (action.sa_handler != SIG_DFL)
        return weir_task_fail(task, 1, "SIGUSR1 still has the program's handler");
    sigaction(SIGUSR2, NULL, &action);
    if (action.sa_handler != SIG_IGN)
        return weir_task_fail(task, 1, "SIGUSR2 is not ignored any more");
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 32; i++) {
        if (sigismember(&mask, i))
            return weir_task_fail(task, 1, "signal %d is blocked", i);
    }
    return 0;
}

static void handle_nothing(int signal)
{
    (void)signal;
}

static void workers_have_default_signals__whatever_the_program_has(void **state)
{
    weir_scope *scope = begin();
    struct sigaction handler = {.sa_handler = handle_nothing}, ignore = {.sa_handler = SIG_IGN};
    struct sigaction usr1, usr2;
    sigset_t block, mask;
    weir_pool *pool;

    (void)state;
    sigaction(SIGUSR1, &handler, &usr1);
    sigaction(SIGUSR2, &ignore, &usr2);
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &mask);
    pool = new_pool(scope, 1);
    if (weir_pool_for(pool, (weir_range){0, 4}, look_around, NULL, NULL) != 0)
        fail_msg("%s", weir_last_error()->message);
    sigaction(SIGUSR1, &usr1, NULL);
    sigaction(SIGUSR2, &usr2, NULL);
    sigprocmask(SIG_SETMASK, &mask, &block);
    assert_true(sigismember(&block, SIGTERM)); /* left as it was */
    weir_pool_free(pool);
    weir_scope_end(scope);
}

#define SAYINGS 400

static int say(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    printf("%s ", "saying");
    printf("%lld", (long long)range.begin);
    printf(" and no more\n");
    return 0;
}

/* Runs in a child: stdout is a file there, and so fully buffered. */
static int say_all(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool;
    int result;

    printf("before\n");
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    result = weir_pool_for(pool, (weir_range){0, SAYINGS}, say, NULL, OPTIONS(.grain = 1));
    weir_pool_free(pool);
    weir_scope_end(scope);
    printf("after\n");
    return result;
}

static void *hold(void *arg)
{
    flockfile(stdout);
    pthread_barrier_wait(arg);
    pthread_barrier_wait(arg);
    funlockfile(stdout);
    return NULL;
}

/* With another thread that holds stdout while the pool is made: weir cannot flush it then. */
static int say_all_while_held(void)
{
    pthread_barrier_t barrier;
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool;
    pthread_t thread;
    int result;

    printf("before\n");
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, hold, &barrier);
    pthread_barrier_wait(&barrier);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    result = weir_pool_for(pool, (weir_range){0, SAYINGS}, say, NULL, OPTIONS(.grain = 1));
    weir_pool_free(pool);
    weir_scope_end(scope);
    printf("after\n");
    return result;
}

static void assert_said_once(bool held)
{
    FILE *file = tmpfile();
    int seen[SAYINGS] = {0}, before = 0, after = 0, number, status;
    char line[200], tail[200];
    pid_t child;

    assert_non_null(file);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        child_reset();
        dup2(fileno(file), 1);
        status = held ? say_all_while_held() : say_all();
        fflush(stdout);
        _exit(status == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strcmp(line, "before\n") == 0)
            before++;
        else if (strcmp(line, "after\n") == 0)
            after++;
        else if (sscanf(line, "saying %d %199[^\n]", &number, tail) == 2 && number >= 0 &&
                 number < SAYINGS && strcmp(tail, "and no more") == 0)
            seen[number]++;
        else
            fail_msg("not a whole line: %s", line);
    }
    fclose(file);
    assert_int_equal(before, 1);
    assert_int_equal(after, 1);
    for (int i = 0; i < SAYINGS; i++)
        assert_int_equal(seen[i], 1);
}

static void output_appears_once_in_whole_lines__when_workers_print(void **state)
{
    (void)state;
    assert_said_once(false);
}

static void output_appears_once__when_another_thread_held_stdout_at_the_fork(void **state)
{
    (void)state;
    assert_said_once(true);
}

/* ---- a task that forks ----------------------------------------------------------------------- */

struct forked {
    _Atomic int items[20];
    _Atomic pid_t copy;
    int report; /* where the copy's stderr goes */
};

/* By mistake the copy returns, as the worker does. */
static int fork_and_return(weir_task *task, weir_range range, void *arg)
{
    struct forked *forked = arg;
    pid_t pid;

    (void)task;
    WEIR_EACH (i, range)
        forked->items[i]++;
    if (range.begin != 5)
        return 0;
    pid = fork();
    if (pid == 0)
        dup2(forked->report, STDERR_FILENO);
    else
        forked->copy = pid;
    return pid < 0;
}

static void a_copy_of_a_worker_ends__when_it_returns_from_the_task(void **state)
{
    weir_scope *scope = begin();
    struct forked *forked = shared_memory(sizeof *forked);
    char line[256] = "";
    int report[2];
    struct pollfd readable;
    weir_pool *pool;

    (void)state;
    assert_int_equal(pipe(report), 0);
    forked->report = report[1];
    pool = new_pool(scope, 2);
    for (int job = 1; job <= 10; job++) {
        assert_int_equal(
            weir_pool_for(pool, weir_range_of(20), fork_and_return, forked, OPTIONS(.grain = 1)),
            0);
        for (int i = 0; i < 20; i++)
            assert_int_equal(forked->items[i], job);
        readable = (struct pollfd){.fd = report[0], .events = POLLIN};
        assert_int_equal(poll(&readable, 1, 5000), 1);
        assert_true(read(report[0], line, sizeof line - 1) > 0);
        assert_non_null(strstr(line, "it returned from that task"));
        for (int i = 0; i < 5000 && is_alive(forked->copy); i++)
            usleep(1000);
        assert_false(is_alive(forked->copy));
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    close(report[0]);
    close(report[1]);
    munmap(forked, sizeof *forked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(workers_have_default_signals__whatever_the_program_has),
        UNIT(output_appears_once_in_whole_lines__when_workers_print),
        UNIT(output_appears_once__when_another_thread_held_stdout_at_the_fork),
        UNIT(a_copy_of_a_worker_ends__when_it_returns_from_the_task),
    };

    /* a shell ignores the first two for what it runs in the background, nohup the third */
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
