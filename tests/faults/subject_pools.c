/* SPDX-License-Identifier: MIT
 *
 * Processes that stop, memory that is taken away, the terminal, and a long life.
 *
 *     subject stop-worker       a worker is stopped on a chunk: deadlines hold, chunks count once
 *     subject stop-manager      the manager is stopped: the end is bounded
 *     subject stop-supervisor WAY [MANAGER]
 *                               a pool's and a process's supervisor are stopped, with deadlines and
 *                               kills in flight; WAY of the end: free, kill or scope; MANAGER: that
 *                               is stopped too
 *     subject truncate          a block is truncated under a worker, and under a process
 *     subject foreground        works until Ctrl-C, and reports once
 *     subject soak SECONDS SEED scopes and pools one after the other, with kills among them
 */
#include "subject.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct board {
    _Atomic int stops, runs[16], commits[16];
    _Atomic int64_t stopped_us, again_us;
};

static struct board *board;

static struct board *new_board(void)
{
    void *memory =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    MUST(memory != MAP_FAILED);
    return memory;
}

/* ---- SIGSTOP -------------------------------------------------------------------------------- */

static int stop_once(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    int chunk = (int)weir_task_chunk(task);

    (void)arg;
    board->runs[chunk]++;
    if (chunk == 3 && board->stops++ == 0) {
        board->stopped_us = (int64_t)(now_ms() * 1e3);
        raise(SIGSTOP);
    } else if (chunk == 3) {
        board->again_us = (int64_t)(now_ms() * 1e3);
    }
    *(int64_t *)accumulator += range.end - range.begin;
    return 0;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(int64_t *)into += *(const int64_t *)from;
}

static int reduce(weir_pool *pool, int64_t *total, weir_job_options options)
{
    const weir_reduction count = {.size = 8, .fold = stop_once, .combine = add};

    options.chunks = 16;
    return weir_pool_reduce(pool, (weir_range){0, 1600}, &count, total, NULL, &options);
}

/* The chunk's deadline: killed, run again, counted once. */
static double stopped_on_a_chunk(weir_pool *pool, int timeout_ms)
{
    int64_t total = 0;

    *board = (struct board){0};
    MUST(reduce(pool, &total, (weir_job_options){.chunk_timeout_ms = timeout_ms, .retries = 2}) ==
         0);
    MUST(total == 1600 && board->runs[3] == 2);
    for (int i = 0; i < 16; i++)
        MUST(i == 3 || board->runs[i] == 1);
    return (double)(board->again_us - board->stopped_us) / 1e3;
}

/* The job's deadline. */
static double stopped_in_a_job(weir_pool *pool, int timeout_ms)
{
    double start = now_ms();
    int64_t total = 5;

    *board = (struct board){0};
    MUST(reduce(pool, &total, (weir_job_options){.timeout_ms = timeout_ms, .retries = 2}) ==
         -ETIMEDOUT);
    MUST(total == 5);
    return now_ms() - start;
}

static int stop_worker(int argc, char **argv)
{
    const int timeout_ms = 250;
    weir_scope *scope;
    weir_pool *pool;

    (void)argc;
    (void)argv;
    board = new_board();
    scope = weir_scope_begin(NULL);
    MUST(scope != NULL);
    pool = new_pool(scope, 2);
    MUST(pool != NULL);
    for (int i = 0; i < 2; i++) {
        double ms =
            i == 0 ? stopped_on_a_chunk(pool, timeout_ms) : stopped_in_a_job(pool, timeout_ms);

        printf("%.2f\n", ms);
        if (ms < timeout_ms * 0.8 || ms > timeout_ms * 1.2) {
            fprintf(stderr, "a deadline of %d ms was kept after %.1f ms\n", timeout_ms, ms);
            return 1;
        }
        MUST(work(pool, NULL) == 0);
    }
    weir_pool_free(pool);
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

static int stop_manager(int argc, char **argv)
{
    const int timeout_ms = 300;
    weir_scope *scope = weir_scope_begin(&(weir_scope_options){.timeout_ms = timeout_ms});
    weir_pool *pool;
    double start;

    (void)argc;
    (void)argv;
    MUST(scope != NULL && weir_scope_list_range(scope, 0, 100, 1) != NULL);
    pool = new_pool(scope, 2);
    MUST(pool != NULL && kill(weir_scope_manager_pid(scope), SIGSTOP) == 0);
    MUST(work(pool, NULL) == 0 && weir_scope_shm(scope, 5000) != NULL);
    weir_pool_free(pool);
    start = now_ms();
    MUST(weir_scope_end(scope) == 0);
    printf("%.2f\n", now_ms() - start);
    MUST(now_ms() - start < timeout_ms * 1.2 + 100);
    return 0;
}

static int stop_the_supervisor_once(weir_task *task, weir_range range, void *arg)
{
    const pid_t *supervisor = arg;

    (void)task;
    (void)range;
    if (board->stops++ > 0)
        return 0;
    kill(*supervisor, SIGSTOP);
    raise(SIGKILL);
    return 1;
}

static int never_ends(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    while (pause() < 0)
        ;
    return 0;
}

static int process_never_ends(void *arg)
{
    (void)arg;
    while (pause() < 0)
        ;
    return 0;
}

/* 278 rings filled a socket that nobody reads. */
static void run_jobs_with_deadlines(weir_pool *pool)
{
    const weir_job_options options = {.timeout_ms = 10000, .chunk_timeout_ms = 5000, .chunks = 4};

    for (int i = 0; i < 600; i++)
        MUST(work(pool, &options) == 0);
}

/* The bounds: a second until it is asked, a second until it is continued. */
static void keep_promises_while_stopped(weir_pool *pool, pid_t supervisor)
{
    const double start = now_ms();
    weir_future *futures[2];

    for (int i = 0; i < 2; i++) {
        futures[i] = weir_pool_for_async(pool, (weir_range){0, 1}, never_ends, NULL,
                                         &(weir_job_options){.timeout_ms = 250});
        MUST(futures[i] != NULL);
    }
    MUST(kill(supervisor, SIGSTOP) == 0);
    for (int i = 0; i < 2; i++) {
        MUST(weir_future_wait(futures[i], 10000) == -ETIMEDOUT);
        weir_future_free(futures[i]);
    }
    printf("%.2f\n", now_ms() - start);
    MUST(weir_pool_for(pool, (weir_range){0, 2}, stop_the_supervisor_once, &supervisor,
                       &(weir_job_options){.arg_size = sizeof supervisor, .retries = 2}) == 0);
    printf("%.2f\n", now_ms() - start);
}

static void stop_process(weir_scope *scope)
{
    weir_process *process = weir_process_start(scope, process_never_ends, NULL);
    char path[64];
    int parent, code = 0;
    FILE *file;

    MUST(process != NULL);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)weir_process_pid(process));
    file = fopen(path, "re");
    MUST(file != NULL && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) == 1);
    fclose(file);
    MUST(kill(parent, SIGSTOP) == 0 && weir_process_kill(process, SIGTERM) == 0);
    MUST(weir_process_join(process, 10000, &code) == 0 && code == -SIGTERM);
    MUST(kill(parent, SIGSTOP) == 0 || errno == ESRCH);
    weir_process_free(process);
}

static int stop_supervisor(int argc, char **argv)
{
    const char *way = argc > 0 ? argv[0] : "free";
    weir_scope *scope = weir_scope_begin(&(weir_scope_options){.timeout_ms = 300});
    weir_pool *pool;
    pid_t supervisor;
    double start;

    MUST(scope != NULL);
    board = new_board();
    pool = new_pool(scope, 2);
    MUST(pool != NULL);
    supervisor = weir_pool_supervisor_pid(pool);
    MUST(kill(supervisor, SIGSTOP) == 0);
    run_jobs_with_deadlines(pool);
    keep_promises_while_stopped(pool, supervisor);
    stop_process(scope);
    MUST(kill(supervisor, SIGSTOP) == 0);
    if (argc > 1)
        MUST(kill(weir_scope_manager_pid(scope), SIGSTOP) == 0);
    start = now_ms();
    if (strcmp(way, "free") == 0)
        weir_pool_free(pool);
    else if (strcmp(way, "kill") == 0)
        weir_pool_kill(pool);
    MUST(weir_scope_end(scope) == 0);
    printf("%.2f\n", now_ms() - start);
    return 0;
}

/* ---- a block that is truncated while it is mapped ---------------------------------------------
 */

static int touch(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    if (range.begin == 2)
        ((volatile char *)arg)[100000] = 1;
    return 0;
}

static int touch_in_process(void *arg)
{
    return ((volatile char *)arg)[100000];
}

static int truncate_block(int argc, char **argv)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_shm *block = weir_scope_shm(scope, 200000);
    weir_list *list = weir_scope_list_range(scope, 0, 10, 1);
    weir_process *process;
    weir_pool *pool;
    char path[300];
    int code = 0;

    (void)argc;
    (void)argv;
    MUST(scope != NULL && block != NULL && list != NULL);
    pool = new_pool(scope, 2);
    MUST(pool != NULL);
    snprintf(path, sizeof path, "/dev/shm/%s", weir_shm_name(block));
    MUST(truncate(path, 4096) == 0);

    MUST(weir_pool_for(pool, (weir_range){0, 4}, touch, weir_shm_buf(block),
                       &(weir_job_options){.chunks = 4}) == WEIR_EDIED);
    MUST(weir_last_error()->signal == SIGBUS && weir_last_error()->range.begin == 2);
    process = weir_process_start(scope, touch_in_process, weir_shm_buf(block));
    MUST(process != NULL && weir_process_join(process, 5000, &code) == 0 && code == -SIGBUS);
    weir_process_free(process);

    /* everybody else goes on */
    MUST(kill(weir_scope_manager_pid(scope), 0) == 0);
    MUST(work(pool, NULL) == 0 && weir_list_set(list, 0, weir_int(1)) == 0);
    MUST(weir_scope_shm(scope, 5000) != NULL);
    weir_shm_unlink(block);
    weir_shm_close(block);
    weir_pool_free(pool);
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

/* ---- the terminal --------------------------------------------------------------------------- */

static weir_pool *interrupted_pool;
static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupts++;
    weir_pool_cancel(interrupted_pool);
}

/* It is the job that says "working": a cancel before it is opened would not be about it. */
static int dawdle(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    if (range.begin == 0)
        printf("working\n");
    sleep_ms(20);
    return 0;
}

static int foreground(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    weir_scope *scope = weir_scope_begin(NULL);
    pid_t workers[2];
    int result;

    (void)argc;
    (void)argv;
    MUST(scope != NULL && weir_scope_list_range(scope, 0, 100, 1) != NULL);
    interrupted_pool = new_pool(scope, 2);
    MUST(interrupted_pool != NULL);
    for (int i = 0; i < 2; i++)
        workers[i] = weir_pool_worker_pid(interrupted_pool, i);
    sigaction(SIGINT, &action, NULL);
    result = weir_pool_for(interrupted_pool, (weir_range){0, 500}, dawdle, NULL,
                           &(weir_job_options){.chunks = 500});
    printf("report: %s\n", weir_strerror(result));
    for (int i = 0; i < 2; i++) /* what Ctrl-C means is the program's business alone */
        MUST(weir_pool_worker_pid(interrupted_pool, i) == workers[i]);
    weir_pool_free(interrupted_pool);
    MUST(weir_scope_end(scope) == 0);
    return result == -ECANCELED && interrupts == 1 ? 0 : 1;
}

/* ---- a long life ------------------------------------------------------------------------------
 */

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    MUST(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
    fclose(file);
    return pages * 4;
}

static int mapping_count(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    int count = 0;

    MUST(file != NULL);
    for (int c; (c = fgetc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return count;
}

/* How long ends took, in steps of STEP_MS. */
#define STEP_MS 0.1
static int ends[10000];

static void note_end(double ms)
{
    const int steps = (int)(ms / STEP_MS), last = sizeof ends / sizeof *ends - 1;

    ends[steps < last ? steps : last]++;
}

/* Below which so many of them were. */
static double end_ms(double part)
{
    int count = 0, below = 0, i = 0;

    for (int j = 0; j < (int)(sizeof ends / sizeof *ends); j++)
        count += ends[j];
    while (i < (int)(sizeof ends / sizeof *ends) && (below += ends[i]) < part * count)
        i++;
    return (i + 1) * STEP_MS;
}

/* One scope; in one of a hundred something is killed. */
static void one_scope(unsigned *seed, int *faults)
{
    const unsigned fault = rand_r(seed) % 300;
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = scope == NULL ? NULL : new_pool(scope, 2);
    int result = 0;
    double start;

    MUST(pool != NULL);
    for (int i = 0; i < 3; i++)
        MUST(weir_scope_list_range(scope, 0, 500, 1) != NULL);
    *faults += fault < 3;
    if (fault == 0)
        kill(weir_scope_manager_pid(scope), SIGKILL);
    if (fault == 1 && weir_pool_worker_pid(pool, 0) > 0)
        kill(weir_pool_worker_pid(pool, 0), SIGKILL);
    if (fault == 2)
        kill(weir_pool_supervisor_pid(pool), SIGKILL);
    result = work(pool, &(weir_job_options){.chunks = 8, .retries = 3});
    MUST(result == 0 || (result == WEIR_EDIED && fault == 2));
    start = now_ms();
    weir_pool_free(pool);
    MUST(weir_scope_end(scope) == 0);
    note_end(now_ms() - start);
}

static int soak(int argc, char **argv)
{
    const double end = now_ms() + 1e3 * atof(argc > 0 ? argv[0] : "5");
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
    int scopes = 0, faults = 0, descriptors, mappings;
    long resident;

    memset(ends, 0, sizeof ends); /* so that their memory is there */
    for (int i = 0; i < 50; i++)
        one_scope(&seed, &faults);
    descriptors = count_entries("/proc/self/fd");
    MUST(descriptors > 0);
    mappings = mapping_count();
    resident = resident_kib();
    while (now_ms() < end) {
        one_scope(&seed, &faults);
        scopes++;
    }
    printf("{\"scopes\":%d,\"faults\":%d,\"descriptors\":%d,\"mappings\":%d,\"resident_kib\":%ld,"
           "\"median_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f}\n",
           scopes, faults, count_entries("/proc/self/fd") - descriptors, mapping_count() - mappings,
           resident_kib() - resident, end_ms(0.5), end_ms(0.99), end_ms(1));
    MUST(count_entries("/proc/self/fd") == descriptors);
    MUST(mapping_count() <= mappings + 1);
    MUST(resident_kib() <= resident + 1024);
    return 0;
}

const struct mode pools[] = {{"stop-worker", stop_worker},
                             {"stop-manager", stop_manager},
                             {"stop-supervisor", stop_supervisor},
                             {"truncate", truncate_block},
                             {"foreground", foreground},
                             {"soak", soak},
                             {NULL, NULL}};
