/* SPDX-License-Identifier: MIT
 *
 * What connected programs make besides blocks and lists, how many there can be, and what programs
 * of other users get: nothing.
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
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
#include "manager/host/state.h"
#include "manager/scope_file/scope_file.h"
#include "manager/wire/protocol.h"
#include "sanitizer.h"

#define STRANGER 65534 /* another user's number */

static void end_scope(void)
{
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_int_equal(shm_files(), 0);
}

/* ---- arrays and dictionaries ---------------------------------------------------------------- */

static int make_arrays(void)
{
    const int64_t shape[] = {20, 30};
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_array *npy =
        weir_scope_array_named(outside, "weirtest-npy", WEIR_INT32, 2, shape, WEIR_ARRAY_NPY);
    weir_array *raw = weir_scope_array(outside, WEIR_FLOAT64, 1, shape, 0);
    weir_array *huge = weir_scope_array(outside, WEIR_UINT8, 1, (const int64_t[]){5 << 20},
                                        WEIR_ARRAY_HUGE | WEIR_ARRAY_LAZY);
    weir_array *scalar = weir_scope_array(outside, WEIR_BOOL8, 0, NULL, 0);

    if (!outside || !npy || !raw || !huge || !scalar)
        return 1;
    for (int64_t i = 0; i < weir_array_len(npy); i++)
        ((int32_t *)weir_array_data(npy))[i] = (int32_t)i;
    ((double *)weir_array_data(raw))[19] = 1.5;
    if ((uintptr_t)weir_array_data(huge) % (2 << 20) != 0 ||
        weir_array_populate(huge, (weir_range){0, 5 << 20}) != 0)
        return 2;
    weir_array_close(npy);
    weir_array_close(raw);
    weir_array_close(huge);
    weir_array_close(scalar);
    if (weir_scope_array(outside, WEIR_INT8, 17, shape, 0) || weir_last_error()->code != -EINVAL ||
        weir_scope_array_named(outside, "weirtest-npy", WEIR_INT8, 2, shape, 0) ||
        weir_last_error()->code != -EEXIST ||
        weir_scope_array_named(outside, "a/b", WEIR_INT8, 2, shape, 0) ||
        weir_last_error()->code != -EINVAL)
        return 3;
    weir_scope_disconnect(outside);
    return 0;
}

static void arrays_belong_to_the_scope__when_made_by_a_connected_program(void **state)
{
    weir_block_info infos[4];
    weir_array *array;

    (void)state;
    assert_int_equal(in_child(make_arrays, 0), 0);
    assert_int_equal(weir_scope_blocks(scope, infos, 4), 4); /* they outlive that program */
    for (int i = 0; i < 4; i++)
        assert_string_equal(infos[i].kind, "array");
    array = weir_array_attach("weirtest-npy");
    assert_non_null(array);
    assert_int_equal(weir_array_shape(array)[1], 30);
    assert_int_equal(((int32_t *)weir_array_data(array))[599], 599);
    weir_array_close(array);
    array = weir_array_attach_raw(infos[1].name, WEIR_FLOAT64, 1, (const int64_t[]){20});
    assert_non_null(array);
    assert_true(((double *)weir_array_data(array))[19] == 1.5);
    weir_array_close(array);
    end_scope();
}

static int make_dicts(void)
{
    const weir_dict_options small = {.max_size = 1 << 20};
    weir_scope *outside = weir_scope_connect(address, NULL, 0);
    weir_dict *dict = weir_scope_dict_named(outside, "weirtest-dict", &small);
    weir_dict *other = weir_scope_dict(outside, NULL);

    if (!outside || !dict || !other)
        return 1;
    for (int i = 0; i < 2000; i++)
        if (weir_dict_set(dict, weir_int(i), weir_int(i * 2)) != 0)
            return 2;
    if (weir_dict_set(other, weir_str("text"), weir_str("from outside")) != 0)
        return 3;
    weir_dict_close(dict);
    weir_dict_close(other);
    if (weir_scope_dict(outside, &(weir_dict_options){.max_size = 100}) ||
        weir_last_error()->code != -EINVAL ||
        weir_scope_dict_named(outside, "weirtest-dict", NULL) ||
        weir_last_error()->code != -EEXIST || weir_scope_dict_named(outside, NULL, NULL) ||
        weir_last_error()->code != -EINVAL)
        return 4;
    /* What is about common addresses stays with the scope's own processes. */
    if (weir_scope_arena(outside, 0) || weir_last_error()->code != -EINVAL ||
        weir_scope_alloc(outside, 16) || weir_last_error()->code != -EINVAL)
        return 5;
    weir_scope_disconnect(outside);
    return 0;
}

static void dictionaries_belong_to_the_scope__when_made_by_a_connected_program(void **state)
{
    weir_block_info infos[2];
    weir_value value;
    weir_dict *dict;
    char text[40];

    (void)state;
    assert_int_equal(in_child(make_dicts, 0), 0);
    assert_int_equal(weir_scope_blocks(scope, infos, 2), 2);
    assert_string_equal(infos[0].kind, "dict");
    dict = weir_dict_attach("weirtest-dict");
    assert_non_null(dict);
    assert_int_equal(weir_dict_len(dict), 2000);
    assert_int_equal(weir_dict_add(dict, weir_int(1999), 2, &value.integer), 0);
    assert_int_equal(value.integer, 4000);
    weir_dict_close(dict);
    dict = weir_dict_attach(infos[1].name);
    assert_int_equal(weir_dict_get(dict, weir_str("text"), &value, text, sizeof(text)), 0);
    assert_string_equal(text, "from outside");
    weir_dict_close(dict);
    end_scope();
}

static void named_objects_are_good_everywhere__when_made_by_the_scopes_program(void **state)
{
    weir_array *array = weir_scope_array_named(scope, "weirtest-array", WEIR_INT64, 1,
                                               (const int64_t[]){10}, WEIR_ARRAY_NPY);
    weir_dict *dict = weir_scope_dict_named(scope, "weirtest-dict", NULL), *same;
    weir_array *attached = weir_array_attach("weirtest-array");
    weir_shm *theirs = weir_shm_create("weirtest-theirs", 10, 0);
    weir_value value;

    (void)state;
    assert_true(array && dict && attached && theirs);
    *(int64_t *)weir_array_data(array) = 42;
    assert_int_equal(*(int64_t *)weir_array_data(attached), 42);
    weir_array_close(attached);
    assert_int_equal(weir_dict_set(dict, weir_int(1), weir_int(2)), 0);
    same = weir_dict_attach("weirtest-dict");
    assert_int_equal(weir_dict_get(same, weir_int(1), &value, NULL, 0), 0);
    weir_dict_close(same);
    assert_null(weir_scope_array_named(scope, "weirtest-theirs", WEIR_INT8, 0, NULL, 0));
    assert_int_equal(weir_last_error()->code, -EEXIST);
    assert_null(weir_scope_dict_named(scope, "weirtest-theirs", NULL));
    assert_int_equal(weir_last_error()->code, -EEXIST);
    assert_null(weir_scope_dict_named(scope, "weir-mine", NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_array_named(scope, "", WEIR_INT8, 0, NULL, 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_int_equal(weir_scope_end(scope), 0);
    scope = NULL;
    assert_int_equal(shm_files(), 1); /* theirs */
    assert_int_equal(weir_shm_unlink(theirs), 0);
    weir_shm_close(theirs);
}

/* ---- as many as there can be ---------------------------------------------------------------- */

static int dial_and_greet(void)
{
    int fd = dial();

    json_decref(hear(fd));
    assert_int_equal(weir__frame_send(fd, json_pack("{s:i}", "hello", 1)), 0);
    json_decref(hear(fd));
    return fd;
}

/* A block of no memory, so that there may be many. Its name goes to `name`; 0 or an error. */
static int make_empty(int fd, char name[WEIR__BLOCK_NAME_SIZE])
{
    int block = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), code;
    json_t *reply, *made;

    assert_int_equal(ftruncate(block, 1), 0);
    assert_int_equal(weir__frame_send_with(fd, json_pack("{s:{}}", "make"), block), 0);
    reply = hear(fd);
    close(block);
    code = (int)json_integer_value(json_object_get(reply, "error"));
    made = json_object_get(json_object_get(reply, "made"), "name");
    if (code == 0)
        snprintf(name, WEIR__BLOCK_NAME_SIZE, "%s", json_string_value(made));
    else if (code == -ENOSPC)
        assert_non_null(
            strstr(json_string_value(json_object_get(reply, "message")), "65536 blocks"));
    json_decref(reply);
    return code;
}

static off_t scope_file_size(void)
{
    char path[64] = "/dev/shm/";
    struct stat st;

    weir__scope_file_name(path + strlen(path), scope->id);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void limit_is_said_and_records_are_reused__when_65536_blocks_are_made(void **state)
{
    char name[WEIR__BLOCK_NAME_SIZE], last[WEIR__BLOCK_NAME_SIZE], path[64];
    const off_t full =
        (off_t)((WEIR__RECORD_CLIENTS + WEIR__CLIENT_BLOCKS_MAX + 1) * WEIR__RECORD_SIZE);
    int fd = dial_and_greet(), tries = 0, code;
    double start = now_ms();
    weir_shm *alone = weir_shm_create("weirtest-alone", 1, 0);

    (void)state;
    for (size_t i = 0; i < WEIR__CLIENT_BLOCKS_MAX; i++)
        assert_int_equal(make_empty(fd, i == 100 ? name : last), 0);
    print_message("65536 blocks in %.0f ms\n", now_ms() - start);
    assert_int_equal(scope_file_size(), full);
    assert_int_equal(make_empty(fd, last), -ENOSPC);
    assert_int_equal(weir_scope_track(scope, "weirtest-alone"), -ENOSPC);
    assert_non_null(strstr(weir_last_error()->message, "65536 blocks"));
    assert_non_null(weir_scope_shm(scope, 10)); /* the scope's own have records of their own */

    /* Released: there is room for exactly one more. */
    assert_int_equal(weir_scope_release(scope, name), 0);
    assert_int_equal(weir_scope_track(scope, "weirtest-alone"), 0);
    assert_int_equal(make_empty(fd, name), -ENOSPC);

    /* Unlinked by somebody: the manager comes to see it, a part of the records at each request. */
    snprintf(path, sizeof(path), "/dev/shm/%s", last);
    assert_int_equal(unlink(path), 0);
    while ((code = make_empty(fd, name)) == -ENOSPC && tries < 64)
        tries++;
    assert_int_equal(code, 0);
    assert_int_equal(make_empty(fd, last), -ENOSPC);
    assert_int_equal(scope_file_size(), full);
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), WEIR__CLIENT_BLOCKS_MAX + 1);
    close(fd);
    weir_shm_close(alone);
    start = now_ms();
    end_scope();
    print_message("unlinked in %.0f ms\n", now_ms() - start);
}

/* Heap for what the test and weir are going to allocate: where no more can be mapped, the kernel
 * may refuse to grow it, too. */
static void grow_heap(void)
{
    const size_t size = (size_t)8 << 20;
    void *memory;

    assert_int_equal(mallopt(M_MMAP_THRESHOLD, (int)size * 2), 1);
    assert_int_equal(mallopt(M_TRIM_THRESHOLD, (int)size * 2), 1);
    memory = malloc(size);
    assert_non_null(memory);
    free(memory);
}

/* A process cannot have more mappings than vm.max_map_count, and an object is two. */
static void scope_is_sound__when_a_process_can_map_no_more_objects(void **state)
{
    int64_t made = 0;

    (void)state;
    if (ADDRESS_SANITIZER) {
        print_message("skipped: a sanitizer ends a program that can map no more\n");
        skip();
    }
    grow_heap();
    while (made < 70000 && weir_scope_shm(scope, 1))
        made++;
    assert_true(made > 10000);
    if (weir_last_error()->code == -ENOMEM)
        assert_non_null(strstr(weir_last_error()->message, "vm.max_map_count"));
    else
        assert_int_equal(weir_last_error()->code, -ENOSPC);
    print_message("%lld objects, then: %s\n", (long long)made, weir_last_error()->message);
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), made);
    end_scope();
}

/* ---- damaged requests ----------------------------------------------------------------------- */

static int release_all(void)
{
    weir_block_info infos[4];
    int64_t count = weir_scope_blocks(scope, infos, 4);

    assert_in_range(count, 0, 1);
    for (int64_t i = 0; i < count; i++) {
        assert_true(strcmp(infos[i].kind, "list") == 0 || strcmp(infos[i].kind, "shm") == 0);
        assert_int_equal(infos[i].size, 1);
        assert_int_equal(weir_scope_release(scope, infos[i].name), 0);
    }
    return (int)count;
}

static void request_is_refused_or_harmless__when_any_byte_is_changed(void **state)
{
    static const char request[] = "{\"make\":{\"kind\":\"list\",\"name\":\"weirtest-x\"}}";
    int made = 0, refused = 0, closed = 0, fd = dial_and_greet();

    (void)state;
    for (size_t at = 0; at < sizeof(request) - 1; at++) {
        for (int change = 1; change < 256; change = change == 128 ? 255 : change << 1) {
            int block = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
            struct iovec part = {.iov_len = sizeof(request) - 1};
            struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
            char frame[sizeof(request)], control[CMSG_SPACE(sizeof(int))] = {0};
            json_t *reply;

            memcpy(frame, request, sizeof(request));
            frame[at] = (char)(frame[at] ^ change);
            part.iov_base = frame;
            packet.msg_control = control;
            packet.msg_controllen = sizeof(control);
            *CMSG_FIRSTHDR(&packet) = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                                                       .cmsg_level = SOL_SOCKET,
                                                       .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), &block, sizeof(int));
            assert_int_equal(ftruncate(block, 1), 0);
            assert_true(sendmsg(fd, &packet, MSG_NOSIGNAL) > 0);
            close(block);
            reply = hear(fd);
            if (json_object_get(reply, "made")) {
                made++;
                assert_int_equal(release_all(), 1);
            } else if (json_integer_value(json_object_get(reply, "error")) == -EBADMSG) {
                closed++; /* no frame at all: it is told so, and shown out */
                assert_null(hear(fd));
                close(fd);
                fd = dial_and_greet();
            } else {
                refused++;
                assert_true(json_integer_value(json_object_get(reply, "error")) < 0);
            }
            json_decref(reply);
        }
    }
    close(fd);
    assert_int_equal(release_all(), 0);
    assert_int_equal(shm_files(), 1);
    print_message("%d made, under other names; %d refused; %d no frames\n", made, refused, closed);
    assert_true(made > 20 && refused > 100 && closed > 50);
}

/* ---- other users ---------------------------------------------------------------------------- */

static bool can_be_another_user(void)
{
    static int nothing;
    pid_t pid = fork();

    if (pid == 0)
        _exit(setresuid(STRANGER, STRANGER, STRANGER) == 0 ? 0 : 1);
    waitpid(pid, &nothing, 0);
    if (nothing != 0)
        print_message("skipped: only root can be another user, too\n");
    return nothing == 0;
}

#define NEEDS_ANOTHER_USER                                                                         \
    if (!can_be_another_user())                                                                    \
    skip()

static int connect_as_stranger(void)
{
    return weir_scope_connect(address, NULL, 0) ? 1 : weir_last_error()->code == -EPERM ? 0 : 2;
}

/* By hand: what the manager says to it. */
static int listen_as_stranger(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    char byte;

    strcpy(name.sun_path, address);
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        return 1;
    send(fd, "{\"hello\":1}", 11, MSG_NOSIGNAL);
    send(fd, "{\"list\":{\"from\":0}}", 19, MSG_NOSIGNAL);
    return recv(fd, &byte, 1, 0) > 0 ? 2 : 0; /* not even a greeting */
}

static void stranger_is_refused__by_modes_and_by_the_manager(void **state)
{
    weir_scope *outside;

    (void)state;
    NEEDS_ANOTHER_USER;
    assert_int_equal(in_child(connect_as_stranger, STRANGER), 0); /* the folder's mode */
    /* Somebody opens folder and socket to all: then who calls is looked at. */
    assert_int_equal(chmod(folder, 0711), 0);
    assert_int_equal(chmod(address, 0666), 0);
    assert_int_equal(in_child(connect_as_stranger, STRANGER), 0);
    for (int i = 0; i < 200; i++) /* more than there are places to wait in */
        assert_int_equal(in_child(listen_as_stranger, STRANGER), 0);
    outside = weir_scope_connect(address, NULL, 0); /* its own user is served as before */
    assert_non_null(outside);
    assert_int_equal(weir_scope_blocks(outside, NULL, 0), 0);
    weir_scope_disconnect(outside);
    assert_int_equal(chmod(folder, 0700), 0);
}

/* Another user's socket at the address: a manager that is none of ours is not spoken to. */
static int listen_at_address(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), client;
    char byte;

    snprintf(name.sun_path, sizeof(name.sun_path), "%s/other", folder);
    if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 || chmod(name.sun_path, 0666) < 0 ||
        listen(fd, 1) < 0)
        return 1;
    client = accept(fd, NULL, NULL);
    return recv(client, &byte, 1, 0) == 0 ? 0 : 2; /* it hears nothing */
}

static void strangers_manager_is_refused__when_it_listens_at_the_address(void **state)
{
    char other[128];
    struct stat st;
    int status = -1;
    pid_t pid;

    (void)state;
    NEEDS_ANOTHER_USER;
    snprintf(other, sizeof(other), "%s/other", folder);
    assert_int_equal(chmod(folder, 0777), 0);
    pid = fork();
    if (pid == 0)
        _exit(in_child(listen_at_address, STRANGER));
    for (int i = 0; i < 500 && (stat(other, &st) < 0 || (st.st_mode & 0777) != 0666); i++)
        usleep(10000);
    assert_null(weir_scope_connect(other, NULL, 0));
    for (int i = 0; i < 100 && weir_last_error()->code == -ECONNREFUSED; i++) {
        usleep(10000); /* it has a name, but does not listen yet */
        assert_null(weir_scope_connect(other, NULL, 0));
    }
    assert_int_equal(weir_last_error()->code, -EPERM);
    assert_non_null(strstr(weir_last_error()->message, "user 65534 listens"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(chmod(folder, 0700), 0);
}

static void strangers_block_is_refused__when_it_is_passed_or_tracked(void **state)
{
    int fd, block;
    weir_shm *shm;
    json_t *reply;

    (void)state;
    NEEDS_ANOTHER_USER;
    fd = dial_and_greet();
    block = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    shm = weir_shm_create("weirtest-theirs", 10, 0);
    assert_int_equal(ftruncate(block, 10), 0);
    assert_int_equal(fchown(block, STRANGER, STRANGER), 0);
    assert_int_equal(weir__frame_send_with(fd, json_pack("{s:{}}", "make"), block), 0);
    reply = hear(fd);
    assert_int_equal(json_integer_value(json_object_get(reply, "error")), -EPERM);
    json_decref(reply);
    assert_int_equal(chown("/dev/shm/weirtest-theirs", STRANGER, STRANGER), 0);
    assert_int_equal(weir_scope_track(scope, "weirtest-theirs"), -EPERM);
    assert_int_equal(weir_scope_blocks(scope, NULL, 0), 0);
    assert_int_equal(unlink("/dev/shm/weirtest-theirs"), 0);
    weir_shm_close(shm);
    close(block);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPEN(arrays_belong_to_the_scope__when_made_by_a_connected_program),
        OPEN(dictionaries_belong_to_the_scope__when_made_by_a_connected_program),
        OPEN(named_objects_are_good_everywhere__when_made_by_the_scopes_program),
        OPEN(limit_is_said_and_records_are_reused__when_65536_blocks_are_made),
        OPEN(scope_is_sound__when_a_process_can_map_no_more_objects),
        OPEN(request_is_refused_or_harmless__when_any_byte_is_changed),
        OPEN(stranger_is_refused__by_modes_and_by_the_manager),
        OPEN(strangers_manager_is_refused__when_it_listens_at_the_address),
        OPEN(strangers_block_is_refused__when_it_is_passed_or_tracked),
    };

    if (!leak_isolate()) {
        print_message("skipped: needs root or user namespaces for a /dev/shm of its own\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
