/* SPDX-License-Identifier: MIT
 *
 * last_error.h: what weir_cluster_last_error() gives.
 */
#ifndef WEIR_LAST_ERROR_H
#define WEIR_LAST_ERROR_H

#include "pool/mpi/weir-mpi.h"

/* Sets both of the thread's last errors and returns the code. */
int weir__cluster_fail_with(const weir_cluster_error *error);

/* The same about no node. */
int weir__cluster_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
