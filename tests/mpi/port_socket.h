/* SPDX-License-Identifier: MIT
 *
 * port_socket.h: a port (pool/mpi/port.h) over stream sockets.
 */
#ifndef TEST_MPI_PORT_SOCKET_H
#define TEST_MPI_PORT_SOCKET_H

#include "pool/mpi/port.h"

/* `sockets`: one to each node, nonblocking; -1 to itself. Copied. NULL: no memory. */
struct weir__port *port_socket_new(int node, int nodes, const int *sockets);
void port_socket_free(struct weir__port *port);

#endif
