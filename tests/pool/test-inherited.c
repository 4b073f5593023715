/* SPDX-License-Identifier: MIT
 *
 * What workers and processes have of the program's standard input and of its other descriptors.
 */
#include "child.h"
#include "entries.h"
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>

static bool without_null;

/* The linker passes all calls of open() on to here (--wrap): a system without /dev/null. */
#ifdef __GLIBC__ /* where open() is open64() */
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
    va_list list;
    int mode;

    va_start(list, flags);
    mode = va_arg(list, int);
    va_end(list);
    if (without_null && strcmp(path, "/dev/null") == 0) {
        errno = ENOENT;
        return -1;
    }
    return __real_open64(path, flags, mode);
}
#endif

/* ---- standard input -------------------------------------------------------------------------- */

#define LINES 200

/* Runs the program in a child, whose standard input has LINES lines. Returns its exit status. */
static int run_with_input(int (*program)(void), bool pipe_it)
{
    int ends[2], status = -1;
    FILE *file = tmpfile();
    pid_t child;

    assert_non_null(file);
    for (int i = 0; i < LINES; i++)
        fprintf(file, "line %d\n", i);
    fflush(file);
    rewind(file);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < LINES && pipe_it; i++) /* all of it has room there */
        dprintf(ends[1], "line %d\n", i);
    child = fork();
    if (child == 0) {
        child_reset();
        dup2(pipe_it ? ends[0] : fileno(file), STDIN_FILENO);
        close(ends[0]);
        close(ends[1]);
        _exit(program());
    }
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    fclose(file);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int read_with_tool(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    if (getchar() != EOF)
        return weir_task_fail(task, 1, "the program's buffer is here");
    if (system("test -z \"$(cat)\"") != 0)
        return weir_task_fail(task, 2, "the tool has read something");
    return 0;
}

static int read_in_process(void *arg)
{
    (void)arg;
    return getchar() == EOF ? 0 : 1;
}

/* Reads a line, then makes a pool, and reads the other ones while tasks run tools. */
static int read_lines(void)
{
    char line[100];
    int lines = fgets(line, sizeof line, stdin) != NULL, code = -1;
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    weir_process *process = weir_process_start(scope, read_in_process, NULL);

    if (pool == NULL || weir_process_join(process, 5000, &code) != 0 || code != 0)
        return 2;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (lines++ % 50 == 0 &&
            weir_pool_for(pool, weir_range_of(2), read_with_tool, NULL, OPTIONS(.grain = 1)) != 0) {
            fprintf(stderr, "%s\n", weir_last_error()->message);
            return 3;
        }
    }
    if (weir_scope_end(scope) != 0)
        return 4;
    return lines == LINES ? 0 : 5;
}

static int read_lines_unbuffered(void)
{
    setvbuf(stdin, NULL, _IOLBF, 16);
    return read_lines();
}

static int read_lines_without_null(void)
{
    without_null = true;
    return read_lines();
}

static void the_program_reads_all_of_its_input__when_tasks_run_tools(void **state)
{
    (void)state;
    for (int pipe_it = 0; pipe_it < 2; pipe_it++) {
        assert_int_equal(run_with_input(read_lines, pipe_it), 0);
        assert_int_equal(run_with_input(read_lines_unbuffered, pipe_it), 0);
        assert_int_equal(run_with_input(read_lines_without_null, pipe_it), 0);
    }
}

static int read_first_line(weir_task *task, weir_range range, void *arg)
{
    char line[100];

    (void)range;
    (void)arg;
    if (fgets(line, sizeof line, stdin) == NULL || strcmp(line, "line 0\n") != 0)
        return weir_task_fail(task, 1, "not the first line");
    return 0;
}

static int read_first_line_in_process(void *arg)
{
    char line[100];

    (void)arg;
    return fgets(line, sizeof line, stdin) != NULL && strcmp(line, "line 0\n") == 0 ? 0 : 1;
}

static int let_a_worker_read(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1, .keep_stdin = true});

    return weir_pool_for(pool, weir_range_of(1), read_first_line, NULL, NULL) != 0 ? 1
           : weir_scope_end(scope) != 0                                            ? 2
                                                                                   : 0;
}

static int let_a_process_read(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_process *process = weir_process_start_with(scope, read_first_line_in_process, NULL,
                                                    &(weir_process_options){.keep_stdin = true});
    int code = -1;

    if (weir_process_join(process, 5000, &code) != 0 || code != 0)
        return 1;
    weir_process_free(process);
    return weir_scope_end(scope);
}

static void workers_read_the_programs_input__when_they_keep_it(void **state)
{
    (void)state;
    assert_int_equal(run_with_input(let_a_worker_read, true), 0);
    assert_int_equal(run_with_input(let_a_process_read, true), 0);
}

static int read_byte_of_0(weir_task *task, weir_range range, void *arg)
{
    char byte = 0;

    (void)range;
    if (pread(STDIN_FILENO, &byte, 1, 0) < 0 || byte != *(const char *)arg)
        return weir_task_fail(task, 1, "read %d", byte);
    return 0;
}

/* A daemon: descriptor 0 is closed, or a file of its own. */
static int without_input(void)
{
    const char nothing = 0, letter = 'w';
    weir_scope *scope;
    weir_pool *pool;
    FILE *file;
    int fd;

    fclose(stdin);
    scope = weir_scope_begin(NULL);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    if (weir_pool_for(pool, weir_range_of(1), read_byte_of_0, (void *)&nothing,
                      OPTIONS(.arg_size = 1)) != 0)
        return 1;
    weir_pool_free(pool);
    file = tmpfile();
    fd = dup(fileno(file)); /* the lowest number that is free */
    if (fileno(file) != STDIN_FILENO && fd != STDIN_FILENO)
        return 2;
    if (write(fileno(file), &letter, 1) != 1 || fcntl(STDIN_FILENO, F_SETFD, FD_CLOEXEC) < 0)
        return 3;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    if (weir_pool_for(pool, weir_range_of(1), read_byte_of_0, (void *)&letter,
                      OPTIONS(.arg_size = 1)) != 0)
        return 4;
    return weir_scope_end(scope) != 0 ? 5 : 0;
}

static void descriptor_0_is_left_alone__when_the_program_has_closed_it(void **state)
{
    (void)state;
    assert_int_equal(run_with_input(without_input, false), 0);
}

/* ---- other descriptors ----------------------------------------------------------------------- */

#define OPENED 40

struct opened {
    int fds[OPENED];
    int passed[2];
};

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int check_opened(weir_task *task, weir_range range, void *arg)
{
    const struct opened *opened = arg;

    (void)range;
    for (int i = 0; i < OPENED; i++) {
        if (is_open(opened->fds[i]) !=
            (opened->fds[i] == opened->passed[0] || opened->fds[i] == opened->passed[1]))
            return weir_task_fail(task, 1, "descriptor %d, number %d", opened->fds[i], i);
    }
    return 0;
}

static int check_opened_in_process(void *arg)
{
    const struct opened *opened = arg;
    int open = 0;

    for (int i = 0; i < OPENED; i++)
        open += is_open(opened->fds[i]);
    return open;
}

static int count_range(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    atomic_fetch_add((_Atomic int64_t *)arg, range.end - range.begin);
    return 0;
}

static void note_call(weir_future *future, void *arg)
{
    (void)future;
    ++*(int *)arg;
}

/* All ways in which a pool's processes use descriptors of weir's. */
static void assert_all_works(weir_scope *scope, weir_pool *pool)
{
    _Atomic int64_t *count =
        weir_scope_alloc(scope, sizeof *count); /* is mapped by its descriptor */
    weir_future *future;
    int called = 0;

    assert_non_null(count);
    assert_int_equal(weir_pool_for(pool, weir_range_of(1000), count_range, (void *)count, NULL), 0);
    assert_int_equal(*count, 1000);
    kill(weir_pool_worker_pid(pool, 0), SIGKILL);
    future = weir_pool_for_async(pool, weir_range_of(1000), count_range, (void *)count, NULL);
    assert_non_null(future);
    assert_int_equal(weir_future_then(future, note_call, &called), 0);
    for (int i = 0; i < 5000 && called == 0; i++) {
        usleep(1000);
        assert_true(weir_pool_dispatch(pool) >= 0);
    }
    assert_int_equal(called, 1);
    weir_future_free(future);
}

static void open_many(struct opened *opened)
{
    for (int i = 0; i < OPENED; i++) {
        opened->fds[i] = open("/dev/null", i % 2 ? O_RDONLY | O_CLOEXEC : O_RDONLY);
        assert_true(opened->fds[i] >= 0);
    }
    opened->passed[0] = opened->fds[17];
    opened->passed[1] = opened->fds[OPENED - 1];
}

static void close_many(const struct opened *opened)
{
    for (int i = 0; i < OPENED; i++)
        close(opened->fds[i]);
}

static int entries_of(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    return count_entries(path);
}

static void workers_have_what_they_are_passed__when_they_close_the_rest(void **state)
{
    struct opened opened;
    weir_scope *scope = begin();
    weir_process *process;
    weir_pool *pool;
    int code = -1;

    (void)state;
    open_many(&opened);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2,
                                                     .close_descriptors = true,
                                                     .pass_descriptors = opened.passed,
                                                     .pass_count = 2});
    assert_non_null(pool);
    assert_int_equal(weir_pool_for(pool, weir_range_of(8), check_opened, &opened,
                                   OPTIONS(.arg_size = sizeof opened)),
                     0);
    assert_in_range(entries_of(weir_pool_supervisor_pid(pool)), 3, 16);
    assert_all_works(scope, pool);
    process = weir_process_start_with(scope, check_opened_in_process, &opened,
                                      &(weir_process_options){.close_descriptors = true,
                                                              .pass_descriptors = opened.passed,
                                                              .pass_count = 1});
    assert_int_equal(weir_process_join(process, 5000, &code), 0);
    assert_int_equal(code, 1);
    weir_process_free(process);
    for (int i = 0; i < OPENED; i++)
        assert_true(is_open(opened.fds[i]));
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
    close_many(&opened);
}

static void the_options_are_refused__when_they_make_no_sense(void **state)
{
    const int numbers[] = {3, -1};
    const weir_pool_options wrong[] = {
        {.pass_descriptors = numbers, .pass_count = 1},
        {.close_descriptors = true, .pass_count = 1},
        {.close_descriptors = true, .pass_descriptors = numbers, .pass_count = 2},
    };
    const char *const messages[] = {"close_descriptors", "is NULL", "pass_descriptors[1] is -1"};
    weir_scope *scope = begin();

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(weir_pool_new(scope, &wrong[i]));
        assert_int_equal(weir_last_error()->code, -EINVAL);
        assert_message_has(messages[i]);
        assert_null(weir_process_start_with(
            scope, check_opened_in_process, NULL,
            &(weir_process_options){.close_descriptors = wrong[i].close_descriptors,
                                    .pass_descriptors = wrong[i].pass_descriptors,
                                    .pass_count = wrong[i].pass_count}));
        assert_message_has(messages[i]);
    }
    assert_int_equal(weir_scope_end(scope), 0);
}

static int sleep_long(void *arg)
{
    (void)arg;
    while (pause() < 0)
        ;
    return 0;
}

#define PROCESSES 100
#define POOLS     20

/* What was just forked has some more for a moment. */
static void assert_same_entries(pid_t pid, pid_t other)
{
    WAIT_UNTIL(entries_of(pid) == entries_of(other), 5000);
    assert_in_range(entries_of(pid), 3, 16);
}

static void the_last_process_has_no_more_descriptors__than_the_first(void **state)
{
    weir_scope *scope = begin();
    weir_process *processes[PROCESSES];
    weir_pool *pools[POOLS];

    (void)state;
    for (int i = 0; i < PROCESSES; i++) {
        processes[i] = weir_process_start(scope, sleep_long, NULL);
        assert_non_null(processes[i]);
    }
    assert_same_entries(weir_process_pid(processes[PROCESSES - 1]), weir_process_pid(processes[0]));
    for (int i = 0; i < POOLS; i++)
        pools[i] = new_pool(scope, 1);
    assert_same_entries(weir_pool_worker_pid(pools[POOLS - 1], 0),
                        weir_pool_worker_pid(pools[0], 0));
    assert_same_entries(weir_pool_supervisor_pid(pools[POOLS - 1]),
                        weir_pool_supervisor_pid(pools[0]));
    for (int i = 0; i < PROCESSES; i++)
        weir_process_free(processes[i]);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- what closing means while a pool lives --------------------------------------------------- */

static void *free_soon(void *arg)
{
    usleep(300000);
    weir_pool_free(arg);
    return NULL;
}

static void assert_pclose_is_quick(FILE *tool)
{
    const double start = now_ms();

    fprintf(tool, "one line\n");
    assert_int_equal(pclose(tool), 0);
    assert_true(now_ms() - start < 5000);
}

static void pclose_waits_for_no_pool__unless_the_pool_has_the_pipe(void **state)
{
    weir_scope *scope = begin();
    FILE *tool = popen("cat >/dev/null", "we");
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .close_descriptors = true});
    pthread_t thread;
    double start;

    (void)state;
    assert_pclose_is_quick(tool);
    assert_pclose_is_quick(popen("cat >/dev/null", "we")); /* later than the pool */
    kill(weir_pool_worker_pid(pool, 0), SIGKILL);
    assert_pclose_is_quick(popen("cat >/dev/null", "we")); /* and than a replacement */
    weir_pool_free(pool);

    tool = popen("cat >/dev/null", "we");
    pool = new_pool(scope, 2);
    start = now_ms();
    pthread_create(&thread, NULL, free_soon, pool);
    assert_int_equal(pclose(tool), 0);
    assert_in_range(now_ms() - start, 200, 10000);
    pthread_join(thread, NULL);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* On any port if *port is 0. -1: the port is taken. */
static int listen_on(in_port_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = *port};
    socklen_t size = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 5) < 0) {
        close(fd);
        return -1;
    }
    getsockname(fd, (struct sockaddr *)&address, &size);
    *port = address.sin_port;
    return fd;
}

static void a_port_and_a_lock_are_free__unless_a_pool_has_them(void **state)
{
    weir_scope *scope = begin();

    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        in_port_t port = 0;
        FILE *locked = tmpfile();
        char path[64];
        int fd = listen_on(&port), again;
        weir_pool *pool;

        assert_true(fd >= 0);
        assert_int_equal(flock(fileno(locked), LOCK_EX), 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(locked));
        again = open(path, O_RDWR | O_CLOEXEC);
        pool = weir_pool_new(scope,
                             &(weir_pool_options){.workers = 2, .close_descriptors = closes != 0});
        assert_non_null(pool);
        close(fd);
        fclose(locked);
        fd = listen_on(&port);
        assert_int_equal(fd >= 0, closes);
        assert_int_equal(flock(again, LOCK_EX | LOCK_NB) == 0, closes);
        close(fd);
        weir_pool_free(pool);
        fd = listen_on(&port);
        assert_true(fd >= 0);
        assert_int_equal(flock(again, LOCK_EX | LOCK_NB), 0);
        close(fd);
        close(again);
    }
    assert_int_equal(weir_scope_end(scope), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_program_reads_all_of_its_input__when_tasks_run_tools),
        UNIT(workers_read_the_programs_input__when_they_keep_it),
        UNIT(descriptor_0_is_left_alone__when_the_program_has_closed_it),
        UNIT(workers_have_what_they_are_passed__when_they_close_the_rest),
        UNIT(the_options_are_refused__when_they_make_no_sense),
        UNIT(the_last_process_has_no_more_descriptors__than_the_first),
        UNIT(pclose_waits_for_no_pool__unless_the_pool_has_the_pipe),
        UNIT(a_port_and_a_lock_are_free__unless_a_pool_has_them),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
