/* SPDX-License-Identifier: MIT
 *
 * mill.c: a program whose job hangs, for the tool to look at. Of the job "grind" with 6 chunks of
 * 100 items the first one's worker is killed once; then three workers stand still at chunks until
 * the end of stdin. It says the supervisor's number when they do.
 *
 *     mill [plain]     plain: without a backtrace, and without a name
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

struct mill {
    _Atomic int inside, stop;
};

static struct mill *mill;

static int grind(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    if (range.begin == 0 && weir_task_attempt(task) == 1)
        raise(SIGKILL);
    atomic_fetch_add(&mill->inside, 1);
    while (!atomic_load(&mill->stop))
        usleep(1000);
    return 0;
}

static int fail(void)
{
    fprintf(stderr, "mill: %s\n", weir_last_error()->message);
    return 1;
}

int main(int argc, char **argv)
{
    const bool plain = argc > 1 && strcmp(argv[1], "plain") == 0;
    weir_scope *scope = weir_scope_begin(NULL);
    weir_future *job;
    weir_pool *pool;

    mill = scope != NULL ? weir_scope_alloc(scope, sizeof *mill) : NULL;
    if (mill == NULL)
        return fail();
    pool = weir_pool_new(
        scope,
        &(weir_pool_options){.workers = 3, .name = plain ? NULL : "mill", .backtrace = !plain});
    if (pool == NULL)
        return fail();
    job = weir_pool_for_async(
        pool, weir_range_of(600), grind, NULL,
        &(weir_job_options){
            .name = plain ? NULL : "grind", .chunks = 6, .retries = 2, .chunk_timeout_ms = 600000});
    if (job == NULL)
        return fail();
    while (atomic_load(&mill->inside) < 3)
        usleep(1000);
    printf("%d\n", (int)weir_pool_supervisor_pid(pool));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    atomic_store(&mill->stop, 1);
    if (weir_future_wait(job, -1) < 0)
        return fail();
    weir_future_free(job);
    return weir_scope_end(scope) < 0 ? fail() : 0;
}
