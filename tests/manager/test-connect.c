/* SPDX-License-Identifier: MIT
 *
 * Programs that connect to a scope: what they can do, what they leave (nothing), and what those get
 * who should not be let in.
 */
#include "leak.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listening.h"
#include "manager/wire/auth.h"
#include "manager/wire/protocol.h"
#include "manager/scope_file/scope_file.h"
#include "manager/host/state.h"
#include "sanitizer.h"

/* The manager's; the sanitizer's own memory is not its fault. */
#define RESIDENT_MAX_KB (ADDRESS_SANITIZER ? 131072 : 8192)

/* ---- scopes to connect to ------------------------------------------------------------------- */

/* A forked child does not outlive a test that fails. */
static void settle_child(void)
{
    child_reset();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Runs a part of a test as another program would: in a child without the scope's descriptors. It
 * reports by its exit status; 0 is good. */
static int in_child(int (*run)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        settle_child();
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        _exit(run());
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- making --------------------------------------------------------------------------------- */

static int make_some(void)
{
    const weir_value values[] = {weir_int(7), weir_str("seven")};
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_shm *shm = weir_scope_shm(outside, 10000);
    weir_shm *named = weir_scope_shm_named(outside, "weirtest-named", 100);
    weir_list *list = weir_scope_list_named(outside, "weirtest-list", values, 2);
    weir_list *range = weir_scope_list_range(outside, 0, 10, 1);
    weir_value value;

    if (!outside || !shm || !named || !list || !range || weir_shm_size(shm) != 10000)
        return 1;
    strcpy(weir_shm_buf(named), "from outside");
    if (weir_list_get(range, 9, &value) || value.integer != 9)
        return 2;
    weir_shm_close(shm);
    weir_shm_close(named);
    weir_list_close(list);
    weir_list_close(range);
    if (weir_scope_sync(outside) != -EINVAL || weir_scope_end(outside) != -EINVAL)
        return 3;
    weir_scope_disconnect(outside);
    return 0;
}

static void objects_belong_to_the_scope__when_made_by_a_connected_program(void **state)
{
    weir_shm *shm;
    weir_list *list;
    weir_value value;

    (void)state;
    assert_int_equal(in_child(make_some), 0);
    assert_int_equal(shm_files(), 5); /* they outlive that program */
    shm = weir_shm_attach("weirtest-named");
    assert_non_null(shm);
    assert_string_equal(weir_shm_buf(shm), "from outside");
    weir_shm_close(shm);
    list = weir_list_attach("weirtest-list");
    assert_non_null(list);
    assert_int_equal(weir_list_get(list, 1, &value), 0);
    assert_int_equal(value.size, 5);
    weir_list_close(list);
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_int_equal(shm_files(), 0);
}

static void blocks_are_listed__when_made_by_anybody(void **state)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_block_info info, infos[4];
    char names[250][40];

    (void)state;
    assert_non_null(outside);
    assert_int_equal(weir_scope_blocks(outside, NULL, 0), 0);
    for (int i = 0; i < 250; i++) { /* more than a page, and than one read of records */
        weir_shm *shm = i % 2 ? weir_scope_shm(outside, 100) : weir_scope_shm(scope, 100);

        assert_non_null(shm);
        strcpy(names[i], weir_shm_name(shm));
        if (i % 2)
            weir_shm_close(shm);
    }
    assert_int_equal(weir_scope_blocks(outside, infos, 4), 250);
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), 250);
    assert_string_equal(infos[0].name, names[0]);
    assert_string_equal(infos[3].kind, "shm");
    for (int i = 0; i < 250; i++) {
        assert_int_equal(weir_scope_lookup(i % 3 ? scope : outside, names[i], &info), 0);
        assert_string_equal(info.name, names[i]);
        assert_int_equal(info.size, 100);
        assert_int_equal(info.pid, getpid());
    }
    assert_int_equal(weir_scope_lookup(outside, "weirtest-none", &info), -ENOENT);
    assert_int_equal(weir_scope_lookup(outside, "", NULL), -ENOENT);
    assert_int_equal(weir_scope_lookup(outside, NULL, NULL), -EINVAL);
    assert_int_equal(weir_scope_lookup(outside, "\xff", NULL), -EINVAL);
    assert_int_equal(weir_scope_blocks(outside, NULL, 1), -EINVAL);
    weir_scope_disconnect(outside);
}

static off_t scope_file_blocks(void)
{
    char path[64] = "/dev/shm/";
    struct stat st;

    weir__scope_file_name(path + strlen(path), scope->id);
    assert_int_equal(stat(path, &st), 0);
    return st.st_blocks;
}

static void scope_does_not_grow__when_blocks_are_released(void **state)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    off_t before = 0;

    (void)state;
    for (int i = 0; i < 300; i++) {
        weir_shm *shm = weir_scope_shm(outside, 100);

        assert_non_null(shm);
        assert_int_equal(weir_scope_release(i % 2 ? outside : scope, weir_shm_name(shm)), 0);
        assert_int_equal(weir_scope_release(outside, weir_shm_name(shm)), -ENOENT);
        assert_int_equal(shm_files(), 1);
        memset(weir_shm_buf(shm), 1, 100); /* mapped memory stays */
        weir_shm_close(shm);
        before = i == 0 ? scope_file_blocks() : before;
    }
    assert_int_equal(scope_file_blocks(), before);
    weir_scope_disconnect(outside);
}

/* Makes blocks until it is killed. */
static void make_for_ever(void)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);

    for (;;) {
        weir_shm *shm = weir_scope_shm(outside, 5000);

        if (!shm)
            _exit(1);
        weir_scope_release(outside, weir_shm_name(shm));
        weir_shm_close(shm);
        shm = weir_scope_shm(outside, 5000);
        weir_shm_close(shm);
    }
}

static void nothing_is_left__when_a_connected_program_is_killed(void **state)
{
    const int trials = 60;

    (void)state;
    for (int i = 0; i < trials; i++) {
        pid_t pid = fork();
        int status = 0;

        if (pid == 0) {
            settle_child();
            make_for_ever();
        }
        usleep((useconds_t)(rand() % 20000));
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
    }
    /* Every name that is there is the scope's; the last request may still be under way. */
    for (int i = 0; i < 100 && shm_files() - 1 != weir_scope_blocks(scope, NULL, 0); i++)
        usleep(10000);
    assert_int_equal(shm_files() - 1, weir_scope_blocks(scope, NULL, 0));
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_int_equal(shm_files(), 0);
    print_message("%d connected programs killed\n", trials);
}

static void calls_are_refused__when_the_scope_is_over(void **state)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);

    (void)state;
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_null(weir_scope_shm(outside, 100));
    assert_int_equal(weir_last_error()->code, -ESTALE);
    assert_int_equal(weir_scope_lookup(outside, "x", NULL), -EPIPE);
    weir_scope_disconnect(outside);
    assert_int_equal(weir_scope_lookup(outside, "x", NULL), -EINVAL);
    assert_null(weir_scope_connect(address, NULL, 0));
    assert_int_equal(weir_last_error()->code, -ENOENT);
}

static weir_scope *inherited;

static int use_inherited(void)
{
    if (weir_scope_shm(inherited, 1) || weir_last_error()->code != -EINVAL)
        return 1;
    weir_scope_disconnect(inherited);
    return 0;
}

static void forked_child_is_refused__when_it_speaks_on_its_parents_connection(void **state)
{
    weir_shm *shm;

    (void)state;
    inherited = weir_scope_connect(address, NULL, 0);
    assert_non_null(inherited);
    assert_int_equal(in_child(use_inherited), 0);
    shm = weir_scope_shm(inherited, 1); /* the parent is not disturbed */
    assert_non_null(shm);
    weir_shm_close(shm);
    weir_scope_disconnect(inherited);
    weir_scope_disconnect(NULL);
    weir_scope_disconnect(scope); /* was begun: no effect */
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), 1);
}

/* ---- names of the user's choice ------------------------------------------------------------- */

static void others_block_is_left_alone__when_it_has_the_name(void **state)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_shm *theirs = weir_shm_create("weirtest-theirs", 50, 0), *ours, *again;

    (void)state;
    assert_non_null(theirs);
    strcpy(weir_shm_buf(theirs), "theirs");
    for (int i = 0; i < 2; i++) {
        assert_null(weir_scope_shm_named(i ? scope : outside, "weirtest-theirs", 100));
        assert_int_equal(weir_last_error()->code, -EEXIST);
        assert_null(weir_scope_list_named(i ? scope : outside, "weirtest-theirs", NULL, 0));
        assert_int_equal(weir_last_error()->code, -EEXIST);
    }
    /* And when it has got the name after ours was unlinked. */
    ours = weir_scope_shm_named(scope, "weirtest-ours", 10);
    assert_non_null(ours);
    assert_int_equal(weir_shm_unlink(ours), 0);
    again = weir_shm_create("weirtest-ours", 20, 0);
    assert_non_null(again);
    assert_int_equal(weir_scope_release(outside, "weirtest-ours"), -ENOENT);
    weir_scope_disconnect(outside);
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_int_equal(shm_files(), 2);
    assert_int_equal(weir_shm_unlink(theirs), 0);
    assert_int_equal(weir_shm_unlink(again), 0);
    weir_shm_close(theirs);
    weir_shm_close(again);
}

static void name_is_refused__when_it_cannot_be(void **state)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    char long_name[WEIR_SCOPE_NAME_MAX + 2], longest[WEIR_SCOPE_NAME_MAX + 1];
    const char *const names[] = {"",     ".",    "..",   "a/b",  "weir-x",
                                 "a\"b", "a\\b", "a\nb", "\xff", NULL};
    weir_shm *shm;

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    memset(longest, 'y', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        assert_null(weir_scope_shm_named(i % 2 ? scope : outside, names[i], 1));
        assert_int_equal(weir_last_error()->code, -EINVAL);
        assert_true(weir_scope_track(scope, names[i]) < 0);
    }
    assert_null(weir_scope_shm_named(outside, long_name, 1));
    assert_int_equal(weir_last_error()->code, -ENAMETOOLONG);
    assert_int_equal(weir_scope_track(outside, long_name), -ENAMETOOLONG);
    shm = weir_scope_shm_named(outside, longest, 1); /* a record has room for it */
    assert_non_null(shm);
    weir_shm_close(shm);
    assert_int_equal(weir_scope_lookup(outside, longest, NULL), 0);
    assert_null(weir_scope_shm_named(outside, "weirtest-empty", 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    weir_scope_disconnect(outside);
}

/* ---- who unlinks what ----------------------------------------------------------------------- */

static bool is_there(const char *name)
{
    weir_shm *shm = weir_shm_attach(name);

    weir_shm_close(shm);
    return shm != NULL;
}

static void block_goes_with_the_scope__when_it_is_tracked(void **state)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_shm *tracked = weir_shm_create("weirtest-tracked", 10, 0);
    weir_shm *alone = weir_shm_create("weirtest-alone", 10, 0);
    weir_shm *made = weir_scope_shm(scope, 10);
    char made_name[40];

    (void)state;
    strcpy(made_name, weir_shm_name(made));
    assert_int_equal(weir_scope_track(outside, "weirtest-tracked"), 0);
    assert_int_equal(weir_scope_track(scope, "weirtest-tracked"), 0);
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), 2); /* once is enough */
    assert_int_equal(weir_scope_track(scope, "weirtest-none"), -ENOENT);
    assert_int_equal(weir_scope_track(scope, made_name), -EINVAL);
    assert_int_equal(weir_scope_release(outside, made_name), -EPERM);
    assert_int_equal(weir_scope_release(outside, "weirtest-alone"), -ENOENT);
    assert_int_equal(symlink("/dev/shm/weirtest-alone", "/dev/shm/weirtest-link"), 0);
    assert_int_equal(weir_scope_track(scope, "weirtest-link"), -EPERM);
    assert_int_equal(unlink("/dev/shm/weirtest-link"), 0);
    weir_scope_disconnect(outside);
    weir_shm_close(tracked);
    assert_true(is_there("weirtest-tracked"));
    assert_true(is_there(made_name));
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_false(is_there("weirtest-tracked"));
    assert_false(is_there(made_name));
    assert_true(is_there("weirtest-alone")); /* nobody's but the user's */
    assert_int_equal(weir_shm_unlink(alone), 0);
    weir_shm_close(alone);
}

static int attach_and_exit(void)
{
    return is_there("weirtest-attached") ? 0 : 1;
}

static void name_stays__when_it_was_only_attached(void **state)
{
    (void)state;
    assert_non_null(weir_scope_shm_named(scope, "weirtest-attached", 10));
    assert_int_equal(in_child(attach_and_exit), 0);
    assert_true(is_there("weirtest-attached"));
}

static int attach_in_python(void)
{
    execl("/usr/bin/python3", "/usr/bin/python3", "-c",
          "import sys, os\n"
          "if sys.version_info < (3, 8) or sys.version_info >= (3, 13): os._exit(77)\n"
          "from multiprocessing.shared_memory import SharedMemory\n"
          "shm = SharedMemory('weirtest-python')\n"
          "sys.exit(0 if bytes(shm.buf[:4]) == b'weir' else 1)\n",
          (char *)NULL);
    return 77;
}

static void scope_ends_well__when_pythons_tracker_has_unlinked_a_block(void **state)
{
    weir_shm *shm = weir_scope_shm_named(scope, "weirtest-python", 100), *again;
    int result;

    (void)state;
    assert_non_null(shm);
    strcpy(weir_shm_buf(shm), "weir");
    result = in_child(attach_in_python);
    if (result == 77) {
        print_message("no Python from 3.8 to 3.12 here\n");
        skip();
    }
    assert_int_equal(result, 0);
    for (int i = 0; i < 1000 && is_there("weirtest-python"); i++)
        usleep(10000);
    assert_false(is_there("weirtest-python")); /* its tracker did it */
    assert_string_equal(weir_shm_buf(shm), "weir");
    assert_int_equal(weir_scope_lookup(scope, "weirtest-python", NULL), -ENOENT);
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), 0);
    again = weir_shm_create("weirtest-python", 10, 0); /* the name is free for anybody */
    assert_non_null(again);
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_true(is_there("weirtest-python"));
    assert_int_equal(weir_shm_unlink(again), 0);
    weir_shm_close(again);
}

static void scope_ends_well__when_the_user_has_unlinked_or_released_blocks(void **state)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_shm *inside = weir_scope_shm(scope, 10), *shm = weir_scope_shm(outside, 10);
    weir_shm *released = weir_scope_shm(outside, 10);

    (void)state;
    assert_int_equal(weir_shm_unlink(inside), 0);
    assert_int_equal(weir_shm_unlink(shm), 0);
    assert_int_equal(weir_shm_unlink(shm), -ENOENT);
    assert_int_equal(weir_scope_release(outside, weir_shm_name(shm)), -ENOENT);
    assert_int_equal(weir_scope_release(outside, weir_shm_name(released)), 0);
    assert_int_equal(weir_shm_unlink(released), -ENOENT);
    assert_int_equal(shm_files(), 1);
    weir_shm_close(shm);
    weir_shm_close(released);
    weir_scope_disconnect(outside);
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
}

/* ---- the address ---------------------------------------------------------------------------- */

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
            weir_scope_shm(scope, 10);
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

/* ---- keys ----------------------------------------------------------------------------------- */

static void key_is_refused__when_it_makes_no_sense(void **state)
{
    char key[WEIR__AUTH_KEY_MAX + 1] = "secret";

    (void)state;
    if (!weir__auth_available()) {
        assert_null(weir_scope_begin(
            &(weir_scope_options){.address = address, .authkey = "k", .authkey_size = 1}));
        assert_int_equal(weir_last_error()->code, -ENOTSUP);
        assert_null(weir_scope_connect(address, "k", 1));
        assert_int_equal(weir_last_error()->code, -ENOTSUP);
        return;
    }
    assert_null(weir_scope_begin(&(weir_scope_options){.authkey = "k", .authkey_size = 1}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_begin(&(weir_scope_options){.address = address, .authkey = key}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_begin(&(weir_scope_options){.address = address, .authkey_size = 3}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_begin(
        &(weir_scope_options){.address = address, .authkey = key, .authkey_size = sizeof(key)}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    scope = weir_scope_begin(
        &(weir_scope_options){.address = address, .authkey = key, .authkey_size = sizeof(key) - 1});
    assert_non_null(scope);
    weir_scope_disconnect(inherited = weir_scope_connect(address, key, sizeof(key) - 1));
    assert_non_null(inherited);
}

#define KEY "a key, with\0a NUL"

static int open_locked_door(void **state)
{
    if (make_folder(state))
        return -1;
    if (weir__auth_available())
        scope = weir_scope_begin(
            &(weir_scope_options){.address = address, .authkey = KEY, .authkey_size = sizeof(KEY)});
    return !weir__auth_available() || scope ? 0 : -1;
}

#define NEEDS_KEYS                                                                                 \
    if (!weir__auth_available())                                                                   \
    skip()

static void only_the_right_key_is_let_in__when_there_is_one(void **state)
{
    weir_scope *outside;

    (void)state;
    NEEDS_KEYS;
    outside = weir_scope_connect(address, KEY, sizeof(KEY));
    assert_non_null(outside);
    assert_int_equal(weir_scope_blocks(outside, NULL, 0), 0);
    weir_scope_disconnect(outside);
    for (size_t size = 1; size < sizeof(KEY); size++) {
        assert_null(weir_scope_connect(address, KEY, size));
        assert_int_equal(weir_last_error()->code, -EACCES);
    }
    assert_null(weir_scope_connect(address, "a key, with\0a nul", sizeof(KEY)));
    assert_int_equal(weir_last_error()->code, -EACCES);
    assert_null(weir_scope_connect(address, NULL, 0));
    assert_int_equal(weir_last_error()->code, -EACCES);
}

static void client_with_a_key_is_refused__when_the_scope_has_none(void **state)
{
    (void)state;
    NEEDS_KEYS;
    assert_null(weir_scope_connect(address, KEY, sizeof(KEY)));
    assert_int_equal(weir_last_error()->code, -EACCES);
}

/* ---- raw clients ---------------------------------------------------------------------------- */

static json_t *say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return NULL;
    return hear(fd);
}

/* The reply's error code; 0 when it is none; 1 when the manager closed instead. */
static int verdict(json_t *reply)
{
    int code = !reply ? 1 : (int)json_integer_value(json_object_get(reply, "error"));

    json_decref(reply);
    return code;
}

static bool is_closed(int fd)
{
    json_t *more = hear(fd);

    json_decref(more);
    return more == NULL;
}

static int dial_and_greet(void)
{
    int fd = dial();

    json_decref(hear(fd));
    assert_int_equal(verdict(say(fd, "{\"hello\":1}")), 0);
    return fd;
}

static void client_is_closed__when_it_does_not_say_hello(void **state)
{
    const char *const first[] = {"",
                                 "{",
                                 "[]",
                                 "\"hello\"",
                                 "garbage",
                                 "{}",
                                 "{\"hello\":2}",
                                 "{\"hello\":\"1\"}",
                                 "{\"hello\":1,\"hello\":1}",
                                 "{\"hello\":1,\"more\":1}",
                                 "{\"hello\":4294967297}",
                                 "{\"list\":{\"from\":0}}",
                                 "{\"end\":true}",
                                 "{\"make\":{}}",
                                 "{\"welcome\":1}",
                                 "{\"listen\":\"/tmp/x\",\"key\":\"\"}",
                                 "{\"hello\":1,\"nonce\":\"00\",\"mac\":\"00\"}"};
    static char big[70000];

    (void)state;
    for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++) {
        int fd = dial();

        json_decref(hear(fd));
        assert_int_not_equal(verdict(say(fd, first[i])), 0);
        assert_true(is_closed(fd));
        close(fd);
    }
    memset(big, ' ', sizeof(big));
    memcpy(big, "{\"hello\":1}", 11);
    for (int size = 1025; size <= 70000; size += 68975) {
        int fd = dial();

        json_decref(hear(fd));
        assert_int_equal(send(fd, big, (size_t)size, MSG_NOSIGNAL), size);
        assert_int_not_equal(verdict(hear(fd)), 0);
        assert_true(is_closed(fd));
        close(fd);
    }
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), 0); /* the scope is none the worse */
}

static void request_is_refused__when_it_is_of_another_form(void **state)
{
    const char *const requests[] = {"{}",
                                    "{\"end\":true}",
                                    "{\"end\":1}",
                                    "{\"hello\":1}",
                                    "{\"welcome\":1}",
                                    "{\"listen\":\"/tmp/x\",\"key\":\"\"}",
                                    "{\"made\":{}}",
                                    "{\"error\":-1}",
                                    "{\"list\":{}}",
                                    "{\"list\":0}",
                                    "{\"list\":{\"from\":-1}}",
                                    "{\"list\":{\"from\":131074}}",
                                    "{\"list\":{\"from\":9223372036854775807}}",
                                    "{\"list\":{\"from\":0.5}}",
                                    "{\"list\":{\"from\":0,\"to\":1}}",
                                    "{\"list\":{\"from\":0},\"end\":1}",
                                    "{\"lookup\":{}}",
                                    "{\"lookup\":{\"name\":1}}",
                                    "{\"lookup\":{\"name\":\"x\",\"y\":1}}",
                                    "{\"lookup\":{\"name\":null}}",
                                    "{\"track\":{\"name\":\"../etc\"}}",
                                    "{\"track\":{\"name\":\"x\",\"kind\":\"door\"}}",
                                    "{\"make\":{\"kind\":\"shm\"}}",
                                    "{\"release\":{\"name\":\"\"}}"};
    const char *const frames[] = {"",
                                  "{",
                                  "[[]]",
                                  "\xff",
                                  "{\"a\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}",
                                  "{\"list\":{\"from\":99999999999999999999}}"};
    int fd = dial_and_greet();

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        int code = verdict(say(fd, requests[i]));

        if (code >= 0)
            fail_msg("%s: %d", requests[i], code);
    }
    assert_int_equal(verdict(say(fd, "{\"list\":{\"from\":0}}")), 0); /* still served */
    close(fd);
    for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
        fd = dial_and_greet();
        assert_int_not_equal(verdict(say(fd, frames[i])), 0);
        assert_true(is_closed(fd));
        close(fd);
    }
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), 0);
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static int count_descriptors(pid_t pid)
{
    char path[64];
    struct dirent *item;
    int count = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir && (item = readdir(dir)))
        count++;
    closedir(dir);
    return count;
}

static int make_with(int fd, int passed)
{
    assert_int_equal(
        weir__frame_send_with(fd, json_pack("{s:{s:s}}", "make", "kind", "shm"), passed), 0);
    return verdict(hear(fd));
}

static void descriptor_is_refused__when_it_is_not_of_a_new_block(void **state)
{
    char path[64] = "/dev/shm/";
    int fd = dial_and_greet(), before = count_descriptors(weir_scope_manager_pid(scope)), fds[9],
        n = 0;
    int block = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0777), pipes[2];

    (void)state;
    weir__scope_file_name(path + strlen(path), scope->id);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    fds[n++] = pipes[0];
    fds[n++] = pipes[1];
    fds[n++] = memfd_create("weirtest", MFD_CLOEXEC);
    fds[n++] = open("/dev/null", O_RDWR | O_CLOEXEC);
    fds[n++] = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fds[n++] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    fds[n++] = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); /* empty */
    fds[n++] = open("/dev/shm", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    fds[n++] = dup(fd);
    for (int i = 0; i < n; i++)
        assert_true(make_with(fd, fds[i]) < 0);
    assert_int_equal(ftruncate(fds[7], 10), 0);
    assert_true(make_with(fd, fds[7]) < 0); /* it must not get a name */
    assert_int_equal(shm_files(), 1);
    assert_int_equal(ftruncate(block, 100), 0);
    assert_int_equal(make_with(fd, block), 0);
    assert_true(make_with(fd, block) < 0); /* once is enough */
    assert_int_equal(shm_files(), 2);
    for (int i = 0; i < n; i++)
        close(fds[i]);
    close(block);
    /* The scope file itself: closing a copy would drop the manager's record lock. */
    block = open(path, O_RDWR | O_CLOEXEC);
    assert_true(make_with(fd, block) < 0);
    close(block);
    for (int i = 0; i < 100 && count_descriptors(weir_scope_manager_pid(scope)) > before; i++)
        usleep(10000); /* it answers first, then closes */
    assert_int_equal(count_descriptors(weir_scope_manager_pid(scope)), before);
    close(fd);
}

/* ---- the challenge -------------------------------------------------------------------------- */

static char *field(json_t *message, const char *key, char text[80])
{
    const char *value = json_string_value(json_object_get(message, key));

    snprintf(text, 80, "%s", value ? value : "");
    json_decref(message);
    return text;
}

static char *signed_hello(const char *nonce_of_server, const char *nonce, enum weir__auth_role role,
                          char frame[300])
{
    struct weir__auth_key key = {.size = sizeof(KEY)};
    struct weir__auth_session session = {.scope = scope->id};
    unsigned char mac[WEIR__MAC_SIZE];
    char text[WEIR__HEX(WEIR__MAC_SIZE)];

    memcpy(key.bytes, KEY, sizeof(KEY));
    assert_true(weir__hex_read(session.server_nonce, WEIR__NONCE_SIZE, nonce_of_server));
    assert_true(weir__hex_read(session.client_nonce, WEIR__NONCE_SIZE, nonce));
    weir__auth_prove(mac, &key, &session, role);
    weir__hex_write(text, mac, sizeof(mac));
    snprintf(frame, 300, "{\"hello\":1,\"nonce\":\"%s\",\"mac\":\"%s\"}", nonce, text);
    return frame;
}

static void proof_is_refused__when_it_is_replayed_or_of_another_role(void **state)
{
    static const char nonce[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    char hello[300], other[300], first[80], second[80], mac[80];
    json_t *reply;
    int fd, again;

    (void)state;
    NEEDS_KEYS;
    fd = dial();
    field(hear(fd), "nonce", first);
    reply = say(fd, signed_hello(first, nonce, WEIR__AUTH_CLIENT, hello));
    assert_int_equal(json_integer_value(json_object_get(reply, "welcome")), 1);
    field(reply, "mac", mac);
    assert_int_equal(strlen(mac), 64);
    assert_int_equal(verdict(say(fd, "{\"list\":{\"from\":0}}")), 0);

    /* The recorded session, word by word. */
    again = dial();
    field(hear(again), "nonce", second);
    assert_string_not_equal(first, second);
    assert_int_equal(verdict(say(again, hello)), -EACCES);
    assert_true(is_closed(again));
    close(again);

    /* The manager's own proof, sent back to it. */
    again = dial();
    field(hear(again), "nonce", second);
    snprintf(hello, sizeof(hello), "{\"hello\":1,\"nonce\":\"%s\",\"mac\":\"%s\"}", nonce, mac);
    assert_int_equal(verdict(say(again, hello)), -EACCES);
    close(again);

    /* The right key, in the wrong role. */
    again = dial();
    field(hear(again), "nonce", second);
    signed_hello(second, nonce, WEIR__AUTH_SERVER, other);
    assert_int_equal(verdict(say(again, other)), -EACCES);
    close(again);

    /* A second try on the same connection, though it would be right. */
    again = dial();
    field(hear(again), "nonce", second);
    assert_int_equal(verdict(say(again, hello)), -EACCES);
    assert_int_equal(verdict(say(again, signed_hello(second, nonce, WEIR__AUTH_CLIENT, other))), 1);
    close(again);
    assert_int_equal(verdict(say(fd, "{\"list\":{\"from\":0}}")), 0);
    close(fd);
}

static void proof_is_refused__when_any_byte_of_it_is_changed(void **state)
{
    static const char nonce[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    char hello[300], first[80];
    int refused = 0;

    (void)state;
    NEEDS_KEYS;
    for (size_t at = 0; at == 0 || at < strlen(hello); at++) {
        for (int bit = 1; bit < 256; bit <<= 1) {
            int fd = dial();
            char before;

            field(hear(fd), "nonce", first);
            signed_hello(first, nonce, WEIR__AUTH_CLIENT, hello);
            before = hello[at];
            hello[at] = (char)(before ^ bit);
            if (bit == 0x20 && strchr("abcdef", before) && at > strlen("{\"hello\":1,\"nonce\":")) {
                close(fd); /* the same number, in other letters */
                continue;
            }
            if (verdict(say(fd, hello)) == 0)
                fail_msg("byte %zu, bit %x: let in with %s", at, (unsigned)bit, hello);
            close(fd);
            refused++;
            hello[at] = before;
        }
    }
    assert_true(refused > 1000);
    inherited = weir_scope_connect(address, KEY, sizeof(KEY)); /* who knows the key still is */
    assert_non_null(inherited);
    weir_scope_disconnect(inherited);
}

#define LATE 3

/* A server without the key, which sends back what it gets; or one that greets late, and then says
 * no more. */
static void impostor(int listener, int how)
{
    int fd = accept(listener, NULL, NULL);
    json_t *hello;

    if (how == LATE)
        usleep(2500000);
    weir__frame_send(fd, json_pack("{s:i, s:s, s:s, s:s, s:s}", "weir", 1, "version", "0.1.0",
                                   "scope", "0123456789abcdef", "auth",
                                   how == 2 ? "none" : "hmac-sha256", "nonce",
                                   "00112233445566778899aabbccddeeff"
                                   "00112233445566778899aabbccddeeff"));
    hello = hear(fd);
    if (how == LATE)
        pause();
    if (how == 0)
        weir__frame_send(
            fd, json_pack("{s:i, s:O}", "welcome", 1, "mac", json_object_get(hello, "mac")));
    else
        weir__frame_send(fd, json_pack("{s:i}", "welcome", 1));
    pause();
}

/* weir_scope_connect()'s error with one of them. */
static int connect_to_impostor(int how)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), status;
    pid_t pid;

    strcpy(name.sun_path, address);
    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid = fork();
    if (pid == 0) {
        settle_child();
        impostor(listener, how);
    }
    close(listener);
    assert_null(weir_scope_connect(address, KEY, sizeof(KEY)));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_int_equal(unlink(address), 0);
    return weir_last_error()->code;
}

static void server_is_refused__when_it_does_not_know_the_key(void **state)
{
    (void)state;
    NEEDS_KEYS;
    for (int how = 0; how < LATE; how++)
        assert_int_equal(connect_to_impostor(how), -EACCES);
}

static void connecting_takes_4_s_in_all__when_the_server_answers_late_and_then_no_more(void **state)
{
    int64_t start = weir__now_ms(), took;

    (void)state;
    NEEDS_KEYS;
    assert_int_equal(connect_to_impostor(LATE), -ETIMEDOUT);
    assert_non_null(strstr(weir_last_error()->message, "within 4000 ms"));
    took = weir__now_ms() - start;
    if (took < 4000 || took > 6000)
        fail_msg("gave up after %d ms", (int)took);
}

/* ---- many, and silent ----------------------------------------------------------------------- */

static long resident_kb(pid_t pid)
{
    char path[64], line[256];
    long kb = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            kb = atol(line + 6);
    }
    fclose(file);
    return kb;
}

/* Connects in the way of one who means harm: never waits, never reads, sends what it likes. */
static int attack(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    static char frame[65536];
    int opened = 0;

    strcpy(name.sun_path, address);
    for (size_t i = 0; i + 3 < sizeof(frame); i += 3)
        memcpy(frame + i, "[],", 3);
    frame[0] = '{';
    for (int i = 0; i < 1000; i++) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
            close(fd);
            continue;
        }
        opened++;
        if (i % 3 == 0)
            send(fd, "{\"hello\":1}", 11, MSG_NOSIGNAL);
        if (i % 3 != 2)
            for (int j = 0; j < 4; j++)
                send(fd, frame, sizeof(frame) - (size_t)(i % 100), MSG_NOSIGNAL);
    }
    return opened > 100 ? 0 : 1;
}

static void scope_is_unharmed__when_a_thousand_connections_are_made(void **state)
{
    const pid_t manager = weir_scope_manager_pid(scope);
    const int before = count_descriptors(manager);
    double worst = 0;
    weir_scope *outside;
    int status, fds[8];
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        settle_child();
        _exit(attack());
    }
    for (int i = 0; i < 200; i++) { /* meanwhile the scope's own program is answered */
        double start = now_ms();

        assert_int_equal(weir_scope_lookup(scope, "weirtest-none", NULL), -ENOENT);
        worst = now_ms() - start > worst ? now_ms() - start : worst;
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_non_null(weir_scope_shm(scope, 100));

    /* Silent ones fill the waiting room, and are shown out after five seconds. */
    for (int i = 0; i < 8; i++)
        fds[i] = dial();
    for (int i = 0; i < 8; i++) {
        double start = now_ms();

        json_decref(hear(fds[i])); /* the greeting */
        if (i < 7)
            continue;
        assert_int_equal(verdict(hear(fds[i])), -ETIMEDOUT);
        assert_true(now_ms() - start > 4000 && now_ms() - start < 9000);
        assert_true(is_closed(fds[i]));
    }
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    outside = weir_scope_connect(address, NULL, 0);
    assert_non_null(outside);
    weir_scope_disconnect(outside);
    for (int i = 0; i < 100 && count_descriptors(manager) > before; i++)
        usleep(20000);
    assert_int_equal(count_descriptors(manager), before);
    assert_true(resident_kb(manager) < RESIDENT_MAX_KB);
    print_message("the host waited %.1f ms at worst; the manager had %ld KiB at most\n", worst,
                  resident_kb(manager));
}

static void next_one_is_turned_away__when_128_are_connected(void **state)
{
    static weir_scope *outside[129];
    int connected = 0;

    (void)state;
    while (connected < 129 && (outside[connected] = weir_scope_connect(address, NULL, 0)))
        connected++;
    assert_int_equal(connected, 128);
    assert_int_equal(weir_last_error()->code, -EBUSY);
    weir_scope_disconnect(outside[17]);
    for (int i = 0; i < 100 && !(outside[17] = weir_scope_connect(address, NULL, 0)); i++)
        usleep(10000);
    assert_non_null(outside[17]);
    for (int i = 0; i < 128; i++) {
        assert_int_equal(weir_scope_blocks(outside[i], NULL, 0), 0);
        weir_scope_disconnect(outside[i]);
    }
}

#define PLAIN(name)  cmocka_unit_test_setup_teardown(name, make_folder, close_door)
#define OPEN(name)   cmocka_unit_test_setup_teardown(name, open_door, close_door)
#define LOCKED(name) cmocka_unit_test_setup_teardown(name, open_locked_door, close_door)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPEN(objects_belong_to_the_scope__when_made_by_a_connected_program),
        OPEN(blocks_are_listed__when_made_by_anybody),
        OPEN(scope_does_not_grow__when_blocks_are_released),
        OPEN(nothing_is_left__when_a_connected_program_is_killed),
        OPEN(calls_are_refused__when_the_scope_is_over),
        OPEN(forked_child_is_refused__when_it_speaks_on_its_parents_connection),
        OPEN(others_block_is_left_alone__when_it_has_the_name),
        OPEN(name_is_refused__when_it_cannot_be),
        OPEN(block_goes_with_the_scope__when_it_is_tracked),
        OPEN(name_stays__when_it_was_only_attached),
        OPEN(scope_ends_well__when_pythons_tracker_has_unlinked_a_block),
        OPEN(scope_ends_well__when_the_user_has_unlinked_or_released_blocks),
        PLAIN(address_is_refused__when_it_cannot_be),
        PLAIN(others_file_is_left_alone__when_it_is_at_the_address),
        OPEN(second_scope_is_refused__when_one_listens_there),
        PLAIN(address_is_free_again__when_whoever_died),
        OPEN(address_goes__when_the_manager_is_killed_before_the_end),
        PLAIN(key_is_refused__when_it_makes_no_sense),
        LOCKED(only_the_right_key_is_let_in__when_there_is_one),
        OPEN(client_with_a_key_is_refused__when_the_scope_has_none),
        OPEN(client_is_closed__when_it_does_not_say_hello),
        OPEN(request_is_refused__when_it_is_of_another_form),
        OPEN(descriptor_is_refused__when_it_is_not_of_a_new_block),
        LOCKED(proof_is_refused__when_it_is_replayed_or_of_another_role),
        LOCKED(proof_is_refused__when_any_byte_of_it_is_changed),
        PLAIN(server_is_refused__when_it_does_not_know_the_key),
        PLAIN(connecting_takes_4_s_in_all__when_the_server_answers_late_and_then_no_more),
        OPEN(scope_is_unharmed__when_a_thousand_connections_are_made),
        OPEN(next_one_is_turned_away__when_128_are_connected),
    };

    if (!leak_isolate()) {
        print_message("skipped: needs root or user namespaces for a /dev/shm of its own\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
