/* SPDX-License-Identifier: MIT
 *
 * Blocks whose names were taken away by others, or which belong to another user by now: what weir
 * makes for itself needs no name, and what cannot be mapped is an error that names it.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define BIG      ((size_t)257 << 20) /* more than a pool's own memory */
#define NOBODY   65534
#define NO_LIMIT ((struct rlimit){RLIM_INFINITY, RLIM_INFINITY})

/* For tasks, as they fork from this program. */
static weir_scope *the_scope;
static char prefix[64]; /* of its objects' names */

static void begin_missing(void)
{
    weir_shm *shm;

    the_scope = begin();
    shm = weir_scope_shm(the_scope, 1);
    assert_non_null(shm);
    snprintf(prefix, sizeof prefix, "%.22s", weir_shm_name(shm)); /* weir-<16 hex>- */
}

/* As logind's RemoveIPC or a cleaner of /dev/shm does, but of this scope alone. */
static int take_names_away(void)
{
    DIR *folder = opendir("/dev/shm");
    struct dirent *entry;
    int count = 0;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            unlinkat(dirfd(folder), entry->d_name, 0) == 0)
            count++;
    }
    if (folder != NULL)
        closedir(folder);
    return count;
}

/* ---- what weir makes ------------------------------------------------------------------------- */

static int give_3000_bytes(weir_task *task, void *arg)
{
    char text[3000];

    memset(text, *(const char *)arg, sizeof text);
    if (weir_task_result(task, text, sizeof text) < 0)
        return 1;
    take_names_away();
    return 0;
}

static void assert_result(weir_future *future, char byte)
{
    size_t size;
    const char *data;

    if (weir_future_wait(future, -1) != 0)
        fail_msg("%s", weir_last_error()->message);
    data = weir_future_result(future, &size);
    assert_int_equal(size, 3000);
    assert_true(data[0] == byte && data[2999] == byte);
    weir_future_free(future);
}

static void result_arrives__when_names_are_taken_away(void **state)
{
    weir_pool *pool;

    (void)state;
    begin_missing();
    pool = new_pool(the_scope, 2);
    for (int i = 0; i < 20; i++) {
        const char byte = (char)('a' + i);
        weir_future *call = weir_pool_submit(pool, give_3000_bytes, &byte, 1, NULL);
        weir_future *job = weir_pool_submit(pool, give_3000_bytes, &byte, 1, OPTIONS(.retries = 1));

        usleep(2000);
        assert_result(call, byte);
        assert_result(job, byte);
    }
    assert_int_equal(weir_scope_end(the_scope), 0);
}

static int look_at_argument(weir_task *task, void *arg)
{
    const char *data = arg;

    (void)task;
    return data[1000] == 'x' && data[BIG - 1] == 'y' ? 0 : 1;
}

/* A private argument that is too large for the pool's own memory. */
static char *big_argument(void)
{
    char *argument = calloc(1, BIG);

    assert_non_null(argument);
    argument[1000] = 'x';
    argument[BIG - 1] = 'y';
    return argument;
}

static void argument_arrives__when_names_are_taken_away(void **state)
{
    char *argument = big_argument();
    weir_future *busy, *call;
    struct gate *gate = shared_memory(sizeof *gate);
    weir_pool *pool;

    (void)state;
    begin_missing();
    pool = new_pool(the_scope, 1);
    busy = weir_pool_submit(pool, call_at_gate, &gate, sizeof gate, NULL);
    WAIT_UNTIL(gate->waiting == 1, 10000);
    call = weir_pool_submit(pool, look_at_argument, argument, BIG, NULL);
    assert_non_null(call);
    take_names_away();
    gate->open = true;
    if (weir_future_wait(call, -1) != 0)
        fail_msg("%s", weir_last_error()->message);
    assert_int_equal(weir_future_wait(busy, -1), 0);
    weir_future_free(call);
    weir_future_free(busy);
    assert_int_equal(weir_scope_end(the_scope), 0);
    munmap(gate, sizeof *gate);
    free(argument);
}

static int emit_remainders(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++) {
        char key[24];

        snprintf(key, sizeof key, "key%d", (int)(i % 1000));
        weir_emit_int64(task, key, strlen(key), 1);
    }
    take_names_away();
    return 0;
}

static int look_up(weir_task *task, void *arg)
{
    const weir_table *table = *(const weir_table **)arg;
    weir_pair pair;

    (void)task;
    return weir_table_get(table, "key7", 4, &pair) == 0 && *(const int64_t *)pair.value == 100 ? 0
                                                                                               : 1;
}

static void table_is_right__when_names_are_taken_away(void **state)
{
    const weir_map_reduction reduction = {
        .map = emit_remainders, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    weir_future *future;
    weir_table *table;
    weir_pool *pool;

    (void)state;
    begin_missing();
    pool = new_pool(the_scope, 2);
    table = weir_pool_map_reduce(pool, (weir_range){0, 100000}, &reduction, NULL, NULL);
    if (table == NULL)
        fail_msg("%s", weir_last_error()->message);
    take_names_away();
    assert_int_equal(weir_table_len(table), 1000);
    future = weir_pool_submit(pool, look_up, &table, sizeof(table), NULL);
    assert_int_equal(weir_future_wait(future, -1), 0);
    weir_future_free(future);
    weir_table_free(table);
    assert_int_equal(weir_scope_end(the_scope), 0);
}

/* ---- what the user makes --------------------------------------------------------------------- */

static int make_list(weir_task *task, void *arg)
{
    weir_list *list = weir_scope_list_range(the_scope, 0, 100, 1);

    if (list == NULL || weir_task_result(task, &list, sizeof(list)) < 0)
        return 1;
    if (arg != NULL)
        take_names_away();
    return 0;
}

static int make_list_in_for(weir_task *task, weir_range range, void *arg)
{
    weir_list **list = arg;

    (void)task;
    (void)range;
    *list = weir_scope_list_range(the_scope, 0, 100, 1);
    take_names_away();
    return *list != NULL ? 0 : 1;
}

static int give_nothing(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static void call_fails_with_the_name__when_what_it_has_made_is_gone(void **state)
{
    weir_list **list = shared_memory(sizeof(*list));
    weir_future *future;
    weir_pool *pool;

    (void)state;
    begin_missing();
    pool = new_pool(the_scope, 2);
    for (int i = 0; i < 2; i++) { /* a call of the queue, a job */
        future =
            weir_pool_submit(pool, make_list, &i, sizeof i, i == 0 ? NULL : OPTIONS(.retries = 1));
        assert_int_equal(weir_future_wait(future, -1), -ENOENT);
        assert_message_has(prefix);
        assert_message_has("its name in /dev/shm is gone");
        assert_null(weir_future_result(future, NULL));
        weir_future_free(future);
        /* others are none the worse */
        assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, do_nothing, NULL, NULL), 0);
        future = weir_pool_submit(pool, give_nothing, NULL, 0, NULL);
        assert_int_equal(weir_future_wait(future, -1), 0);
        weir_future_free(future);
    }
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, make_list_in_for, list, NULL),
                     -ENOENT);
    assert_message_has(prefix);
    for (int i = 0; i < 3; i++) { /* as long as it is so */
        assert_int_equal(weir_scope_sync(the_scope), -ENOENT);
        assert_message_has("3 objects");
    }
    weir_shm_unlink(weir_list_shm(*list));
    weir_list_close(*list);
    assert_int_equal(weir_scope_sync(the_scope), -ENOENT);
    assert_message_has("2 objects");
    assert_int_equal(weir_scope_end(the_scope), 0);
    munmap(list, sizeof(*list));
}

static int make_list_in_process(void *arg)
{
    weir_list **list = arg;

    *list = weir_scope_list_range(the_scope, 0, 100, 1);
    take_names_away();
    return *list != NULL ? 7 : 1;
}

static void join_says_so__when_what_a_process_has_made_is_gone(void **state)
{
    weir_list **list = shared_memory(sizeof(*list));
    weir_process *process;
    int code = 0;

    (void)state;
    begin_missing();
    process = weir_process_start(the_scope, make_list_in_process, list);
    assert_non_null(process);
    assert_int_equal(weir_process_join(process, 10000, &code), -ENOENT);
    assert_message_has(prefix);
    assert_int_equal(code, 7);
    weir_process_free(process);
    process = weir_process_start(the_scope, make_list_in_process, list);
    assert_int_equal(weir_process_join(process, 10000, NULL), -ENOENT);
    weir_process_free(process);
    assert_int_equal(weir_scope_end(the_scope), 0);
    munmap(list, sizeof(*list));
}

static int sum_list(weir_task *task, void *arg)
{
    weir_list *list = *(weir_list **)arg;
    weir_value value;

    if (weir_list_get(list, 7, &value) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    return value.integer == 7 ? 0 : 2;
}

static void death_report_names_the_object__when_a_worker_could_not_map_it(void **state)
{
    weir_future *future;
    weir_list *list;
    weir_pool *pool;

    (void)state;
    begin_missing();
    pool = new_pool(the_scope, 1);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, do_nothing, NULL, NULL), 0);
    list = weir_scope_list_range(the_scope, 0, 100, 1);
    assert_non_null(list);
    take_names_away();
    future = weir_pool_submit(pool, sum_list, &list, sizeof(list), NULL);
    assert_int_equal(weir_future_wait(future, -1), WEIR_EDIED);
    assert_message_has("it could not map object");
    assert_message_has(weir_shm_name(weir_list_shm(list)));
    assert_message_has("its name in /dev/shm is gone");
    weir_future_free(future);
    assert_int_equal(weir_scope_end(the_scope), 0);
}

/* The limit on files is below the argument's place in the scope's memory, so it is a block with a
 * name after all. */
static void chunk_fails_with_the_name__when_its_argument_cannot_be_mapped(void **state)
{
    const int64_t shape = (int64_t)4 << 30;
    const struct rlimit limit = {(rlim_t)2 << 30, RLIM_INFINITY};
    char *argument = big_argument();
    weir_future *busy, *call;
    struct gate *gate = shared_memory(sizeof *gate);
    weir_pool *pool;

    (void)state;
    begin_missing();
    assert_non_null(weir_scope_array(the_scope, WEIR_UINT8, 1, &shape, WEIR_ARRAY_LAZY));
    pool = new_pool(the_scope, 1);
    busy = weir_pool_submit(pool, call_at_gate, &gate, sizeof gate, NULL);
    WAIT_UNTIL(gate->waiting == 1, 10000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    call = weir_pool_submit(pool, look_at_argument, argument, BIG, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &NO_LIMIT), 0);
    assert_non_null(call);
    assert_true(take_names_away() >= 2);
    gate->open = true;
    assert_int_equal(weir_future_wait(call, -1), WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, -ENOENT);
    assert_message_has("the job's argument or array");
    assert_message_has(prefix);
    assert_int_equal(weir_future_wait(busy, -1), 0);
    weir_future_free(call);
    weir_future_free(busy);
    assert_int_equal(weir_scope_end(the_scope), 0);
    munmap(gate, sizeof *gate);
    free(argument);
}

/* ---- another user ---------------------------------------------------------------------------- */

static int become_nobody(void *arg)
{
    (void)arg;
    return setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0;
}

static void need_root(void)
{
    if (geteuid() == 0)
        return;
    print_message("skipped: needs root, to become another user\n");
    skip();
}

static void results_arrive_and_objects_are_refused__when_workers_are_another_user(void **state)
{
    const char byte = 'u';
    weir_future *future;
    weir_pool *pool;

    (void)state;
    need_root();
    begin_missing();
    pool =
        weir_pool_new(the_scope, &(weir_pool_options){.workers = 2, .initializer = become_nobody});
    assert_non_null(pool);
    for (int i = 0; i < 10; i++)
        assert_result(weir_pool_submit(pool, give_3000_bytes, &byte, 1, NULL), byte);
    future = weir_pool_submit(pool, make_list, NULL, 0, NULL);
    assert_int_equal(weir_future_wait(future, -1), -EPERM);
    assert_message_has("it is another user's");
    weir_future_free(future);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 100}, do_nothing, NULL, NULL), 0);
    assert_int_equal(weir_scope_end(the_scope), 0);
}

/* In a child of the test's, which gives up root after it has begun its scope. */
static int use_as_nobody(void)
{
    const char byte = 'n';
    weir_future *future;
    weir_list *list;
    weir_pool *pool;
    int result;

    begin_missing();
    pool = weir_pool_new(the_scope, &(weir_pool_options){.workers = 2});
    if (pool == NULL || become_nobody(NULL) != 0)
        return 1;
    for (int i = 0; i < 10; i++) {
        future = weir_pool_submit(pool, give_3000_bytes, &byte, 1, NULL);
        if (weir_future_wait(future, -1) != 0 || weir_future_result(future, NULL) == NULL)
            return 2;
        weir_future_free(future);
    }
    /* the other way round: the workers are root, and may open what is nobody's, but do not */
    list = weir_scope_list_range(the_scope, 0, 100, 1);
    future = weir_pool_submit(pool, sum_list, &list, sizeof(list), NULL);
    result = weir_future_wait(future, -1);
    if (list == NULL || (result != WEIR_EDIED && result != 0))
        return 3;
    weir_future_free(future);
    weir_pool_free(pool);
    return weir_scope_end(the_scope) == 0 ? 0 : 4;
}

static void scope_works_on__when_its_program_gives_up_root(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    need_root();
    pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(use_as_nobody());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(result_arrives__when_names_are_taken_away),
        UNIT(argument_arrives__when_names_are_taken_away),
        UNIT(table_is_right__when_names_are_taken_away),
        UNIT(results_arrive_and_objects_are_refused__when_workers_are_another_user),
        UNIT(scope_works_on__when_its_program_gives_up_root),
        UNIT(call_fails_with_the_name__when_what_it_has_made_is_gone),
        UNIT(join_says_so__when_what_a_process_has_made_is_gone),
        UNIT(death_report_names_the_object__when_a_worker_could_not_map_it),
        UNIT(chunk_fails_with_the_name__when_its_argument_cannot_be_mapped),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
