/* SPDX-License-Identifier: MIT
 *
 * port.c: the transport alone, on all nodes that a launcher starts. Each node sends messages of all
 * sizes to every node, itself too, and receives as many: whole, and in the order of their sender.
 *
 *   port [ROUNDS]
 *
 * Node 0 writes "N nodes, N messages, N bytes" if all is right; otherwise a line on stderr, and the
 * status is 1.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "now.h"
#include "pool/mpi/port_mpi.h"
#include "weir-shm.h"

#define NODES_MOST 64
#define GIVE_UP_MS 30000

static const size_t sizes[] = {0,    1,    2,     7,     8,     4095,   4096,
                               4097, 9000, 65535, 65536, 65537, 262144, WEIR__PORT_MESSAGE_MAX};
#define SIZES (sizeof sizes / sizeof sizes[0])

static int node, nodes;
static size_t received[NODES_MOST], messages, bytes;

static void die(const char *what, int from, size_t number)
{
    fprintf(stderr, "node %d: %s (node %d, message %zu): %s\n", node, what, from, number,
            weir_last_error()->message);
    exit(1);
}

/* The byte at a place of a message of a node's. */
static unsigned char byte_at(int from, size_t number, size_t i)
{
    return (unsigned char)((i * 31 + number * 7 + (size_t)from * 3) ^ (i >> 9));
}

static void fill(unsigned char *data, size_t number)
{
    for (size_t i = 0; i < sizes[number % SIZES]; i++)
        data[i] = byte_at(node, number, i);
}

static void check(const struct weir__port_message *message)
{
    const unsigned char *data = message->data;
    size_t number;

    if (message->from < 0 || message->from >= nodes)
        die("a message of a node that is none", message->from, 0);
    number = received[message->from]++;
    if (message->size != sizes[number % SIZES])
        die("another size, or another order", message->from, number);
    if ((uintptr_t)data % _Alignof(max_align_t) != 0)
        die("a message is not aligned", message->from, number);
    for (size_t i = 0; i < message->size; i++)
        if (data[i] != byte_at(message->from, number, i))
            die("other bytes", message->from, number);
    messages++;
    bytes += message->size;
}

/* Takes what is there; whether something was. */
static bool receive(struct weir__port *port)
{
    struct weir__port_message message;
    int code = port->functions->receive(port, &message);

    if (code < 0)
        die("receive()", -1, 0);
    if (code == 1)
        check(&message);
    return code == 1;
}

static void send_all(struct weir__port *port, size_t count)
{
    unsigned char *data = malloc(WEIR__PORT_MESSAGE_MAX + 1);

    if (data == NULL)
        die("malloc()", -1, 0);
    if (port->functions->send(port, 0, data, WEIR__PORT_MESSAGE_MAX + 1) >= 0 ||
        port->functions->send(port, nodes, data, 1) >= 0)
        die("what cannot be sent is", -1, 0);
    for (size_t number = 0; number < count; number++) {
        fill(data, number);
        for (int to = 0; to < nodes; to++)
            if (port->functions->send(port, to, data, sizes[number % SIZES]) < 0)
                die("send()", to, number);
        memset(data, 0xff, WEIR__PORT_MESSAGE_MAX); /* it has been copied */
        if (number % 3 == 0)
            (void)receive(port);
    }
    free(data);
}

/* Until all is here, and all has left. */
static void receive_all(struct weir__port *port, size_t count)
{
    const double until = now_ms() + GIVE_UP_MS;

    while (messages < count * (size_t)nodes || port->functions->unsent(port) > 0) {
        if (!receive(port))
            sleep_us(100);
        if (now_ms() > until)
            die("messages are missing", -1, messages);
    }
}

int main(int argc, char **argv)
{
    size_t count = SIZES * (argc > 1 ? strtoul(argv[1], NULL, 10) : 3);
    struct weir__port *port;
    int mine, *all;
    void *gathered;

    mine = (int)getpid();
    if (weir__port_mpi_open(&port, &mine, sizeof mine, &gathered) < 0)
        die("open()", -1, 0);
    node = port->node;
    nodes = port->nodes;
    all = gathered;
    if (nodes > NODES_MOST || all[node] != mine)
        die("gathered", node, 0);
    free(gathered);
    send_all(port, count);
    receive_all(port, count);
    for (int from = 0; from < nodes; from++)
        if (received[from] != count)
            die("another number of messages", from, received[from]);
    port->functions->close(port);
    if (node == 0)
        printf("%d nodes, %zu messages, %zu bytes\n", nodes, messages, bytes);
    return 0;
}
