/* SPDX-License-Identifier: MIT
 *
 * hello.c: the first message of a process that the host has forked.
 *
 * One message of a SOCK_SEQPACKET socket: it arrives whole or not at all. A process that is killed
 * before it closes its end of the socket, which the host sees.
 */
#include "pool/control/hello.h"

#include <errno.h>
#include <sys/socket.h>

#include "pool/control/no_malloc.h"

bool weir__say_hello(int lifeline, const struct weir__hello *hello)
{
    ssize_t sent;

    do
        sent = send(lifeline, hello, sizeof(*hello), MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof(*hello);
}
