/* SPDX-License-Identifier: MIT
 *
 * subject: the program under test of the cases in this folder. See subject.h.
 *
 *     subject life          a whole life: scope, objects of all kinds, pool, jobs, process, end
 *     subject anonymous     the same with an anonymous scope
 *     subject sweep         begins a scope and ends it
 *     subject live          the same life, but goes on working until stdin ends; tells its
 *                           processes
 *     subject make COUNT    begins, makes and closes COUNT objects, checking that each has its
 *                           name; for ever with 0
 */
#include "subject.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define ITEMS 1000

int give_up(const char *what)
{
    const weir_error *error = weir_last_error();

    fprintf(stderr, "%s: code %d (%s): %s\n", what, error->code, weir_strerror(error->code),
            error->message);
    return GAVE_UP;
}

/* ---- a life --------------------------------------------------------------------------------- */

static int square(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    int64_t *sum = accumulator;

    (void)task;
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++)
        *sum += i * i;
    return 0;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(int64_t *)into += *(const int64_t *)from;
}

int work(weir_pool *pool, const weir_job_options *options)
{
    const weir_reduction sum = {.size = sizeof(int64_t), .fold = square, .combine = add};
    int64_t total = 0, expected = (int64_t)(ITEMS - 1) * ITEMS * (2 * ITEMS - 1) / 6;
    int result = weir_pool_reduce(pool, (weir_range){0, ITEMS}, &sum, &total, NULL, options);

    return result != 0 ? result : total == expected ? 0 : -1;
}

weir_pool *new_pool(weir_scope *scope, int workers)
{
    return weir_pool_new(scope, &(weir_pool_options){.workers = workers});
}

static int set_squares(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    for (int64_t i = range.begin; i < range.end; i++)
        if (weir_list_set(arg, i, weir_int(i * i)) != 0)
            return 1;
    return 0;
}

static int return_7(void *arg)
{
    (void)arg;
    return 7;
}

/* One object of each kind; some of them unlinked and closed early. NULL: not all could be made. */
static weir_list *make_objects(weir_scope *scope)
{
    weir_list *list = weir_scope_list_range(scope, 0, 100, 1);
    weir_shm *block = list == NULL ? NULL : weir_scope_shm(scope, 20000);
    weir_array *array =
        block == NULL ? NULL
                      : weir_scope_array(scope, WEIR_FLOAT64, 1, (int64_t[]){1000}, WEIR_ARRAY_NPY);
    weir_dict *dict = array == NULL ? NULL : weir_scope_dict(scope, NULL);

    if (dict == NULL || weir_dict_set(dict, weir_str("key"), weir_str("a value")) != 0)
        return NULL;
    memset(weir_shm_buf(block), 1, 20000);
    if (weir_shm_unlink(block) != 0)
        return NULL;
    weir_shm_close(block);
    return list;
}

static int run_jobs(weir_scope *scope, weir_pool *pool, weir_list *list)
{
    weir_process *process;
    int code = -1000, result = work(pool, &(weir_job_options){.chunks = 8, .retries = 5});

    if (result == -1)
        return 1;
    if (result == 0 && list != NULL)
        result = weir_pool_for(pool, (weir_range){0, 100}, set_squares, list,
                               &(weir_job_options){.chunks = 4, .retries = 5});
    if (result != 0)
        return give_up("a job");
    process = weir_process_start(scope, return_7, NULL);
    if (process == NULL || weir_process_join(process, 3000, &code) != 0)
        result = give_up("a process");
    else if (code != 7 && code > 0) {
        /* 127: it could not become what it should, which it says so */
        fprintf(stderr, "the process ended with %d\n", code);
        result = code == 127 ? GAVE_UP : 1;
    }
    weir_process_free(process);
    return result;
}

void mark(unsigned long begins)
{
    prctl(0x77656972, begins, 0, 0, 0);
}

static int live_through(const weir_scope_options *options)
{
    weir_scope *scope;
    weir_list *list;
    weir_pool *pool;
    int result;

    mark(1);
    scope = weir_scope_begin(options);
    if (scope == NULL) {
        mark(0);
        return give_up("weir_scope_begin");
    }
    list = make_objects(scope);
    result = list == NULL ? give_up("an object") : 0;
    pool = new_pool(scope, 2);
    if (pool == NULL)
        result = give_up("weir_pool_new");
    else if (result == 0)
        result = run_jobs(scope, pool, list);
    weir_pool_free(pool);
    if (weir_scope_end(scope) != 0)
        result = give_up("weir_scope_end");
    mark(0);
    return result;
}

static int life(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return live_through(&(weir_scope_options){.timeout_ms = 1000});
}

static int anonymous(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return live_through(&(weir_scope_options){.timeout_ms = 1000, .anonymous = true});
}

static int sweep(int argc, char **argv)
{
    weir_scope *scope = weir_scope_begin(NULL);

    (void)argc;
    (void)argv;
    if (scope == NULL || weir_scope_end(scope) != 0)
        return give_up("sweep");
    return 0;
}

static int live(int argc, char **argv)
{
    const int workers = argc > 0 ? atoi(argv[0]) : 2;
    weir_scope *scope = weir_scope_begin(NULL);
    struct pollfd end = {.fd = 0, .events = POLLIN};
    weir_pool *pool;
    int result = 0;

    if (scope == NULL)
        return give_up("weir_scope_begin");
    if (make_objects(scope) == NULL)
        return give_up("an object");
    pool = new_pool(scope, workers);
    if (pool == NULL)
        return give_up("weir_pool_new");
    printf("%d %d", (int)weir_scope_manager_pid(scope), (int)weir_pool_supervisor_pid(pool));
    for (int i = 0; i < workers; i++)
        printf(" %d", (int)weir_pool_worker_pid(pool, i));
    printf("\n");
    fflush(stdout);
    while (result == 0 && poll(&end, 1, 1) == 0)
        result = work(pool, &(weir_job_options){.chunks = 16, .retries = 5});
    if (result != 0)
        return result == -1 ? 1 : give_up("a job");
    weir_pool_free(pool);
    return weir_scope_end(scope) != 0 ? give_up("weir_scope_end") : 0;
}

static int make(int argc, char **argv)
{
    const int count = argc > 0 ? atoi(argv[0]) : 0;
    weir_scope *scope = weir_scope_begin(NULL);
    struct stat st;
    char path[300];

    if (scope == NULL)
        return give_up("weir_scope_begin");
    printf("%d\n", (int)weir_scope_manager_pid(scope));
    fflush(stdout);
    for (int i = 0; count == 0 || i < count; i++) {
        weir_shm *first = weir_scope_shm(scope, 5000), *block = weir_scope_shm(scope, 5000);

        if (first == NULL || block == NULL)
            return give_up("an object");
        /* what lives keeps its name, whoever sweeps */
        snprintf(path, sizeof path, "/dev/shm/%s", weir_shm_name(first));
        MUST(stat(path, &st) == 0);
        weir_shm_unlink(first);
        weir_shm_close(first);
        weir_shm_unlink(block);
        weir_shm_close(block);
    }
    return weir_scope_end(scope) != 0 ? give_up("weir_scope_end") : 0;
}

/* Whatever becomes of a pool, the scope of a program that lives is left alone. */
static int survive(int argc, char **argv)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_list *list = weir_scope_list_range(scope, 0, 100, 1);
    struct stat st;
    char path[300];
    weir_pool *pool;

    (void)argc;
    (void)argv;
    MUST(list != NULL);
    mark(1);
    pool = new_pool(scope, 2);
    mark(0);
    sleep_ms(1500); /* longer than a supervisor waits for a manager to clean up */
    snprintf(path, sizeof path, "/dev/shm/%s", weir_shm_name(weir_list_shm(list)));
    MUST(stat(path, &st) == 0 && weir_scope_shm(scope, 5000) != NULL);
    weir_pool_free(pool);
    MUST(weir_scope_end(scope) == 0);
    return pool == NULL ? GAVE_UP : 0;
}

static const struct mode lives[] = {{"life", life}, {"anonymous", anonymous}, {"sweep", sweep},
                                    {"live", live}, {"make", make},           {"survive", survive},
                                    {NULL, NULL}};

int main(int argc, char **argv)
{
    const struct mode *const modes[] = {lives,     endings, of_futures, hosts,  limits,
                                        of_scopes, others,  pools,      served, tasks};

    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        for (const struct mode *mode = modes[i]; mode->name != NULL; mode++)
            if (strcmp(mode->name, argv[1]) == 0)
                return mode->run(argc - 2, argv + 2);
    fprintf(stderr, "subject MODE [ARGUMENT...]; see subject.c\n");
    return 2;
}
