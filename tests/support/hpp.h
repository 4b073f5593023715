/* SPDX-License-Identifier: MIT
 *
 * hpp.h: what the tests of weir.hpp share.
 */
#ifndef TEST_HPP_H
#define TEST_HPP_H

#include <weir.hpp>

extern "C" {
#include "leak.h"
}

#include "sanitizer.h"

/* Of what can be asked whether it is there, too. */
#undef assert_true
#undef assert_false
#define assert_true(condition)  _assert_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define assert_false(condition) _assert_true((condition) ? 0 : 1, #condition, __FILE__, __LINE__)

#define UNIT(test) cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)

/* The error that the call throws, which has this code. */
template <typename Call> weir::error error_of(int code, Call call)
{
    try {
        call();
    } catch (const weir::error &thrown) {
        if (thrown.code() != code)
            fail_msg("code %d, not %d: %s", thrown.code(), code, thrown.what());
        return thrown;
    }
    fail_msg("no error, where %d was expected", code);
    throw 0; /* not reached */
}

inline void assert_has(const std::string &text, const char *part)
{
    if (text.find(part) == std::string::npos)
        fail_msg("no \"%s\" in: %s", part, text.c_str());
}

#endif
