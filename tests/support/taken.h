/* SPDX-License-Identifier: MIT
 *
 * taken.h: numbers of descriptors that are closed under weir, and files of the program's own that
 * get these numbers.
 */
#ifndef TEST_TAKEN_H
#define TEST_TAKEN_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAKEN_MAX  64
#define TAKEN_TEXT "precious data\n"

enum taken_kind {
    TAKEN_NOT, /* the number stays closed */
    TAKEN_FILE,
    TAKEN_SOCKET,
    TAKEN_EVENT,
    TAKEN_CHILD, /* a pidfd of a child of the program's */
    TAKEN_KINDS
};

struct taken {
    enum taken_kind kind;
    int fd, other; /* other: the peer of a socket */
    pid_t child;
    struct stat was;
};

/* Which descriptors are open. */
static inline void open_numbers(bool open[TAKEN_MAX])
{
    for (int fd = 0; fd < TAKEN_MAX; fd++)
        open[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* Closes the number, and gives it to a file of that kind. False: that is not possible. */
static inline bool take_over(struct taken *taken, int fd, enum taken_kind kind)
{
    int own = -1, pair[2];

    *taken = (struct taken){.kind = kind, .fd = fd, .other = -1};
    if (kind == TAKEN_FILE) {
        own = memfd_create("own", MFD_CLOEXEC);
        if (write(own, TAKEN_TEXT, strlen(TAKEN_TEXT)) < 0)
            return false;
    } else if (kind == TAKEN_SOCKET) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            return false;
        own = pair[0];
        taken->other = pair[1];
    } else if (kind == TAKEN_EVENT) {
        own = eventfd(7, EFD_CLOEXEC | EFD_NONBLOCK);
    } else if (kind == TAKEN_CHILD) {
        taken->child = fork();
        if (taken->child == 0) {
            pause();
            _exit(0);
        }
        own = pidfd_open(taken->child, 0);
    }
    close(fd);
    if (kind == TAKEN_NOT)
        return true;
    if (own < 0 || dup2(own, fd) != fd)
        return false;
    close(own);
    return fstat(fd, &taken->was) == 0;
}

static inline bool is_file_intact(int fd)
{
    char text[100] = "";

    return pread(fd, text, sizeof text - 1, 0) == (ssize_t)strlen(TAKEN_TEXT) &&
           strcmp(text, TAKEN_TEXT) == 0;
}

/* What was done to it: NULL, nothing; closes it if it is still open. */
static inline const char *look_at_taken(struct taken *taken)
{
    struct pollfd other = {.fd = taken->other, .events = POLLIN | POLLRDHUP};
    const char *wrong = NULL;
    struct stat st;
    uint64_t count = 0;
    siginfo_t info = {.si_pid = 0};

    if (taken->kind == TAKEN_NOT)
        return fcntl(taken->fd, F_GETFD) >= 0 ? "a closed number is open" : NULL;
    if (fstat(taken->fd, &st) < 0 || st.st_ino != taken->was.st_ino ||
        st.st_dev != taken->was.st_dev)
        return "the program's descriptor was closed";
    if (taken->kind == TAKEN_FILE &&
        (!is_file_intact(taken->fd) || st.st_size != taken->was.st_size))
        wrong = "the program's file was written to";
    if (taken->kind == TAKEN_SOCKET && poll(&other, 1, 0) != 0)
        wrong = "the program's socket was used";
    if (taken->kind == TAKEN_EVENT &&
        (read(taken->fd, &count, sizeof count) != sizeof count || count != 7))
        wrong = "the program's eventfd was used";
    if (taken->kind == TAKEN_CHILD) {
        if (waitid(P_PID, (id_t)taken->child, &info, WEXITED | WNOHANG) < 0 || info.si_pid != 0)
            wrong = "the program's child was killed or reaped";
        kill(taken->child, SIGKILL);
        waitpid(taken->child, NULL, 0);
    }
    close(taken->fd);
    if (taken->other >= 0)
        close(taken->other);
    return wrong;
}

#endif
