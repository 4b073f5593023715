/* SPDX-License-Identifier: MIT
 *
 * leave-out.c: a library that is loaded into each program of aarch64 under qemu-user, before the
 * program's own libraries, and leaves out tests that qemu makes fail. A test that fails leaves
 * things behind that make the tests after it fail, or wait for ever.
 *
 * It stands before cmocka's function that runs a program's tests, and passes on the tests that are
 * not in LIST, a copy of not-under-qemu in the root that qemu shows to the program. It prints those
 * that it leaves out, as report.py reads them.
 */
#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIST      "/etc/weir-not-under-qemu"
#define TESTS_MAX 1000

typedef int run_group(const char *, const struct CMUnitTest *, size_t, CMFixtureFunction,
                      CMFixtureFunction);

/* What the program starts may be one of this system's, which cannot load this library. */
__attribute__((constructor)) static void leave_the_environment(void)
{
    unsetenv("LD_PRELOAD");
}

/* What the program is called in the list: pool-for is tests/pool/test-for. False: it is no test
 * program. */
static bool name_of_program(char name[256])
{
    char path[1024], *folder, *program = strstr(program_invocation_name, "/test-");

    snprintf(path, sizeof(path), "%s", program_invocation_name);
    folder = basename(dirname(path));
    if (!program)
        return false;
    snprintf(name, 256, "%.100s-%.100s", folder, program + strlen("/test-"));
    return true;
}

/* Whether that line, "PROGRAM TEST: REASON", names it; TEST is * where it is the whole program. */
static bool names(const char *line, const char *program, const char *test)
{
    size_t length = strlen(program);

    if (strncmp(line, program, length) != 0 || line[length] != ' ')
        return false;
    line += length + 1;
    length = strlen(test);
    return strncmp(line, "*:", 2) == 0 || (strncmp(line, test, length) == 0 && line[length] == ':');
}

static bool is_listed(FILE *list, const char *program, const char *test)
{
    char line[1024];

    rewind(list);
    while (fgets(line, sizeof(line), list))
        if (names(line, program, test))
            return true;
    return false;
}

int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown)
{
    run_group *run = (run_group *)dlsym(RTLD_NEXT, "_cmocka_run_group_tests");
    static struct CMUnitTest left[TESTS_MAX];
    FILE *list = fopen(LIST, "re");
    char program[256];
    size_t kept = 0;

    if (!list || count > TESTS_MAX || !name_of_program(program))
        return run(group, tests, count, setup, teardown);
    for (size_t i = 0; i < count; i++) {
        if (is_listed(list, program, tests[i].name))
            printf("[ LEFT OUT ] %s\n", tests[i].name);
        else
            left[kept++] = tests[i];
    }
    fclose(list);
    fflush(stdout);
    return kept ? run(group, left, kept, setup, teardown) : 0;
}
