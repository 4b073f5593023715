/* SPDX-License-Identifier: MIT
 *
 * scopes.c: every weir_scope_begin() of a test program, by ld's --wrap. See scopes.h.
 */
#include "scopes.h"

#include <stdlib.h>
#include <weir-scope.h>

weir_scope *__real_weir_scope_begin(const weir_scope_options *options);
weir_scope *__wrap_weir_scope_begin(const weir_scope_options *options);

bool scopes_are_anonymous(void)
{
    return getenv("WEIR_TEST_ANONYMOUS") != NULL;
}

weir_scope *__wrap_weir_scope_begin(const weir_scope_options *options)
{
    weir_scope_options changed = options != NULL ? *options : (weir_scope_options){0};

    if (!scopes_are_anonymous() || changed.address != NULL || changed.authkey_size != 0)
        return __real_weir_scope_begin(options);
    changed.anonymous = true;
    return __real_weir_scope_begin(&changed);
}
