/* SPDX-License-Identifier: MIT
 *
 * The page behind a stand-alone block, in builds that have one: who runs over the end dies at the
 * first byte behind it. (A scope's blocks have such a page in every build: tests/manager.)
 */
#include "child.h"
#include "leak.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "weir-shm.h"

static const char *volatile expected;

/* 0: it died where it must. */
static void on_segv(int signal, siginfo_t *info, void *context)
{
    (void)context;
    _exit(signal == SIGSEGV && info->si_addr == expected ? 0 : 3);
}

/* Writes on to the end of the last page, which is the block's mapping, and one byte further. */
static void overrun(weir_shm *shm, bool write_there)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
    char *volatile buf = weir_shm_buf(shm);
    size_t size = (weir_shm_size(shm) + page - 1) / page * page;

    child_reset();
    sigaction(SIGSEGV, &action, NULL);
    memset(buf, 1, size);
    expected = buf + size;
    if (write_there)
        buf[size] = 1;
    else
        (void)*(volatile char *)(buf + size);
    _exit(4);
}

/* The page is the block's: nothing else can be mapped there, where an overrun would find it. */
static bool is_taken(weir_shm *shm)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *end = (char *)weir_shm_buf(shm) + (weir_shm_size(shm) + page - 1) / page * page;
    void *at = mmap(end, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (at != MAP_FAILED)
        munmap(at, page);
    return at == MAP_FAILED && errno == EEXIST;
}

static int status_of_overrun(weir_shm *shm, bool write_there)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0)
        overrun(shm, write_there);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void the_first_byte_behind_is_a_crash__made_or_attached(void **state)
{
    const size_t sizes[] = {1, 4095, 4096, 10000, 1 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        weir_shm *made = weir_shm_create(NULL, sizes[i], 0);
        weir_shm *attached = made == NULL ? NULL : weir_shm_attach(weir_shm_name(made));

        assert_non_null(attached);
        assert_true(is_taken(made) && is_taken(attached));
        assert_int_equal(status_of_overrun(made, true), 0);
        assert_int_equal(status_of_overrun(attached, false), 0);
        assert_int_equal(weir_shm_unlink(made), 0);
        weir_shm_close(attached);
        weir_shm_close(made);
    }
}

/* Its mapping is moved to where huge pages begin, and the page behind it comes along. */
static void the_first_byte_behind_is_a_crash__when_an_array_lies_in_huge_pages(void **state)
{
    const int64_t shape[] = {(3 << 20) + 1};

    (void)state;
    for (int i = 0; i < 5; i++) { /* at another distance from a huge page each time */
        weir_shm *before = weir_shm_create(NULL, 5000, 0);
        weir_array *array = weir_array_create(NULL, WEIR_UINT8, 1, shape, WEIR_ARRAY_HUGE);

        assert_non_null(array);
        assert_int_equal((uintptr_t)weir_shm_buf(weir_array_shm(array)) % (2 << 20), 0);
        assert_true(is_taken(weir_array_shm(array)));
        assert_int_equal(status_of_overrun(weir_array_shm(array), true), 0);
        weir_shm_unlink(weir_array_shm(array));
        weir_array_close(array);
        weir_shm_unlink(before);
        weir_shm_close(before);
    }
}

/* A guard page that is not unmapped with its block would use up the address space. */
static void no_address_is_lost__when_blocks_are_closed(void **state)
{
    weir_shm *first, *last = NULL;
    void *at;

    (void)state;
    first = weir_shm_create(NULL, 10000, 0);
    assert_non_null(first);
    at = weir_shm_buf(first);
    for (int i = 0; i < 100; i++) {
        weir_shm_unlink(first);
        weir_shm_close(first);
        first = last = weir_shm_create(NULL, 10000, 0);
        assert_non_null(last);
    }
    assert_ptr_equal(weir_shm_buf(last), at);
    weir_shm_unlink(last);
    weir_shm_close(last);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_byte_behind_is_a_crash__made_or_attached),
        TEST(the_first_byte_behind_is_a_crash__when_an_array_lies_in_huge_pages),
        TEST(no_address_is_lost__when_blocks_are_closed),
    };

    if (!WEIR_GUARD) {
        printf("skipped: this build has no guard pages behind stand-alone blocks (meson setup "
               "-Dguard=enabled, or --buildtype=debug)\n");
        return 77;
    }
    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
