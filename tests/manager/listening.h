/* SPDX-License-Identifier: MIT
 *
 * listening.h: for test programs each of whose tests has a scope that others connect to, in a
 * folder of its own.
 */
#ifndef TEST_MANAGER_LISTENING_H
#define TEST_MANAGER_LISTENING_H

#include "leak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

#endif
