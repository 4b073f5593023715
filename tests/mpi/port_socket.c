/* SPDX-License-Identifier: MIT
 *
 * port_socket.c: a port over stream sockets.
 *
 * A message is its size and its bytes. What a socket does not take waits in the port, which
 * receive() also drives. The other end's death is silence: workers have its sockets, too.
 */
#include "port_socket.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct peer {
    int socket;
    unsigned char *out; /* out_size bytes wait, from out_sent on */
    size_t out_size, out_sent, out_room;
    uint64_t size; /* of the message that comes; its first bytes too */
    size_t got;    /* of size and message */
    void *message;
};

struct socket_port {
    struct weir__port port;
    int next; /* whose turn it is */
    void *latest;
    struct peer peers[];
};

static struct socket_port *of(const struct weir__port *port)
{
    return (struct socket_port *)(uintptr_t)port;
}

static void drive(struct peer *peer)
{
    while (peer->out_sent < peer->out_size) {
        const ssize_t sent = send(peer->socket, peer->out + peer->out_sent,
                                  peer->out_size - peer->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            peer->out_sent = peer->out_size; /* nobody reads it any more */
        if (sent <= 0)
            break;
        peer->out_sent += (size_t)sent;
    }
    if (peer->out_sent == peer->out_size)
        peer->out_sent = peer->out_size = 0;
}

static int append(struct peer *peer, const void *data, size_t size)
{
    if (peer->out_size + size > peer->out_room) {
        void *more = realloc(peer->out, 2 * (peer->out_size + size));

        if (more == NULL)
            return -ENOMEM;
        peer->out = more;
        peer->out_room = 2 * (peer->out_size + size);
    }
    memcpy(peer->out + peer->out_size, data, size);
    peer->out_size += size;
    return 0;
}

static int socket_send(struct weir__port *port, int to, const void *data, size_t size)
{
    struct peer *peer = &of(port)->peers[to];
    const uint64_t head = size;
    const size_t before = peer->out_size;

    if (append(peer, &head, sizeof head) < 0 || append(peer, data, size) < 0) {
        peer->out_size = before;
        return -ENOMEM;
    }
    drive(peer);
    return 0;
}

/* Reads what it can of `size` bytes that begin `skip` bytes into what is got; true: all there. */
static bool read_part(struct peer *peer, void *into, size_t skip, size_t size)
{
    while (peer->got < skip + size) {
        const ssize_t got = recv(peer->socket, (char *)into + (peer->got - skip),
                                 skip + size - peer->got, MSG_DONTWAIT);

        if (got <= 0)
            return false;
        peer->got += (size_t)got;
    }
    return true;
}

static bool read_message(struct peer *peer)
{
    if (!read_part(peer, &peer->size, 0, sizeof peer->size))
        return false;
    if (peer->message == NULL)
        peer->message = malloc(peer->size + 1);
    return peer->message != NULL && read_part(peer, peer->message, sizeof peer->size, peer->size);
}

static int socket_receive(struct weir__port *port, struct weir__port_message *message)
{
    struct socket_port *own = of(port);

    free(own->latest);
    own->latest = NULL;
    for (int i = 0; i < port->nodes; i++) {
        const int from = (own->next + i) % port->nodes;
        struct peer *peer = &own->peers[from];

        if (from == port->node)
            continue;
        drive(peer);
        if (!read_message(peer))
            continue;
        own->next = from + 1;
        own->latest = peer->message;
        *message = (struct weir__port_message){from, peer->size, peer->message};
        peer->message = NULL;
        peer->got = 0;
        return 1;
    }
    return 0;
}

static size_t socket_unsent(const struct weir__port *port)
{
    size_t unsent = 0;

    for (int i = 0; i < port->nodes; i++)
        unsent += of(port)->peers[i].out_size - of(port)->peers[i].out_sent;
    return unsent;
}

static const struct weir__port_functions functions = {
    .send = socket_send, .receive = socket_receive, .unsent = socket_unsent};

struct weir__port *port_socket_new(int node, int nodes, const int *sockets)
{
    struct socket_port *own = calloc(1, sizeof *own + (size_t)nodes * sizeof own->peers[0]);

    if (own == NULL)
        return NULL;
    own->port = (struct weir__port){&functions, node, nodes};
    for (int i = 0; i < nodes; i++)
        own->peers[i].socket = sockets[i];
    return &own->port;
}

void port_socket_free(struct weir__port *port)
{
    for (int i = 0; i < port->nodes; i++) {
        free(of(port)->peers[i].out);
        free(of(port)->peers[i].message);
    }
    free(of(port)->latest);
    free(of(port));
}
