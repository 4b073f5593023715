/* SPDX-License-Identifier: MIT
 *
 * test-limits.c: what a full /dev/shm, a memory cgroup, resource limits and signals do to a new
 * block. Each is an error with its numbers, never a signal, and leaves nothing behind.
 */
#include "child.h"
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/block/block.h"

#define MIB ((size_t)1 << 20)

static bool isolated;

static void need_own_shm(void)
{
    if (!isolated) {
        print_message("needs root or user namespaces for a /dev/shm of its own\n");
        skip();
    }
}

/* ---- children: they report by status -----------------------------------------------------------
 */

#define CHILD_SAYS(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "child, line %d: %s; last error: %s\n", __LINE__, #condition,          \
                    weir_last_error()->message);                                                   \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* Runs it in a child, whose limits and signals are its own. Returns the child's status. */
static int status_of_child(void (*function)(void))
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        child_reset();
        function();
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/* Expects it to end in order. */
static void run_in_child(void (*function)(void))
{
    int status = status_of_child(function);

    if (WIFSIGNALED(status))
        fail_msg("the child was killed by signal %d", WTERMSIG(status));
    assert_int_equal(status, 0);
}

static bool fails_with(const void *object, int code)
{
    return object == NULL && weir_last_error()->code == code;
}

/* ---- a full /dev/shm ------------------------------------------------------------------------ */

static size_t used(void)
{
    struct statfs fs;

    assert_int_equal(statfs("/dev/shm", &fs), 0);
    return (size_t)(fs.f_blocks - fs.f_bfree) * (size_t)fs.f_bsize;
}

static bool message_has(const char *text)
{
    return strstr(weir_last_error()->message, text) != NULL;
}

static void enospc_gives_the_numbers__when_shm_is_too_small(void **state)
{
    static const size_t sizes[] = {8 * MIB, 64 * MIB};
    char number[32];

    (void)state;
    need_own_shm();
    for (size_t i = 0; i < 2; i++) {
        assert_true(leak_limit_shm(sizes[i]));
        assert_null(weir_shm_create(leak_name("large"), 2 * sizes[i], 0));
        assert_int_equal(weir_last_error()->code, -ENOSPC);
        snprintf(number, sizeof number, "%zu bytes", 2 * sizes[i]);
        assert_true(message_has(number));
        snprintf(number, sizeof number, "%zu of %zu bytes", sizes[i], sizes[i]);
        assert_true(message_has(number));
        assert_true(message_has("--shm-size"));
        assert_null(weir_list_create_range(leak_name("large"), 0, (int64_t)sizes[i] / 8, 1));
        assert_int_equal(weir_last_error()->code, -ENOSPC);
        assert_int_equal(used(), 0);
    }
    assert_true(leak_limit_shm(4096 * MIB));
}

/* Blocks too small to be compared with the limits beforehand. */
static void small_blocks_get_enospc_too__when_shm_is_full(void **state)
{
    enum { SIZE = 600000 };
    weir_shm *blocks[20];
    int made = 0;

    (void)state;
    need_own_shm();
    assert_true(leak_limit_shm(8 * MIB));
    while ((blocks[made] = weir_shm_create(NULL, SIZE, 0)) != NULL) {
        memset(weir_shm_buf(blocks[made]), 0xff, SIZE);
        made++;
        assert_true(made < 20);
    }
    assert_int_equal(made, 8 * MIB / ((SIZE + 4095) / 4096 * 4096));
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_true(message_has("600000 bytes"));
    while (made-- > 0) {
        assert_int_equal(weir_shm_unlink(blocks[made]), 0);
        weir_shm_close(blocks[made]);
    }
    assert_int_equal(used(), 0);
    assert_true(leak_limit_shm(4096 * MIB));
}

static void enospc_says_so__when_shm_has_no_files_left(void **state)
{
    weir_shm *blocks[20];
    int made = 0;

    (void)state;
    need_own_shm();
    assert_int_equal(mount(NULL, "/dev/shm", NULL, MS_REMOUNT, "nr_inodes=10"), 0);
    while ((blocks[made] = weir_shm_create(NULL, 1, 0)) != NULL) {
        made++;
        assert_true(made < 20);
    }
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_true(message_has("10 files"));
    while (made-- > 0) {
        assert_int_equal(weir_shm_unlink(blocks[made]), 0);
        weir_shm_close(blocks[made]);
    }
    assert_int_equal(mount(NULL, "/dev/shm", NULL, MS_REMOUNT, "nr_inodes=1000000"), 0);
}

static void a_block_is_refused__when_shm_is_no_tmpfs(void **state)
{
    (void)state;
    need_own_shm();
    if (geteuid() != 0) {
        print_message("needs root to put another file system at /dev/shm\n");
        skip();
    }
    /* One file system without O_TMPFILE, one without fallocate. */
    if (mount("/proc", "/dev/shm", NULL, MS_BIND | MS_REC, NULL) < 0) {
        print_message("cannot bind another file system to /dev/shm: %s\n", strerror(errno));
        skip();
    }
    assert_null(weir_shm_create("weirtest", 1, 0));
    assert_int_equal(umount2("/dev/shm", MNT_DETACH), 0);
    assert_int_equal(weir_last_error()->code, -ENOTSUP);
    assert_true(message_has("tmpfs"));
    if (mount("ramfs", "/dev/shm", "ramfs", 0, "mode=1777") < 0) {
        print_message("cannot mount a ramfs: %s\n", strerror(errno));
        skip();
    }
    assert_null(weir_shm_create("weirtest", 1, 0));
    assert_int_equal(umount2("/dev/shm", MNT_DETACH), 0);
    assert_int_equal(weir_last_error()->code, -ENOTSUP);
    assert_true(message_has("tmpfs"));
}

static void a_block_is_refused__when_shm_cannot_be_written(void **state)
{
    (void)state;
    need_own_shm();
    assert_int_equal(mount(NULL, "/dev/shm", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_null(weir_shm_create("weirtest", 1, 0));
    assert_int_equal(mount(NULL, "/dev/shm", NULL, MS_REMOUNT, NULL), 0);
    assert_int_equal(weir_last_error()->code, -EROFS);
}

/* ---- resource limits ------------------------------------------------------------------------ */

static void set_limit(int which, rlim_t value)
{
    struct rlimit limit;

    CHILD_SAYS(getrlimit(which, &limit) == 0);
    limit.rlim_cur = value;
    CHILD_SAYS(setrlimit(which, &limit) == 0);
}

static bool xfsz_is_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ) == 1;
}

static bool xfsz_is_blocked(void)
{
    sigset_t blocked;

    return sigprocmask(SIG_SETMASK, NULL, &blocked) == 0 && sigismember(&blocked, SIGXFSZ) == 1;
}

static void exceed_file_size(void)
{
    weir_shm *shm;

    set_limit(RLIMIT_FSIZE, 100000);
    CHILD_SAYS(fails_with(weir_shm_create(leak_name("fsize"), 100001, 0), -EFBIG));
    CHILD_SAYS(message_has("100001 bytes") && message_has("100000 bytes"));
    CHILD_SAYS(fails_with(weir_shm_create(leak_name("fsize"), 20 * MIB, 0), -EFBIG));
    CHILD_SAYS(fails_with(weir_shm_create(leak_name("fsize"), 100001, WEIR_SHM_LAZY), -EFBIG));
    CHILD_SAYS(!xfsz_is_blocked() && !xfsz_is_pending());
    shm = weir_shm_create(leak_name("fsize"), 100000, 0);
    CHILD_SAYS(shm != NULL && weir_shm_unlink(shm) == 0);
}

static void efbig_without_a_signal__when_files_are_limited(void **state)
{
    (void)state;
    run_in_child(exceed_file_size);
}

/* The program's own signal is not eaten. */
static void exceed_file_size_with_a_signal_waiting(void)
{
    sigset_t xfsz;

    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &xfsz, NULL);
    raise(SIGXFSZ);
    set_limit(RLIMIT_FSIZE, 100000);
    CHILD_SAYS(fails_with(weir_shm_create(leak_name("fsize"), 100001, 0), -EFBIG));
    CHILD_SAYS(xfsz_is_pending());
}

static void a_signal_that_was_waiting_still_waits__after_efbig(void **state)
{
    (void)state;
    run_in_child(exceed_file_size_with_a_signal_waiting);
}

static void run_out_of_descriptors(void)
{
    const char *name = leak_name("nofile");
    weir_shm *shm = weir_shm_create(name, 1, 0);
    int spare = dup(0);

    CHILD_SAYS(shm != NULL);
    close(spare);
    set_limit(RLIMIT_NOFILE, (rlim_t)spare);
    CHILD_SAYS(fails_with(weir_shm_create(leak_name("nofile2"), 1, 0), -EMFILE));
    CHILD_SAYS(fails_with(weir_shm_create(leak_name("nofile2"), 2 * MIB, 0), -EMFILE));
    CHILD_SAYS(fails_with(weir_shm_attach(name), -EMFILE));
    CHILD_SAYS(weir_shm_unlink(shm) == 0);
}

static void emfile__when_descriptors_are_used_up(void **state)
{
    (void)state;
    run_in_child(run_out_of_descriptors);
}

/* With one descriptor left, a large block can be made but the limits cannot be read meanwhile. */
static void leave_one_descriptor(void)
{
    int spare = dup(0);
    weir_shm *shm;

    close(spare);
    set_limit(RLIMIT_NOFILE, (rlim_t)spare + 1);
    shm = weir_shm_create(leak_name("one"), 2 * MIB, 0);
    CHILD_SAYS(shm != NULL && weir_shm_unlink(shm) == 0);
}

static void one_descriptor_is_enough(void **state)
{
    (void)state;
    run_in_child(leave_one_descriptor);
}

static void run_out_of_addresses(void)
{
    CHILD_SAYS(weir_shm_create(leak_name("as"), (size_t)1 << 50, WEIR_SHM_LAZY) == NULL);
    CHILD_SAYS(weir_last_error()->code == -ENOMEM);
}

static void enomem__when_the_address_space_is_too_small(void **state)
{
    (void)state;
    run_in_child(run_out_of_addresses);
}

/* ---- signals -------------------------------------------------------------------------------- */

/* The linker puts these in place of fallocate(2) (see meson.build): newer kernels finish the call
 * when a signal arrives, older ones do not. */
static bool interrupting;
static int interruptions;

int __real_fallocate64(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size);

/* A signal arrives before more than 1 MiB can be reserved, and before every third step. */
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
    static int calls;

    if (interrupting && (size > (off_t)MIB || ++calls % 3 == 0)) {
        interruptions++;
        errno = EINTR;
        return -1;
    }
    return __real_fallocate64(fd, mode, offset, size);
}

static void reserve_while_signals_arrive(void)
{
    weir_shm *shm;

    alarm(20);
    interrupting = true;
    shm = weir_shm_create(leak_name("eintr"), 40 * MIB + 5, 0);
    interrupting = false;
    CHILD_SAYS(shm != NULL);
    CHILD_SAYS(interruptions > 4);
    memset(weir_shm_buf(shm), 1, weir_shm_size(shm));
    CHILD_SAYS(weir_shm_unlink(shm) == 0);
}

static void a_large_block_gets_done__while_signals_arrive(void **state)
{
    struct statvfs shm;

    (void)state;
    if (statvfs("/dev/shm", &shm) == 0 && shm.f_bavail * shm.f_frsize < 128 * MIB) {
        print_message("needs 128 MiB free in /dev/shm\n");
        skip();
    }
    run_in_child(reserve_while_signals_arrive);
}

/* ---- a memory cgroup ------------------------------------------------------------------------ */

static char cgroup[PATH_MAX];

static bool write_file(const char *directory, const char *file, const char *text)
{
    char path[PATH_MAX + 64];
    int fd;
    bool written;

    snprintf(path, sizeof path, "%s/%s", directory, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* Below this process's own memory cgroup, if that may be done: 64 MiB. */
static bool make_cgroup(void)
{
    char line[PATH_MAX], own[PATH_MAX] = "";
    const char *mount_point = "/sys/fs/cgroup/memory", *file = "memory.limit_in_bytes";
    FILE *list = fopen("/proc/self/cgroup", "re");

    while (list != NULL && fgets(line, sizeof line, list) != NULL) {
        char *path = strstr(line, ":memory:");

        line[strcspn(line, "\n")] = '\0';
        if (path != NULL)
            strcpy(own, path + 8);
        else if (own[0] == '\0' && strncmp(line, "0::", 3) == 0 &&
                 access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
            strcpy(own, line + 3);
            mount_point = "/sys/fs/cgroup";
            file = "memory.max";
        }
    }
    if (list != NULL)
        fclose(list);
    if (snprintf(cgroup, sizeof cgroup, "%s%s/%s", mount_point, own, leak_name("cgroup")) >=
            (int)sizeof cgroup ||
        mkdir(cgroup, 0700) < 0)
        return false;
    if (write_file(cgroup, file, "67108864"))
        return true;
    rmdir(cgroup);
    return false;
}

static void remove_cgroup(void)
{
    for (int i = 0; i < 200 && rmdir(cgroup) < 0 && errno == EBUSY; i++)
        usleep(10000);
}

static void fill_cgroup(void)
{
    weir_shm *shm;

    CHILD_SAYS(write_file(cgroup, "cgroup.procs", "0"));
    CHILD_SAYS(fails_with(weir_shm_create(leak_name("cgroup"), 128 * MIB, 0), -ENOMEM));
    CHILD_SAYS(message_has("134217728 bytes") && message_has("memory cgroup"));
    /* Up to the very edge, a block is either refused or whole: nothing is killed. */
    for (size_t size = 40 * MIB; size < 70 * MIB; size += MIB) {
        shm = weir_shm_create(leak_name("cgroup"), size, 0);
        CHILD_SAYS(shm != NULL || weir_last_error()->code == -ENOMEM);
        CHILD_SAYS(shm != NULL || size > 50 * MIB);
        CHILD_SAYS(shm == NULL || size < 64 * MIB);
        if (shm == NULL)
            continue;
        memset(weir_shm_buf(shm), 0xff, size);
        CHILD_SAYS(weir_shm_unlink(shm) == 0);
        weir_shm_close(shm);
    }
    /* Page cache is not in the way: the kernel gives it back. */
    CHILD_SAYS((shm = weir_shm_create(leak_name("cgroup"), 30 * MIB, 0)) != NULL);
    CHILD_SAYS(fails_with(weir_shm_create(leak_name("cgroup2"), 40 * MIB, 0), -ENOMEM));
    CHILD_SAYS(weir_shm_unlink(shm) == 0);
}

static void enomem_instead_of_a_kill__when_the_memory_cgroup_is_full(void **state)
{
    int status;

    (void)state;
    if (!make_cgroup()) {
        print_message("may not make a memory cgroup: %s\n", strerror(errno));
        skip();
    }
    status = status_of_child(fill_cgroup);
    remove_cgroup();
    assert_int_equal(status, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(enospc_gives_the_numbers__when_shm_is_too_small),
        TEST(small_blocks_get_enospc_too__when_shm_is_full),
        TEST(enospc_says_so__when_shm_has_no_files_left),
        TEST(a_block_is_refused__when_shm_is_no_tmpfs),
        TEST(a_block_is_refused__when_shm_cannot_be_written),
        TEST(efbig_without_a_signal__when_files_are_limited),
        TEST(a_signal_that_was_waiting_still_waits__after_efbig),
        TEST(emfile__when_descriptors_are_used_up),
        TEST(one_descriptor_is_enough),
        TEST(enomem__when_the_address_space_is_too_small),
        TEST(a_large_block_gets_done__while_signals_arrive),
        TEST(enomem_instead_of_a_kill__when_the_memory_cgroup_is_full),
    };

    isolated = leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
