/* SPDX-License-Identifier: MIT
 *
 * Workers and processes that change their user or group: the kernel forgets then that they are to
 * end with their supervisor, and others may lack the right to end them.
 */
#include "child.h"
#include "support.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NOBODY   65534
#define OTHER    65533
#define ENDED_MS 4000

static struct {
    _Atomic pid_t pids[4];
    _Atomic int count;
    _Atomic pid_t supervisor;
} * shared;

static void note_pid(void)
{
    shared->pids[shared->count++ % 4] = getpid();
}

static int drop(uid_t user)
{
    return setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0;
}

static int drop_in_initializer(void *arg)
{
    if (drop(*(uid_t *)arg) != 0)
        return 1;
    note_pid();
    return 0;
}

static int drop_in_task(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    note_pid();
    return drop(*(uid_t *)arg);
}

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int drop_and_stay(void *arg)
{
    if (drop(*(uid_t *)arg) != 0)
        return 1;
    note_pid();
    for (;;)
        usleep(100000);
}

static bool any_alive(void)
{
    for (int i = 0; i < shared->count && i < 4; i++) {
        if (is_alive(shared->pids[i]))
            return true;
    }
    return false;
}

static void forget_pids(void)
{
    shared->count = 0;
    shared->supervisor = 0;
}

static weir_pool *new_dropping_pool(weir_scope *scope, uid_t *user)
{
    weir_pool *pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = 2, .initializer = drop_in_initializer, .arg = user});

    if (pool == NULL || weir_pool_for(pool, (weir_range){0, 100}, do_nothing, NULL, NULL) != 0)
        return NULL;
    shared->supervisor = weir_pool_supervisor_pid(pool);
    return pool;
}

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("skipped: it needs root to change the user\n");
        skip();
    }
}

static void workers_of_another_user_end__when_the_supervisor_is_killed(void **state)
{
    weir_scope *scope;
    weir_pool *pool;
    uid_t user = NOBODY;

    (void)state;
    need_root();
    forget_pids();
    scope = begin();
    pool = new_dropping_pool(scope, &user);
    assert_non_null(pool);
    WAIT_UNTIL(shared->count == 2, 5000);
    kill(shared->supervisor, SIGKILL);
    WAIT_UNTIL(!any_alive(), ENDED_MS);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, do_nothing, NULL, NULL), WEIR_EDIED);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void
a_worker_that_changed_its_user_in_a_task_ends__when_the_supervisor_is_killed(void **state)
{
    weir_scope *scope;
    weir_pool *pool;
    uid_t user = NOBODY;

    (void)state;
    need_root();
    forget_pids();
    scope = begin();
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    assert_non_null(pool);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, drop_in_task, &user,
                                   OPTIONS(.arg_size = sizeof user)),
                     0);
    usleep(100000); /* it sleeps by then */
    kill(weir_pool_supervisor_pid(pool), SIGKILL);
    WAIT_UNTIL(!any_alive(), ENDED_MS);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_process_of_another_user_ends__when_the_supervisor_is_killed(void **state)
{
    weir_scope *scope;
    weir_process *process;
    uid_t user = NOBODY;
    char path[64];
    FILE *file;
    int parent = 0;

    (void)state;
    need_root();
    forget_pids();
    scope = begin();
    process = weir_process_start(scope, drop_and_stay, &user);
    assert_non_null(process);
    WAIT_UNTIL(shared->count == 1, 5000);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)weir_process_pid(process));
    file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %*s %*c %d", &parent), 1);
    fclose(file);
    kill(parent, SIGKILL);
    WAIT_UNTIL(!any_alive(), ENDED_MS);
    assert_int_equal(weir_process_join(process, 0, NULL), WEIR_EDIED);
    weir_process_free(process);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- where nobody may kill them -------------------------------------------------------------- */

/* A program that may change its user, but may not signal others. */
static int become_user_with_setuid(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t bits = 1U << CAP_SETUID | 1U << CAP_SETGID;
    struct __user_cap_data_struct data[2] = {{.effective = bits, .permitted = bits}};

    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || drop(OTHER) != 0)
        return -1;
    return (int)syscall(SYS_capset, &header, data);
}

enum ending { KILL_POOL, FREE_POOL, END_SCOPE, KILL_SUPERVISOR, KILL_PROGRAM, ENDINGS };

/* In a child of the test program. */
static int run_unkillable(enum ending ending)
{
    static uid_t user = NOBODY;
    weir_scope *scope;
    weir_pool *pool;

    if (become_user_with_setuid() != 0)
        return 2;
    /* its user may not write to the tmpfs of the test */
    scope = weir_scope_begin(&(weir_scope_options){.anonymous = true});
    if (scope == NULL || (pool = new_dropping_pool(scope, &user)) == NULL)
        return 3;
    for (int i = 0; i < 5000 && shared->count < 2; i++)
        usleep(1000);
    if (kill(shared->pids[0], 0) == 0 || kill(shared->pids[1], 0) == 0)
        return 4; /* it may */
    switch (ending) {
    case KILL_POOL:
        weir_pool_kill(pool);
        break;
    case FREE_POOL:
        weir_pool_free(pool);
        break;
    case KILL_SUPERVISOR:
        kill(shared->supervisor, SIGKILL);
        weir_pool_free(pool);
        break;
    case KILL_PROGRAM:
        raise(SIGKILL);
        break;
    default:
        break;
    }
    return weir_scope_end(scope) == 0 ? 0 : 5;
}

static void workers_that_nobody_may_kill_end__whatever_ends_their_pool(void **state)
{
    (void)state;
    need_root();
    for (int ending = 0; ending < ENDINGS; ending++) {
        double before;
        pid_t child;
        int status;

        forget_pids();
        fflush(NULL);
        child = fork();
        if (child == 0) {
            child_reset();
            _exit(run_unkillable((enum ending)ending));
        }
        before = now_ms();
        assert_int_equal(waitpid(child, &status, 0), child);
        if (ending == KILL_PROGRAM)
            assert_true(WIFSIGNALED(status));
        else
            assert_int_equal(status, 0);
        WAIT_UNTIL(!any_alive() && !is_alive(shared->supervisor), ENDED_MS);
        assert_true(now_ms() - before < 10000);
        assert_true(shared->count >= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(workers_of_another_user_end__when_the_supervisor_is_killed),
        UNIT(a_worker_that_changed_its_user_in_a_task_ends__when_the_supervisor_is_killed),
        UNIT(a_process_of_another_user_ends__when_the_supervisor_is_killed),
        UNIT(workers_that_nobody_may_kill_end__whatever_ends_their_pool),
    };

    leak_isolate();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 99;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
