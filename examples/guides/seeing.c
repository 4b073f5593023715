/* SPDX-License-Identifier: MIT
 *
 * seeing WHAT: a program in which something is not as it should be, to be found with the tool weir.
 *
 *   cc seeing.c $(pkg-config --cflags --libs weir) -o seeing
 *   ./seeing hang | full | uneven | lost
 */
#include <weir.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Item 700 never ends. */
static int hang(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    WEIR_EACH (i, range)
        while (i == 700)
            pause();
    return 0;
}

/* The later an item, the longer it takes: the last chunk has nearly half of all the work. */
static int uneven(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    WEIR_SPAN (task, "parse") {
        WEIR_EACH (i, range)
            usleep(i < 750 ? 100 : 1500);
    }
    weir_task_count(task, "items", range.end - range.begin);
    return 0;
}

/* The first worker that comes to item 500 is killed, as the kernel does when memory is short. */
static int lose(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    WEIR_EACH (i, range) {
        if (i == 500 && weir_task_attempt(task) == 1)
            raise(SIGKILL);
        usleep(300);
    }
    return 0;
}

/* 200 MiB, and nobody remembers for what. */
static int fill(weir_scope *scope)
{
    double *samples = weir_scope_doubles(scope, 25 << 20);

    if (samples == NULL)
        return -1;
    puts("full");
    fflush(stdout);
    pause();
    return 0;
}

static int run(weir_scope *scope, const char *what)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 4, .name = "seeing"});

    if (pool == NULL)
        return -1;
    if (strcmp(what, "hang") == 0)
        return weir_pool_for(pool, weir_range_of(1000), hang, NULL,
                             &(weir_job_options){.chunks = 20, .name = "resize"});
    if (strcmp(what, "uneven") == 0)
        return weir_pool_for(pool, weir_range_of(1000), uneven, NULL,
                             &(weir_job_options){.chunks = 4, .name = "parse"});
    return weir_pool_for(pool, weir_range_of(1000), lose, NULL,
                         &(weir_job_options){.chunks = 20, .retries = 1, .name = "convert"});
}

int main(int argc, char **argv)
{
    weir_scope *scope = weir_scope_begin(NULL);
    const char *what = argc > 1 ? argv[1] : "";
    int result = -1;

    if (scope != NULL)
        result = strcmp(what, "full") == 0 ? fill(scope) : run(scope, what);
    if (result < 0)
        fprintf(stderr, "seeing: %s\n", weir_last_error()->message);
    return weir_scope_end(scope) < 0 || result < 0;
}
