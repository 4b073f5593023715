/* SPDX-License-Identifier: MIT
 *
 * leak.h: cmocka fixtures that check that a test left nothing behind.
 *
 *     cmocka_unit_test_setup_teardown(outcome__when_condition, leak_setup, leak_teardown)
 *     ...
 *     leak_isolate();
 *     return cmocka_run_group_tests(tests, NULL, NULL);
 *
 * leak_setup notes what there is; leak_teardown fails, and names what is new, unless these are as
 * they were: the files in /dev/shm, this process's descriptors, its shared mappings and its
 * children.
 */
#ifndef TEST_LEAK_H
#define TEST_LEAK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Gives this process (and its children) a /dev/shm of its own in a mount namespace, so that the
 * files of other programs that run meanwhile do not matter and every file in it is a test's. Needs
 * root or user namespaces. Call it once, before the tests, while the process has one thread.
 *
 * False if that is not possible: then only files whose names begin with what leak_name() gives are
 * looked at. */
bool leak_isolate(void);

/* Leaves nothing to leak_isolate's tmpfs but `size` bytes in all; only after it has returned true.
 */
bool leak_limit_shm(size_t size);

/* "weirtest-PID-WORD": a name in /dev/shm that no other test program uses. Up to four at a time are
 * valid. */
const char *leak_name(const char *word);

int leak_setup(void **state);
int leak_teardown(void **state);

#endif
