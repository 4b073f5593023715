/* SPDX-License-Identifier: MIT
 *
 * What tasks and processes have started: tools, helpers, daemons; when these end.
 */
#include "child.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The pids of all that was started, and of the processes that started them. */
static struct {
    _Atomic int count;
    _Atomic pid_t pids[64];
    _Atomic int terminated; /* ended by SIGTERM */
    _Atomic pid_t pool[4];  /* supervisor, workers */
} * shared;

static void forget(void)
{
    shared->count = shared->terminated = 0;
}

static void note(pid_t pid)
{
    shared->pids[shared->count++ % 64] = pid;
}

static int count_alive(void)
{
    int alive = 0;

    for (int i = 0; i < shared->count && i < 64; i++)
        alive += is_alive(shared->pids[i]);
    return alive;
}

/* Says which ones live, and how, if any does. */
static void assert_none_lives(void)
{
    char path[64], line[160];

    for (int i = 0; i < shared->count && i < 64; i++) {
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)shared->pids[i]);
        if (!is_alive(shared->pids[i]) || (file = fopen(path, "re")) == NULL)
            continue;
        if (fgets(line, sizeof line, file) == NULL)
            line[0] = '\0';
        fclose(file);
        fail_msg("process %d of %d lives: %s", i, shared->count, line);
    }
}

static void kill_all(void)
{
    for (int i = 0; i < shared->count && i < 64; i++) {
        if (is_alive(shared->pids[i]))
            kill(shared->pids[i], SIGKILL);
    }
}

static void stay(void)
{
    note(getpid());
    for (;;)
        pause();
}

static void on_term(int number)
{
    (void)number;
    shared->terminated++;
    _exit(0);
}

/* ---- what a task starts ---------------------------------------------------------------------- */

enum start {
    A_CHILD,
    A_TOOL,     /* by exec */
    A_SHELL,    /* system(): the shell has a child */
    A_CHAIN,    /* a child of a child of a child */
    A_DAEMON,   /* forked twice, in a session of its own */
    A_STOPPED,  /* a child that is stopped */
    A_STUBBORN, /* a child that ignores SIGTERM */
    STARTS
};

static void start_chain(int depth)
{
    if (fork() != 0)
        return;
    signal(SIGTERM, SIG_DFL);
    if (depth > 1)
        start_chain(depth - 1);
    stay();
}

static void start_daemon(void)
{
    pid_t child = fork();

    if (child == 0) {
        setsid();
        if (fork() == 0) {
            signal(SIGTERM, on_term);
            stay();
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void start_tool(void)
{
    pid_t child = fork();

    if (child == 0) {
        note(getpid());
        execlp("sleep", "sleep", "300", (char *)NULL);
        _exit(127);
    }
}

static void start(enum start what)
{
    char command[240];
    int before = shared->count, wanted = before + (what == A_CHAIN ? 3 : 1);

    switch (what) {
    case A_CHILD:
        start_chain(1);
        break;
    case A_TOOL:
        start_tool();
        break;
    case A_SHELL:
        /* a shell in the background, which waits for its own child: that one is noted */
        snprintf(command, sizeof command,
                 "(sleep 300 & echo $! >/tmp/weir-started-%d.new; "
                 "mv /tmp/weir-started-%d.new /tmp/weir-started-%d; wait) &",
                 (int)getpid(), (int)getpid(), (int)getpid());
        if (system(command) == 0) {
            FILE *file = NULL;
            int pid = 0;

            snprintf(command, sizeof command, "/tmp/weir-started-%d", (int)getpid());
            while ((file = fopen(command, "re")) == NULL)
                usleep(500);
            if (fscanf(file, "%d", &pid) == 1)
                note(pid);
            fclose(file);
            unlink(command);
        }
        break;
    case A_CHAIN:
        start_chain(3);
        break;
    case A_DAEMON:
        start_daemon();
        break;
    case A_STOPPED:
    case A_STUBBORN:
        if (fork() == 0) {
            signal(SIGTERM, SIG_IGN);
            if (what == A_STUBBORN)
                stay();
            note(getpid());
            raise(SIGSTOP);
            for (;;)
                pause();
        }
        break;
    default:
        break;
    }
    while (shared->count < wanted)
        usleep(500);
}

static const enum start starts[STARTS] = {A_CHILD,  A_TOOL,    A_SHELL,   A_CHAIN,
                                          A_DAEMON, A_STOPPED, A_STUBBORN};

/* Chunk 0 starts something. Its second attempt counts what is left of the first one's. */
static int start_and_die(weir_task *task, weir_range range, void *arg)
{
    if (range.begin != 0)
        return 0;
    if (weir_task_attempt(task) > 1)
        return count_alive();
    start(*(const enum start *)arg);
    raise(SIGKILL);
    return 0;
}

static int start_and_hang(weir_task *task, weir_range range, void *arg)
{
    if (range.begin != 0)
        return 0;
    if (weir_task_attempt(task) > 1)
        return count_alive();
    start(*(const enum start *)arg);
    for (;;)
        pause();
}

static int start_and_exit(weir_task *task, weir_range range, void *arg)
{
    if (range.begin != 0)
        return 0;
    if (weir_task_attempt(task) > 1)
        return count_alive();
    start(*(const enum start *)arg);
    exit(0);
}

static int start_and_return(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    if (range.begin == 0)
        start(*(const enum start *)arg);
    return 0;
}

static void nothing_of_the_last_attempt_is_left__when_a_chunk_is_run_again(void **state)
{
    static const weir_task_fn functions[] = {start_and_die, start_and_hang, start_and_exit};

    (void)state;
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 2);

        for (int i = 0; i < STARTS; i++) {
            forget();
            /* on a busy machine the worker may be late, and have started nothing */
            for (int64_t limit_ms = 300; shared->count == 0 && limit_ms < 10000; limit_ms *= 2) {
                if (weir_pool_for(pool, (weir_range){0, 4}, functions[f], (void *)&starts[i],
                                  OPTIONS(.grain = 1, .retries = 1,
                                          .chunk_timeout_ms =
                                              functions[f] == start_and_hang ? limit_ms : 0)) != 0)
                    fail_msg("way %d, start %d: %s", (int)f, i, weir_last_error()->message);
            }
            assert_true(shared->count > 0);
            assert_none_lives();
        }
        weir_pool_free(pool);
        weir_scope_end(scope);
    }
}

static void what_was_started_is_gone__when_a_call_reports_the_death(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (int i = 0; i < STARTS; i++) {
        forget();
        assert_int_equal(
            weir_pool_for(pool, (weir_range){0, 1}, start_and_die, (void *)&starts[i], NULL),
            WEIR_EDIED);
        assert_none_lives();
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* Each worker starts a daemon, and says whose it is. */
static struct {
    _Atomic pid_t daemons[2];
} * daemons;

static int start_daemons(weir_task *task, weir_range range, void *arg)
{
    _Atomic pid_t *mine = &daemons->daemons[weir_task_worker(task)];
    pid_t child;

    (void)range;
    (void)arg;
    if (*mine == 0) {
        child = fork();
        if (child == 0) {
            if (fork() != 0)
                _exit(0);
            *mine = getpid();
            stay();
        }
        waitpid(child, NULL, 0);
        while (*mine == 0)
            usleep(500);
    }
    usleep(1000); /* so that the other one has a part, too */
    return 0;
}

static int die(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    raise(SIGKILL);
    return 0;
}

/* A daemon is the supervisor's child while its worker lives. */
static void what_a_living_worker_started_goes_on__when_another_worker_dies(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    int died;

    (void)state;
    forget();
    daemons = shared_memory(sizeof *daemons);
    pool = new_pool(scope, 2);
    while (daemons->daemons[0] == 0 || daemons->daemons[1] == 0) {
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 64}, start_daemons, NULL, NULL), 0);
    }
    assert_int_equal(count_alive(), 2);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, die, NULL, NULL), WEIR_EDIED);
    died = weir_last_error()->worker;
    assert_false(is_alive(daemons->daemons[died]));
    assert_true(is_alive(daemons->daemons[1 - died]));
    weir_pool_free(pool);
    assert_none_lives();
    weir_scope_end(scope);
    munmap(daemons, sizeof *daemons);
}

/* ---- the end of the pool --------------------------------------------------------------------- */

static void what_was_started_ends_with_the_pool__freed_or_killed(void **state)
{
    (void)state;
    for (int kills = 0; kills < 3; kills++) {
        weir_scope *scope = begin();
        weir_pool *pool = new_pool(scope, 2);
        double before;

        forget();
        for (int i = 0; i < STARTS; i++)
            assert_int_equal(
                weir_pool_for(pool, (weir_range){0, 1}, start_and_return, (void *)&starts[i], NULL),
                0);
        assert_int_equal(count_alive(), shared->count);
        before = now_ms();
        if (kills == 0)
            weir_pool_free(pool);
        else if (kills == 1)
            weir_pool_kill(pool);
        if (kills < 2)
            assert_none_lives();
        weir_scope_end(scope);
        assert_none_lives();
        assert_true(now_ms() - before < 3000);
        assert_int_equal(shared->terminated, kills == 0); /* the daemon was asked */
    }
}

static void what_was_started_lives_on__with_leave_started(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .leave_started = true});

    (void)state;
    assert_non_null(pool);
    forget();
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 1}, start_and_die, (void *)&starts[A_TOOL], NULL),
        WEIR_EDIED);
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 1}, start_and_return, (void *)&starts[A_DAEMON], NULL),
        0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    assert_int_equal(count_alive(), 2);
    kill_all();
}

/* In a child of the test program, which is killed. */
static void run_until_killed(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});

    shared->pool[0] = weir_pool_supervisor_pid(pool);
    for (int i = 0; i < STARTS; i++)
        (void)!weir_pool_for(pool, (weir_range){0, 1}, start_and_return, (void *)&starts[i], NULL);
    (void)!weir_pool_for(pool, (weir_range){0, 1}, start_and_hang, (void *)&starts[A_SHELL], NULL);
}

static void what_was_started_ends__when_the_program_is_killed(void **state)
{
    pid_t child;

    (void)state;
    forget();
    fflush(NULL);
    child = fork();
    if (child == 0) {
        child_reset();
        run_until_killed();
        _exit(1);
    }
    WAIT_UNTIL(shared->count == STARTS + 3, 20000);
    usleep(50000);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    WAIT_UNTIL(count_alive() == 0 && !is_alive(shared->pool[0]), 5000);
}

/* ---- a worker's own children are its own ----------------------------------------------------- */

static int wait_for_children(weir_task *task, weir_range range, void *arg)
{
    pid_t children[4];
    FILE *pipe;
    int status, number = 0;

    (void)range;
    (void)arg;
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(i);
    }
    if (system("exit 7") != 7 << 8)
        return weir_task_fail(task, 1, "system() has lost its child");
    pipe = popen("echo 42", "r");
    if (pipe == NULL || fscanf(pipe, "%d", &number) != 1 || number != 42 || pclose(pipe) != 0)
        return weir_task_fail(task, 2, "pclose() has lost its child");
    usleep(2000);
    for (int i = 0; i < 4; i++) {
        if (waitpid(children[i], &status, 0) != children[i] || WEXITSTATUS(status) != i)
            return weir_task_fail(task, 3, "child %d is lost", i);
    }
    return wait(NULL) == -1 && errno == ECHILD ? 0 : weir_task_fail(task, 4, "a child of others");
}

static int leave_short_daemons(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();

        if (child == 0) {
            pid_t daemon = fork();

            if (daemon == 0) {
                usleep(5000);
                _exit(0);
            }
            note(daemon);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    return 0;
}

/* A zombie has a folder in /proc, too. */
static int count_there(void)
{
    int there = 0;

    for (int i = 0; i < shared->count && i < 64; i++)
        there += kill(shared->pids[i], 0) == 0;
    return there;
}

static void a_worker_waits_for_its_own_children__and_no_zombie_is_left_of_others(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int i = 0; i < 5; i++) {
        forget();
        if (weir_pool_for(pool, (weir_range){0, 4}, wait_for_children, NULL, OPTIONS(.grain = 1)) !=
            0)
            fail_msg("%s", weir_last_error()->message);
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, leave_short_daemons, NULL, NULL),
                         0);
        WAIT_UNTIL(count_there() == 0, 3000);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- signals --------------------------------------------------------------------------------- */

static int ask_a_tool(weir_task *task, weir_range range, void *arg)
{
    int status = system("kill -INT $$; kill -QUIT $$; kill -HUP $$; exit 5");

    (void)range;
    (void)arg;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGINT
               ? 0
               : weir_task_fail(task, 1, "the tool ended with status %d", status);
}

static void a_tool_ends_by_ctrl_c__and_its_worker_does_not(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    if (weir_pool_for(pool, (weir_range){0, 1}, ask_a_tool, NULL, NULL) != 0)
        fail_msg("%s", weir_last_error()->message);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_tool_ignores_hang_up__when_the_program_does(void **state)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    weir_scope *scope;
    weir_process *process;
    int code = 55;

    (void)state;
    sigaction(SIGHUP, &ignore, &before);
    scope = begin();
    process = weir_process_start(scope, (int (*)(void *))(void (*)(void))system,
                                 (void *)"kill -HUP $$; exit 5");
    assert_non_null(process);
    sigaction(SIGHUP, &before, NULL);
    assert_int_equal(weir_process_join(process, 10000, &code), 0);
    assert_int_equal(code, 0); /* 5 << 8, modulo 256; a signal would be 1 */
    weir_process_free(process);
    weir_scope_end(scope);
}

/* ---- a process ------------------------------------------------------------------------------- */

static int start_all(void *arg)
{
    for (int i = 0; i < STARTS; i++)
        start(starts[i]);
    if (*(const bool *)arg)
        for (;;)
            pause();
    return 0;
}

static void what_a_process_started_is_gone__when_it_is_joined_or_killed(void **state)
{
    static const bool stays[] = {false, true};

    (void)state;
    for (int i = 0; i < 2; i++) {
        weir_scope *scope = begin();
        weir_process *process;
        int code = 55;

        forget();
        process = weir_process_start(scope, start_all, (void *)&stays[i]);
        assert_non_null(process);
        WAIT_UNTIL(shared->count == STARTS + 2, 10000);
        if (stays[i])
            assert_int_equal(weir_process_kill(process, SIGKILL), 0);
        assert_int_equal(weir_process_join(process, 10000, &code), 0);
        assert_int_equal(code, stays[i] ? -SIGKILL : 0);
        assert_none_lives();
        assert_int_equal(shared->terminated, stays[i] ? 0 : 1);
        weir_process_free(process);
        weir_scope_end(scope);
    }
}

static void what_a_process_started_lives_on__with_leave_started(void **state)
{
    static const bool stays = false;
    weir_scope *scope = begin();
    weir_process *process;

    (void)state;
    forget();
    process = weir_process_start_with(scope, start_all, (void *)&stays,
                                      &(weir_process_options){.leave_started = true});
    assert_non_null(process);
    assert_int_equal(weir_process_join(process, 10000, NULL), 0);
    assert_int_equal(count_alive(), STARTS + 2);
    kill_all();
    weir_process_free(process);
    assert_null(
        weir_process_start_with(scope, start_all, NULL, &(weir_process_options){.reserved[3] = 1}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(nothing_of_the_last_attempt_is_left__when_a_chunk_is_run_again),
        UNIT(what_was_started_is_gone__when_a_call_reports_the_death),
        UNIT(what_a_living_worker_started_goes_on__when_another_worker_dies),
        UNIT(what_was_started_ends_with_the_pool__freed_or_killed),
        UNIT(what_was_started_lives_on__with_leave_started),
        UNIT(what_was_started_ends__when_the_program_is_killed),
        UNIT(a_worker_waits_for_its_own_children__and_no_zombie_is_left_of_others),
        UNIT(a_tool_ends_by_ctrl_c__and_its_worker_does_not),
        UNIT(a_tool_ignores_hang_up__when_the_program_does),
        UNIT(what_a_process_started_is_gone__when_it_is_joined_or_killed),
        UNIT(what_a_process_started_lives_on__with_leave_started),
    };

    /* a shell ignores the first two for what it runs in the background, nohup the third */
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    leak_isolate();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 99;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
