/* SPDX-License-Identifier: MIT
 *
 * channel.c: a program's connection to a manager, and waiting for what the manager says or does.
 *
 * Invariants
 *  - No wait is without a limit: a manager that is stopped delays no caller for longer.
 *  - The manager is signalled by its pidfd alone, never by its number.
 *  - A descriptor that the program has closed is not used, whatever has its number now.
 *
 * Failure modes. The end of the socket is -EPIPE, silence is -ETIMEDOUT. Without a pidfd a manager
 * that hangs cannot be killed, and is left alone.
 */
#include "manager/host/channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/space/pidfd.h"
#include "manager/wire/protocol.h"
#include "shm/error.h"
#include "shm/retry.h"

#define KILL_WAIT_MS 1000 /* for a manager that was sent SIGKILL */

void weir__channel_init(struct weir__channel *channel, int timeout_ms)
{
    *channel = (struct weir__channel){.socket = WEIR__DESCRIPTOR_NONE,
                                      .manager_pidfd = WEIR__DESCRIPTOR_NONE,
                                      .timeout_ms = timeout_ms,
                                      .deadline_ms = INT64_MAX};
}

int weir__wait_readable(int fd, int64_t deadline_ms)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    int n;

    do {
        int64_t remaining = deadline_ms - weir__now_ms();

        n = poll(&item, 1, remaining > 0 ? (int)remaining : 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

json_t *weir__channel_receive(const struct weir__channel *channel)
{
    int64_t limit_ms = weir__now_ms() + channel->timeout_ms;
    json_t *message = NULL;
    int result;

    if (limit_ms > channel->deadline_ms)
        limit_ms = channel->deadline_ms;
    result = weir__wait_readable(channel->socket.fd, limit_ms);
    if (result == 1)
        result = weir__frame_receive(channel->socket.fd, &message);
    else if (result == 0)
        result = -ETIMEDOUT;
    if (result == 1)
        return message;
    if (result == 0)
        return weir__fail_null(-EPIPE, "the manager has died");
    return weir__fail_null(result, "no answer from the manager within %d ms: %s",
                           channel->timeout_ms, strerror(-result));
}

int weir__channel_check(const struct weir__channel *channel)
{
    if (weir__descriptor_is_own(&channel->socket))
        return 0;
    return weir__fail(-EBADF, "the program has closed descriptor %d, the connection to the manager",
                      channel->socket.fd);
}

/* Where orphans come back to this process, it reaps this one child of its own; elsewhere it has
 * none. */
static void reap(int pidfd)
{
    siginfo_t info;

    (void)TEMP_FAILURE_RETRY(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL));
}

/* The manager's pidfd, opened again if the program has closed it. -1: there is none; *gone: because
 * there is no such process any more. */
static int own_pidfd(struct weir__channel *channel, bool *gone)
{
    struct weir__descriptor *own = &channel->manager_pidfd;

    *gone = false;
    if (own->fd < 0 || weir__descriptor_is_own(own))
        return own->fd;
    if (weir__descriptor_reopen_pidfd(own, channel->manager_pid))
        return own->fd;
    *gone = own->pid == 0; /* else there is no way to tell the process from another one */
    return -1;
}

bool weir__channel_wait_gone(struct weir__channel *channel, int timeout_ms)
{
    const int64_t deadline_ms = weir__now_ms() + timeout_ms;
    const bool has_pidfds = channel->manager_pidfd.fd >= 0;
    bool gone;
    int pidfd = own_pidfd(channel, &gone);

    if (pidfd < 0 && has_pidfds)
        return gone;
    if (pidfd < 0)
        return channel->socket.fd < 0 ||
               (weir__descriptor_is_own(&channel->socket) &&
                weir__wait_readable(channel->socket.fd, deadline_ms) == 1);
    if (weir__wait_readable(pidfd, deadline_ms) != 1)
        return false;
    reap(pidfd);
    return true;
}

void weir__channel_kill_manager(struct weir__channel *channel)
{
    bool gone;
    int pidfd = own_pidfd(channel, &gone);

    if (pidfd < 0)
        return; /* its pid may be another process's by now; what it does later does no harm */
    weir__pidfd_send_signal(pidfd, SIGKILL);
    weir__channel_wait_gone(channel, KILL_WAIT_MS);
}
