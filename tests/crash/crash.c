/* SPDX-License-Identifier: MIT
 *
 * crash: kills processes of a scope at random instants, many times, and looks at what is left.
 *
 *     crash CASE [TRIALS [SEED]]
 *     crash points [COUNT]
 *
 * With WEIR_TEST_ANONYMOUS set the scopes are anonymous; what is left of one goes without a sweep.
 *
 * The second kills at the first COUNT calls of each system call, with strace. Prints one JSON
 * line: how many trials, how many were wrong, and how long it took until all was
 * clean. Exit status 1 if any trial was wrong.
 *
 * Clean means: no file in /dev/shm (the program has one of its own, see leak_isolate), and no
 * process: this program is a subreaper, so whatever a dead host leaves becomes its child, and there
 * is none left exactly when waiting says ECHILD.
 */
#include "leak.h"
#include "scopes.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <weir.h>

#define CLEAN_MS 1000
#define HANG_MS  20000
#define ITEMS    2000
#define CHUNKS   40

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int files(void)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    int count = 0;

    while (directory != NULL && (entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    if (directory != NULL)
        closedir(directory);
    return count;
}

static void print_files(void)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            fprintf(stderr, "left behind: /dev/shm/%s\n", entry->d_name);
    if (directory != NULL)
        closedir(directory);
}

static void sleep_us(int us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000L};

    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

/* ---- what a trial is about ------------------------------------------------------------------ */

/* Shared by this program, the host and all that it forks. */
struct board {
    _Atomic pid_t manager, supervisor;
    _Atomic int phase;         /* of the host: how far it has come */
    _Atomic int started;       /* chunks, ever */
    _Atomic int64_t sums[512]; /* a chunk's result */
};

static struct board *board;

struct sample {
    double *ms;
    int count, wrong;
};

static void note(struct sample *sample, double ms)
{
    sample->ms = realloc(sample->ms, (size_t)(sample->count + 1) * sizeof *sample->ms);
    if (sample->ms == NULL)
        abort();
    sample->ms[sample->count++] = ms;
}

static void wrong(struct sample *sample, int trial, const char *what, int got)
{
    fprintf(stderr, "trial %d: %s (%d)\n", trial, what, got);
    sample->wrong++;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static int report(const char *name, int trials, unsigned seed, struct sample *sample)
{
    int n = sample->count;

    if (n > 0)
        qsort(sample->ms, (size_t)n, sizeof *sample->ms, compare);
    printf("{\"case\":\"%s\",\"trials\":%d,\"seed\":%u,\"wrong\":%d", name, trials, seed,
           sample->wrong);
    if (n > 0)
        printf(",\"median_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f", sample->ms[n / 2],
               sample->ms[n * 99 / 100], sample->ms[n - 1]);
    printf("}\n");
    free(sample->ms);
    return sample->wrong > 0;
}

/* The milliseconds until no process is left, and no file (if files_too); -1 when there is still one
 * after `limit_ms`. *status gets the wait status of `host`. */
static double wait_clean(pid_t host, int *status, int limit_ms, bool files_too)
{
    const double start = now_ms();
    bool alone = false;

    for (;;) {
        int how;
        pid_t pid = alone ? 0 : waitpid(-1, &how, WNOHANG);

        if (pid == host && pid > 0)
            *status = how;
        if (pid < 0 && errno == ECHILD)
            alone = true;
        if (alone && (!files_too || files() == 0))
            return now_ms() - start;
        if (now_ms() - start > limit_ms)
            return -1;
        if (pid <= 0)
            sleep_us(100);
    }
}

/* ---- a job with a known result -------------------------------------------------------------- */

static int sum_squares(weir_task *task, weir_range range, void *arg)
{
    struct board *results = *(struct board **)arg;
    int64_t sum = 0;

    results->started++;
    for (int64_t i = range.begin; i < range.end; i++) {
        sum += i * i;
        for (int spin = 0; spin < 1500; spin++)
            __asm__ __volatile__("");
    }
    results->sums[weir_task_chunk(task)] = sum;
    return 0;
}

/* Runs it; 0 when it succeeded and the result is exact, its code when it failed, 1 when wrong. */
static int run_job(weir_pool *pool, int retries)
{
    int64_t sum = 0, expected = 0;
    int result;

    for (int c = 0; c < CHUNKS; c++)
        board->sums[c] = -1;
    result = weir_pool_for(pool, (weir_range){0, ITEMS}, sum_squares, &board,
                           &(weir_job_options){.chunks = CHUNKS,
                                               .retries = retries,
                                               .arg_size = sizeof(struct board *)});
    if (result != 0)
        return result;
    for (int c = 0; c < CHUNKS; c++)
        sum += board->sums[c];
    for (int64_t i = 0; i < ITEMS; i++)
        expected += i * i;
    return sum == expected ? 0 : 1;
}

/* ---- workers -------------------------------------------------------------------------------- */

struct killer {
    weir_pool *pool;
    unsigned seed;
    int delay_us, kills;
    _Atomic bool stop;
};

/* A pid that the pool names may be a dead process's for an instant, until the slot is emptied; the
 * supervisor reaps it in the same step, and no pid comes round again that soon. */
static void kill_one(struct killer *killer)
{
    pid_t pid = weir_pool_worker_pid(
        killer->pool, (int)(rand_r(&killer->seed) % (unsigned)weir_pool_workers(killer->pool)));

    if (pid > 0 && kill(pid, SIGKILL) == 0)
        killer->kills++;
}

static void *kill_one_later(void *arg)
{
    struct killer *killer = arg;

    sleep_us(killer->delay_us);
    kill_one(killer);
    return NULL;
}

static void *kill_one_after_the_other(void *arg)
{
    struct killer *killer = arg;

    while (!killer->stop) {
        sleep_us(killer->delay_us);
        kill_one(killer);
    }
    return NULL;
}

/* One death a job: with a retry left nothing may be lost. The time is that of the whole job. */
static void crash_worker(struct sample *sample, int trials, unsigned seed)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    struct killer killer = {.pool = pool, .seed = seed};

    if (pool == NULL) {
        wrong(sample, 0, weir_last_error()->message, weir_last_error()->code);
        return;
    }
    for (int trial = 0; trial < trials; trial++) {
        pthread_t thread;
        double start;
        int result;

        board->started = 0;
        killer.kills = 0;
        killer.delay_us = (int)(rand_r(&killer.seed) % 1500);
        pthread_create(&thread, NULL, kill_one_later, &killer);
        start = now_ms();
        result = run_job(pool, 1);
        note(sample, now_ms() - start);
        pthread_join(thread, NULL);
        if (result != 0)
            wrong(sample, trial, result == 1 ? "wrong sum" : weir_last_error()->message, result);
        if (board->started < CHUNKS || board->started > CHUNKS + killer.kills)
            wrong(sample, trial, "chunks started", board->started);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* Workers die all the time: every job ends, with the exact sum or with a reported death. The
 * argument is the number of seconds here. The time is the longest without a job's end. */
static void crash_storm(struct sample *sample, int seconds, unsigned seed)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    struct killer killer = {.pool = pool, .seed = seed, .delay_us = 5000};
    const double end = now_ms() + seconds * 1e3;
    int jobs = 0, failed = 0;
    pthread_t thread;

    if (pool == NULL) {
        wrong(sample, 0, weir_last_error()->message, weir_last_error()->code);
        return;
    }
    pthread_create(&thread, NULL, kill_one_after_the_other, &killer);
    while (now_ms() < end) {
        double start = now_ms();
        int result = run_job(pool, 30);

        note(sample, now_ms() - start);
        jobs++;
        failed += result == WEIR_EDIED;
        if (result != 0 && result != WEIR_EDIED)
            wrong(sample, jobs, result == 1 ? "wrong sum" : weir_last_error()->message, result);
    }
    killer.stop = true;
    pthread_join(thread, NULL);
    if (killer.kills < seconds * 50)
        wrong(sample, jobs, "too few kills to be a storm", killer.kills);
    if (failed > jobs / 100)
        wrong(sample, jobs, "too many jobs failed", failed);
    if (run_job(pool, 30) != 0)
        wrong(sample, jobs, "the pool does not work after the storm", weir_last_error()->code);
    printf("{\"case\":\"storm\",\"jobs\":%d,\"kills\":%d,\"reported\":%d}\n", jobs, killer.kills,
           failed);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- the supervisor ------------------------------------------------------------------------- */

static void *kill_supervisor_later(void *arg)
{
    struct killer *killer = arg;

    sleep_us(killer->delay_us);
    kill(weir_pool_supervisor_pid(killer->pool), SIGKILL);
    return NULL;
}

/* The time is from the kill until the call has returned and the pool is freed. */
static void crash_supervisor(struct sample *sample, int trials, unsigned seed)
{
    weir_scope *scope = weir_scope_begin(NULL);
    struct killer killer = {.seed = seed};

    for (int trial = 0; trial < trials; trial++) {
        double start = now_ms();
        pthread_t thread;
        int result = 0;

        killer.pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
        if (killer.pool == NULL) {
            wrong(sample, trial, weir_last_error()->message, weir_last_error()->code);
            break;
        }
        killer.delay_us = (int)(rand_r(&killer.seed) % 2000);
        start = now_ms() + killer.delay_us / 1e3;
        pthread_create(&thread, NULL, kill_supervisor_later, &killer);
        while (result == 0)
            result = run_job(killer.pool, 30);
        pthread_join(thread, NULL);
        if (result != WEIR_EDIED || strstr(weir_last_error()->message, "supervisor") == NULL)
            wrong(sample, trial, weir_last_error()->message, result);
        weir_pool_free(killer.pool);
        note(sample, now_ms() - start);
    }
    if (weir_scope_end(scope) != 0)
        wrong(sample, trials, weir_last_error()->message, weir_last_error()->code);
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static int round_of_work(weir_scope *scope, weir_pool *pool)
{
    weir_list *list = weir_scope_list_range(scope, 0, 100, 1);
    weir_shm *block = weir_scope_shm(scope, 30000);

    if (list == NULL || block == NULL)
        return weir_last_error()->code;
    return run_job(pool, 5);
}

/* The life of a host: phases 1 to 5. With `rounds` 0 until it is killed. Exit status 0, or 10 +
 * phase. */
static void host_main(int rounds)
{
    weir_scope *scope;
    weir_pool *pool;
    int result = 0;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    setpgid(0, 0);
    board->phase = 1;
    scope = weir_scope_begin(NULL);
    if (scope == NULL)
        _exit(11);
    board->manager = weir_scope_manager_pid(scope);
    board->phase = 2;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    if (pool == NULL)
        _exit(12);
    board->supervisor = weir_pool_supervisor_pid(pool);
    board->phase = 3;
    for (int i = 0; (rounds == 0 || i < rounds) && result == 0; i++)
        result = round_of_work(scope, pool);
    if (result != 0) {
        fprintf(stderr, "host: %d %s\n", result, weir_last_error()->message);
        _exit(13);
    }
    board->phase = 4;
    weir_pool_free(pool);
    board->phase = 5;
    if (weir_scope_end(scope) != 0) {
        fprintf(stderr, "host: weir_scope_end: %s\n", weir_last_error()->message);
        _exit(15);
    }
    _exit(0);
}

static pid_t start_host(int rounds)
{
    pid_t host;

    board->manager = board->supervisor = 0;
    board->phase = 0;
    host = fork();
    if (host == 0)
        host_main(rounds);
    return host;
}

/* From its very start to well into its work. */
static void let_it_live(unsigned *seed)
{
    sleep_us((int)(rand_r(seed) % 15000));
}

static void kill_pid(pid_t pid)
{
    if (pid > 0)
        kill(pid, SIGKILL);
}

enum victims { HOST = 1, MANAGER = 2, SUPERVISOR = 4, GROUP = 8, MANAGER_FIRST = 16 };

static void crash_host(struct sample *sample, int trials, unsigned seed, int victims)
{
    for (int trial = 0; trial < trials; trial++) {
        pid_t host = start_host(0);
        int status = -1;
        bool all;
        double ms;

        let_it_live(&seed);
        if (victims & MANAGER_FIRST)
            kill_pid(board->manager);
        if (victims & GROUP && kill(-host, SIGKILL) < 0)
            kill_pid(host); /* not yet a group */
        if (victims & HOST)
            kill_pid(host);
        if (victims & MANAGER)
            kill_pid(board->manager);
        if (victims & SUPERVISOR)
            kill_pid(board->supervisor);
        /* Without a pool there is no third process that would clean. */
        all = !scopes_are_anonymous() &&
              (victims & SUPERVISOR || (victims & (MANAGER | MANAGER_FIRST) && board->phase < 3));
        if (scopes_are_anonymous() && files() > 0)
            wrong(sample, trial, "an anonymous scope has files", files());
        ms = wait_clean(host, &status, all ? HANG_MS : CLEAN_MS, !all);
        if (all && ms >= 0 && files() > 0) {
            /* All are dead, and nobody is left who could: the next scope of anybody does it. */
            double start = now_ms();
            weir_scope *scope = weir_scope_begin(NULL);

            ms = now_ms() - start;
            if (scope == NULL || weir_scope_end(scope) != 0)
                wrong(sample, trial, weir_last_error()->message, weir_last_error()->code);
            if (wait_clean(host, &status, CLEAN_MS, true) < 0)
                ms = -1;
        }
        if (ms < 0) {
            wrong(sample, trial, "not clean; the host was in phase", board->phase);
            print_files();
            wait_clean(host, &status, HANG_MS, true);
        } else {
            note(sample, ms);
        }
    }
}

/* The host lives on, ends in order, and has the exact result; the time is that of its end. */
static void crash_manager(struct sample *sample, int trials, unsigned seed)
{
    for (int trial = 0; trial < trials; trial++) {
        pid_t host = start_host(20);
        int status = -1;
        bool killed;
        double ms;

        while (board->manager == 0)
            sleep_us(20);
        sleep_us((int)(rand_r(&seed) % 8000));
        killed = kill(board->manager, SIGKILL) == 0;
        ms = wait_clean(host, &status, HANG_MS, true);
        if (ms < 0)
            wrong(sample, trial, "not clean; the host was in phase", board->phase);
        else
            note(sample, ms);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            wrong(sample, trial, killed ? "the host ended with" : "the host failed unharmed",
                  status);
    }
}

/* ---- named points --------------------------------------------------------------------------- */

/* strace counts for each process, so host, supervisor, workers and manager all meet the point, and
 * replaced workers meet it again. */
static const char *const calls[] = {
    "openat",         "mmap",         "munmap",    "madvise",
    "socketpair",     "clone",        "clone3",    "prctl",
    "pidfd_open",     "sendto",       "sendmsg",   "recvfrom",
    "recvmsg",        "poll",         "ppoll",     "futex",
    "linkat",         "unlink",       "unlinkat",  "flock",
    "fcntl",          "fallocate",    "write",     "pwrite64",
    "read",           "close",        "epoll_ctl", "epoll_wait",
    "epoll_pwait",    "wait4",        "kill",      "pidfd_send_signal",
    "rt_sigprocmask", "rt_sigaction", "getppid",   "shutdown",
    "execve",         "exit_group",   "setsid",    "fstat",
};

static int return_7(void *arg)
{
    (void)arg;
    return 7;
}

/* What strace runs: a whole life, with a process too. */
static int life(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_process *process;
    weir_pool *pool;
    int code = 7, result;

    if (scope == NULL)
        return 11;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    process = weir_process_start(scope, return_7, NULL);
    if (process != NULL && weir_process_join(process, -1, &code) == 0 && code != 7 && code > 0)
        return 41;
    weir_process_free(process);
    result = pool != NULL ? round_of_work(scope, pool) : 0;
    if (result == 1)
        return 42;
    weir_pool_free(pool);
    return weir_scope_end(scope) != 0 ? 43 : result != 0 ? 13 : 0;
}

static pid_t start_strace(const char *self, const char *call, int n)
{
    char trace[64], inject[96];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    snprintf(trace, sizeof trace, "trace=%s", call);
    snprintf(inject, sizeof inject, "inject=%s:signal=SIGKILL:when=%d", call, n);
    /* leak checking does not work under a tracer */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    if (freopen("/dev/null", "w", stderr) == NULL)
        _exit(99);
    execlp("strace", "strace", "-f", "-o", "/dev/null", "-e", trace, "-e", inject, self, "life",
           NULL);
    _exit(99);
}

static bool can_trace(const char *self)
{
    int status = -1;
    pid_t pid = start_strace(self, "setdomainname", 1); /* never called */

    return wait_clean(pid, &status, HANG_MS, true) >= 0 && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* The time is from the start to when all is clean, under strace. */
static int crash_points(struct sample *sample, int count, const char *self)
{
    int points = 0, host_killed = 0, reported = 0;

    if (!can_trace(self)) {
        printf("skipped: strace cannot trace here\n");
        return 77;
    }
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
        for (int n = 1; n <= count; n++) {
            int status = -1;
            pid_t pid = start_strace(self, calls[c], n);
            double ms = wait_clean(pid, &status, HANG_MS, false);
            bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

            points++;
            host_killed += killed;
            reported += code == 11 || code == 13;
            if (!killed && code != 0 && code != 11 && code != 13)
                wrong(sample, n, calls[c], status);
            if (killed) /* perhaps all were: then the next scope cleans */
                weir_scope_end(weir_scope_begin(NULL));
            if (ms < 0 || wait_clean(pid, &status, CLEAN_MS, true) < 0) {
                wrong(sample, n, calls[c], -1);
                print_files();
                return 1;
            }
            note(sample, ms);
        }
    }
    printf("{\"case\":\"points\",\"points\":%d,\"host_killed\":%d,\"reported\":%d}\n", points,
           host_killed, reported);
    return 0;
}

/* ---- main ----------------------------------------------------------------------------------- */

static int run(const char *self, const char *name, int trials, unsigned seed)
{
    struct sample sample = {0};

    if (strcmp(name, "worker") == 0)
        crash_worker(&sample, trials, seed);
    else if (strcmp(name, "storm") == 0)
        crash_storm(&sample, trials, seed);
    else if (strcmp(name, "supervisor") == 0)
        crash_supervisor(&sample, trials, seed);
    else if (strcmp(name, "host") == 0)
        crash_host(&sample, trials, seed, HOST);
    else if (strcmp(name, "manager") == 0)
        crash_manager(&sample, trials, seed);
    else if (strcmp(name, "host-manager") == 0)
        crash_host(&sample, trials, seed, HOST | MANAGER);
    else if (strcmp(name, "manager-host") == 0)
        crash_host(&sample, trials, seed, MANAGER_FIRST | HOST);
    else if (strcmp(name, "group") == 0)
        crash_host(&sample, trials, seed, GROUP);
    else if (strcmp(name, "all") == 0)
        crash_host(&sample, trials, seed, HOST | MANAGER | SUPERVISOR);
    else if (strcmp(name, "points") != 0)
        return 2;
    else if (crash_points(&sample, trials, self) == 77)
        return 77;
    if (wait_clean(0, &(int){0}, CLEAN_MS, true) < 0) {
        wrong(&sample, trials, "something is left at the end, files", files());
        print_files();
    }
    return report(name, trials, seed, &sample);
}

int main(int argc, char **argv)
{
    int trials = argc > 2 ? atoi(argv[2]) : 200;
    char self[4096] = "";
    unsigned seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : (unsigned)time(NULL);

    if (argc < 2 || trials <= 0) {
        fprintf(stderr, "crash CASE [TRIALS [SEED]]\n");
        return 2;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 2;
    if (strcmp(argv[1], "life") == 0)
        return life();
    if (!leak_isolate() || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        printf("skipped: no mount namespace (needs root or user namespaces)\n");
        return 77;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 2;
    return run(self, argv[1], trials, seed);
}
