/* SPDX-License-Identifier: MIT
 *
 * A scope's address: which ones are refused, and when one is free again after deaths.
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listening.h"

static int begin_at(const char *where)
{
    weir_scope *other = weir_scope_begin(&(weir_scope_options){.address = where});

    if (!other)
        return weir_last_error()->code;
    return weir_scope_end(other);
}

static void address_is_refused__when_it_cannot_be(void **state)
{
    char longest[108], too_long[109], where[128];
    struct stat st;

    (void)state;
    memset(too_long, 'x', sizeof(too_long));
    memcpy(too_long, folder, strlen(folder));
    too_long[strlen(folder)] = '/';
    too_long[108] = '\0';
    memcpy(longest, too_long, 107);
    longest[107] = '\0';
    assert_int_equal(begin_at(too_long), -ENAMETOOLONG);
    assert_non_null(strstr(weir_last_error()->message, "108 bytes"));
    assert_int_equal(begin_at(longest), 0);
    assert_int_equal(begin_at(""), -EINVAL);
    assert_int_equal(begin_at("door"), -EINVAL);
    assert_int_equal(begin_at("/tmp/"), -EINVAL);
    assert_int_equal(begin_at("/tmp/a\"b"), -EINVAL);
    assert_null(weir_scope_connect(NULL, NULL, 0));
    assert_null(weir_scope_connect("door", NULL, 0));
    assert_int_equal(begin_at("/tmp/weirtest-door"), -EPERM); /* anybody can enter /tmp */
    assert_int_equal(chmod(folder, 0750), 0);
    assert_int_equal(begin_at(address), -EPERM);
    assert_int_equal(chmod(folder, 0700), 0);
    snprintf(where, sizeof(where), "%s/none/deeper/door", folder);
    assert_int_equal(begin_at(where), -ENOENT);
    /* A folder that is not there is made, whatever the umask. */
    snprintf(where, sizeof(where), "%s/made/door", folder);
    umask(0777);
    assert_int_equal(begin_at(where), 0);
    umask(022);
    *strrchr(where, '/') = '\0';
    assert_int_equal(stat(where, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(rmdir(where), 0);
    assert_int_equal(shm_files(), 0);
}

static void others_file_is_left_alone__when_it_is_at_the_address(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = open(address, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), other;
    struct stat before, st;

    (void)state;
    close(fd);
    assert_int_equal(begin_at(address), -EEXIST);
    assert_int_equal(unlink(address), 0);
    strcpy(name.sun_path, address);
    for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type += SOCK_SEQPACKET - SOCK_STREAM) {
        other = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(other, (struct sockaddr *)&name, sizeof(name)), 0);
        assert_int_equal(stat(address, &before), 0);
        assert_int_equal(begin_at(address), -EADDRINUSE); /* it may still listen(2) */
        close(other);
        assert_int_equal(begin_at(address), -EADDRINUSE); /* dead, but not weir's */
        assert_int_equal(stat(address, &st), 0);
        assert_int_equal(st.st_ino, before.st_ino);
        assert_int_equal(unlink(address), 0);
    }
    assert_int_equal(begin_at(address), 0);
}

static void second_scope_is_refused__when_one_listens_there(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(stat(address, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(begin_at(address), -EADDRINUSE);
    weir_scope_disconnect(weir_scope_connect(address, NULL, 0));
    assert_int_equal(weir_last_error()->code, -EADDRINUSE); /* the first one still answers */
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_int_equal(begin_at(address), 0);
}

/* A host that is killed: with its manager alive (it cleans), killed before, or killed and /dev/shm
 * lost as after a restart of the machine. */
static void address_is_free_again__when_whoever_died(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        int report[2], status;
        pid_t pid, manager = -1;
        struct stat st;

        assert_int_equal(pipe(report), 0);
        pid = fork();
        if (pid == 0) {
            settle_child();
            scope = weir_scope_begin(&(weir_scope_options){.address = address});
            manager = weir_scope_manager_pid(scope);
            if (!weir_scope_shm(scope, 10))
                _exit(1);
            if (write(report[1], &manager, sizeof(manager)) != sizeof(manager))
                _exit(1);
            pause();
        }
        assert_int_equal(read(report[0], &manager, sizeof(manager)), sizeof(manager));
        assert_true(manager > 0);
        close(report[0]);
        close(report[1]);
        if (how > 0)
            kill(manager, SIGKILL);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        if (how == 0)
            assert_true(shm_clean_after_ms(1000) >= 0);
        assert_int_equal(stat(address, &st) == 0, how > 0);
        if (how == 2) { /* no record of it is left */
            assert_int_equal(system("rm /dev/shm/weir-*"), 0);
            assert_int_equal(shm_files(), 0);
        }
        if (how == 3) { /* the manager may take a moment to die */
            weir_scope *sweeper = NULL;

            for (int i = 0; i < 100 && shm_files() > 0; i++) {
                usleep(10000);
                sweeper = weir_scope_begin(NULL); /* sweeps, although it asks for no address */
                assert_non_null(sweeper);
                assert_int_equal(weir_scope_end(sweeper), 0);
            }
            assert_int_not_equal(stat(address, &st), 0);
        }
        for (int i = 0; i < 100 && (status = begin_at(address)) == -EADDRINUSE; i++)
            usleep(10000);
        assert_int_equal(status, 0);
        for (int i = 0; i < 100 && shm_files() > 0; i++) { /* the dead scope, once it is all dead */
            usleep(10000);
            assert_int_equal(begin_at(address), 0);
        }
        assert_int_equal(shm_files(), 0);
    }
}

static void address_goes__when_the_manager_is_killed_before_the_end(void **state)
{
    struct stat st;

    (void)state;
    kill(weir_scope_manager_pid(scope), SIGKILL);
    assert_int_equal(weir_scope_lookup(scope, "x", NULL), -EPIPE);
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_int_not_equal(stat(address, &st), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(address_is_refused__when_it_cannot_be),
        PLAIN(others_file_is_left_alone__when_it_is_at_the_address),
        OPEN(second_scope_is_refused__when_one_listens_there),
        PLAIN(address_is_free_again__when_whoever_died),
        OPEN(address_goes__when_the_manager_is_killed_before_the_end),
    };

    if (!leak_isolate()) {
        print_message("skipped: needs root or user namespaces for a /dev/shm of its own\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
