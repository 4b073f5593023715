/* SPDX-License-Identifier: MIT
 *
 * binding.h: which CPUs the pool of a node gets.
 */
#ifndef WEIR_BINDING_H
#define WEIR_BINDING_H

#include <stdbool.h>

#include "pool/mpi/launcher.h"

/* Lets the calling thread, and so what it forks, use the CPUs that are this node's.
 *
 * `any_binding`: they are what they are.
 * Returns 0, or a negative error whose message says what to type. */
int weir__binding_choose(const struct weir__launcher *launcher, bool any_binding);

#endif
