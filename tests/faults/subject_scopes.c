/* SPDX-License-Identifier: MIT
 *
 * subject_scopes.c: scopes whose names are taken away, whose processes change their user, which
 * crash with a core dump, and of which a program has many.
 */
#include "subject.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NOBODY 65534
#define SIZE   ((size_t)3000)
#define KEYS   100

static weir_scope *the_scope;
static char prefix[64];

static void begin_scope(const weir_scope_options *options)
{
    weir_shm *shm;

    the_scope = weir_scope_begin(options);
    MUST(the_scope != NULL);
    shm = weir_scope_shm(the_scope, 1);
    MUST(shm != NULL);
    snprintf(prefix, sizeof prefix, "%.22s", weir_shm_name(shm)); /* weir-<16 hex>- */
}

static void take_names_away(void)
{
    DIR *folder = opendir("/dev/shm");
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder != NULL)
        closedir(folder);
}

/* ---- what workers do ------------------------------------------------------------------------- */

static int give_bytes(weir_task *task, void *arg)
{
    unsigned char bytes[SIZE];

    memset(bytes, *(unsigned char *)arg, sizeof bytes);
    return weir_task_result(task, bytes, sizeof bytes) < 0;
}

static int give_list(weir_task *task, void *arg)
{
    weir_list *list = weir_scope_list_range(the_scope, 0, 100, 1);

    (void)arg;
    return list == NULL || weir_task_result(task, &list, sizeof list) < 0;
}

/* A list of the program's, which this process may not be able to map. */
static int read_list(weir_task *task, void *arg)
{
    weir_list *list = *(weir_list **)arg;
    weir_value value;
    int error = weir_scope_sync(the_scope);

    if (error < 0)
        return weir_task_fail(task, error, "%s", weir_last_error()->message);
    return weir_list_get(list, 7, &value) < 0 || value.integer != 7;
}

static int emit_keys(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        int64_t key = i % KEYS;

        weir_emit_int64(task, &key, sizeof key, 1);
    }
    return 0;
}

/* ---- what the program does ------------------------------------------------------------------- */

/* A result that the caller may see: 0, or an error that says that an object is not there. */
static bool is_allowed(int result)
{
    return result == 0 || result == -ENOENT || result == -EPERM ||
           (result == WEIR_EFAILED &&
            (weir_last_error()->task_code == -ENOENT || weir_last_error()->task_code == -EPERM));
}

static void use_results(weir_pool *pool, int round)
{
    const unsigned char byte = (unsigned char)round;
    weir_future *future = weir_pool_submit(pool, give_bytes, &byte, 1, NULL);
    const unsigned char *bytes;
    size_t size;
    int result = weir_future_wait(future, -1);

    MUST(is_allowed(result) || result == WEIR_EDIED);
    if (result == 0) {
        bytes = weir_future_result(future, &size);
        MUST(size == SIZE && bytes[0] == byte && bytes[SIZE - 1] == byte);
    }
    weir_future_free(future);
}

static void use_lists(weir_pool *pool)
{
    weir_future *future = weir_pool_submit(pool, give_list, NULL, 0, NULL);
    int result = weir_future_wait(future, -1);
    weir_list *list;
    weir_value value;

    MUST(is_allowed(result) || result == WEIR_EDIED);
    if (result == 0) {
        list = *(weir_list *const *)weir_future_result(future, NULL);
        MUST(weir_list_get(list, 9, &value) == 0 && value.integer == 9);
    }
    weir_future_free(future);
    list = weir_scope_list_range(the_scope, 0, 100, 1);
    MUST(list != NULL);
    future = weir_pool_submit(pool, read_list, &list, sizeof list, NULL);
    result = weir_future_wait(future, -1);
    MUST(is_allowed(result) || result == WEIR_EDIED);
    weir_future_free(future);
    weir_shm_unlink(weir_list_shm(list));
    weir_list_close(list);
}

static void use_tables(weir_pool *pool)
{
    const weir_map_reduction reduction = {
        .map = emit_keys, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    weir_table *table = weir_pool_map_reduce(pool, (weir_range){0, 100 * KEYS}, &reduction, NULL,
                                             &(weir_job_options){.retries = 30});
    weir_pair pair;

    if (table == NULL) {
        MUST(is_allowed(weir_last_error()->code));
        return;
    }
    MUST(weir_table_len(table) == KEYS);
    for (int64_t key = 0; key < KEYS; key++)
        MUST(weir_table_get(table, &key, sizeof key, &pair) == 0 &&
             *(const int64_t *)pair.value == 100);
    weir_table_free(table);
}

static void use_all(weir_pool *pool, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        use_results(pool, round);
        use_lists(pool);
        use_tables(pool);
    }
}

/* ---- the modes ------------------------------------------------------------------------------- */

/* A cleaner runs all the time, and workers are killed. */
static int names_gone(int argc, char **argv)
{
    weir_pool *pool;
    pid_t cleaner;

    (void)argc;
    (void)argv;
    begin_scope(NULL);
    cleaner = fork();
    if (cleaner == 0) {
        for (;;) {
            take_names_away();
            sleep_ms(0.3);
        }
    }
    pool = new_pool(the_scope, 3);
    for (int i = 0; i < 10; i++) {
        use_all(pool, 10);
        if (weir_pool_worker_pid(pool, i % 3) > 0)
            kill(weir_pool_worker_pid(pool, i % 3), SIGKILL);
    }
    MUST(weir_scope_end(the_scope) == 0);
    kill(cleaner, SIGKILL);
    MUST(waitpid(cleaner, NULL, 0) == cleaner);
    return 0;
}

static int become_nobody(void *arg)
{
    (void)arg;
    return setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0;
}

/* user-changed [program]: workers, or the program, give up root after the scope has begun. */
static int user_changed(int argc, char **argv)
{
    const bool program = argc > 0 && strcmp(argv[0], "program") == 0;
    weir_pool *pool;

    begin_scope(NULL);
    pool = weir_pool_new(
        the_scope,
        &(weir_pool_options){.workers = 2, .initializer = program ? NULL : become_nobody});
    MUST(pool != NULL);
    if (program)
        MUST(become_nobody(NULL) == 0);
    use_all(pool, 20);
    weir_pool_free(pool);
    MUST(weir_scope_end(the_scope) == 0);
    return 0;
}

/* crash [scope] [anonymous]: with a core in the working directory. */
static int crash(int argc, char **argv)
{
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    const bool anonymous = argc > 1 && strcmp(argv[1], "anonymous") == 0;

    setrlimit(RLIMIT_CORE, &all);
    if (argc > 0) {
        begin_scope(&(weir_scope_options){.anonymous = anonymous});
        MUST(weir_scope_shm(the_scope, (size_t)32 << 20) != NULL);
        MUST(weir_scope_alloc(the_scope, 100) != NULL);
        MUST(work(new_pool(the_scope, 2), NULL) == 0);
    }
    raise(SIGSEGV);
    return 1;
}

/* scopes [COUNT] */
static int scopes(int argc, char **argv)
{
    const int count = atoi(argc > 0 ? argv[0] : "100");
    const struct rlimit files = {(rlim_t)count * 8 + 100, (rlim_t)count * 8 + 100};
    weir_scope **all = calloc((size_t)count, sizeof *all);
    void *own;

    setrlimit(RLIMIT_NOFILE, &files);
    MUST(all != NULL);
    for (int i = 0; i < count; i++) {
        all[i] = weir_scope_begin(NULL);
        if (all[i] == NULL && weir_last_error()->code == -EMFILE)
            return give_up("weir_scope_begin");
        MUST(all[i] != NULL);
    }
    own = malloc((size_t)1 << 30);
    MUST(own != NULL);
    free(own);
    own =
        mmap(NULL, (size_t)1 << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(own != MAP_FAILED);
    MUST(weir_scope_shm(all[0], (size_t)1 << 20) != NULL);
    MUST(weir_scope_shm(all[count - 1], (size_t)1 << 20) != NULL);
    MUST(weir_scope_alloc(all[count - 1], 100) != NULL);
    MUST(work(new_pool(all[count - 1], 2), NULL) == 0);
    for (int i = 0; i < count; i++)
        MUST(weir_scope_end(all[i]) == 0);
    free(all);
    return 0;
}

const struct mode of_scopes[] = {{"names-gone", names_gone},
                                 {"user-changed", user_changed},
                                 {"crash", crash},
                                 {"scopes", scopes},
                                 {NULL, NULL}};
