/* SPDX-License-Identifier: MIT
 *
 * Clients that speak the protocol by themselves, and wrongly: frames and requests of other forms,
 * descriptors that are not of a new block, and very many of them at once.
 */
#include "entries.h"
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listening.h"
#include "manager/host/state.h"
#include "manager/scope_file/scope_file.h"
#include "manager/wire/protocol.h"
#include "sanitizer.h"

/* The manager's; the sanitizer's own memory is not its fault. */
#define RESIDENT_MAX_KB (ADDRESS_SANITIZER ? 131072 : 8192)

/* ---- raw clients ---------------------------------------------------------------------------- */

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

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    return count_entries(path);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPEN(client_is_closed__when_it_does_not_say_hello),
        OPEN(request_is_refused__when_it_is_of_another_form),
        OPEN(descriptor_is_refused__when_it_is_not_of_a_new_block),
        OPEN(scope_is_unharmed__when_a_thousand_connections_are_made),
        OPEN(next_one_is_turned_away__when_128_are_connected),
    };

    if (!leak_isolate()) {
        print_message("skipped: needs root or user namespaces for a /dev/shm of its own\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
