/* SPDX-License-Identifier: MIT
 *
 * The scope file: what is unlinked, what is not, and when.
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/scope_file/scope_file.h"
#include "shm/block/block.h"
#include "weir-shm.h"

static bool exists(const char *name)
{
    char path[300];
    struct stat st;

    snprintf(path, sizeof(path), "/dev/shm/%s", name);
    return lstat(path, &st) == 0;
}

static void remove_file(const char *name)
{
    char path[300];

    snprintf(path, sizeof(path), "/dev/shm/%s", name);
    unlink(path);
}

static uint64_t put_file(const char *name)
{
    char path[300];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "/dev/shm/%s", name);
    fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    return st.st_ino;
}

/* A named, empty scope. */
static int begin(uint64_t *id)
{
    int fd = weir__scope_file_make(id);

    assert_true(fd >= 0);
    assert_int_equal(weir__scope_file_link(fd, *id), 0);
    return fd;
}

static int note(int fd, size_t entry, const char *name, uint64_t ino)
{
    struct weir__block_record record = {.kind = "shm", .ino = ino, .size = 1, .pid = (int)getpid()};

    snprintf(record.name, sizeof(record.name), "%s", name);
    return weir__scope_file_note(fd, entry, &record);
}

/* Writes a valid record of the name, whatever it is, which is not marked as a user's. */
static void claim(int fd, size_t entry, const char *name, uint64_t ino)
{
    char text[WEIR__RECORD_SIZE], record[WEIR__RECORD_SIZE + 1];

    snprintf(text, sizeof(text),
             "{\"name\":\"%s\",\"ino\":%" PRIu64 ",\"kind\":\"shm\",\"size\":1,\"pid\":1}", name,
             ino);
    snprintf(record, sizeof(record), "%-*s\n", WEIR__RECORD_SIZE - 1, text);
    assert_int_equal(pwrite(fd, record, WEIR__RECORD_SIZE, (off_t)(entry + 1) * WEIR__RECORD_SIZE),
                     WEIR__RECORD_SIZE);
}

/* Takes the place of libc's, to fail when told to. */
static int fail_lseek;

off_t lseek(int fd, off_t offset, int whence)
{
    if (fail_lseek) {
        errno = fail_lseek;
        return -1;
    }
    return (off_t)syscall(SYS_lseek, fd, offset, whence);
}

static bool none(uint64_t id)
{
    (void)id;
    return false;
}

static void scope_file_is_private_and_locked__when_made(void **state)
{
    char name[WEIR__SCOPE_FILE_NAME_SIZE], path[300];
    struct stat st;
    mode_t before = umask(0);
    uint64_t id;
    int fd = begin(&id), other;

    (void)state;
    umask(0777);
    weir__scope_file_name(name, id);
    snprintf(path, sizeof(path), "/dev/shm/%s", name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    close(fd);

    fd = weir__scope_file_make(&id); /* now under umask 0777 */
    umask(before);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(weir__scope_file_link(fd, id), 0);
    weir__scope_file_name(name, id);
    snprintf(path, sizeof(path), "/dev/shm/%s", name);
    other = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
    close(other);
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, NULL), 0);
    close(fd);
    assert_int_equal(weir__scope_file_sweep(none), 1); /* the first one */
}

static void recorded_name_is_unlinked__when_all_is(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE], scope[WEIR__SCOPE_FILE_NAME_SIZE];
    struct weir__cleaning cleaning;
    uint64_t id;
    int fd = begin(&id);

    (void)state;
    for (unsigned i = 0; i < 100; i++) { /* the last ones far behind a hole */
        size_t entry = i < 50 ? i : 60000 + i;
        uint64_t ino;

        weir__scope_file_block_name(name, id, i);
        ino = put_file(name);
        assert_int_equal(weir__scope_file_is_blank(fd, entry), 1);
        assert_int_equal(note(fd, entry, name, ino), 0);
        assert_int_equal(weir__scope_file_is_blank(fd, entry), 0);
    }
    assert_false(weir__scope_file_is_clean(fd));
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), 0);
    assert_int_equal(cleaning.unlinked, 100);
    assert_int_equal(cleaning.gone, 0);
    assert_int_equal(cleaning.malformed, 0);
    assert_true(cleaning.complete);
    assert_true(weir__scope_file_is_clean(fd));
    for (unsigned i = 0; i < 100; i++) {
        weir__scope_file_block_name(name, id, i);
        assert_false(exists(name));
    }
    weir__scope_file_name(scope, id);
    assert_false(exists(scope));
    /* Again: nothing to do. */
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), 0);
    assert_int_equal(cleaning.unlinked, 0);
    assert_int_equal(cleaning.gone, 100);
    close(fd);
}

static void other_file_stays__when_it_has_taken_the_name(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE];
    struct weir__cleaning cleaning;
    uint64_t id, ino;
    int fd = begin(&id);

    (void)state;
    weir__scope_file_block_name(name, id, 1);
    ino = put_file(name);
    assert_int_equal(note(fd, 0, name, ino), 0);
    remove_file(name);
    assert_true(put_file(name) != ino);
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), 0);
    assert_int_equal(cleaning.gone, 1);
    assert_int_equal(cleaning.unlinked, 0);
    assert_true(exists(name));
    remove_file(name);
    close(fd);
}

static void foreign_name_stays__when_a_record_claims_it(void **state)
{
    const char *own = leak_name("victim");
    char name[WEIR__BLOCK_NAME_SIZE], other[WEIR__BLOCK_NAME_SIZE + 8];
    struct weir__cleaning cleaning;
    uint64_t id, ino, other_ino;
    int fd = begin(&id);

    (void)state;
    ino = put_file(own);
    weir__scope_file_block_name(name, id + 1, 1); /* another scope's */
    other_ino = put_file(name);
    snprintf(other, sizeof(other), "../shm/%.16s", own);
    claim(fd, 0, own, ino);
    claim(fd, 1, name, other_ino);
    claim(fd, 2, other, ino);
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), 0);
    assert_int_equal(cleaning.malformed, 3);
    assert_true(exists(own));
    assert_true(exists(name));
    remove_file(own);
    remove_file(name);
    close(fd);
}

/* Marked as a user's: such a name is unlinked, but only such a name, and only that inode. */
static void users_name_is_unlinked__when_its_record_says_so(void **state)
{
    const char *own = leak_name("chosen"), *same = leak_name("other");
    struct weir__block_record record = {.kind = "shm", .size = 1}, read;
    char name[WEIR__BLOCK_NAME_SIZE];
    struct weir__cleaning cleaning;
    uint64_t id;
    size_t entry = 0;
    int fd = begin(&id);

    (void)state;
    record.ino = put_file(own);
    strcpy(record.name, own);
    assert_int_equal(weir__scope_file_note(fd, 0, &record), 0);
    strcpy(record.name, same);
    put_file(same);
    assert_int_equal(weir__scope_file_note(fd, 1, &record), 0); /* another inode */
    weir__scope_file_block_name(name, id + 1, 1);
    record.ino = put_file(name);
    snprintf(record.name, sizeof(record.name), "./%s", name);
    assert_int_equal(weir__scope_file_note(fd, WEIR__RECORD_CLIENTS, &record), 0);
    strcpy(record.name, name); /* another scope's is no user's name */
    assert_int_equal(weir__scope_file_note(fd, WEIR__RECORD_CLIENTS + 1, &record), 0);
    memset(record.name, 'x', sizeof(record.name) - 1);
    assert_int_equal(weir__scope_file_note(fd, 2, &record), -ENAMETOOLONG);
    assert_int_equal(weir__scope_file_read(fd, id, &entry, same, &read), 1);
    assert_int_equal(entry, 2);
    assert_string_equal(read.name, same);
    assert_int_equal(weir__scope_file_read(fd, id, &entry, same, &read),
                     -ENOENT); /* jumps over holes */
    assert_int_equal(weir__scope_file_read(fd, id, &entry, NULL, &read), -ENOENT);
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), 0);
    assert_int_equal(cleaning.unlinked, 1);
    assert_int_equal(cleaning.gone, 1);
    assert_int_equal(cleaning.malformed, 2);
    assert_false(exists(own));
    assert_true(exists(same));
    assert_true(exists(name));
    remove_file(same);
    remove_file(name);
    close(fd);
}

static void rest_is_unlinked__when_records_are_damaged(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE];
    unsigned char noise[4096 * 4];
    struct weir__cleaning cleaning;

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        uint64_t id, ino;
        int fd = begin(&id);

        srand(round);
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (unsigned char)(round % 3 ? rand() : "{}[]\":,\\0 \n"[rand() % 12]);
        assert_int_equal(pwrite(fd, noise, sizeof(noise), 256), sizeof(noise));
        weir__scope_file_block_name(name, id, round);
        ino = put_file(name);
        assert_int_equal(note(fd, 17, name, ino), 0);
        assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), 0);
        assert_int_equal(cleaning.unlinked, 1);
        assert_true(cleaning.malformed >= 62);
        assert_true(cleaning.complete);
        assert_false(exists(name));
        close(fd);
    }
}

static void header_damage_is_harmless__when_all_is_unlinked(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE], noise[300];
    struct weir__cleaning cleaning;
    uint64_t id, ino;
    int fd = begin(&id);

    (void)state;
    weir__scope_file_block_name(name, id, 5);
    ino = put_file(name);
    assert_int_equal(note(fd, 3, name, ino), 0);
    memset(noise, 'x', sizeof(noise));
    assert_int_equal(pwrite(fd, noise, 256, 0), 256);
    /* A header that is not open is closed. */
    assert_int_equal(weir__scope_file_creation_begin(fd), -ESTALE);
    weir__scope_file_creation_end(fd);
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), 0);
    assert_int_equal(cleaning.unlinked, 1);
    close(fd);
}

static void scope_file_stays__when_the_records_cannot_be_read(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE], scope[WEIR__SCOPE_FILE_NAME_SIZE], path[300];
    struct weir__cleaning cleaning;
    uint64_t id, ino;
    int fd = begin(&id), blind;

    (void)state;
    weir__scope_file_block_name(name, id, 1);
    weir__scope_file_name(scope, id);
    ino = put_file(name);
    assert_int_equal(note(fd, 0, name, ino), 0);
    fail_lseek = ENOMEM;
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), -ENOMEM);
    fail_lseek = 0;
    assert_false(cleaning.complete);
    snprintf(path, sizeof(path), "/dev/shm/%s", scope);
    blind = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(blind >= 0);
    assert_int_equal(weir__scope_file_unlink_all(blind, id, 0, &cleaning), -EBADF);
    close(blind);
    assert_false(cleaning.complete);
    assert_true(exists(scope) && exists(name));
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, &cleaning), 0);
    assert_false(exists(scope) || exists(name));
    close(fd);
}

static void creation_is_refused__when_the_scope_is_closed(void **state)
{
    uint64_t id;
    int fd = begin(&id);

    (void)state;
    assert_int_equal(weir__scope_file_creation_begin(fd), 0);
    weir__scope_file_creation_end(fd);
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 0, NULL), 0);
    assert_int_equal(weir__scope_file_creation_begin(fd), -ESTALE);
    assert_int_equal(weir_last_error()->code, -ESTALE);
    weir__scope_file_creation_end(fd);
    close(fd);
}

/* A member process in the middle of making a block: it has written the record and waits before
 * giving the name. */
static pid_t start_creation(int fd, uint64_t id, int *go, bool finish)
{
    char name[WEIR__BLOCK_NAME_SIZE], byte = 0;
    int ready[2], release[2];
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(release), 0);
    pid = fork();
    if (pid == 0) {
        struct weir__block block;

        close(release[1]);
        weir__scope_file_block_name(name, id, 7);
        if (weir__block_reserve(&block, 4096, 0, NULL) || weir__scope_file_creation_begin(fd) ||
            note(fd, 7, name, block.ino))
            _exit(1);
        if (write(ready[1], "r", 1) != 1 || read(release[0], &byte, 1) < 0)
            _exit(2);
        if (weir__block_link(&block, name))
            _exit(3);
        if (finish)
            weir__scope_file_creation_end(fd);
        _exit(
            0); /* or killed between the name and the end of the creation: the same to the kernel */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    close(release[0]);
    *go = release[1];
    return pid;
}

static void late_name_is_unlinked__when_a_creation_is_under_way(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE];

    (void)state;
    for (int finish = 0; finish < 2; finish++) {
        struct weir__cleaning cleaning;
        uint64_t id;
        int fd = begin(&id), go, status;
        pid_t creator = start_creation(fd, id, &go, finish);
        pid_t releaser = fork();

        if (releaser == 0) { /* lets it go on while the cleaner waits */
            usleep(30000);
            _exit(write(go, "g", 1) == 1 ? 0 : 1);
        }
        assert_int_equal(weir__scope_file_unlink_all(fd, id, 5000, &cleaning), 0);
        weir__scope_file_block_name(name, id, 7);
        assert_false(exists(name));
        assert_true(cleaning.complete);
        assert_int_equal(waitpid(releaser, &status, 0), releaser);
        assert_int_equal(status, 0);
        assert_int_equal(waitpid(creator, &status, 0), creator);
        assert_int_equal(status, 0);
        assert_false(exists(name));
        close(go);
        close(fd);
    }
}

static void scope_file_stays__when_a_creation_does_not_end(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE], scope[WEIR__SCOPE_FILE_NAME_SIZE];
    struct weir__cleaning cleaning;
    uint64_t id;
    int fd = begin(&id), go, status;
    pid_t creator = start_creation(fd, id, &go, true);

    (void)state;
    weir__scope_file_name(scope, id);
    weir__scope_file_block_name(name, id, 7);
    assert_int_equal(weir__scope_file_unlink_all(fd, id, 20, &cleaning), 0);
    assert_false(cleaning.complete);
    assert_true(exists(scope)); /* the next sweep's to finish */
    close(fd);
    assert_int_equal(weir__scope_file_sweep(none), 0); /* the creator holds the lock */
    assert_int_equal(write(go, "g", 1), 1);
    assert_int_equal(waitpid(creator, &status, 0), creator);
    assert_int_equal(status, 0);
    /* It got its name after the first cleaning, which must have left its record alone. */
    assert_int_equal(weir__scope_file_sweep(none), 1);
    assert_false(exists(name));
    assert_false(exists(scope));
    close(go);
}

static void dead_scope_is_swept__when_nobody_holds_its_lock(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE];
    uint64_t dead, live, ino;
    int fd = begin(&dead), alive = begin(&live);

    (void)state;
    weir__scope_file_block_name(name, dead, 1);
    ino = put_file(name);
    assert_int_equal(note(fd, 0, name, ino), 0);
    assert_int_equal(weir__scope_file_sweep(none), 0); /* both alive */
    assert_true(exists(name));
    close(fd);
    assert_int_equal(weir__scope_file_sweep(none), 1);
    assert_false(exists(name));
    assert_false(weir__scope_file_is_clean(alive));
    assert_int_equal(weir__scope_file_unlink_all(alive, live, 0, NULL), 0);
    close(alive);
}

static void no_other_file_is_touched__when_sweeping(void **state)
{
    const char *const names[] = {"weir-0123456789abcdef.scopes", "weir-0123.scope",
                                 "weir-0123456789ABCDEF.scope", "weir-0123456789abcdef",
                                 "xweir-0123456789abcdef.scope"};
    const char *link_name = "weir-00000000000000aa.scope", *dir = "weir-00000000000000bb.scope";
    const char *fifo = "weir-00000000000000cc.scope", *twice = "weir-00000000000000dd.scope";
    const char *victim = leak_name("victim");
    char path[300], target[300];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        put_file(names[i]);
    put_file(victim);
    snprintf(path, sizeof(path), "/dev/shm/%s", link_name);
    assert_int_equal(symlink(victim, path), 0);
    snprintf(path, sizeof(path), "/dev/shm/%s", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "/dev/shm/%s", fifo);
    assert_int_equal(mkfifo(path, 0600), 0);
    put_file(twice);
    snprintf(path, sizeof(path), "/dev/shm/%s", twice);
    snprintf(target, sizeof(target), "/dev/shm/%s", leak_name("hardlink"));
    assert_int_equal(link(path, target), 0);

    assert_int_equal(weir__scope_file_sweep(none), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        assert_true(exists(names[i]));
        remove_file(names[i]);
    }
    assert_true(exists(victim) && exists(link_name) && exists(dir) && exists(fifo) &&
                exists(twice));
    remove_file(victim);
    remove_file(link_name);
    remove_file(fifo);
    remove_file(twice);
    unlink(target);
    snprintf(path, sizeof(path), "/dev/shm/%s", dir);
    rmdir(path);
}

static void foreign_scope_stays__when_it_is_another_users(void **state)
{
    char path[300], scope[WEIR__SCOPE_FILE_NAME_SIZE];
    uint64_t id;
    int fd = begin(&id);

    (void)state;
    weir__scope_file_name(scope, id);
    snprintf(path, sizeof(path), "/dev/shm/%s", scope);
    if (chown(path, 12345, (gid_t)-1) < 0) { /* needs root: there is no other user to be had */
        weir__scope_file_unlink_all(fd, id, 0, NULL);
        close(fd);
        print_message("chown is not permitted: not checked\n");
        return;
    }
    close(fd);
    assert_int_equal(weir__scope_file_sweep(none), 0);
    assert_true(exists(scope));
    remove_file(scope);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scope_file_is_private_and_locked__when_made),
        TEST(recorded_name_is_unlinked__when_all_is),
        TEST(other_file_stays__when_it_has_taken_the_name),
        TEST(foreign_name_stays__when_a_record_claims_it),
        TEST(users_name_is_unlinked__when_its_record_says_so),
        TEST(rest_is_unlinked__when_records_are_damaged),
        TEST(header_damage_is_harmless__when_all_is_unlinked),
        TEST(scope_file_stays__when_the_records_cannot_be_read),
        TEST(creation_is_refused__when_the_scope_is_closed),
        TEST(late_name_is_unlinked__when_a_creation_is_under_way),
        TEST(scope_file_stays__when_a_creation_does_not_end),
        TEST(dead_scope_is_swept__when_nobody_holds_its_lock),
        TEST(no_other_file_is_touched__when_sweeping),
        TEST(foreign_scope_stays__when_it_is_another_users),
    };

    if (!leak_isolate()) {
        fputs("skipped: a /dev/shm of its own needs root or user namespaces\n", stderr);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
