/* SPDX-License-Identifier: MIT
 *
 * Programs that lock all of their memory: what is large and mostly empty stays empty.
 */
#include "support.h"

#include "child.h"
#include "group.h"
#include "sanitizer.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define GROUP_LIMIT ((size_t)384 << 20)
#define LITTLE      ((long)64 << 10) /* KiB */

/* KiB of this process that are in memory. */
static long resident(void)
{
    char line[256];
    long size = -1;
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "VmRSS: %ld", &size);
    if (file != NULL)
        fclose(file);
    return size;
}

/* Runs it in a process of its own, within a cgroup if one can be made: otherwise a fault would take
 * all of the machine's memory. */
static void assert_in_group(int (*test)(void))
{
    char folder[300];
    int status;
    pid_t pid;

    if (!make_group(folder, GROUP_LIMIT)) {
        print_message("skipped: no memory cgroup can be made here\n");
        skip();
    }
    pid = fork();
    if (pid == 0) {
        child_reset();
        _exit(enter_group(folder) ? test() : 100);
    }
    waitpid(pid, &status, 0);
    remove_group(folder);
    if (status != 0)
        fail_msg("status 0x%x", (unsigned)status);
}

static int look_at_resident(weir_task *task, void *arg)
{
    long *const *out = arg;

    (void)task;
    **out = resident();
    return 0;
}

static int lock_memory(void *arg)
{
    (void)arg;
    return mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : 1;
}

static int lock_future(void *arg)
{
    (void)arg;
    return mlockall(MCL_FUTURE) == 0 ? 0 : 1;
}

/* Lazy things of each kind. */
static int make_all(weir_scope *scope)
{
    const int64_t shape = (int64_t)1 << 30;

    return weir_scope_alloc(scope, 100) == NULL || weir_scope_dict(scope, NULL) == NULL ||
           weir_scope_array(scope, WEIR_UINT8, 1, &shape, WEIR_ARRAY_LAZY) == NULL;
}

static int lock_in_the_program(void)
{
    long *size = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    weir_future *future;
    weir_scope *scope;
    weir_pool *pool;

    if (lock_memory(NULL) != 0 || (scope = weir_scope_begin(NULL)) == NULL)
        return 1;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    if (pool == NULL || make_all(scope) != 0)
        return 2;
    future = weir_pool_submit(pool, look_at_resident, &size, sizeof size, NULL);
    if (weir_future_wait(future, -1) != 0 || *size > LITTLE)
        return 3;
    weir_future_free(future);
    if (resident() > LITTLE)
        return 4;
    return weir_scope_end(scope) == 0 ? 0 : 5;
}

static void memory_stays_empty__when_the_program_locks_what_it_maps(void **state)
{
    (void)state;
    assert_in_group(lock_in_the_program);
}

static int lock_in_the_workers(void)
{
    const weir_pool_options options = {.workers = 2, .initializer = lock_future};
    long *size = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    weir_future *future;
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &options);

    if (pool == NULL || make_all(scope) != 0)
        return 1;
    future = weir_pool_submit(pool, look_at_resident, &size, sizeof size, NULL);
    if (weir_future_wait(future, -1) != 0 || *size > LITTLE)
        return 2;
    weir_future_free(future);
    return weir_scope_end(scope) == 0 ? 0 : 3;
}

static void memory_stays_empty__when_workers_lock_what_they_map(void **state)
{
    (void)state;
    assert_in_group(lock_in_the_workers);
}

static uint64_t free_of_shm(void)
{
    struct statvfs fs;

    return statvfs("/dev/shm", &fs) == 0 ? (uint64_t)fs.f_bfree * fs.f_frsize : 0;
}

static int look_at_first(weir_task *task, void *arg)
{
    (void)task;
    return **(char **)arg == 1 ? 0 : 1;
}

/* A worker still maps the block that the program closes. */
static int close_a_locked_block(void)
{
    const size_t size = (size_t)32 << 20;
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool;
    uint64_t before;
    weir_shm *shm;
    char *data;

    if (scope == NULL || lock_future(NULL) != 0)
        return 1;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    before = free_of_shm();
    shm = weir_scope_shm(scope, size);
    if (pool == NULL || shm == NULL)
        return 2;
    data = weir_shm_buf(shm);
    memset(data, 1, size);
    if (weir_future_wait(weir_pool_submit(pool, look_at_first, &data, sizeof data, NULL), -1) != 0)
        return 3;
    weir_shm_unlink(shm);
    weir_shm_close(shm);
    if (free_of_shm() + ((uint64_t)1 << 20) < before)
        return 4;
    return weir_scope_end(scope) == 0 ? 0 : 5;
}

static void memory_is_given_back__when_a_locked_block_is_closed(void **state)
{
    (void)state;
    assert_in_group(close_a_locked_block);
}

/* From here on a limit counts for root, too. */
static bool give_up_locking(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};

    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    data[0].permitted &= ~(1u << CAP_IPC_LOCK);
    return syscall(SYS_capset, &header, data) == 0;
}

static int lock_with_limits(void)
{
    const rlim_t mib[] = {4, 44, 1024};
    struct rlimit limit;
    weir_scope *scope;
    weir_pool *pool;

    if (!give_up_locking() || getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return 1;
    for (int i = 0; i < 3 && mib[i] << 20 <= limit.rlim_max; i++) {
        limit.rlim_cur = mib[i] << 20;
        if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || lock_future(NULL) != 0)
            return 2;
        scope = weir_scope_begin(NULL);
        if (i == 0) { /* not even the table */
            if (scope != NULL || weir_last_error()->code != -ENOMEM ||
                strstr(weir_last_error()->message, "RLIMIT_MEMLOCK allows 4194304") == NULL)
                return 10;
            continue;
        }
        pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
        if (i == 1 && (pool != NULL || weir_last_error()->code != -ENOMEM ||
                       strstr(weir_last_error()->message, "RLIMIT_MEMLOCK") == NULL))
            return 20;
        if (i == 2 && (pool == NULL || weir_scope_alloc(scope, 100) == NULL))
            return 30;
        munlockall();
        if (weir_scope_end(scope) != 0)
            return 40;
    }
    return 0;
}

static void limit_is_named__when_less_may_be_locked(void **state)
{
    (void)state;
    assert_in_group(lock_with_limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(memory_stays_empty__when_the_program_locks_what_it_maps),
        UNIT(memory_stays_empty__when_workers_lock_what_they_map),
        UNIT(memory_is_given_back__when_a_locked_block_is_closed),
        UNIT(limit_is_named__when_less_may_be_locked),
    };

    if (ADDRESS_SANITIZER) {
        printf("skipped: AddressSanitizer turns mlockall() into nothing\n");
        return 77;
    }
    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
