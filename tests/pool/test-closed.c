/* SPDX-License-Identifier: MIT
 *
 * The program, or a worker, closes descriptors that a pool or a process has, and opens files of its
 * own: these are left alone, calls return, and nothing is left. And what a pool's processes have of
 * other pools: nothing, so all of them end when the program calls exec.
 */
#include "support.h"
#include "taken.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>

static int count_new(const bool *before, const bool *after, int numbers[TAKEN_MAX])
{
    int count = 0;

    for (int fd = 0; fd < TAKEN_MAX; fd++) {
        if (after[fd] && !before[fd])
            numbers[count++] = fd;
    }
    return count;
}

static void check(struct taken *taken)
{
    const char *wrong = look_at_taken(taken);

    if (wrong != NULL)
        fail_msg("descriptor %d, kind %d: %s", taken->fd, taken->kind, wrong);
}

static int give_back(weir_task *task, void *arg)
{
    return weir_task_result(task, arg, sizeof(int));
}

static void count_call(weir_future *future, void *arg)
{
    (void)future;
    ++*(int *)arg;
}

/* Whatever they say: they return, and with an error unless they have worked. */
static void use_pool(weir_pool *pool, _Atomic int *items)
{
    int seven = 7, code, called = 0;
    weir_future *future;

    code = weir_pool_for(pool, (weir_range){0, 4}, count_items, (void *)items, NULL);
    assert_true(code == 0 || code == WEIR_EDIED);
    future = weir_pool_submit(pool, give_back, &seven, sizeof seven, OPTIONS(.timeout_ms = 5000));
    if (future == NULL)
        return;
    code = weir_future_wait(future, 10000);
    assert_true(code == 0 || code == WEIR_EDIED);
    weir_future_free(future);
    future = weir_pool_submit(pool, give_back, &seven, sizeof seven, NULL);
    if (future == NULL)
        return;
    if (weir_future_then(future, count_call, &called) == 0) {
        for (int i = 0; i < 40 && called == 0; i++) {
            if (weir_pool_dispatch(pool) == -EBADF)
                break;
            usleep(50000);
        }
    }
    code = weir_future_wait(future, 10000);
    assert_true(code == 0 || code == WEIR_EDIED);
    weir_future_free(future);
}

static void end_pool(weir_pool *pool, int way)
{
    if (way == 0)
        weir_pool_free(pool);
    else if (way == 1)
        weir_pool_kill(pool);
}

static bool is_timer(int fd)
{
    char path[64], link[64] = "";

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return readlink(path, link, sizeof link - 1) > 0 && strstr(link, "timerfd") != NULL;
}

static void pool_with_closed(int from, int to, enum taken_kind kind, int way)
{
    bool before[TAKEN_MAX], after[TAKEN_MAX];
    _Atomic int *items = shared_memory(4096);
    struct taken taken[TAKEN_MAX];
    int numbers[TAKEN_MAX], count;
    weir_scope *scope = begin();
    weir_pool *pool;
    pid_t worker, supervisor;

    open_numbers(before);
    pool = new_pool(scope, 2);
    assert_true(weir_pool_fd(pool) >= 0);
    open_numbers(after);
    worker = weir_pool_worker_pid(pool, 1);
    supervisor = weir_pool_supervisor_pid(pool);
    count = count_new(before, after, numbers);
    assert_int_equal(count, 6);
    to = to < count ? to : count;
    for (int i = from; i < to; i++)
        assert_true(take_over(&taken[i], numbers[i], kind));
    use_pool(pool, items);
    end_pool(pool, way);
    assert_int_equal(weir_scope_end(scope), -EBADF);
    assert_message_has("left alone");
    assert_false(is_alive(worker) || is_alive(supervisor));
    for (int i = from; i < to; i++)
        check(&taken[i]);
    /* Without its epoll the pool's timer cannot be told from another one, and stays. */
    open_numbers(after);
    for (int i = 0; i < count; i++) {
        if (after[numbers[i]]) {
            assert_true(is_timer(numbers[i]) && from == i - 1 && to == i);
            close(numbers[i]);
        }
    }
    munmap((void *)items, 4096);
}

static void nothing_of_the_programs_is_touched__when_it_has_closed_all_of_a_pool(void **state)
{
    (void)state;
    for (enum taken_kind kind = TAKEN_NOT; kind < TAKEN_KINDS; kind++)
        pool_with_closed(0, TAKEN_MAX, kind, kind % 3);
}

static void nothing_of_the_programs_is_touched__when_it_has_closed_one_of_a_pool(void **state)
{
    (void)state;
    for (int which = 0; which < 6; which++)
        pool_with_closed(which, which + 1, TAKEN_NOT + which % TAKEN_KINDS, which % 3);
    for (int which = 0; which < 6; which++)
        pool_with_closed(which, which + 1, TAKEN_EVENT, 0);
}

static int wait_long(void *arg)
{
    (void)arg;
    while (pause() < 0)
        ;
    return 0;
}

static void a_processs_calls_return__when_the_program_has_closed_its_descriptors(void **state)
{
    (void)state;
    for (enum taken_kind kind = TAKEN_NOT; kind < TAKEN_KINDS; kind++) {
        bool before[TAKEN_MAX], after[TAKEN_MAX];
        struct taken taken[TAKEN_MAX];
        int numbers[TAKEN_MAX], count, code;
        weir_scope *scope = begin();
        weir_process *process;
        pid_t pid;

        open_numbers(before);
        process = weir_process_start(scope, wait_long, NULL);
        assert_non_null(process);
        open_numbers(after);
        pid = weir_process_pid(process);
        count = count_new(before, after, numbers);
        assert_int_equal(count, 2);
        for (int i = 0; i < count; i++)
            assert_true(take_over(&taken[i], numbers[i], kind));
        code = weir_process_kill(process, SIGUSR1);
        assert_true(code == 0 || code == -ESRCH);
        assert_int_not_equal(weir_process_join(process, 10000, NULL), -ETIMEDOUT);
        weir_process_free(process);
        assert_false(is_alive(pid));
        assert_int_equal(weir_scope_end(scope), -EBADF);
        for (int i = 0; i < count; i++)
            check(&taken[i]);
    }
}

static void a_pool_is_refused__when_the_program_has_closed_the_scopes_descriptors(void **state)
{
    bool before[TAKEN_MAX], after[TAKEN_MAX];
    int numbers[TAKEN_MAX], count;
    weir_scope *scope;

    (void)state;
    open_numbers(before);
    scope = begin();
    open_numbers(after);
    count = count_new(before, after, numbers);
    for (int i = 0; i < count; i++)
        close(numbers[i]);
    assert_null(weir_pool_new(scope, NULL));
    assert_int_equal(weir_last_error()->code, -EBADF);
    assert_null(weir_process_start(scope, wait_long, NULL));
    assert_int_equal(weir_last_error()->code, -EBADF);
    assert_int_equal(weir_scope_end(scope), -EBADF);
}

/* ---- in a worker ----------------------------------------------------------------------------- */

static struct taken worker_taken[TAKEN_MAX];

static int close_all_in_worker(void *arg)
{
    const enum taken_kind kind = *(enum taken_kind *)arg;

    bool open[TAKEN_MAX];

    open_numbers(open);
    for (int fd = 3; fd < TAKEN_MAX; fd++) {
        worker_taken[fd].fd = -1;
        if (open[fd] && !take_over(&worker_taken[fd], fd, kind))
            return 1;
    }
    return 0;
}

static int return_much(weir_task *task, void *arg)
{
    char text[3000];

    (void)arg;
    memset(text, 'y', sizeof text);
    return weir_task_result(task, text, sizeof text) == -EBADF ? 0
                                                               : weir_task_fail(task, 9, "written");
}

static int look_in_worker(weir_task *task, void *arg)
{
    (void)arg;
    for (int fd = 3; fd < TAKEN_MAX; fd++) {
        const char *wrong = worker_taken[fd].fd >= 0 ? look_at_taken(&worker_taken[fd]) : NULL;

        if (wrong != NULL)
            return weir_task_fail(task, 8, "%d: %s", fd, wrong);
    }
    return 0;
}

static void run_in_worker(weir_pool *pool, int (*call)(weir_task *, void *), bool back)
{
    weir_future *future = weir_pool_submit(pool, call, NULL, 0, NULL);
    int called = 0;

    assert_non_null(future);
    if (back)
        assert_int_equal(weir_future_then(future, count_call, &called), 0);
    for (int i = 0; back && i < 400 && called == 0; i++) {
        assert_true(weir_pool_dispatch(pool) >= 0);
        usleep(10000);
    }
    assert_int_equal(called, back);
    /* A result that needs the scope file is lost, and its call says so. */
    if (weir_future_wait(future, 10000) != (call == return_much ? WEIR_EFAILED : 0))
        fail_msg("%s", weir_last_error()->message);
    weir_future_free(future);
}

static void a_workers_own_files_are_left_alone__when_it_has_closed_all_from_3_on(void **state)
{
    (void)state;
    for (enum taken_kind kind = TAKEN_NOT; kind <= TAKEN_EVENT; kind++) {
        weir_scope *scope = begin();
        weir_pool *pool = weir_pool_new(
            scope,
            &(weir_pool_options){.workers = 1, .initializer = close_all_in_worker, .arg = &kind});

        assert_non_null(pool);
        run_in_worker(pool, return_much, false);
        run_in_worker(pool, return_much, true);
        run_in_worker(pool, look_in_worker, false);
        weir_pool_free(pool);
        assert_int_equal(weir_scope_end(scope), 0);
    }
}

/* ---- what a pool's processes have of others -------------------------------------------------- */

/* Sockets with a number of their own that both processes have. */
static int common_sockets(pid_t a, pid_t b)
{
    char path[64], links[2][TAKEN_MAX][64];
    int counts[2] = {0, 0}, common = 0;

    for (int which = 0; which < 2; which++) {
        for (int fd = 3; fd < TAKEN_MAX; fd++) {
            char *link = links[which][counts[which]];
            ssize_t n;

            snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)(which ? b : a), fd);
            n = readlink(path, link, 63);
            if (n <= 0)
                continue;
            link[n] = '\0';
            counts[which] += strncmp(link, "socket:", 7) == 0;
        }
    }
    for (int i = 0; i < counts[0]; i++)
        for (int j = 0; j < counts[1]; j++)
            common += strcmp(links[0][i], links[1][j]) == 0;
    return common;
}

static void pools_and_processes_have_no_connection_in_common__in_one_program(void **state)
{
    weir_scope *scopes[] = {begin(), begin()};
    weir_pool *first = new_pool(scopes[0], 1), *second = new_pool(scopes[1], 1);
    weir_process *process = weir_process_start(scopes[0], wait_long, NULL);
    pid_t pids[] = {getpid(), weir_pool_supervisor_pid(first), weir_pool_worker_pid(first, 0),
                    weir_pool_supervisor_pid(second), weir_process_pid(process)};

    (void)state;
    assert_non_null(process);
    /* One: the end to which all of a pool's processes write, which the program has too. */
    assert_int_equal(common_sockets(pids[0], pids[1]), 1);
    assert_int_equal(common_sockets(pids[0], pids[3]), 1);
    assert_int_equal(common_sockets(pids[0], pids[4]), 0);
    assert_int_equal(common_sockets(pids[1], pids[3]), 0);
    assert_int_equal(common_sockets(pids[2], pids[3]), 0);
    assert_int_equal(common_sockets(pids[3], pids[4]), 0);
    assert_int_equal(weir_scope_end(scopes[1]), 0);
    assert_int_equal(weir_scope_end(scopes[0]), 0);
}

static pthread_barrier_t barrier;

static void *make_pool(void *scope)
{
    pthread_barrier_wait(&barrier);
    return weir_pool_new(scope, &(weir_pool_options){.workers = 2});
}

/* Two threads make pools at the same time, and then the program becomes another one. */
_Noreturn static void make_pools_and_exec(void)
{
    weir_scope *scopes[] = {weir_scope_begin(NULL), weir_scope_begin(NULL)};
    pthread_t threads[2];
    void *pools[2];

    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, make_pool, scopes[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &pools[i]);
    if (pools[0] != NULL && pools[1] != NULL)
        execl("/bin/sleep", "sleep", "60", NULL);
    _exit(1);
}

static bool is_sleep(pid_t pid)
{
    char path[64], name[64] = "";
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fgets(name, sizeof name, file) == NULL)
        name[0] = '\0';
    fclose(file);
    return strcmp(name, "sleep\n") == 0;
}

static void all_processes_end__when_the_program_calls_exec_after_threads_made_pools(void **state)
{
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int round = 0; round < 15; round++) {
        const double limit = now_ms() + 15000;
        pid_t program = fork(), ended;
        int status;

        if (program == 0)
            make_pools_and_exec();
        /* Their supervisors and managers are orphans, and so this process's children. They end; the
         * program goes on. */
        while (!is_sleep(program) && now_ms() < limit)
            usleep(1000);
        do {
            ended = waitpid(-1, &status, WNOHANG);
            assert_int_not_equal(ended, program);
            usleep(1000);
        } while (now_ms() < limit && (ended > 0 || count_children() > 1));
        assert_int_equal(count_children(), 1);
        kill(program, SIGKILL);
        assert_int_equal(waitpid(program, &status, 0), program);
        assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(nothing_of_the_programs_is_touched__when_it_has_closed_all_of_a_pool),
        UNIT(nothing_of_the_programs_is_touched__when_it_has_closed_one_of_a_pool),
        UNIT(a_processs_calls_return__when_the_program_has_closed_its_descriptors),
        UNIT(a_pool_is_refused__when_the_program_has_closed_the_scopes_descriptors),
        UNIT(a_workers_own_files_are_left_alone__when_it_has_closed_all_from_3_on),
        UNIT(pools_and_processes_have_no_connection_in_common__in_one_program),
        UNIT(all_processes_end__when_the_program_calls_exec_after_threads_made_pools),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
