/* SPDX-License-Identifier: MIT
 *
 * analyzer.h: what clang's analyzer must know of weir's other files, which it does not read: a call
 * that fails returns a negative number. tidy.py has it included first.
 */
#include "shm/error.h"

static inline int weir__fail_known(int code)
{
    return code < 0 ? code : -1;
}

#define weir__fail(code, ...) ((void)(0, __VA_ARGS__), weir__fail_known(code))
