/* SPDX-License-Identifier: MIT
 *
 * argument.h: what a task's argument points to in the program (WEIR_DEBUG).
 */
#ifndef WEIR_HOST_ARGUMENT_H
#define WEIR_HOST_ARGUMENT_H

#include "pool/control/argument.h"
#include "pool/host/spec.h"

/* Whether the environment, or this build of weir, asks for these checks. */
bool weir__debug_wanted(void);

/* For a pool that checks: describes what the spec's argument points to. *checked: the worker has to
 * compare it. 0, or -EINVAL: no worker can have it. */
int weir__argument_examine(const weir_pool *pool, const struct weir__job_spec *spec,
                           struct weir__argument *out, bool *checked);

/* For a pool that checks: 0, or -EINVAL when the array (`what` names it) is private memory. */
int weir__argument_check_shared(const char *what, const void *array);

#endif
