/* SPDX-License-Identifier: MIT
 *
 * subject host HOW: programs that do with processes and threads what programs do. In each of them a
 * pool must report a worker's death as it was, a process its exit status, and the program's own
 * children must be its own.
 */
#include "subject.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <uv.h>

static int die(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    if (range.begin <= 5 && 5 < range.end)
        raise(SIGKILL);
    return 0;
}

static int return_7(void *arg)
{
    (void)arg;
    return 7;
}

/* A pool and a process, with deaths in them, told as they were. */
static void use_weir(weir_scope *scope)
{
    weir_pool *pool = new_pool(scope, 2);
    weir_process *process = weir_process_start(scope, return_7, NULL);
    int code = 0;

    MUST(pool != NULL && process != NULL);
    MUST(work(pool, NULL) == 0);
    MUST(weir_pool_for(pool, (weir_range){0, 10}, die, NULL, &(weir_job_options){.chunks = 10}) ==
         WEIR_EDIED);
    MUST(weir_last_error()->signal == SIGKILL && weir_last_error()->range.begin == 5);
    MUST(work(pool, NULL) == 0);
    MUST(weir_process_join(process, 5000, &code) == 0 && code == 7);
    weir_process_free(process);
    weir_pool_free(pool);
}

static void use_scope(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    double start;

    MUST(scope != NULL && weir_scope_list_range(scope, 0, 10, 1) != NULL);
    use_weir(scope);
    start = now_ms();
    MUST(weir_scope_end(scope) == 0 && now_ms() - start < 2000);
}

/* A child of the program's own, that says 42. */
static pid_t start_child(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        sleep_ms(30);
        _exit(42);
    }
    MUST(pid > 0);
    return pid;
}

/* A child of the program's own may get no CPU for long on a busy machine; what is none of it would
 * be seen while and after it is waited for. */
static void wait_for_count(_Atomic int *count, int wanted)
{
    for (int i = 0; *count < wanted && i < 10000; i++)
        sleep_ms(1);
    sleep_ms(30);
}

/* ---- one that waits for everything ---------------------------------------------------------- */

/* No process of weir's is ever seen: nor those between the program and a manager or supervisor. */
static _Atomic int reaped, foreign;
static _Atomic bool enough;

static void *wait_for_all(void *arg)
{
    (void)arg;
    while (!enough) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);

        if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 42)
            reaped++;
        else if (pid > 0)
            foreign++;
        else
            sleep_ms(0.1);
    }
    return NULL;
}

static void waiting(void)
{
    pthread_t thread;

    MUST(pthread_create(&thread, NULL, wait_for_all, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        start_child();
        use_scope();
    }
    wait_for_count(&reaped, 3);
    enough = true;
    pthread_join(thread, NULL);
    MUST(reaped == 3);
    MUST(foreign == 0);
}

/* ---- ones that do not want to know ----------------------------------------------------------- */

static void ignoring(void)
{
    pid_t child;

    signal(SIGCHLD, SIG_IGN);
    child = start_child();
    use_scope();
    MUST(waitpid(child, NULL, 0) < 0 && errno == ECHILD); /* the kernel's way with SIG_IGN */
}

static _Atomic int handled, signals;

static void reap_in_handler(int signal)
{
    const int saved = errno;
    int status;

    (void)signal;
    signals++;
    while (waitpid(-1, &status, WNOHANG) > 0)
        if (WIFEXITED(status) && WEXITSTATUS(status) == 42)
            handled++;
        else
            foreign++;
    errno = saved;
}

static void handling(void)
{
    struct sigaction action = {.sa_handler = reap_in_handler};

    sigaction(SIGCHLD, &action, NULL);
    start_child();
    use_scope();
    wait_for_count(&handled, 1);
    MUST(handled == 1);
    MUST(foreign == 0);
    MUST(signals == 1);
}

/* ---- a loop of libuv's, with a child --------------------------------------------------------- */

static int64_t uv_status = -1;
static uv_process_t uv_child;

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal)
{
    uv_status = signal == 0 ? status : -signal;
    uv_close((uv_handle_t *)process, NULL);
}

static void spawning(void)
{
    char *arguments[] = {"sh", "-c", "sleep 0.05; exit 42", NULL};
    uv_process_options_t options = {
        .file = "/bin/sh", .args = arguments, .exit_cb = on_exit_of_child};

    MUST(uv_spawn(uv_default_loop(), &uv_child, &options) == 0);
    use_scope();
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    MUST(uv_status == 42);
    uv_loop_close(uv_default_loop());
}

/* ---- a child that keeps descriptors and outlives the scope ------------------------------------
 */

static void keeping(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    int until[2];
    pid_t child;
    char byte;

    MUST(scope != NULL && weir_scope_list_range(scope, 0, 10, 1) != NULL);
    MUST(pipe(until) == 0);
    child = fork();
    if (child == 0) {
        close(until[1]);
        _exit(read(until[0], &byte, 1) == 0 ? 42 : 1);
    }
    close(until[0]);
    use_weir(scope);
    MUST(weir_scope_end(scope) == 0);
    MUST(waitpid(child, NULL, WNOHANG) == 0); /* it still has them */
    close(until[1]);
    MUST(waitpid(child, NULL, 0) == child);
}

/* ---- threads in malloc and stdio --------------------------------------------------------------
 */

static void *allocate(void *arg)
{
    FILE *null = fopen("/dev/null", "w");

    (void)arg;
    while (!enough) {
        char *text = malloc(10 + (size_t)(now_ms() * 1e3) % 5000);

        fprintf(null, "%p\n", (void *)text);
        free(text);
    }
    fclose(null);
    return NULL;
}

static void threading(void)
{
    pthread_t threads[16];

    for (int i = 0; i < 16; i++)
        MUST(pthread_create(&threads[i], NULL, allocate, NULL) == 0);
    for (int i = 0; i < 3; i++)
        use_scope();
    enough = true;
    for (int i = 0; i < 16; i++)
        pthread_join(threads[i], NULL);
}

/* ---- reapers of orphans -----------------------------------------------------------------------
 */

/* What weir forks comes back to the program, and weir leaves none of it to it. */
static void reaping(void)
{
    pid_t child;
    int status;

    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    child = start_child();
    use_scope();
    MUST(waitpid(-1, &status, 0) == child && WEXITSTATUS(status) == 42);
    MUST(waitpid(-1, &status, 0) < 0 && errno == ECHILD);
}

/* A child of the program's own gets the number of a supervisor that is dead, and ends: its status
 * is the program's all the same. It needs a pid namespace in which numbers can be chosen. */
static void numbering(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool;
    pid_t supervisor, child = -1;
    int status = 0;

    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pool = new_pool(scope, 2);
    MUST(pool != NULL);
    supervisor = weir_pool_supervisor_pid(pool);
    kill(supervisor, SIGKILL);
    for (int workers = 0; workers<3; workers += waitpid(-1, NULL, WNOHANG)> 0)
        sleep_ms(0.1); /* all of them come here, as the program asked for */
    for (int i = 0; i < 1000 && child != supervisor; i++) {
        FILE *last = fopen("/proc/sys/kernel/ns_last_pid", "w");

        MUST(last != NULL && fprintf(last, "%d", (int)supervisor - 1) > 0 && fclose(last) == 0);
        child = fork();
        if (child == 0)
            _exit(42);
        if (child != supervisor)
            MUST(waitpid(child, NULL, 0) == child);
    }
    MUST(child == supervisor);
    sleep_ms(10); /* it has ended, and waits to be reaped */
    weir_pool_free(pool);
    MUST(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 42);
    MUST(weir_scope_end(scope) == 0);
}

static int host(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } hows[] = {{"waiting", waiting},   {"ignoring", ignoring},  {"handling", handling},
                {"spawning", spawning}, {"keeping", keeping},    {"threading", threading},
                {"reaping", reaping},   {"numbering", numbering}};

    for (size_t i = 0; argc == 1 && i < sizeof hows / sizeof *hows; i++)
        if (strcmp(argv[0], hows[i].name) == 0) {
            hows[i].run();
            return 0;
        }
    return 3;
}

const struct mode hosts[] = {{"host", host}, {NULL, NULL}};
