/* SPDX-License-Identifier: MIT
 *
 * channel.c: a program's connection to a manager, and waiting for what the manager says or does.
 *
 * Invariants
 *  - No wait is without a limit: a manager that is stopped delays no caller for longer.
 *  - The manager is signalled by its pidfd alone, never by its number.
 *
 * Failure modes. The end of the socket is -EPIPE, silence is -ETIMEDOUT. Without a pidfd a manager
 * that hangs cannot be killed, and is left alone.
 */
#include "manager/host/channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/wire/protocol.h"
#include "shm/error.h"

#define KILL_WAIT_MS 1000 /* for a manager that was sent SIGKILL */

void weir__channel_init(struct weir__channel *channel, int timeout_ms)
{
    *channel = (struct weir__channel){
        .socket = -1, .manager_pidfd = -1, .timeout_ms = timeout_ms, .deadline_ms = INT64_MAX};
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
    result = weir__wait_readable(channel->socket, limit_ms);
    if (result == 1)
        result = weir__frame_receive(channel->socket, &message);
    else if (result == 0)
        result = -ETIMEDOUT;
    if (result == 1)
        return message;
    if (result == 0)
        return weir__fail_null(-EPIPE, "the manager has died");
    return weir__fail_null(result, "no answer from the manager within %d ms: %s",
                           channel->timeout_ms, strerror(-result));
}

/* Where orphans come back to this process, it reaps this one child of its own; elsewhere it has
 * none. */
static void reap(int pidfd)
{
    siginfo_t info;

    (void)TEMP_FAILURE_RETRY(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL));
}

bool weir__channel_wait_gone(const struct weir__channel *channel, int timeout_ms)
{
    const int64_t deadline_ms = weir__now_ms() + timeout_ms;

    if (channel->manager_pidfd < 0)
        return channel->socket < 0 || weir__wait_readable(channel->socket, deadline_ms) == 1;
    if (weir__wait_readable(channel->manager_pidfd, deadline_ms) != 1)
        return false;
    reap(channel->manager_pidfd);
    return true;
}

void weir__channel_kill_manager(const struct weir__channel *channel)
{
    if (channel->manager_pidfd < 0)
        return; /* its pid may be another process's by now; what it does later does no harm */
    pidfd_send_signal(channel->manager_pidfd, SIGKILL, NULL, 0);
    weir__channel_wait_gone(channel, KILL_WAIT_MS);
}
