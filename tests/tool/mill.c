/* SPDX-License-Identifier: MIT
 *
 * mill.c: a program whose job stands still, for the tool to look at, until the end of stdin. It
 * says the supervisor's number when that is so. By default the job "grind" has 6 chunks of 100
 * items; the first one's worker is killed once, and then three workers stand still.
 *
 *     mill [plain|uneven|few]    plain: without a backtrace, and without a name
 *                                uneven: 59 chunks of 20 ms each, and a last one that stands still
 *                                few: 2 chunks, which stand still
 */
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

static const struct way {
    const char *name;
    weir_task_fn task;
    int chunks, standing; /* that stand still in the end */
} ways[] = {
    {"", grind, 6, 3},
    {"plain", grind, 6, 3},
    {"uneven", grind_unevenly, 60, 1},
    {"few", grind_few, 2, 2},
};

static int fail(void)
{
    fprintf(stderr, "mill: %s\n", weir_last_error()->message);
    return 1;
}

static int run(weir_scope *scope, const struct way *way)
{
    const bool plain = strcmp(way->name, "plain") == 0;
    const weir_pool_options options = {
        .workers = 3, .name = plain ? NULL : "mill", .backtrace = !plain};
    const weir_job_options of_job = {.name = plain ? NULL : "grind",
                                     .chunks = way->chunks,
                                     .retries = 2,
                                     .chunk_timeout_ms = 600000};
    weir_pool *pool = weir_pool_new(scope, &options);
    weir_future *job = pool != NULL
                           ? weir_pool_for_async(pool, weir_range_of(600), way->task, NULL, &of_job)
                           : NULL;

    if (job == NULL)
        return fail();
    while (atomic_load(&mill->standing) < way->standing)
        usleep(1000);
    printf("%d\n", (int)weir_pool_supervisor_pid(pool));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    atomic_store(&mill->stop, 1);
    if (weir_future_wait(job, -1) < 0)
        return fail();
    weir_future_free(job);
    return 0;
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
