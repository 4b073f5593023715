/* SPDX-License-Identifier: MIT
 *
 * port_mpi.h: the transport of a cluster, by MPI.
 *
 * All calls of MPI are in port_mpi.c, so that what is above it can be built once and run with the
 * MPI of any site.
 */
#ifndef WEIR_PORT_MPI_H
#define WEIR_PORT_MPI_H

#include "pool/mpi/port.h"

/* Begins MPI, and gathers `size` bytes of every node: *all is `size` bytes a node, in the order of
 * nodes, to be freed by the caller. Waits for all nodes, as MPI_Init does.
 *
 * The port is ended by its function close(), which ends MPI. A process begins MPI once: the second
 * time is -EBUSY.
 * Returns 0, or a negative error with a message. */
int weir__port_mpi_open(struct weir__port **port, const void *mine, size_t size, void **all);

/* What srun's option --mpi is to be for this MPI: "pmix" or "pmi2". */
const char *weir__port_mpi_pmi(void);

/* What this MPI calls itself: one line, without the line end. */
const char *weir__port_mpi_name(void);

#endif
