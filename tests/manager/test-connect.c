/* SPDX-License-Identifier: MIT
 *
 * Programs that connect to a scope: what they can do there, and what they leave behind: nothing.
 */
#include "leak.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listening.h"
#include "manager/host/state.h"
#include "manager/scope_file/scope_file.h"

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
    assert_int_equal(in_child(make_some, 0), 0);
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
    assert_int_equal(in_child(use_inherited, 0), 0);
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

/* ---- attaching by name ----------------------------------------------------------------------- */

/* What the scope's program has made is used outside. */
static int attach_all(void)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_shm *shm = weir_scope_attach_shm(outside, "weirtest-block");
    weir_list *list = weir_scope_attach_list(outside, "weirtest-list");
    weir_array *array = weir_scope_attach_array(outside, "weirtest-array");
    weir_dict *dict = weir_scope_attach_dict(outside, "weirtest-dict");
    weir_value value;

    if (!outside || !shm || !list || !array || !dict)
        return 1;
    weir_scope_disconnect(outside); /* handles stay */
    if (strcmp(weir_shm_buf(shm), "in the scope") != 0 || weir_list_get(list, 1, &value) != 0 ||
        value.integer != 8 || weir_list_set(list, 0, weir_int(70)) != 0)
        return 2;
    ((double *)weir_array_data(array))[2] = 2.5;
    if (weir_dict_set(dict, weir_str("key"), weir_int(9)) != 0)
        return 3;
    weir_shm_close(shm);
    weir_list_close(list);
    weir_array_close(array);
    weir_dict_close(dict);
    return 0;
}

static void objects_are_used_outside__when_attached_by_name(void **state)
{
    const weir_value values[] = {weir_int(7), weir_int(8)};
    weir_shm *shm = weir_scope_shm_named(scope, "weirtest-block", 100);
    weir_list *list = weir_scope_list_named(scope, "weirtest-list", values, 2);
    weir_array *array = weir_scope_array_named(scope, "weirtest-array", WEIR_FLOAT64, 1,
                                               (int64_t[]){3}, WEIR_ARRAY_NPY);
    weir_dict *dict = weir_scope_dict_named(scope, "weirtest-dict", NULL);
    weir_value value;

    (void)state;
    assert_true(shm && list && array && dict);
    strcpy(weir_shm_buf(shm), "in the scope");
    assert_int_equal(in_child(attach_all, 0), 0);
    assert_int_equal(weir_list_get(list, 0, &value), 0);
    assert_int_equal(value.integer, 70);
    assert_true(((double *)weir_array_data(array))[2] == 2.5);
    assert_int_equal(weir_dict_get(dict, weir_str("key"), &value, NULL, 0), 0);
    assert_int_equal(value.integer, 9);
}

static void assert_not_attached(weir_scope *outside, const char *name, int code)
{
    assert_null(weir_scope_attach_shm(outside, name));
    assert_int_equal(weir_last_error()->code, code);
    assert_null(weir_scope_attach_list(outside, name));
    assert_int_equal(weir_last_error()->code, code);
    assert_null(weir_scope_attach_array(outside, name));
    assert_int_equal(weir_last_error()->code, code);
    assert_null(weir_scope_attach_dict(outside, name));
    assert_int_equal(weir_last_error()->code, code);
}

static void nothing_is_attached__when_it_is_not_the_scopes(void **state)
{
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_shm *alone = weir_shm_create("weirtest-alone", 4096, 0), *moved, *again;
    weir_shm *unnamed = weir_scope_shm(scope, 100), *found;
    weir_list *list = weir_scope_list_range(scope, 0, 9, 1);

    (void)state;
    assert_not_attached(outside, "weirtest-alone", -ENOENT);
    assert_not_attached(scope, "weirtest-alone", -ENOENT);
    assert_not_attached(outside, NULL, -EINVAL);
    assert_not_attached(outside, "\xff", -EINVAL);
    /* Its name is another block's by now. */
    moved = weir_scope_shm_named(outside, "weirtest-moved", 100);
    assert_int_equal(weir_shm_unlink(moved), 0);
    again = weir_shm_create("weirtest-moved", 100, 0);
    assert_not_attached(outside, "weirtest-moved", -ENOENT);
    /* Names that weir has chosen do as well, and the kind is looked at. */
    found = weir_scope_attach_shm(outside, weir_shm_name(unnamed));
    assert_non_null(found);
    assert_null(weir_scope_attach_dict(outside, weir_shm_name(weir_list_shm(list))));
    assert_true(weir_last_error()->code == -EBADMSG || weir_last_error()->code == -EINVAL);
    assert_null(weir_scope_attach_array(outside, weir_shm_name(unnamed)));
    weir_shm_close(found);
    assert_int_equal(weir_shm_unlink(alone), 0);
    assert_int_equal(weir_shm_unlink(again), 0);
    weir_shm_close(alone);
    weir_shm_close(again);
    weir_shm_close(moved);
    weir_scope_disconnect(outside);
}

/* In a manager's place: answers each request for a block with the same one. */
static void answer_wrongly(int listener, const char *name, json_int_t ino, json_int_t size)
{
    int fd = accept(listener, NULL, NULL);
    json_t *request;

    weir__frame_send(fd, json_pack("{s:i, s:s, s:s, s:s, s:s}", "weir", 1, "version", "0.1.0",
                                   "scope", "0123456789abcdef", "auth", "none", "nonce",
                                   "00112233445566778899aabbccddeeff"
                                   "00112233445566778899aabbccddeeff"));
    json_decref(hear(fd));
    weir__frame_send(fd, json_pack("{s:i}", "welcome", 1));
    while ((request = hear(fd)) != NULL) {
        json_decref(request);
        weir__frame_send(fd, json_pack("{s:{s:s, s:I, s:s, s:I, s:i}}", "block", "name", name,
                                       "ino", ino, "kind", "list", "size", size, "pid", 1));
    }
    _exit(0);
}

static void answers_are_refused__when_they_are_not_about_that_block(void **state)
{
    weir_list *list = weir_list_create_range("weirtest-mine", 0, 9, 1);
    const char *const names[] = {"weirtest-other", "../weirtest-mine", "weirtest-mine",
                                 "weirtest-mine", "weirtest-mine"};
    const int codes[] = {-EPROTO, -EPROTO, -ENOENT, -EBADMSG, 0};
    struct stat st;

    (void)state;
    assert_int_equal(stat("/dev/shm/weirtest-mine", &st), 0);
    for (int i = 0; i < 5; i++) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), status;
        weir_list *attached;
        weir_scope *outside;
        pid_t pid;

        strcpy(at.sun_path, address);
        assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(listen(listener, 1), 0);
        pid = fork();
        if (pid == 0) {
            settle_child();
            answer_wrongly(listener, names[i], (json_int_t)st.st_ino + (i == 2),
                           (json_int_t)st.st_size + 4096 * (i == 3));
        }
        close(listener);
        outside = weir_scope_connect(address, NULL, 0);
        if (!outside)
            fail_msg("%s", weir_last_error()->message);
        attached = weir_scope_attach_list(outside, "weirtest-mine");
        if (codes[i] == 0)
            assert_non_null(attached);
        else
            assert_int_equal(weir_last_error()->code, codes[i]);
        assert_int_equal(attached == NULL, codes[i] != 0);
        weir_list_close(attached);
        weir_scope_disconnect(outside);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_int_equal(unlink(address), 0);
    }
    assert_int_equal(weir_shm_unlink(weir_list_shm(list)), 0);
    weir_list_close(list);
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
    assert_int_equal(in_child(attach_and_exit, 0), 0);
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
    result = in_child(attach_in_python, 0);
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
        OPEN(objects_are_used_outside__when_attached_by_name),
        OPEN(nothing_is_attached__when_it_is_not_the_scopes),
        PLAIN(answers_are_refused__when_they_are_not_about_that_block),
        OPEN(block_goes_with_the_scope__when_it_is_tracked),
        OPEN(name_stays__when_it_was_only_attached),
        OPEN(scope_ends_well__when_pythons_tracker_has_unlinked_a_block),
        OPEN(scope_ends_well__when_the_user_has_unlinked_or_released_blocks),
    };

    if (!leak_isolate()) {
        print_message("skipped: needs root or user namespaces for a /dev/shm of its own\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
