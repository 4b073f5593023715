/* SPDX-License-Identifier: MIT
 *
 * families.c: all families. The first one's first two kinds begin a scope and make a pool.
 */
#include "ops.h"

const struct family *const families[] = {
    &scope_family, &list_family, &dict_family, &job_family, NULL,
};
