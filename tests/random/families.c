/* SPDX-License-Identifier: MIT
 *
 * families.c: all families. The first one's first two kinds begin a scope and make a pool.
 */
#include "ops.h"

const struct family *const families[] = {
    &scope_family,      &list_family,    &dict_family,    &array_family,
    &arena_family,      &job_family,     &future_family,  &stream_family,
    &map_reduce_family, &process_family, &crowd_family,   &fork_family,
    &fault_family,      &ending_family,  &connect_family, NULL,
};
