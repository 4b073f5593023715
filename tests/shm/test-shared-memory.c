/* SPDX-License-Identifier: MIT
 *
 * test-shared-memory.c: creating, attaching, closing and unlinking blocks; what bad input gets.
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/block/block.h"
#include "shm/block/shared_memory.h"
#include "shm/list/list.h"

static void assert_fails(const void *object, int code)
{
    assert_null(object);
    assert_int_equal(weir_last_error()->code, code);
    assert_true(weir_last_error()->message[0] != '\0');
}

static void path_of(const char *name, char *path, size_t size)
{
    snprintf(path, size, "/dev/shm/%s", name);
}

static void both_see_writes__when_attached_by_name(void **state)
{
    const char *name = leak_name("both");
    weir_shm *creator = weir_shm_create(name, 5000, 0), *other;

    (void)state;
    assert_non_null(creator);
    other = weir_shm_attach(name);
    assert_non_null(other);
    assert_int_equal(weir_shm_size(creator), 5000);
    assert_int_equal(weir_shm_size(other), 5000);
    assert_string_equal(weir_shm_name(other), name);
    assert_ptr_not_equal(weir_shm_buf(creator), weir_shm_buf(other));
    strcpy(weir_shm_buf(creator), "there");
    assert_string_equal(weir_shm_buf(other), "there");
    strcpy((char *)weir_shm_buf(other) + 4990, "back");
    assert_string_equal((char *)weir_shm_buf(creator) + 4990, "back");
    assert_int_equal(weir_shm_unlink(other), 0);
    weir_shm_close(creator);
    assert_string_equal(weir_shm_buf(other), "there");
    weir_shm_close(other);
}

static void a_new_block_is_zero_and_exactly_as_large__whatever_the_size(void **state)
{
    static const size_t sizes[] = {1, 7, 4095, 4096, 4097, 1 << 20, (3 << 20) + 1, (33 << 20) + 5};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        weir_shm *shm = weir_shm_create(NULL, sizes[i], 0);
        const unsigned char *bytes;
        char path[300];
        struct stat status;

        assert_non_null(shm);
        bytes = weir_shm_buf(shm);
        for (size_t j = 0; j < sizes[i]; j += j < 10000 ? 1 : 4001)
            assert_int_equal(bytes[j], 0);
        assert_int_equal(weir_shm_size(shm), sizes[i]);
        path_of(weir_shm_name(shm), path, sizeof path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_size, sizes[i]);
        /* Reserved, not hoped for. */
        assert_true((size_t)status.st_blocks * 512 >= sizes[i]);
        assert_int_equal(weir_shm_unlink(shm), 0);
        weir_shm_close(shm);
    }
}

static void one_page_is_reserved__when_lazy(void **state)
{
    weir_shm *shm = weir_shm_create(leak_name("lazy"), 1 << 20, WEIR_SHM_LAZY);
    char path[300];
    struct stat status;

    (void)state;
    assert_non_null(shm);
    path_of(weir_shm_name(shm), path, sizeof path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 1 << 20);
    assert_int_equal(status.st_blocks * 512, sysconf(_SC_PAGESIZE));
    assert_int_equal(weir_shm_unlink(shm), 0);
    weir_shm_close(shm);
}

static void chosen_names_differ(void **state)
{
    weir_shm *blocks[50];

    (void)state;
    for (int i = 0; i < 50; i++) {
        blocks[i] = weir_shm_create(NULL, 1, 0);
        assert_non_null(blocks[i]);
        assert_int_equal(strncmp(weir_shm_name(blocks[i]), "weir_", 5), 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(weir_shm_name(blocks[i]), weir_shm_name(blocks[j]));
    }
    for (int i = 0; i < 50; i++) {
        assert_int_equal(weir_shm_unlink(blocks[i]), 0);
        weir_shm_close(blocks[i]);
    }
}

static void the_longest_name_works__and_one_more_byte_does_not(void **state)
{
    char name[WEIR_SHM_NAME_MAX + 2];
    weir_shm *shm, *other;

    (void)state;
    memset(name, 'n', sizeof name);
    snprintf(name, sizeof name, "%s", leak_name("longest"));
    name[strlen(name)] = 'n';
    name[WEIR_SHM_NAME_MAX + 1] = '\0';
    assert_fails(weir_shm_create(name, 1, 0), -ENAMETOOLONG);
    assert_fails(weir_shm_attach(name), -ENAMETOOLONG);
    name[WEIR_SHM_NAME_MAX] = '\0';
    shm = weir_shm_create(name, 1, 0);
    assert_non_null(shm);
    other = weir_shm_attach(name);
    assert_non_null(other);
    assert_string_equal(weir_shm_name(other), name);
    weir_shm_close(other);
    assert_int_equal(weir_shm_unlink(shm), 0);
    weir_shm_close(shm);
}

static void bad_names_are_refused(void **state)
{
    static const char *const bad[] = {"", ".", "..", "/", "/name", "a/b", "../shm/x", "name/"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(weir_shm_create(bad[i], 1, 0), -EINVAL);
        assert_fails(weir_shm_attach(bad[i]), -EINVAL);
        assert_fails(weir_list_create(bad[i], NULL, 0), -EINVAL);
        assert_fails(weir_list_attach(bad[i]), -EINVAL);
    }
    assert_fails(weir_shm_attach(NULL), -EINVAL);
    assert_fails(weir_list_attach(NULL), -EINVAL);
}

static void bad_sizes_and_flags_are_refused(void **state)
{
    const char *name = leak_name("bad");

    (void)state;
    assert_fails(weir_shm_create(name, 0, 0), -EINVAL);
    assert_fails(weir_shm_create(name, (size_t)-1, 0), -EINVAL);
    assert_fails(weir_shm_create(name, (size_t)-4096, WEIR_SHM_LAZY), -EINVAL);
    assert_fails(weir_shm_create(name, 1, 2), -EINVAL);
    assert_fails(weir_shm_create(name, 1, WEIR_SHM_LAZY | 0x80000000u), -EINVAL);
    /* No such amount of memory, no such address space. */
    assert_fails(weir_shm_create(name, (size_t)1 << 60, 0), -ENOSPC);
    assert_fails(weir_shm_create(name, (size_t)1 << 60, WEIR_SHM_LAZY), -ENOMEM);
}

static void the_other_block_stays_as_it_was__when_the_name_is_taken(void **state)
{
    const char *name = leak_name("taken");
    weir_shm *first = weir_shm_create(name, 100, 0);

    (void)state;
    assert_non_null(first);
    strcpy(weir_shm_buf(first), "first");
    assert_fails(weir_shm_create(name, 5, 0), -EEXIST);
    assert_non_null(strstr(weir_last_error()->message, name));
    assert_fails(weir_list_create(name, NULL, 0), -EEXIST);
    weir_shm *again = weir_shm_attach(name);
    assert_non_null(again);
    assert_int_equal(weir_shm_size(again), 100);
    assert_string_equal(weir_shm_buf(again), "first");
    weir_shm_close(again);
    assert_int_equal(weir_shm_unlink(first), 0);
    weir_shm_close(first);
}

static void a_missing_block_is_enoent__on_attach_and_on_a_second_unlink(void **state)
{
    const char *name = leak_name("missing");
    weir_shm *shm = weir_shm_create(name, 100, 0), *other;

    (void)state;
    assert_fails(weir_shm_attach(leak_name("never")), -ENOENT);
    assert_non_null(shm);
    other = weir_shm_attach(name);
    assert_non_null(other);
    assert_int_equal(weir_shm_unlink(shm), 0);
    assert_int_equal(weir_shm_unlink(shm), -ENOENT);
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_int_equal(weir_shm_unlink(other), -ENOENT);
    assert_fails(weir_shm_attach(name), -ENOENT);
    assert_string_equal(weir_shm_name(shm), name);
    weir_shm_close(shm);
    weir_shm_close(other);
}

static void another_block_of_that_name_is_left_alone__when_unlinking(void **state)
{
    const char *name = leak_name("again");
    weir_shm *first = weir_shm_create(name, 100, 0), *second;

    (void)state;
    assert_non_null(first);
    assert_int_equal(weir_shm_unlink(first), 0);
    second = weir_shm_create(name, 200, 0);
    assert_non_null(second);
    assert_int_equal(weir_shm_unlink(first), -ENOENT);
    assert_int_equal(weir_shm_unlink(second), 0);
    weir_shm_close(first);
    weir_shm_close(second);
}

static void mode_is_0600__whatever_the_umask(void **state)
{
    static const mode_t masks[] = {0, 0022, 0077, 0777};

    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        mode_t before = umask(masks[i]);
        weir_shm *shm = weir_shm_create(leak_name("mode"), 100, 0);
        char path[300];
        struct stat status;

        umask(before);
        assert_non_null(shm);
        path_of(weir_shm_name(shm), path, sizeof path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode, S_IFREG | 0600);
        assert_int_equal(weir_shm_unlink(shm), 0);
        weir_shm_close(shm);
    }
}

/* Runs `attach` on the name of something that is no block of ours, then removes that. */
static void assert_not_attached(const char *path, const char *name, int code)
{
    weir_shm *shm;

    alarm(20); /* opening a FIFO could wait for ever */
    shm = weir_shm_attach(name);
    alarm(0);
    assert_fails(shm, code);
    assert_int_equal(remove(path), 0);
}

static void no_link_is_followed(void **state)
{
    const char *name = leak_name("target"), *link = leak_name("link");
    weir_shm *target = weir_shm_create(name, 100, 0);
    char path[300];

    (void)state;
    assert_non_null(target);
    path_of(link, path, sizeof path);
    assert_int_equal(symlink(name, path), 0);
    assert_fails(weir_shm_create(link, 100, 0), -EEXIST);
    assert_not_attached(path, link, -EPERM);
    /* A link into nowhere must not be created through either. */
    assert_int_equal(symlink("weirtest-nowhere", path), 0);
    assert_fails(weir_shm_create(link, 100, 0), -EEXIST);
    assert_int_equal(access("/dev/shm/weirtest-nowhere", F_OK), -1);
    assert_not_attached(path, link, -EPERM);
    /* Unlinking a block whose name has become a link leaves the link alone. */
    assert_int_equal(weir_shm_unlink(target), 0);
    path_of(name, path, sizeof path);
    assert_int_equal(symlink("weirtest-nowhere", path), 0);
    assert_int_equal(weir_shm_unlink(target), -ENOENT);
    assert_int_equal(remove(path), 0);
    weir_shm_close(target);
}

static void only_regular_files_are_attached(void **state)
{
    const char *name = leak_name("odd");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[300];
    int fd;

    (void)state;
    path_of(name, path, sizeof path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_not_attached(path, name, -EPERM);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_not_attached(path, name, -EPERM);
    snprintf(address.sun_path, sizeof address.sun_path, "/dev/shm/%s", name);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_not_attached(path, name, -EPERM);
}

static void an_empty_file_is_no_block(void **state)
{
    const char *name = leak_name("empty");
    char path[300];

    (void)state;
    path_of(name, path, sizeof path);
    close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    assert_not_attached(path, name, -EBADMSG);
}

static void another_users_file_is_not_attached(void **state)
{
    const char *name = leak_name("foreign");
    weir_shm *shm;
    char path[300];

    (void)state;
    if (geteuid() != 0) {
        print_message("needs root to make another user's file\n");
        skip();
    }
    shm = weir_shm_create(name, 100, 0);
    assert_non_null(shm);
    path_of(name, path, sizeof path);
    if (chown(path, 12345, 12345) < 0) {
        print_message("no other user here: %s\n", strerror(errno));
        weir_shm_unlink(shm);
        weir_shm_close(shm);
        skip();
    }
    assert_fails(weir_shm_attach(name), -EPERM);
    assert_int_equal(weir_shm_unlink(shm), 0);
    weir_shm_close(shm);
}

static void descriptors_are_not_used_up__by_many_blocks(void **state)
{
    weir_shm *blocks[100];
    int before = dup(0), after;

    (void)state;
    for (int i = 0; i < 100; i++) {
        blocks[i] = weir_shm_create(NULL, 1, 0);
        assert_non_null(blocks[i]);
    }
    after = dup(0);
    assert_int_equal(after, before + 1);
    close(before);
    close(after);
    for (int i = 0; i < 100; i++) {
        weir_shm_unlink(blocks[i]);
        weir_shm_close(blocks[i]);
    }
}

static void null_is_an_error_and_no_crash(void **state)
{
    (void)state;
    weir_shm_close(NULL);
    weir_clear_error();
    assert_fails(weir_shm_buf(NULL), -EINVAL);
    weir_clear_error();
    assert_fails(weir_shm_name(NULL), -EINVAL);
    weir_clear_error();
    assert_int_equal(weir_shm_size(NULL), 0);
    assert_int_equal(weir_last_error()->code, -EINVAL);
    weir_clear_error();
    assert_int_equal(weir_shm_unlink(NULL), -EINVAL);
    assert_int_equal(weir_last_error()->code, -EINVAL);
}

static void success_leaves_the_last_error_alone(void **state)
{
    weir_shm *shm;

    (void)state;
    assert_fails(weir_shm_attach(leak_name("none")), -ENOENT);
    shm = weir_shm_create(leak_name("some"), 1, 0);
    assert_non_null(shm);
    assert_int_equal(weir_shm_unlink(shm), 0);
    weir_shm_close(shm);
    assert_int_equal(weir_last_error()->code, -ENOENT);
}

/* Children report by their status alone. */
static int wait_for(pid_t child)
{
    int status;

    return waitpid(child, &status, 0) == child ? status : -1;
}

static void both_sides_see_writes__between_processes(void **state)
{
    const char *name = leak_name("processes");
    weir_shm *shm = weir_shm_create(name, 100, 0);
    pid_t child;

    (void)state;
    assert_non_null(shm);
    strcpy(weir_shm_buf(shm), "from the parent");
    child = fork();
    if (child == 0) {
        weir_shm *mine = weir_shm_attach(name);

        if (mine == NULL || strcmp(weir_shm_buf(mine), "from the parent") != 0)
            _exit(1);
        strcpy(weir_shm_buf(mine), "from the child");
        strcpy((char *)weir_shm_buf(shm) + 50, "inherited");
        weir_shm_close(mine);
        _exit(0);
    }
    assert_int_equal(wait_for(child), 0);
    assert_string_equal(weir_shm_buf(shm), "from the child");
    assert_string_equal((char *)weir_shm_buf(shm) + 50, "inherited");
    assert_int_equal(weir_shm_unlink(shm), 0);
    weir_shm_close(shm);
}

/* Racing creators of one name: exactly one wins, and whoever attaches meanwhile finds a finished
 * list, never half of one. */
static void nobody_sees_half_a_block__while_processes_race(void **state)
{
    enum { ROUNDS = 300, CREATORS = 2 };
    const char *name = leak_name("race");
    pid_t children[CREATORS], reader;
    int won = 0;

    (void)state;
    reader = fork();
    if (reader == 0) {
        for (;;) {
            weir_list *list = weir_list_attach(name);

            if (list == NULL && weir_last_error()->code != -ENOENT)
                _exit(1);
            if (list != NULL &&
                (weir_list_len(list) != 3000 || weir_list_count(list, weir_int(2999)) != 1))
                _exit(2);
            weir_list_close(list);
        }
    }
    for (int i = 0; i < CREATORS; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        int mine = 0;

        for (int round = 0; round < ROUNDS; round++) {
            weir_list *list = weir_list_create_range(name, 0, 3000, 1);

            if (list == NULL && weir_last_error()->code != -EEXIST)
                _exit(255);
            if (list != NULL) {
                mine++;
                if (weir_shm_unlink(weir_list_shm(list)) < 0)
                    _exit(254);
                weir_list_close(list);
            }
        }
        _exit(mine > 200 ? 200 : mine);
    }
    for (int i = 0; i < CREATORS; i++) {
        int status = wait_for(children[i]);

        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 200);
        won += WEXITSTATUS(status);
    }
    assert_true(won > 0);
    kill(reader, SIGKILL);
    assert_int_equal(wait_for(reader), SIGKILL);
}

/* ---- below the handle ----------------------------------------------------------------------- */

static int closed, unlinked;

static void note_close(struct weir_shm *shm)
{
    (void)shm;
    closed++;
}

static int note_unlink(struct weir_shm *shm)
{
    (void)shm;
    unlinked++;
    return -EXDEV;
}

static void close_and_unlink_are_the_owners__when_there_is_one(void **state)
{
    static const struct weir__shm_owner owner = {note_close, note_unlink};
    struct weir_shm shm = {.owner = &owner, .name = "owned"};
    struct weir_list list = {.shm = &shm};

    (void)state;
    closed = unlinked = 0;
    assert_int_equal(weir_shm_unlink(&shm), -EXDEV);
    weir_shm_close(&shm);
    weir_list_close(&list);
    assert_int_equal(closed, 2);
    assert_int_equal(unlinked, 1);
}

static void a_block_goes_where_it_is_told(void **state)
{
    const char *name = leak_name("fixed");
    size_t size = 1 << 16;
    struct weir__block block, again;
    char *range =
        mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    (void)state;
    assert_ptr_not_equal(range, MAP_FAILED);
    assert_int_equal(weir__block_reserve(&block, 10000, 0, range), 0);
    assert_ptr_equal(block.addr, range);
    assert_int_equal(block.size, 10000);
    strcpy(block.addr, "here");
    assert_int_equal(weir__block_link(&block, name), 0);
    assert_int_equal(weir__block_open(&again, name, block.ino, range + size), 0);
    assert_ptr_equal(again.addr, range + size);
    assert_string_equal(again.addr, "here");
    weir__block_close_fd(&again);
    /* Only that very inode. */
    assert_int_equal(weir__block_open(&again, name, block.ino + 1, range + size), -ENOENT);
    assert_int_equal(again.fd, -1);
    weir_clear_error();
    assert_int_equal(weir__block_unlink(name, block.ino + 1), -ENOENT);
    assert_int_equal(weir_last_error()->code, 0);
    assert_int_equal(weir__block_unlink(name, block.ino), 0);
    assert_int_equal(weir__block_unlink(name, block.ino), -ENOENT);
    assert_int_equal(weir_last_error()->code, 0);
    weir__block_close_fd(&block);
    weir__block_close_fd(&block);
    munmap(range, 2 * size);
}

static void random_numbers_differ(void **state)
{
    uint64_t one = 0, zero = ~UINT64_C(0);

    (void)state;
    for (int i = 0; i < 200; i++) {
        uint64_t number = weir__random64();

        one |= number;
        zero &= number;
    }
    assert_true(one == ~UINT64_C(0) && zero == 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_see_writes__when_attached_by_name),
        TEST(a_new_block_is_zero_and_exactly_as_large__whatever_the_size),
        TEST(one_page_is_reserved__when_lazy),
        TEST(chosen_names_differ),
        TEST(the_longest_name_works__and_one_more_byte_does_not),
        TEST(bad_names_are_refused),
        TEST(bad_sizes_and_flags_are_refused),
        TEST(the_other_block_stays_as_it_was__when_the_name_is_taken),
        TEST(a_missing_block_is_enoent__on_attach_and_on_a_second_unlink),
        TEST(another_block_of_that_name_is_left_alone__when_unlinking),
        TEST(mode_is_0600__whatever_the_umask),
        TEST(no_link_is_followed),
        TEST(only_regular_files_are_attached),
        TEST(an_empty_file_is_no_block),
        TEST(another_users_file_is_not_attached),
        TEST(descriptors_are_not_used_up__by_many_blocks),
        TEST(null_is_an_error_and_no_crash),
        TEST(success_leaves_the_last_error_alone),
        TEST(both_sides_see_writes__between_processes),
        TEST(nobody_sees_half_a_block__while_processes_race),
        TEST(close_and_unlink_are_the_owners__when_there_is_one),
        TEST(a_block_goes_where_it_is_told),
        TEST(random_numbers_differ),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
