/* SPDX-License-Identifier: MIT
 *
 * subject_tasks.c: tasks that do not return as they should, that start other programs, and workers
 * that change their user. Each mode's last argument says how all ends.
 */
#include "subject.h"

#include <grp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

static jmp_buf before_the_pool;
static pid_t program;

/* free, kill, scope, exit (the program ends without a word), die (it is killed), supervisor (that
 * is killed first). */
static int end_by(const char *how, weir_scope *scope, weir_pool *pool)
{
    if (strcmp(how, "die") == 0)
        raise(SIGKILL);
    if (strcmp(how, "exit") == 0)
        exit(0);
    if (strcmp(how, "supervisor") == 0)
        kill(weir_pool_supervisor_pid(pool), SIGKILL);
    if (strcmp(how, "kill") == 0)
        weir_pool_kill(pool);
    else if (strcmp(how, "scope") != 0)
        weir_pool_free(pool);
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

static void leave(const char *way)
{
    if (strcmp(way, "forks") == 0)
        (void)!fork(); /* and both return */
    else if (strcmp(way, "forks-twice") == 0) {
        if (fork() == 0)
            (void)!fork();
    } else if (strcmp(way, "aborts") == 0)
        abort(); /* as an exception that nobody catches */
    else if (strcmp(way, "jumps") == 0)
        longjmp(before_the_pool, 1);
    else if (strcmp(way, "exits") == 0)
        exit(0);
    else if (strcmp(way, "exits-thread") == 0)
        pthread_exit(NULL);
    else if (strcmp(way, "executes") == 0)
        execlp("sleep", "sleep", "0.05", (char *)NULL);
}

static int leave_task(weir_task *task, weir_range range, void *arg)
{
    if (range.begin % 4 == 1 && weir_task_attempt(task) == 1)
        leave(arg);
    return 0;
}

static int task_leaves(int argc, char **argv)
{
    weir_scope *scope;
    weir_pool *pool;
    int code;

    MUST(argc == 2);
    program = getpid();
    if (setjmp(before_the_pool) != 0)
        exit(getpid() == program); /* the worker, as a second program */
    scope = weir_scope_begin(NULL);
    MUST(scope != NULL);
    pool = new_pool(scope, 3);
    code = weir_pool_for(pool, (weir_range){0, 12}, leave_task, argv[0],
                         &(weir_job_options){.grain = 1, .retries = 1});
    MUST(code == 0); /* each second attempt returns */
    return end_by(argv[1], scope, pool);
}

static int start_programs(weir_task *task, weir_range range, void *arg)
{
    const char *how = arg;

    if (weir_task_attempt(task) > 1)
        return 0;
    if (range.begin % 3 == 0 && system("sleep 100 & (setsid sleep 100 &)") != 0)
        return 1;
    if (range.begin % 3 == 1 && fork() == 0) {
        (void)!fork();
        for (;;)
            pause();
    }
    if (range.begin % 3 != 2)
        return 0;
    return strcmp(how, "deadline") == 0 ? system("sleep 100") : 0;
}

static int task_starts(int argc, char **argv)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_job_options options = {.grain = 1, .retries = 1};
    weir_pool *pool;

    MUST(scope != NULL && argc == 2);
    pool = new_pool(scope, 3);
    options.chunk_timeout_ms = strcmp(argv[0], "deadline") == 0 ? 300 : 0;
    MUST(weir_pool_for(pool, (weir_range){0, 6}, start_programs, argv[0], &options) == 0);
    return end_by(argv[1], scope, pool);
}

static int drop(void *arg)
{
    (void)arg;
    return setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0;
}

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int worker_drops(int argc, char **argv)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool;

    MUST(scope != NULL && argc == 1);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3, .initializer = drop});
    MUST(pool != NULL);
    MUST(weir_pool_for(pool, (weir_range){0, 100}, do_nothing, NULL, NULL) == 0);
    return end_by(argv[0], scope, pool);
}

const struct mode tasks[] = {{"task-leaves", task_leaves},
                             {"task-starts", task_starts},
                             {"worker-drops", worker_drops},
                             {NULL, NULL}};
