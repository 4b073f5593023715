/* SPDX-License-Identifier: MIT
 *
 * mill.c: a program whose job stands still, for the tool to look at, until the end of stdin. It
 * says the supervisor's number when that is so. By default the job "grind" has 6 chunks of 100
 * items; the first one's worker is killed once, and then three workers stand still.
 *
 *     mill [plain|uneven|few|soon|turning|twin|fails|process]
 *                                plain: without a backtrace, and without a name
 *                                uneven: 59 chunks of 20 ms each, and a last one that stands still
 *                                few: 2 chunks, which stand still
 *                                soon: one worker, which stands still at once in the fourth chunk,
 *                                and no deadline
 *                                turning: one job of six chunks of a millisecond after the other
 *                                fails: the first of three chunks fails, the others stand still
 *                                twin: as turning, beside another pool
 *                                process: as few, and a weir_process beside the pool
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

struct mill {
    _Atomic int standing, stop;
};

static struct mill *mill;

static int stand_still(void)
{
    atomic_fetch_add(&mill->standing, 1);
    while (!atomic_load(&mill->stop))
        usleep(1000);
    return 0;
}

static int grind(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    if (range.begin == 0 && weir_task_attempt(task) == 1)
        raise(SIGKILL);
    return stand_still();
}

static int grind_unevenly(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    return range.end < 600 ? usleep(20000) : stand_still();
}

static int grind_few(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return stand_still();
}

static int grind_soon(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    return range.begin == 300 ? stand_still() : 0;
}

static int grind_on(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    WEIR_SPAN (task, "turn") {
        usleep(1000);
    }
    weir_task_count(task, "corn", range.end - range.begin);
    atomic_store(&mill->standing, 1);
    return 0;
}

static int grind_badly(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    return range.begin == 0 ? weir_task_fail(task, 7, "no corn\033[2J") : stand_still();
}

static const struct way {
    const char *name;
    weir_task_fn task;
    int workers, chunks, standing; /* that stand still in the end */
} ways[] = {
    {"", grind, 3, 6, 3},
    {"plain", grind, 3, 6, 3},
    {"uneven", grind_unevenly, 3, 60, 1},
    {"few", grind_few, 3, 2, 2},
    {"soon", grind_soon, 1, 6, 1},
    {"turning", grind_on, 2, 6, 1},
    {"fails", grind_badly, 3, 3, 2},
    {"process", grind_few, 3, 2, 2},
    {"twin", grind_on, 1, 6, 1},
};

static int wait_beside(void *arg)
{
    (void)arg;
    return stand_still();
}

static int fail(void)
{
    fprintf(stderr, "mill: %s\n", weir_last_error()->message);
    return 1;
}

struct job {
    const struct way *way;
    weir_pool *pool;
    int result;
};

/* A call that waits: unlike a future's, its job is not known to last when its chunks begin, if the
 * worker is awake. */
static void *run_job(void *arg)
{
    struct job *job = arg;
    const bool plain = strcmp(job->way->name, "plain") == 0;
    const weir_job_options options = {.name = plain ? NULL : "grind",
                                      .chunks = job->way->chunks,
                                      .retries = 2,
                                      .keep_going = job->way->task == grind_badly,
                                      .chunk_timeout_ms =
                                          job->way->task == grind_soon ? 0 : 600000};

    for (int i = 0; job->way->task == grind_soon && i < 100; i++)
        (void)!weir_pool_for(job->pool, weir_range_of(1), grind_soon, NULL, NULL);
    do
        job->result = weir_pool_for(job->pool, weir_range_of(600), job->way->task, NULL, &options);
    while (job->way->task == grind_on && job->result == 0 && !atomic_load(&mill->stop));
    if (job->result < 0 && job->way->task != grind_badly)
        fprintf(stderr, "mill: %s\n", weir_last_error()->message);
    return NULL;
}

static int run(weir_scope *scope, const struct way *way)
{
    const bool plain = strcmp(way->name, "plain") == 0;
    const weir_pool_options options = {
        .workers = way->workers, .name = plain ? NULL : "mill", .backtrace = !plain};
    struct job job = {.way = way, .pool = weir_pool_new(scope, &options)};
    pthread_t thread;

    if (job.pool == NULL ||
        (strcmp(way->name, "twin") == 0 && weir_pool_new(scope, &options) == NULL))
        return fail();
    if (strcmp(way->name, "process") == 0 && weir_process_start(scope, wait_beside, NULL) == NULL)
        return fail();
    if (pthread_create(&thread, NULL, run_job, &job) != 0)
        return 1;
    while (atomic_load(&mill->standing) < way->standing)
        usleep(1000);
    printf("%d\n", (int)weir_pool_supervisor_pid(job.pool));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    atomic_store(&mill->stop, 1);
    pthread_join(thread, NULL);
    return job.result < 0 && way->task != grind_badly;
}

int main(int argc, char **argv)
{
    weir_scope *scope = weir_scope_begin(NULL);
    int result = 2;

    mill = scope != NULL ? weir_scope_alloc(scope, sizeof *mill) : NULL;
    if (mill == NULL)
        return fail();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(argc > 1 ? argv[1] : "", ways[i].name) == 0)
            result = run(scope, &ways[i]);
    }
    return weir_scope_end(scope) < 0 ? fail() : result;
}
