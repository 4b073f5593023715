/* SPDX-License-Identifier: MIT
 *
 * when_it_hangs WHAT [LIMIT]: a program with a mistake, to look for it.
 *
 *   cc -g when_it_hangs.c $(pkg-config --cflags --libs weir) -o when_it_hangs
 *   ./when_it_hangs crash | loop | private | overrun | some
 */
#include <weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N 1000

static const char *what = "";
static int limit; /* seconds for a chunk; 0: none */

static int is(const char *name)
{
    return strcmp(what, name) == 0;
}

static void store(int64_t *items, int64_t i)
{
    int64_t *at = i == 700 && is("crash") ? NULL : &items[i];

    *at = i;
}

static int work(weir_task *task, weir_range range, void *arg)
{
    int64_t *items = arg;

    WEIR_EACH (i, range) {
        if (i == 700 && is("loop"))
            while (getppid() != 0) /* for ever */
                ;
        if (i % 400 == 300 && is("some"))
            return weir_task_fail(task, 5, "item %d is broken", (int)i);
        store(items, i);
    }
    return 0;
}

static int overrun(weir_task *task, weir_range range, void *arg)
{
    int *buffer = malloc(10 * sizeof(int));

    (void)task;
    (void)arg;
    if (buffer == NULL)
        return 1;
    WEIR_EACH (i, range)
        buffer[i % 11] = (int)i; /* one too many */
    free(buffer);
    return 0;
}

static int64_t *private_items(void)
{
    int64_t *items = malloc(N * sizeof(*items));

    if (items != NULL)
        memset(items, 1, N * sizeof(*items));
    return items;
}

/* All failures of a job, not only the first. */
static int report_all(weir_pool *pool, void *items)
{
    weir_error failures[10];
    weir_job_report report = {.failures = failures, .failures_most = 10};

    if (weir_pool_for(pool, weir_range_of(N), work, items,
                      &(weir_job_options){.keep_going = true, .report = &report}) < 0)
        for (size_t i = 0; i < report.failures_count; i++)
            printf("%s\n", failures[i].message);
    printf("%d of %d chunks are done\n", (int)report.done, (int)report.chunks);
    return 0;
}

static int run(weir_scope *scope)
{
    const weir_job_options options = {.stall_ms = 1000, .chunk_timeout_ms = 1000 * limit};
    const weir_range all = weir_range_of(N);

    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2, .backtrace = true});
    int64_t *items = weir_scope_int64s(scope, N);
    if (pool == NULL || items == NULL)
        return -1;
    if (is("loop")) {
        printf("%d %d\n", (int)weir_pool_worker_pid(pool, 0), (int)weir_pool_worker_pid(pool, 1));
        fflush(stdout);
    }
    if (is("private"))
        items = private_items(); /* the workers do not have them */
    if (is("overrun"))
        return weir_pool_for(pool, all, overrun, NULL, NULL);
    if (is("some"))
        return report_all(pool, items);
    return weir_pool_for(pool, all, work, items, &options);
}

int main(int argc, char **argv)
{
    int status = -1;

    what = argc > 1 ? argv[1] : "";
    limit = argc > 2 ? atoi(argv[2]) : 0;
    WEIR_SCOPE (scope, NULL) {
        status = run(scope);
    }
    if (status < 0)
        fprintf(stderr, "when_it_hangs: %s\n", weir_last_error()->message);
    return status < 0;
}
