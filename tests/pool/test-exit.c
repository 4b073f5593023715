/* SPDX-License-Identifier: MIT
 *
 * The ways in which a worker or process ends by itself: nothing of the program's is run or written
 * there, and what it has made itself is finished.
 */
#include "sanitizer.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>

#define STATUS 3

/* What the program registered, and where it was run. */
static struct {
    _Atomic int ran_elsewhere;
    _Atomic int own; /* handlers of workers and processes */
} * seen;

static pid_t program;
static FILE *program_log;

static void note(void)
{
    if (getpid() != program)
        seen->ran_elsewhere++;
}

static void note_status(int status, void *arg)
{
    (void)status;
    (void)arg;
    note();
}

static void note_cleanup(void *arg)
{
    (void)arg;
    note();
}

static void note_own(void)
{
    seen->own++;
}

__attribute__((destructor)) static void note_destruction(void)
{
    if (seen != NULL)
        note();
}

/* ---- ways out -------------------------------------------------------------------------------- */

static void by_exit(void)
{
    exit(STATUS);
}

static void by_quick_exit(void)
{
    quick_exit(STATUS);
}

static void by_pthread_exit(void)
{
    pthread_exit(NULL);
}

static void by_cancellation(void)
{
    pthread_cancel(pthread_self());
    pthread_testcancel();
}

static void *exit_thread(void *arg)
{
    (void)arg;
    exit(STATUS);
}

static void by_exit_in_a_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, exit_thread, NULL);
    pthread_join(thread, NULL);
}

/* The worker goes on; its child is what exits. */
static void by_a_child(void)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        exit(STATUS);
    waitpid(child, &status, 0);
    _exit(WEXITSTATUS(status));
}

static const struct way {
    void (*leave)(void);
    int status;
} ways[] = {
    {by_exit, STATUS},    {by_quick_exit, STATUS},       {by_pthread_exit, 0},
    {by_cancellation, 0}, {by_exit_in_a_thread, STATUS}, {by_a_child, STATUS},
};

#define WAYS (sizeof ways / sizeof ways[0])

static int leave_task(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    if (range.begin == 0)
        ((const struct way *)arg)->leave();
    return 0;
}

static int leave_process(void *arg)
{
    ((const struct way *)arg)->leave();
    return 0;
}

static int leave_initializer(void *arg)
{
    ((const struct way *)arg)->leave();
    return 0;
}

static void leave_finalizer(void *arg)
{
    ((const struct way *)arg)->leave();
}

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int return_status(void *arg)
{
    (void)arg;
    return STATUS;
}

/* The log of a program with threads: what is buffered there is not flushed before a fork. */
static void *sleep_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void have_a_thread(void)
{
    static pthread_t thread;

    if (thread == 0)
        assert_int_equal(pthread_create(&thread, NULL, sleep_for_ever, NULL), 0);
}

static void open_program_log(void)
{
    have_a_thread();
    seen->ran_elsewhere = seen->own = 0;
    program_log = tmpfile();
    assert_non_null(program_log);
    fprintf(program_log, "a line of the program\n");
}

/* Nothing of the program's was run or written by others. */
static void check_program(void)
{
    char line[100];
    int lines = 0;

    assert_int_equal(seen->ran_elsewhere, 0);
    rewind(program_log);
    while (fgets(line, sizeof line, program_log) != NULL)
        lines++;
    fclose(program_log);
    assert_int_equal(lines, 1);
}

/* Where the thread that forks has a cleanup of its own on its stack. */
static weir_pool *new_pool_with_cleanup(weir_scope *scope)
{
    weir_pool *pool;

    pthread_cleanup_push(note_cleanup, NULL);
    pool = new_pool(scope, 2);
    pthread_cleanup_pop(0);
    return pool;
}

static weir_process *start_with_cleanup(weir_scope *scope, size_t way)
{
    weir_process *process;

    pthread_cleanup_push(note_cleanup, NULL);
    process = weir_process_start(scope, way < WAYS ? leave_process : return_status,
                                 (void *)&ways[way % WAYS]);
    pthread_cleanup_pop(0);
    return process;
}

static void nothing_of_the_program_is_run__when_a_task_leaves_its_worker(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        weir_scope *scope = begin();
        weir_pool *pool;

        open_program_log();
        pool = new_pool_with_cleanup(scope);
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, leave_task, (void *)&ways[i],
                                       OPTIONS(.grain = 1)),
                         WEIR_EDIED);
        assert_int_equal(weir_last_error()->exit_status, ways[i].status);
        weir_pool_free(pool);
        weir_scope_end(scope);
        check_program();
    }
}

static void nothing_of_the_program_is_run__when_a_worker_leaves_its_initializer(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        weir_scope *scope = begin();
        weir_pool *pool;

        open_program_log();
        pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1,
                                                         .initializer = leave_initializer,
                                                         .arg = (void *)&ways[i]});
        assert_non_null(pool);
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, do_nothing, NULL, NULL),
                         WEIR_EDIED);
        weir_pool_free(pool);
        weir_scope_end(scope);
        check_program();
    }
}

static void nothing_of_the_program_is_run__when_a_worker_ends_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i <= WAYS; i++) {
        weir_scope *scope = begin();
        weir_pool *pool;

        open_program_log();
        pool = weir_pool_new(scope,
                             &(weir_pool_options){.workers = 2,
                                                  .finalizer = i < WAYS ? leave_finalizer : NULL,
                                                  .arg = (void *)&ways[i % WAYS]});
        assert_non_null(pool);
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, do_nothing, NULL, NULL), 0);
        weir_pool_free(pool);
        weir_scope_end(scope);
        check_program();
    }
}

static void nothing_of_the_program_is_run__when_a_process_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i <= WAYS; i++) {
        weir_scope *scope = begin();
        weir_process *process;
        int code = 55;

        open_program_log();
        process = start_with_cleanup(scope, i);
        assert_non_null(process);
        assert_int_equal(weir_process_join(process, 10000, &code), 0);
        assert_int_equal(code, i < WAYS ? ways[i].status : STATUS);
        weir_process_free(process);
        weir_scope_end(scope);
        check_program();
    }
}

/* ---- what a worker or process has made itself ------------------------------------------------ */

static char path[64];
static FILE *own_file;

static int open_own_file(void *arg)
{
    (void)arg;
    own_file = fopen(path, "a");
    return own_file == NULL || atexit(note_own) != 0;
}

static int write_items(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    WEIR_EACH (i, range)
        fprintf(own_file, "%d\n", (int)i);
    return 0;
}

static int count_lines(void)
{
    FILE *file = fopen(path, "re");
    int lines = 0, c;

    while (file != NULL && (c = getc(file)) != EOF)
        lines += c == '\n';
    if (file != NULL)
        fclose(file);
    return lines;
}

static void what_workers_wrote_is_in_the_file__when_the_pool_is_freed(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    seen->own = 0;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2, .initializer = open_own_file});
    assert_non_null(pool);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, write_items, NULL, NULL), 0);
    weir_pool_free(pool);
    weir_scope_end(scope);
    assert_int_equal(count_lines(), 100);
    assert_int_equal(seen->own, 2);
    unlink(path);
}

static int write_and_return(void *arg)
{
    if (open_own_file(NULL) != 0)
        return 1;
    fprintf(own_file, "a line of the process\n");
    if (*(const bool *)arg)
        exit(STATUS);
    return STATUS;
}

static void what_a_process_wrote_is_in_the_file__when_it_returns_or_exits(void **state)
{
    static const bool exits[] = {false, true};

    (void)state;
    for (int i = 0; i < 2; i++) {
        weir_scope *scope = begin();
        weir_process *process;
        int code = 55;

        seen->own = 0;
        process = weir_process_start(scope, write_and_return, (void *)&exits[i]);
        assert_non_null(process);
        assert_int_equal(weir_process_join(process, 10000, &code), 0);
        assert_int_equal(code, STATUS);
        weir_process_free(process);
        weir_scope_end(scope);
        assert_int_equal(count_lines(), 1);
        assert_int_equal(seen->own, 1);
        unlink(path);
    }
}

static void *hold_stream(void *arg)
{
    flockfile(arg);
    fprintf(arg, "pending");
    seen->own = 1;
    return sleep_for_ever(arg);
}

/* As a thread does that waits for input. */
static int leave_a_stream_locked(weir_task *task, weir_range range, void *arg)
{
    pthread_t thread;

    (void)task;
    (void)range;
    (void)arg;
    pthread_create(&thread, NULL, hold_stream, tmpfile());
    for (int i = 0; i < 5000 && seen->own == 0; i++)
        usleep(1000);
    return seen->own == 0;
}

static void a_worker_ends_at_once__when_another_thread_of_it_holds_a_stream(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    double before;

    (void)state;
    seen->own = 0;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, leave_a_stream_locked, NULL, NULL), 0);
    before = now_ms();
    weir_pool_free(pool);
    assert_true(now_ms() - before < 3000);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(nothing_of_the_program_is_run__when_a_task_leaves_its_worker),
        UNIT(nothing_of_the_program_is_run__when_a_worker_leaves_its_initializer),
        UNIT(nothing_of_the_program_is_run__when_a_worker_ends_in_order),
        UNIT(nothing_of_the_program_is_run__when_a_process_ends),
        UNIT(what_workers_wrote_is_in_the_file__when_the_pool_is_freed),
        UNIT(what_a_process_wrote_is_in_the_file__when_it_returns_or_exits),
        UNIT(a_worker_ends_at_once__when_another_thread_of_it_holds_a_stream),
    };

    if (ADDRESS_SANITIZER && getenv("WEIR_TEST_UNWIND") == NULL) {
        /* of gcc 12: a stack that was unwound stays poisoned, and sigaltstack() fails there */
        printf("skipped: AddressSanitizer does not bear that threads are unwound\n");
        return 77;
    }

    leak_isolate();
    program = getpid();
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED || atexit(note) != 0 || at_quick_exit(note) != 0 ||
        on_exit(note_status, NULL) != 0)
        return 99;
    snprintf(path, sizeof path, "/tmp/weir-test-exit-%d", (int)program);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
