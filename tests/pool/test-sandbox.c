/* SPDX-License-Identifier: MIT
 *
 * Surroundings that lack something: a system call that a sandbox refuses, /dev/shm or /dev/null,
 * descriptors, stack for the program's own fork handlers. It works without, or the message is true.
 */
#include "child.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* What a program says that begins a scope and makes a pool. */
struct said {
    bool unable; /* the surroundings could not be made */
    int begin, objects, pool, job, call, table, end;
    int copy;              /* what a forked child is told of the pool */
    int children, signals; /* that were left, and came */
    bool wrong;            /* a job, call or table gave something else than it must */
    char message[WEIR_ERROR_MESSAGE_SIZE]; /* of the first error */
};

#define ITEMS 1000

struct objects {
    weir_list *list; /* item i becomes i squared */
    weir_dict *dict; /* counts the items */
};

static int square(weir_task *task, weir_range range, void *arg)
{
    const struct objects *objects = arg;

    WEIR_EACH (i, range) {
        if (weir_list_set(objects->list, i, weir_int(i * i)) < 0 ||
            weir_dict_add(objects->dict, weir_str("items"), 1, NULL) < 0)
            return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    }
    return 0;
}

static int double_it(weir_task *task, void *arg)
{
    const int64_t twice = 2 * *(const int64_t *)arg;

    return weir_task_result(task, &twice, sizeof twice);
}

static int emit_remainders(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    WEIR_EACH (i, range) {
        const char key = (char)('a' + i % 7);

        weir_emit_int64(task, &key, 1, i);
    }
    return 0;
}

static int note(struct said *said, bool failed)
{
    if (failed && said->message[0] == '\0')
        snprintf(said->message, sizeof said->message, "%s", weir_last_error()->message);
    return failed ? weir_last_error()->code : 0;
}

static void try_job(struct said *said, weir_pool *pool, struct objects *objects)
{
    weir_value value = {0};

    said->job = note(said, weir_pool_for(pool, weir_range_of(ITEMS), square, objects,
                                         OPTIONS(.arg_size = sizeof *objects)) != 0);
    for (int64_t i = 0; i < ITEMS; i++) {
        if (weir_list_get(objects->list, i, &value) < 0 || value.integer != i * i)
            said->wrong = true;
    }
    if (weir_dict_get(objects->dict, weir_str("items"), &value, NULL, 0) < 0 ||
        value.integer != ITEMS)
        said->wrong = true;
}

static void try_call(struct said *said, weir_pool *pool)
{
    int64_t number = 21;
    weir_future *future = WEIR_SUBMIT(pool, double_it, number, NULL);
    const int64_t *twice;

    said->call = note(said, future == NULL || weir_future_wait(future, -1) != 0);
    twice = future == NULL ? NULL : weir_future_result(future, NULL);
    if (twice == NULL || *twice != 42)
        said->wrong = true;
    weir_future_free(future);
}

static void try_table(struct said *said, weir_pool *pool)
{
    weir_table *table = weir_pool_map_reduce(pool, weir_range_of(ITEMS),
                                             &(weir_map_reduction){.value_size = sizeof(int64_t),
                                                                   .combine = weir_sum_int64,
                                                                   .map = emit_remainders},
                                             NULL, NULL);
    int64_t sum = 0;
    weir_pair pair;

    said->table = note(said, table == NULL);
    for (char key = 'a'; table != NULL && key < 'a' + 7; key++) {
        if (weir_table_get(table, &key, 1, &pair) == 0)
            sum += *(const int64_t *)pair.value;
    }
    if (sum != ITEMS * (ITEMS - 1) / 2)
        said->wrong = true;
    weir_table_free(table);
}

static volatile sig_atomic_t signals; /* of children, where they are counted */

static void try_copy(struct said *said, weir_pool *pool)
{
    const sig_atomic_t before = signals;
    pid_t pid = fork();

    if (pid == 0) {
        said->copy = weir_pool_workers(pool);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    signals = before; /* without that of this child */
}

static void try_all(struct said *said, bool anonymous)
{
    weir_scope *scope = weir_scope_begin(&(weir_scope_options){.anonymous = anonymous});
    struct objects objects;
    weir_pool *pool;

    said->begin = note(said, scope == NULL);
    if (scope == NULL)
        return;
    objects.list = weir_scope_list_range(scope, 0, ITEMS, 1);
    objects.dict = weir_scope_dict(scope, NULL);
    said->objects = note(said, objects.list == NULL || objects.dict == NULL ||
                                   weir_scope_shm(scope, 100000) == NULL);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    said->pool = note(said, pool == NULL);
    if (said->objects == 0 && pool != NULL) {
        try_job(said, pool, &objects);
        try_call(said, pool);
        try_table(said, pool);
        try_copy(said, pool);
    }
    said->end = note(said, weir_scope_end(scope) != 0);
}

/* In a process of its own, as what is taken from it is not given back. `arg` is of `make`, which is
 * false if it could not make the surroundings. */
static struct said run_in(bool (*make)(int arg), int arg, bool anonymous)
{
    struct said *shared = shared_memory(sizeof *shared), said;
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        child_reset();
        alarm(60);
        shared->unable = unshare(CLONE_NEWNS) < 0 || !make(arg); /* mounts are its own */
        if (!shared->unable) {
            try_all(shared, anonymous);
            shared->children = waitpid(-1, NULL, __WALL | WNOHANG) < 0 && errno == ECHILD ? 0 : 1;
            shared->signals = signals;
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    said = *shared;
    munmap(shared, sizeof *shared);
    if (said.unable)
        print_message("skipped: this machine does not let the test make these surroundings\n");
    return said;
}

static void assert_works(const struct said *said)
{
    if (said->unable)
        return;
    if ((said->begin | said->objects | said->pool | said->job | said->call | said->table |
         said->end) != 0)
        fail_msg("%d %d %d %d %d %d %d: %s", said->begin, said->objects, said->pool, said->job,
                 said->call, said->table, said->end, said->message);
    assert_false(said->wrong);
}

static void assert_says(const struct said *said, const char *part)
{
    if (!said->unable && strstr(said->message, part) == NULL)
        fail_msg("no \"%s\" in: %s", part, said->message);
}

/* ---- a sandbox ------------------------------------------------------------------------------- */

/* Where the lower half of a system call's argument stands. */
#define ARGUMENT(index)                                                                            \
    (unsigned)(offsetof(struct seccomp_data, args) + 8 * (index) +                                 \
               (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))

/* Refuses the call if this argument has exactly these of the bits in `mask`. Error 0: it does
 * nothing, and succeeds. */
static bool refuse(unsigned call, unsigned argument, unsigned mask, unsigned bits, int error)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(argument)),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof steps / sizeof steps[0], steps};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static bool refuse_pidfd_open(int error)
{
    return refuse(SYS_pidfd_open, 0, 0, 0, error);
}

/* Of processes that share the program's memory, as qemu-user does. Threads are made. */
static bool refuse_clone(int error)
{
    return refuse(SYS_clone, 0, CLONE_VM | CLONE_THREAD | CSIGNAL, CLONE_VM, error);
}

static void *allocate(void *arg)
{
    for (;;) {
        void *volatile memory = malloc(100000); /* or the compiler leaves both calls out */

        free(memory);
    }
    return arg;
}

static bool refuse_clone_with_threads(int error)
{
    pthread_t thread;

    for (int i = 0; i < 3; i++) {
        if (pthread_create(&thread, NULL, allocate, NULL) != 0)
            return false;
    }
    return refuse_clone(error);
}

static void scopes_work_and_pools_name_the_call__when_pidfd_open_is_refused(void **state)
{
    static const int errors[] = {EPERM, ENOSYS};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct said said = run_in(refuse_pidfd_open, errors[i], false);

        if (said.unable)
            return;
        assert_int_equal(said.begin, 0);
        assert_int_equal(said.pool, -errors[i]);
        assert_says(&said, "pidfd_open()");
        assert_int_equal(said.end, 0);
    }
}

static int is_closed(weir_task *task, void *fd)
{
    (void)task;
    return fcntl(*(int *)fd, F_GETFD) < 0 ? 0 : 1;
}

static int close_without_close_range(void)
{
    const weir_pool_options options = {.workers = 1, .close_descriptors = true};
    int fd = fcntl(STDERR_FILENO, F_DUPFD, 200);
    weir_future *future;
    weir_scope *scope;

    if (fd < 0 || !refuse(SYS_close_range, 0, 0, 0, ENOSYS))
        return 77;
    scope = weir_scope_begin(NULL);
    future = WEIR_SUBMIT(weir_pool_new(scope, &options), is_closed, fd, NULL);
    if (future == NULL || weir_future_wait(future, -1) != 0)
        return 1;
    weir_future_free(future);
    return weir_scope_end(scope) == 0 ? 0 : 2;
}

static void descriptors_are_closed__when_close_range_is_refused(void **state)
{
    int status;
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0) {
        child_reset();
        _exit(close_without_close_range());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status == 77 << 8) {
        print_message("skipped: no filter of system calls can be had here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void all_works__when_a_clone_without_a_signal_is_refused(void **state)
{
    static const int errors[] = {EINVAL, ENOSYS, EPERM};

    (void)state;
    for (int i = 0; i < 6; i++) {
        struct said said = run_in(refuse_clone, errors[i % 3], i >= 3);

        assert_works(&said);
    }
}

static void all_works__when_a_clone_is_refused_and_threads_are_in_malloc(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        struct said said = run_in(refuse_clone_with_threads, EINVAL, i % 2);

        assert_works(&said);
    }
}

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static bool refuse_clone_and_count_children(int error)
{
    const struct sigaction action = {.sa_handler = count_signal};

    return sigaction(SIGCHLD, &action, NULL) == 0 && refuse_clone(error);
}

static void the_program_has_no_child__when_a_clone_is_refused(void **state)
{
    struct said said = run_in(refuse_clone_and_count_children, EINVAL, false);

    (void)state;
    assert_works(&said);
    assert_int_equal(said.children, 0);
    assert_int_equal(said.signals, 0);
}

/* As an emulator does that takes any advice and follows none. */
static bool take_advice(int error)
{
    return refuse(SYS_madvise, 2, ~0u, MADV_WIPEONFORK, error) &&
           refuse(SYS_madvise, 2, ~0u, (unsigned)-1, error);
}

static void a_copy_is_told_from_the_program__when_advice_is_not_followed(void **state)
{
    static const int errors[] = {0, EINVAL}; /* the latter: before Linux 4.14 */

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct said said = run_in(take_advice, errors[i], false);

        assert_works(&said);
        if (!said.unable)
            assert_int_equal(said.copy, -EDEADLK);
    }
}

/* ---- /dev ------------------------------------------------------------------------------------ */

enum { READ_ONLY, FULL, NO_TMPFS, NO_FILES, NO_DEV };

static bool spoil_dev_shm(int how)
{
    switch (how) {
    case READ_ONLY:
        return mount("tmpfs", "/dev/shm", "tmpfs", MS_RDONLY, NULL) == 0;
    case FULL:
        return mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k") == 0;
    case NO_TMPFS:
        return mount("/proc", "/dev/shm", NULL, MS_BIND, NULL) == 0;
    case NO_FILES:
        return mount("tmpfs", "/dev/shm", "tmpfs", 0, "nr_inodes=1") == 0;
    default: /* neither /dev/shm nor /dev/null */
        return mount("tmpfs", "/dev", "tmpfs", 0, NULL) == 0;
    }
}

static bool take_dev_null(int arg)
{
    (void)arg;
    return mount("tmpfs", "/dev", "tmpfs", 0, NULL) == 0 && mkdir("/dev/shm", 0700) == 0;
}

static void the_message_names_anonymous_scopes__when_dev_shm_is_of_no_use(void **state)
{
    (void)state;
    for (int how = READ_ONLY; how <= NO_DEV; how++) {
        struct said said = run_in(spoil_dev_shm, how, false);

        if (said.unable)
            continue;
        assert_true(said.begin < 0 || said.objects < 0);
        assert_says(&said, "/dev/shm");
        assert_says(&said, "`anonymous`");
        said = run_in(spoil_dev_shm, how, true); /* as it says */
        assert_works(&said);
    }
}

static void all_works__when_there_is_no_dev_null(void **state)
{
    struct said said = run_in(take_dev_null, 0, false);

    (void)state;
    assert_works(&said);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static bool limit_descriptors(int most)
{
    const struct rlimit limit = {(rlim_t)most, (rlim_t)most};

    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* Each number of them up to that which is enough. */
static void the_message_is_of_descriptors__when_there_are_too_few(void **state)
{
    int most, failed = 0;

    (void)state;
    for (most = 3; most < 64; most++) {
        struct said said = run_in(limit_descriptors, most, false);

        if (said.unable)
            return;
        assert_int_equal(said.end, 0);
        if (said.begin == 0 && said.pool == 0)
            break;
        failed++;
        if ((said.begin != 0 ? said.begin : said.pool) != -EMFILE)
            fail_msg("with %d descriptors: %d %s", most, said.begin, said.message);
        if (strstr(said.message, "escriptor") == NULL &&
            strstr(said.message, strerror(EMFILE)) == NULL)
            fail_msg("with %d descriptors: %s", most, said.message);
    }
    assert_true(failed >= 3 && most < 64);
}

static size_t stack_needed;

static void use_stack(void)
{
    volatile char *room = __builtin_alloca(stack_needed);

    for (size_t i = 0; i < stack_needed; i += 512)
        room[i] = 1;
    (void)room[0];
}

static bool fork_with_stack(int kilobytes)
{
    stack_needed = (size_t)kilobytes << 10;
    return pthread_atfork(use_stack, NULL, NULL) == 0;
}

static void a_fork_handler_of_the_program_has_room__or_the_message_names_it(void **state)
{
    struct said said = run_in(fork_with_stack, 4096, false);

    (void)state;
    assert_works(&said);
    said = run_in(fork_with_stack, 10000, false);
    if (said.unable)
        return;
    assert_int_equal(said.begin, 0);
    assert_int_equal(said.pool, WEIR_EDIED);
    assert_says(&said, "pthread_atfork()");
    assert_int_equal(said.end, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(scopes_work_and_pools_name_the_call__when_pidfd_open_is_refused),
        UNIT(descriptors_are_closed__when_close_range_is_refused),
        UNIT(all_works__when_a_clone_without_a_signal_is_refused),
        UNIT(all_works__when_a_clone_is_refused_and_threads_are_in_malloc),
        UNIT(the_program_has_no_child__when_a_clone_is_refused),
        UNIT(a_copy_is_told_from_the_program__when_advice_is_not_followed),
        UNIT(the_message_names_anonymous_scopes__when_dev_shm_is_of_no_use),
        UNIT(all_works__when_there_is_no_dev_null),
        UNIT(the_message_is_of_descriptors__when_there_are_too_few),
        UNIT(a_fork_handler_of_the_program_has_room__or_the_message_names_it),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
