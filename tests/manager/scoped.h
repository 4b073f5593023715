/* SPDX-License-Identifier: MIT
 *
 * scoped.h: for test programs each of whose tests has a scope of its own, which ends with it.
 */
#ifndef TEST_MANAGER_SCOPED_H
#define TEST_MANAGER_SCOPED_H

#include "leak.h"

#include <weir-scope.h>

static weir_scope *scope;

static inline int setup(void **state)
{
    if (leak_setup(state))
        return -1;
    scope = weir_scope_begin(NULL);
    return scope ? 0 : -1;
}

static inline int teardown(void **state)
{
    int error = weir_scope_end(scope);

    return leak_teardown(state) || error;
}

#endif
