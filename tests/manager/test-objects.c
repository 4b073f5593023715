/* SPDX-License-Identifier: MIT
 *
 * The objects of a scope: attached by name, unlinked early, closed, made again.
 */
#include "scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "manager/internal.h"

static void path_of(char path[300], const weir_shm *shm)
{
    snprintf(path, 300, "/dev/shm/%s", weir_shm_name(shm));
}

/* Acceptance case 6 of CPython's SharedMemoryManager. */
static void all_objects_are_gone__when_their_scope_has_ended(void **state)
{
    weir_scope *own = weir_scope_begin(NULL);
    char names[11][WEIR_SHM_NAME_MAX + 1];

    (void)state;
    for (int i = 0; i < 5; i++) {
        const weir_value values[] = {weir_int(i), weir_str("two"), weir_none()};
        weir_list *list =
            i % 2 ? weir_scope_list(own, values, 3) : weir_scope_list_range(own, 0, 100 * i, 1);

        assert_non_null(list);
        strcpy(names[i], weir_shm_name(weir_list_shm(list)));
    }
    for (int i = 5; i < 11; i++) {
        weir_shm *shm = weir_scope_shm(own, (size_t)i * 1000);

        assert_non_null(shm);
        assert_int_equal(weir_shm_size(shm), i * 1000);
        strcpy(names[i], weir_shm_name(shm));
    }
    for (int i = 0; i < 11; i++) {
        weir_shm *shm = weir_shm_attach(names[i]);

        assert_true(scopes_are_anonymous() ? shm == NULL : shm != NULL);
        weir_shm_close(shm);
    }
    assert_int_equal(weir_scope_end(own), 0);
    for (int i = 0; i < 11; i++) {
        assert_null(weir_shm_attach(names[i]));
        assert_int_equal(weir_last_error()->code, -ENOENT);
    }
    assert_null(weir_scope_shm(own, 1));
}

static void list_works__when_made_in_a_scope(void **state)
{
    const weir_value values[] = {
        weir_str("howdy"), weir_bytes("HoWdY", 5), weir_float(-273.154), weir_int(100),
        weir_none(),       weir_bool(true),        weir_int(INT64_MIN)};
    weir_list *list = weir_scope_list(scope, values, 7), *same;
    weir_value value;

    (void)state;
    assert_non_null(list);
    assert_int_equal(weir_list_len(list), 7);
    assert_int_equal(weir_list_get(list, -1, &value), 0);
    assert_int_equal(value.integer, INT64_MIN);
    same = scopes_are_anonymous() ? list : weir_list_attach(weir_shm_name(weir_list_shm(list)));
    assert_non_null(same);
    assert_int_equal(weir_list_set(same, 4, weir_int(7)), 0);
    assert_int_equal(weir_list_get(list, 4, &value), 0);
    assert_int_equal(value.integer, 7);
    weir_list_close(same);
    weir_list_close(list); /* has its name: stays */
    assert_int_equal(weir_list_len(list), 7);
    list = weir_scope_list(scope, NULL, 0);
    assert_non_null(list);
    assert_int_equal(weir_list_len(list), 0);
}

static void making_is_refused__when_it_makes_no_sense(void **state)
{
    const weir_value wrong = {.type = (weir_type)99};
    const int before = shm_files();

    (void)state;
    assert_null(weir_scope_shm(scope, 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_list(scope, &wrong, 1));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_list_range(scope, 0, 10, 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_shm(scope, SIZE_MAX));
    assert_null(weir_scope_shm(scope, (size_t)1 << 45));
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_int_equal(shm_files(), before);
    assert_non_null(weir_scope_shm(scope, 1));
}

static void nothing_is_left__when_there_is_no_memory_for_a_block(void **state)
{
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY}, before;
    const int files = shm_files();

    (void)state;
    getrlimit(RLIMIT_FSIZE, &before);
    limit.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_null(weir_scope_shm(scope, 2 << 20));
    assert_int_equal(weir_last_error()->code, -EFBIG);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(shm_files(), files);
    assert_non_null(weir_scope_shm(scope, 2 << 20));
}

static void second_unlink_is_enoent__when_the_name_is_gone(void **state)
{
    weir_shm *shm = weir_scope_shm(scope, 5000);
    char path[300];

    (void)state;
    path_of(path, shm);
    weir_shm_close(shm); /* no effect while it has its name */
    memset(weir_shm_buf(shm), 'x', 5000);
    assert_int_equal(access(path, F_OK), scopes_are_anonymous() ? -1 : 0);
    assert_int_equal(weir_shm_unlink(shm), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(((char *)weir_shm_buf(shm))[4999], 'x'); /* the memory stays */
    assert_int_equal(weir_shm_unlink(shm), -ENOENT);
    weir_shm_close(shm);
}

static void end_is_no_error__when_somebody_unlinked_or_squatted(void **state)
{
    weir_scope *own;
    weir_shm *gone, *squatted;
    char path[300], other[300];
    int fd;

    (void)state;
    ONLY_WITH_NAMES();
    own = weir_scope_begin(NULL);
    gone = weir_scope_shm(own, 100);
    squatted = weir_scope_shm(own, 100);
    path_of(path, gone);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(weir_shm_unlink(gone), -ENOENT);
    path_of(other, squatted);
    assert_int_equal(unlink(other), 0);
    fd = open(other, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(weir_shm_unlink(squatted), -ENOENT);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(weir_scope_end(own), 0);
    assert_int_equal(access(other, F_OK), 0); /* somebody else's */
    assert_int_equal(unlink(other), 0);
}

static void memory_stays_bounded__when_blocks_come_and_go(void **state)
{
    const unsigned long before = scope_pages(scope);

    (void)state;
    for (int i = 0; i < 100000; i++) {
        weir_shm *shm = weir_scope_shm(scope, 4096);

        if (!shm)
            fail_msg("round %d: %s", i, weir_last_error()->message);
        *(int *)weir_shm_buf(shm) = i;
        if (weir_shm_unlink(shm))
            fail_msg("round %d: %s", i, weir_last_error()->message);
        weir_shm_close(shm);
    }
    assert_int_equal(shm_files(), if_named(1));
    assert_in_range(scope_pages(scope), before, before + 2);
}

/* A worker that sleeps all the while has the address mapped, but of files without memory. */
static void memory_stays_bounded__when_a_member_idles(void **state)
{
    weir_shm *first = weir_scope_shm(scope, 1 << 20);
    unsigned long before;
    int go[2], status;
    char byte = 0;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(go), 0);
    memset(weir_shm_buf(first), 1, 1 << 20);
    weir__scope_before_fork(scope);
    pid = fork();
    if (pid == 0) {
        weir__scope_after_fork_child(scope);
        child_reset();
        close(go[1]);
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        /* The last one at an address where it knows only the first. */
        _exit(weir_scope_sync(scope) == 0 && *(int *)weir_shm_buf(first) == 7777 ? 0 : 2);
    }
    weir__scope_after_fork_parent(scope);
    before = scope_pages(scope);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(weir_shm_unlink(first), 0);
        weir_shm_close(first);
        assert_ptr_equal(weir_scope_shm(scope, 1 << 20), first); /* its handle and address again */
        memset(weir_shm_buf(first), i, 1 << 20);
    }
    assert_in_range(scope_pages(scope), before, before + 4); /* not one MiB a round */
    *(int *)weir_shm_buf(first) = 7777;
    assert_int_equal(write(go[1], "g", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(go[0]);
    close(go[1]);
}

/* ---- "unlink early", seen by a process that maps later --------------------------------------- */

static void early_unlinked_object_is_mapped__when_a_member_syncs_later(void **state)
{
    weir_list *list;
    int go[2], status;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(go), 0);
    weir__scope_before_fork(scope);
    pid = fork();
    if (pid == 0) {
        weir_value value;

        weir__scope_after_fork_child(scope);
        child_reset();
        if (read(go[0], &list, sizeof(list)) != sizeof(list) || weir_scope_sync(scope))
            _exit(1);
        if (weir_list_get(list, 5, &value) || value.integer != 5)
            _exit(2);
        _exit(weir_list_set(list, 5, weir_int(50)) ? 3 : 0);
    }
    weir__scope_after_fork_parent(scope);
    list = weir_scope_list_range(scope, 0, 10, 1);
    assert_int_equal(weir_shm_unlink(weir_list_shm(list)), 0);
    assert_int_equal(write(go[1], &list, sizeof(list)), sizeof(list));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(weir_list_add(list, 5, 0, NULL), 0);
    {
        weir_value value;

        assert_int_equal(weir_list_get(list, 5, &value), 0);
        assert_int_equal(value.integer, 50);
    }
    weir_list_close(list);
    close(go[0]);
    close(go[1]);
}

static void object_is_closed_for_all__when_a_member_closes_it(void **state)
{
    weir_shm *shm = weir_scope_shm(scope, 5000), *again;
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(weir_shm_unlink(shm), 0); /* this process keeps it open; a child closes it */
    weir__scope_before_fork(scope);
    pid = fork();
    if (pid == 0) {
        weir__scope_after_fork_child(scope);
        child_reset();
        weir_shm_close(shm);
        _exit(0);
    }
    weir__scope_after_fork_parent(scope);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(weir_shm_unlink(shm), -EINVAL); /* closed */
    weir_shm_close(shm);                             /* no effect */
    assert_int_equal(weir_scope_sync(scope), 0);
    again = weir_scope_shm(scope, 5000);
    assert_ptr_equal(again, shm);
    assert_int_equal(*(char *)weir_shm_buf(again), 0);
}

/* ---- in the dark ----------------------------------------------------------------------------- */

static void making_goes_on__when_a_place_in_the_scope_file_is_taken(void **state)
{
    char path[300], noise[256];
    weir_shm *shm = weir_scope_shm(scope, 10), *other;
    char name[WEIR_SHM_NAME_MAX + 1];
    int fd;

    (void)state;
    strcpy(name, weir_shm_name(shm));
    snprintf(path, sizeof(path), "/dev/shm/%.21s.scope", name);
    if (scopes_are_anonymous()) /* the scope file is the manager's descriptor 4 */
        snprintf(path, sizeof(path), "/proc/%d/fd/4", (int)weir_scope_manager_pid(scope));
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(weir_shm_unlink(shm), 0);
    weir_shm_close(shm);
    memset(noise, 'n', sizeof(noise));
    assert_int_equal(pwrite(fd, noise, 256, 256), 256); /* the record of the first entry */
    other = weir_scope_shm(scope, 10);
    assert_non_null(other);
    assert_ptr_not_equal(other, shm); /* its entry is left alone */
    assert_int_equal(pread(fd, noise, 1, 256), 1);
    assert_int_equal(noise[0], 'n');
    close(fd);
}

static const char *volatile behind;

static void on_segv(int signal, siginfo_t *info, void *context)
{
    (void)context;
    _exit(signal == SIGSEGV && info->si_addr == behind ? 0 : 3);
}

/* Fills the block's last page too, and one byte more. */
static int overrun_by_one(weir_shm *shm)
{
    const struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
    char *volatile buf = weir_shm_buf(shm);
    size_t size = (weir_shm_size(shm) + 4095) / 4096 * 4096;

    child_reset();
    sigaction(SIGSEGV, &action, NULL);
    memset(buf, 1, size);
    behind = buf + size;
    buf[size] = 1;
    return 4;
}

static void the_first_byte_behind_is_a_crash__in_every_build(void **state)
{
    const size_t sizes[] = {1, 4096, 3 * 4096, 10000, (2 << 20) - 4096, 5 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        weir_shm *shm = weir_scope_shm(scope, sizes[i]);
        int status;
        pid_t child;

        assert_non_null(shm);
        assert_non_null(weir_scope_shm(scope, 4096)); /* a neighbour */
        child = fork();
        if (child == 0)
            _exit(overrun_by_one(shm));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

/* ld's --wrap: every unlink() of the library passes here. */
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
static bool dies_at_unlink, unlink_fails;

int __wrap_unlink(const char *path)
{
    const int result = unlink_fails ? -1 : __real_unlink(path);

    if (unlink_fails)
        errno = ENOMEM;
    if (dies_at_unlink)
        kill(getpid(), SIGKILL);
    return result;
}

/* So that the others go on: what a process throws away is not theirs to miss. */
static void nothing_is_missing__when_a_process_dies_while_it_discards_a_block(void **state)
{
    int status;
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0) {
        weir_shm *shm;

        child_reset();
        shm = weir_scope_shm(scope, 10000);
        dies_at_unlink = true;
        weir__scope_discard(shm);
        _exit(0); /* no name, no unlink() */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(scopes_are_anonymous() ? status == 0
                                       : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(weir_scope_sync(scope), 0);
    assert_non_null(weir_scope_shm(scope, 10000));
}

static void nothing_is_left__when_a_discarded_block_cannot_be_unlinked(void **state)
{
    weir_scope *own = weir_scope_begin(NULL);
    char path[300];
    weir_shm *shm;

    (void)state;
    assert_non_null(own);
    assert_non_null(shm = weir_scope_shm(own, 10000));
    path_of(path, shm);
    unlink_fails = true;
    weir__scope_discard(shm);
    unlink_fails = false;
    assert_non_null(weir_scope_shm(own, 10000));
    assert_int_equal(weir_scope_end(own), 0);
    assert_int_equal(access(path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_objects_are_gone__when_their_scope_has_ended),
        TEST(list_works__when_made_in_a_scope),
        TEST(making_is_refused__when_it_makes_no_sense),
        TEST(nothing_is_left__when_there_is_no_memory_for_a_block),
        TEST(second_unlink_is_enoent__when_the_name_is_gone),
        TEST(end_is_no_error__when_somebody_unlinked_or_squatted),
        TEST(memory_stays_bounded__when_blocks_come_and_go),
        TEST(memory_stays_bounded__when_a_member_idles),
        TEST(early_unlinked_object_is_mapped__when_a_member_syncs_later),
        TEST(object_is_closed_for_all__when_a_member_closes_it),
        TEST(making_goes_on__when_a_place_in_the_scope_file_is_taken),
        TEST(nothing_is_missing__when_a_process_dies_while_it_discards_a_block),
        TEST(nothing_is_left__when_a_discarded_block_cannot_be_unlinked),
        TEST(the_first_byte_behind_is_a_crash__in_every_build),
    };

    if (!leak_isolate()) {
        fputs("skipped: a /dev/shm of its own needs root or user namespaces\n", stderr);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
