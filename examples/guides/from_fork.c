/* SPDX-License-Identifier: MIT
 *
 * from_fork [WAY]: what hand_made.c does, with weir, and the same ways to break it.
 *
 *   cc from_fork.c $(pkg-config --cflags --libs weir) -o from_fork && ./from_fork
 *
 * WAY is one of: killed, locked, parent, full, exit, interrupt, later, order.
 */
#include <weir.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS 2
#define CHUNKS  64
#define SIZE    32768L /* numbers in a chunk: 16 MiB in all */

static const char *way = "";
static pid_t program;
static weir_pool *pool;

static int is(const char *name)
{
    return strcmp(way, name) == 0;
}

/* What goes wrong in a worker at this place. */
static void mishap(weir_task *task, const char *place)
{
    const int64_t chunk = weir_task_chunk(task);

    if (is(place) && chunk == CHUNKS / 2 && weir_task_attempt(task) == 1)
        kill(getpid(), SIGKILL);
    if (is("parent"))
        pause();
    if (is("interrupt")) {
        usleep(25000);
        if (chunk == CHUNKS / 2)
            kill(-program, SIGINT); /* Ctrl-C: to the program's process group */
        usleep(25000);
    }
    if (is("order") && chunk == 0)
        usleep(1000000);
    if (is("exit") && chunk == CHUNKS - 1 && weir_task_attempt(task) == 1)
        exit(0);
}

/* ---- the job ---------------------------------------------------------------------------------*/

static int add_up(weir_task *task, weir_range range, void *sum, void *arg)
{
    const double *x = arg;

    mishap(task, "killed");
    WEIR_EACH (i, range)
        *(double *)sum += x[i];
    mishap(task, "locked"); /* with the chunk's sum half way to the program */
    return 0;
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    *(double *)into += *(const double *)from;
}

static const weir_reduction sum = {.size = sizeof(double), .fold = add_up, .combine = combine};

static int count_up(weir_task *task, weir_range range, void *arg)
{
    double *later = arg;

    (void)task;
    WEIR_EACH (i, range)
        later[i] += 1;
    return 0;
}

/* ---- the program that uses it ----------------------------------------------------------------*/

static void stop(int signal)
{
    (void)signal;
    weir_pool_interrupt(pool);
}

static void goodbye(void)
{
    puts("goodbye");
}

/* With an array that is made when the workers are there. */
static int use_later(weir_scope *scope)
{
    double *later = weir_scope_doubles(scope, 4096);

    if (later == NULL || weir_pool_for(pool, weir_range_of(4096), count_up, later, NULL) < 0)
        return -1;
    printf("later %g\n", later[4095]);
    return 0;
}

static int run(weir_scope *scope)
{
    const weir_range all = weir_range_of(CHUNKS * SIZE);
    double total;

    double *x = weir_scope_doubles(scope, CHUNKS * SIZE);
    if (x == NULL)
        return -1;
    WEIR_EACH (i, all)
        x[i] = 1.0 / (double)(i + 7);
    if (is("exit")) {
        atexit(goodbye);
        printf("%ld numbers\n", CHUNKS * SIZE);
    }
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = WORKERS});
    if (pool == NULL)
        return -1;
    if (is("interrupt"))
        signal(SIGINT, stop);
    if (is("later") && use_later(scope) < 0)
        return -1;
    if (is("parent")) {
        weir_future *future = weir_pool_reduce_async(pool, all, &sum, x, NULL);

        if (future == NULL)
            return -1;
        printf("%d %d\n", (int)weir_pool_worker_pid(pool, 0), (int)weir_pool_worker_pid(pool, 1));
        fflush(stdout);
        kill(getpid(), SIGKILL);
    }
    if (weir_pool_reduce(pool, all, &sum, &total, x, NULL) < 0)
        return -1;
    printf("%.17g\n", total);
    return 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    way = argc > 1 ? argv[1] : "";
    program = getpid();
    if (is("interrupt"))
        setpgid(0, 0); /* as an interactive shell does with each command */
    WEIR_SCOPE (scope, NULL) {
        status = run(scope);
    }
    if (status < 0)
        fprintf(stderr, "from_fork: %s\n", weir_last_error()->message);
    return status < 0;
}
