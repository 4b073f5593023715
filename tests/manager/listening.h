/* SPDX-License-Identifier: MIT
 *
 * listening.h: for test programs each of whose tests has a scope that others connect to, in a
 * folder of its own.
 */
#ifndef TEST_MANAGER_LISTENING_H
#define TEST_MANAGER_LISTENING_H

#include "leak.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host.h"
#include "manager/wire/protocol.h"

static char folder[64], address[100];
static weir_scope *scope;

static inline int make_folder(void **state)
{
    strcpy(folder, "/tmp/weirtest-door-XXXXXX");
    if (leak_setup(state) || !mkdtemp(folder))
        return -1;
    snprintf(address, sizeof(address), "%s/door", folder);
    scope = NULL;
    return 0;
}

/* What is left in the folder is as much a leak as what is left in /dev/shm. */
static inline int remove_folder(void **state)
{
    int left = rmdir(folder);

    if (left)
        print_error("left behind: something in %s\n", folder);
    return leak_teardown(state) || left ? -1 : 0;
}

static inline int open_door(void **state)
{
    if (make_folder(state))
        return -1;
    scope = weir_scope_begin(&(weir_scope_options){.address = address});
    return scope ? 0 : -1;
}

static inline int close_door(void **state)
{
    int error = scope ? weir_scope_end(scope) : 0;

    if (shm_files() > 0) {
        print_error("left behind: %d files in /dev/shm\n", shm_files());
        error = -1;
    }
    return remove_folder(state) || error ? -1 : 0;
}

#define PLAIN(name) cmocka_unit_test_setup_teardown(name, make_folder, close_door)
#define OPEN(name)  cmocka_unit_test_setup_teardown(name, open_door, close_door)

/* A forked child does not outlive a test that fails. */
static inline void settle_child(void)
{
    child_reset();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Runs a part of a test as another program would, perhaps as another user: in a child without the
 * scope's descriptors. It reports by its exit status; 0 is good. */
static inline int in_child(int (*run)(void), uid_t uid)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        settle_child();
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        if (uid && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
            _exit(99);
        _exit(run());
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A client that speaks the protocol by itself. */
static inline int dial(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(name.sun_path, address);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static inline json_t *hear(int fd)
{
    json_t *message = NULL;

    return weir__frame_receive(fd, &message) == 1 ? message : NULL;
}

static inline json_t *say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return NULL;
    return hear(fd);
}

/* The reply's error code; 0 when it is none; 1 when the manager closed instead. */
static inline int verdict(json_t *reply)
{
    int code = !reply ? 1 : (int)json_integer_value(json_object_get(reply, "error"));

    json_decref(reply);
    return code;
}

static inline bool is_closed(int fd)
{
    json_t *more = hear(fd);

    json_decref(more);
    return more == NULL;
}

#endif
