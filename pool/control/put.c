/* SPDX-License-Identifier: MIT
 *
 * put.c: text on stderr in one piece.
 *
 * A terminal takes the whole of a write() before that of another process, a pipe as much of it as
 * PIPE_BUF (4096 bytes) says, and a file that is open once for all processes likewise. So what is
 * written at once is not torn, and a process that is killed has written all of it or nothing.
 */
#include "pool/control/put.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "pool/control/no_malloc.h"

ssize_t weir__put(const char *text, size_t size)
{
    static const struct timespec now = {0, 0};
    sigset_t pipe_signal, before, pending;
    bool was_pending;
    ssize_t put;

    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
    put = write(STDERR_FILENO, text, size);
    if (put < 0) {
        put = -errno;
        if (put == -EPIPE && !was_pending)
            sigtimedwait(&pipe_signal, NULL, &now);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return put;
}

bool weir__may_put(void)
{
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
    pid_t foreground = tcgetpgrp(STDERR_FILENO); /* -1: another session's terminal */

    return (foreground < 0 || foreground == getpgrp()) && poll(&output, 1, 0) == 1 &&
           (output.revents & POLLOUT);
}
