/* SPDX-License-Identifier: MIT
 *
 * scopes.h: the same tests with anonymous scopes.
 *
 * A program that is linked with test_anonymous_dep begins its scopes as anonymous ones when
 * WEIR_TEST_ANONYMOUS is set in its environment; those with an address stay as they are.
 */
#ifndef TEST_SCOPES_H
#define TEST_SCOPES_H

#include <stdbool.h>

bool scopes_are_anonymous(void);

#endif
