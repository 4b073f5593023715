/* SPDX-License-Identifier: MIT
 *
 * scopes.c: every weir_begin() of a test program, by ld's --wrap. See scopes.h.
 */
#include "scopes.h"

#include <stdlib.h>
#include <weir-manager.h>

weir_manager *__real_weir_begin(const weir_options *options);
weir_manager *__wrap_weir_begin(const weir_options *options);

bool scopes_are_anonymous(void)
{
    return getenv("WEIR_TEST_ANONYMOUS") != NULL;
}

weir_manager *__wrap_weir_begin(const weir_options *options)
{
    weir_options changed = options != NULL ? *options : (weir_options){0};

    if (!scopes_are_anonymous() || changed.address != NULL || changed.authkey_size != 0)
        return __real_weir_begin(options);
    changed.anonymous = true;
    return __real_weir_begin(&changed);
}
