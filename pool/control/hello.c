/* SPDX-License-Identifier: MIT
 *
 * hello.c: sending a message over a lifeline.
 *
 * It is a SOCK_SEQPACKET socket: a message arrives whole or not at all. A process that is killed
 * before it has sent its hello closes its end of the socket, which the host sees. Nothing here
 * waits: the process at the other end may be stopped.
 */
#include "pool/control/hello.h"

#include <errno.h>
#include <sys/socket.h>

#include "pool/control/no_malloc.h"

bool weir__lifeline_send(int lifeline, const void *message, size_t size)
{
    ssize_t sent;

    do
        sent = send(lifeline, message, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size;
}
