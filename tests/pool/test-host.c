/* SPDX-License-Identifier: MIT
 *
 * Programs that make it hard for a pool: with closed streams, other children, many threads, low
 * limits. Each is a child of the test, as its signals, descriptors or limits are not like others'.
 */
#include "child.h"
#include "entries.h"
#include "support.h"

#include "sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define CANNOT_RUN 77

/* Runs host() in a child. Its result 0 is success; others but CANNOT_RUN are told by the test's
 * failure. */
static void assert_host(int (*host)(void), int timeout_ms)
{
    double until = now_ms() + at_most(timeout_ms);
    int status;
    pid_t child = fork();

    if (child == 0) {
        child_reset();
        _exit(host());
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (now_ms() > until) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            fail_msg("%s", "the host hangs");
        }
        usleep(1000);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_RUN) {
        print_message("skipped: another user may not run this build's manager program\n");
        skip();
    }
    if (status != 0)
        fail_msg("the host: wait status %#x", status);
}

static _Atomic int *map_items(void)
{
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* 0 when a pool of that many workers ran a job with the right result. */
static int try_pool(weir_scope *scope, int workers)
{
    _Atomic int *items = map_items();
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    int result = 0;

    if (items == NULL || pool == NULL)
        return 21;
    if (weir_pool_for(pool, (weir_range){0, 10000}, count_items, items, NULL) != 0)
        return 22;
    for (int i = 0; i < 10000; i++)
        result = items[i] == 1 ? result : 23;
    weir_pool_free(pool);
    munmap((void *)items, 65536);
    return result;
}

static int print_much(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++)
        printf("a line that has to go somewhere: %lld\n", (long long)i);
    fprintf(stderr, "and to stderr\n");
    return 0;
}

static int closed_streams; /* one bit a stream */

static int without_streams(void)
{
    weir_scope *scope;
    weir_pool *pool;
    int result;

    for (int i = 0; i < 3; i++) {
        if (closed_streams >> i & 1)
            close(i);
        else if (freopen("/dev/null", i == 0 ? "r" : "w",
                         i == 0   ? stdin
                         : i == 1 ? stdout
                                  : stderr) == NULL)
            return 9;
    }
    scope = weir_scope_begin(NULL);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    if (pool == NULL)
        return 1;
    if (weir_pool_for(pool, (weir_range){0, 50000}, print_much, NULL, NULL) != 0)
        return 2;
    if (weir_scope_shm(scope, 4096) == NULL)
        return 3;
    weir_pool_free(pool);
    result = try_pool(scope, 2);
    return result != 0 ? result : weir_scope_end(scope) != 0 ? 4 : 0;
}

static void output_harms_nothing__when_the_standard_streams_are_closed(void **state)
{
    (void)state;
    for (closed_streams = 1; closed_streams < 8; closed_streams++)
        assert_host(without_streams, 20000);
}

static int ignoring_children(void)
{
    weir_scope *scope;
    int result;

    signal(SIGCHLD, SIG_IGN);
    scope = weir_scope_begin(NULL);
    result = scope == NULL ? 1 : try_pool(scope, 2);
    return result != 0 ? result : weir_scope_end(scope) != 0 ? 2 : 0;
}

static void a_pool_works__when_sigchld_is_ignored(void **state)
{
    (void)state;
    assert_host(ignoring_children, 20000);
}

static _Atomic int seen; /* ends of processes that the program did not start */

static void *wait_for_anybody(void *arg)
{
    _Atomic bool *stop = arg;

    while (!*stop)
        seen += waitpid(-1, NULL, WNOHANG) > 0;
    return NULL;
}

static void count_signal(int signal)
{
    (void)signal;
    seen++;
}

static int die_once(weir_task *task, weir_range range, void *arg)
{
    if (range.begin == 0 && weir_task_attempt(task) == 1)
        raise(SIGKILL);
    return count_items(task, range, arg);
}

static int die_always(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    (void)task;
    if (range.begin == 0)
        raise(SIGTERM);
    return 0;
}

static int waiting_for_anybody(void)
{
    _Atomic bool stop = false;
    _Atomic int *items = map_items();
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool;
    pthread_t thread;
    int result;

    signal(SIGCHLD, count_signal);
    pthread_create(&thread, NULL, wait_for_anybody, &stop);
    for (int round = 0; round < 20; round++) {
        result = try_pool(scope, 2);
        if (result != 0)
            return result;
    }
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    if (weir_pool_for(pool, (weir_range){0, 100}, die_once, items, OPTIONS(.retries = 1)) != 0)
        return 1;
    if (weir_pool_for(pool, (weir_range){0, 100}, die_always, NULL, NULL) != WEIR_EDIED ||
        weir_last_error()->signal != SIGTERM)
        return 2; /* the status was not stolen */
    weir_pool_free(pool);
    if (weir_scope_end(scope) != 0)
        return 3;
    stop = true;
    pthread_join(thread, NULL);
    return seen != 0 ? 4 : 0;
}

static void the_program_sees_no_child_and_no_status_is_lost__when_it_waits_for_any(void **state)
{
    (void)state;
    assert_host(waiting_for_anybody, 30000);
}

static int not_seeing_children(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});

    if (waitpid(-1, NULL, 0) != -1 || errno != ECHILD)
        return 1;
    weir_pool_free(pool);
    return weir_scope_end(scope) != 0 ? 2 : 0;
}

static void the_program_has_no_child__while_it_has_a_pool(void **state)
{
    (void)state;
    assert_host(not_seeing_children, 10000);
}

/* glibc asks memory that the kernel writes to (rseq), where that is registered for the process. */
static int know_cpus(weir_task *task, weir_range range, void *arg)
{
    cpu_set_t all, one;

    (void)range;
    (void)arg;
    sched_getaffinity(0, sizeof all, &all);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one) == 0 && sched_getcpu() != cpu)
            return weir_task_fail(task, 1, "on CPU %d, but it says %d", cpu, sched_getcpu());
    }
    sched_setaffinity(0, sizeof all, &all);
    return 0;
}

static void a_worker_knows_its_cpu__as_the_program_does(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    if (weir_pool_for(pool, (weir_range){0, 10}, know_cpus, NULL, OPTIONS(.grain = 1)) != 0)
        fail_msg("%s", weir_last_error()->message);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* A task may need as much stack as the program: the pool was made on this one. */
static int use_stack(weir_task *task, weir_range range, void *arg)
{
    volatile char much[3 << 20];

    (void)task;
    (void)arg;
    for (size_t i = 0; i < sizeof much; i += 4096)
        much[i] = (char)range.begin;
    return much[4096] != (char)range.begin;
}

static void *make_pool_in_thread(void *arg)
{
    weir_pool *pool = weir_pool_new(arg, &(weir_pool_options){.workers = 2});
    int result = weir_pool_for(pool, (weir_range){0, 8}, use_stack, NULL, NULL);

    weir_pool_free(pool);
    return result == 0 ? NULL : "failed";
}

static void a_task_has_the_stack_of_the_thread_that_made_the_pool(void **state)
{
    weir_scope *scope = begin();
    pthread_t thread;
    void *result;

    (void)state;
    assert_null(make_pool_in_thread(scope));
    assert_int_equal(pthread_create(&thread, NULL, make_pool_in_thread, scope), 0);
    pthread_join(thread, &result);
    assert_null(result);
    weir_scope_end(scope);
}

#define THREADS 8

static _Atomic bool stop_allocating;

static void *allocate(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    void *memory[64] = {NULL};

    while (!stop_allocating) {
        unsigned i = (unsigned)rand_r(&seed) % 64;

        free(memory[i]);
        memory[i] = malloc((size_t)rand_r(&seed) % 5000 + 1);
    }
    for (int i = 0; i < 64; i++)
        free(memory[i]);
    return NULL;
}

/* AddressSanitizer's allocator (gcc 12, LLVM before 17) does not take its own locks at a fork, so a
 * child of a program with threads may not allocate. What weir does itself before a task is held to
 * that; the task then leaves its malloc() out. */
static int allocate_in_task(weir_task *task, weir_range range, void *arg)
{
#if !ADDRESS_SANITIZER
    free(strdup("a copy"));
#endif
    return count_items(task, range, arg);
}

static int allocating(void)
{
    pthread_t threads[THREADS];
    weir_scope *scope = weir_scope_begin(NULL);
    _Atomic int *items = map_items();

    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, allocate, (void *)i);
    for (int round = 0; round < 12; round++) {
        weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});

        if (pool == NULL ||
            weir_pool_for(pool, (weir_range){0, 100}, allocate_in_task, items, NULL) != 0)
            return 1;
        weir_pool_free(pool);
    }
    stop_allocating = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return items[99] != 12 ? 2 : weir_scope_end(scope) != 0 ? 3 : 0;
}

static void a_pool_can_be_made__while_other_threads_allocate(void **state)
{
    (void)state;
#if ADDRESS_SANITIZER
    print_message("tasks allocate nothing here: this allocator's locks do not survive a fork\n");
#endif
    assert_host(allocating, 60000);
}

static void *make_pools(void *arg)
{
    double slowest = 0;

    for (int round = 0; round < 10; round++) {
        double start = now_ms();

        if (try_pool(arg, 2) != 0)
            return (void *)1;
        slowest = now_ms() - start > slowest ? now_ms() - start : slowest;
    }
    return slowest > at_most(5000) ? (void *)2 : NULL;
}

static int making_pools_at_once(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    pthread_t threads[4];
    void *result, *worst = NULL;

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, make_pools, scope);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        worst = result != NULL ? result : worst;
    }
    return worst != NULL ? (int)(intptr_t)worst : weir_scope_end(scope) != 0 ? 3 : 0;
}

static void no_pool_holds_up_another__when_threads_make_them_at_once(void **state)
{
    (void)state;
    assert_host(making_pools_at_once, 60000);
}

/* ---- who reaps what has ended ---------------------------------------------------------------- */

#define ROUNDS 4

static int start_orphan(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return system("sleep 0.01 & true") == -1;
}

static int start_orphan_alone(void *arg)
{
    (void)arg;
    return system("sleep 0.01 & true") == -1;
}

/* Scopes, pools and processes that end in each way, and tasks that leave orphans. */
static int begin_and_end_many(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        weir_scope *scope = weir_scope_begin(NULL);
        weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
        weir_process *process = weir_process_start(scope, start_orphan_alone, NULL);

        if (weir_pool_for(pool, weir_range_of(8), start_orphan, NULL, OPTIONS(.grain = 1)) != 0 ||
            weir_process_join(process, 10000, NULL) != 0)
            return 1;
        kill(weir_pool_worker_pid(pool, 1), SIGKILL);
        if (round % 2)
            weir_pool_free(pool);
        else
            weir_pool_kill(pool);
        if (round < 2)
            weir_process_free(process);
        if (weir_scope_end(scope) != 0)
            return 2;
    }
    return 0;
}

/* Reaps all children of this process, dead or not. Returns how many there were. */
static int reap_children(void)
{
    int count = 0;

    while (waitpid(-1, NULL, 0) > 0)
        count++;
    return count;
}

/* As the first process of a container, when that is the program. */
static int reap_nothing(void)
{
    siginfo_t info;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (begin_and_end_many() != 0)
        return 1;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ? 0 : 2;
}

/* As the first process of a container that only waits for the program. */
static int reap_program_alone(void)
{
    int status, left;
    pid_t child;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    child = fork();
    if (child == 0)
        _exit(begin_and_end_many());
    if (waitpid(child, &status, 0) != child || status != 0)
        return 1;
    left = reap_children();
    if (left > 3 * ROUNDS)
        fprintf(stderr, "%d processes of %d scopes were not reaped\n", left, ROUNDS);
    return left <= 3 * ROUNDS ? 0 : 2;
}

static void no_zombie_is_left__when_orphans_come_back_to_the_program(void **state)
{
    (void)state;
    assert_host(reap_nothing, 60000);
}

static void one_process_a_scope_pool_or_process_is_left__when_init_does_not_reap(void **state)
{
    (void)state;
    assert_host(reap_program_alone, 60000);
}

/* ---- many ----------------------------------------------------------------------------------- */

static long count_pages(void)
{
#if ADDRESS_SANITIZER
    return 1;
#endif

    FILE *file = fopen("/proc/self/statm", "re");
    long virtual = 0, resident = 0;

    if (file == NULL || fscanf(file, "%ld %ld", &virtual, &resident) != 2)
        return -1;
    fclose(file);
    return resident;
}

static void nothing_grows__when_pools_are_made_one_after_the_other(void **state)
{
    weir_scope *scope = begin();
    int descriptors = 0;
    long pages = 0;

    (void)state;
    for (int round = 0; round < 500; round++) {
        _Atomic int *items = shared_memory(4096);
        weir_pool *pool = new_pool(scope, 2);

        assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, count_items, items, NULL), 0);
        if (round % 2)
            weir_pool_kill(pool);
        else
            weir_pool_free(pool);
        munmap((void *)items, 4096);
        if (round == 100) {
            descriptors = count_entries("/proc/self/fd");
            pages = count_pages();
        }
    }
    assert_true(descriptors > 0);
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    assert_true(pages > 0);
#if !ADDRESS_SANITIZER /* which keeps freed memory for a while */
    assert_in_range(count_pages(), 1, (uintmax_t)pages + 100);
#endif
    weir_scope_end(scope);
}

static void a_job_is_done__by_200_workers(void **state)
{
    weir_scope *scope = begin();

    (void)state;
    assert_int_equal(try_pool(scope, 200), 0);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- limits --------------------------------------------------------------------------------- */

static int with_few_descriptors(void)
{
    bool refused = false, made = false;

    for (rlim_t limit = 8; limit < 60; limit++) {
        struct rlimit few = {limit, 64};
        weir_scope *scope = weir_scope_begin(NULL);
        weir_pool *pool;

        if (scope == NULL || setrlimit(RLIMIT_NOFILE, &few) < 0)
            return 1;
        weir_clear_error();
        pool = weir_pool_new(scope, &(weir_pool_options){.workers = 20});
        if (pool == NULL) {
            if (weir_last_error()->code != -EMFILE) {
                fprintf(stderr, "limit %d: %s\n", (int)limit, weir_last_error()->message);
                return 2;
            }
            refused = true;
        } else {
            made = true;
        }
        weir_pool_free(pool);
        few.rlim_cur = 64;
        setrlimit(RLIMIT_NOFILE, &few);
        if (weir_scope_end(scope) != 0)
            return 3;
    }
    return refused && made ? 0 : 4;
}

static void a_pool_is_refused__when_there_are_too_few_descriptors(void **state)
{
    (void)state;
    assert_host(with_few_descriptors, 60000);
}

#define NOBODY 54321 /* a uid under which nothing else runs */

static int with_few_processes(void)
{
    bool refused = false;

    if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        return 6;
    for (rlim_t limit = 8; limit >= 3; limit--) {
        struct rlimit few = {limit, 1000}, enough = {1000, 1000};
        weir_scope *scope = weir_scope_begin(NULL);
        weir_pool *pool;

        if (scope == NULL) /* a build in a folder of root's alone */
            return weir_last_error()->code == -ENOENT ? CANNOT_RUN : 1;
        setrlimit(RLIMIT_NPROC, &few);
        weir_clear_error();
        pool = weir_pool_new(scope, &(weir_pool_options){.workers = 6});
        if (pool == NULL) {
            if (weir_last_error()->code != -EAGAIN)
                return 2;
            refused = true;
        }
        weir_pool_free(pool);
        setrlimit(RLIMIT_NPROC, &enough);
        if (try_pool(scope, 2) != 0)
            return 3;
        if (weir_scope_end(scope) != 0)
            return 4;
    }
    return refused ? 0 : 5;
}

static void a_pool_is_refused__when_there_are_too_few_processes(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: needs root, to become a user of its own\n");
        skip();
    }
    assert_host(with_few_processes, 60000);
}

static int without_another_process(void)
{
    const struct rlimit none = {1, 1};
    weir_scope *scope;
    weir_pool *pool;
    double start;

    if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        return 6;
    scope = weir_scope_begin(NULL);
    if (scope == NULL) /* a build in a folder of root's alone */
        return weir_last_error()->code == -ENOENT ? CANNOT_RUN : 1;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    if (pool == NULL || prlimit(weir_pool_supervisor_pid(pool), RLIMIT_NPROC, &none, NULL) < 0)
        return 2;
    kill(weir_pool_worker_pid(pool, 0), SIGKILL);
    start = now_ms();
    if (weir_pool_for(pool, (weir_range){0, 100}, print_much, NULL, NULL) != -EAGAIN ||
        strstr(weir_last_error()->message, "no worker could be forked for 5 s") == NULL)
        return 3;
    if (now_ms() - start < 4000 || now_ms() - start > 15000)
        return 4;
    weir_pool_free(pool);
    return weir_scope_end(scope) == 0 ? 0 : 5;
}

static void a_job_is_given_up__when_no_worker_can_be_forked_for_long(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: needs root, to become a user of its own\n");
        skip();
    }
    assert_host(without_another_process, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(output_harms_nothing__when_the_standard_streams_are_closed),
        UNIT(a_pool_works__when_sigchld_is_ignored),
        UNIT(the_program_sees_no_child_and_no_status_is_lost__when_it_waits_for_any),
        UNIT(the_program_has_no_child__while_it_has_a_pool),
        UNIT(a_worker_knows_its_cpu__as_the_program_does),
        UNIT(a_task_has_the_stack_of_the_thread_that_made_the_pool),
        UNIT(a_pool_can_be_made__while_other_threads_allocate),
        UNIT(no_pool_holds_up_another__when_threads_make_them_at_once),
        UNIT(no_zombie_is_left__when_orphans_come_back_to_the_program),
        UNIT(one_process_a_scope_pool_or_process_is_left__when_init_does_not_reap),
        UNIT(nothing_grows__when_pools_are_made_one_after_the_other),
        UNIT(a_job_is_done__by_200_workers),
        UNIT(a_pool_is_refused__when_there_are_too_few_descriptors),
        UNIT(a_pool_is_refused__when_there_are_too_few_processes),
        UNIT(a_job_is_given_up__when_no_worker_can_be_forked_for_long),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
