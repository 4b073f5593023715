/* SPDX-License-Identifier: MIT
 *
 * Whether a number is still weir's own open file, also where the file cannot be looked at.
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/space/descriptor.h"
#include "manager/space/pidfd.h"

#define UNIT(test) cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)

static int fstat_error; /* 0: the system's */

int __real_fstat64(int fd, struct stat *status);
int __wrap_fstat64(int fd, struct stat *status);

int __wrap_fstat64(int fd, struct stat *status)
{
    if (fstat_error == 0)
        return __real_fstat64(fd, status);
    errno = fstat_error;
    return -1;
}

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void a_number_is_own__until_it_is_closed_or_another_files(void **state)
{
    struct weir__descriptor own = WEIR__DESCRIPTOR_NONE;
    int ends[2];

    (void)state;
    assert_false(weir__descriptor_is_own(&own));
    assert_int_equal(pipe(ends), 0);
    weir__descriptor_set(&own, ends[0]);
    assert_true(weir__descriptor_is_own(&own));
    assert_int_equal(close(ends[0]), 0);
    assert_false(weir__descriptor_is_own(&own));
    assert_int_equal(open_null(), ends[0]);
    assert_false(weir__descriptor_is_own(&own));
    assert_int_equal(weir__descriptor_close(&own), ends[0]);
    assert_int_equal(close(ends[0]), 0); /* it had been left alone */
    close(ends[1]);
}

static void a_number_is_own__when_its_file_cannot_be_looked_at(void **state)
{
    static const int errors[] = {ENOMEM, EPERM, ENOSYS};
    struct weir__descriptor own;
    int fd = open_null();

    (void)state;
    weir__descriptor_set(&own, fd);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        fstat_error = errors[i];
        assert_true(weir__descriptor_is_own(&own));
        assert_int_equal(weir__descriptor_fd(&own), fd);
        assert_false(weir__is_file(fd, own.device, own.inode));
    }
    fstat_error = EBADF;
    assert_false(weir__descriptor_is_own(&own));
    fstat_error = 0;
    assert_int_equal(weir__descriptor_close(&own), -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void a_number_is_own__when_its_file_could_not_be_looked_at_before(void **state)
{
    struct weir__descriptor own;
    int fd = open_null();

    (void)state;
    fstat_error = ENOMEM;
    weir__descriptor_set(&own, fd);
    fstat_error = 0;
    assert_true(weir__descriptor_is_own(&own));
    assert_int_equal(weir__descriptor_close(&own), -1);
    assert_false(weir__descriptor_is_own(&own));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* Before Linux 6.9 the kernel is asked by a file of /proc, which takes a descriptor. */
static void a_pidfd_is_own__when_no_descriptor_is_left(void **state)
{
    struct rlimit before, none;
    struct weir__descriptor own;
    int fd = weir__pidfd_open(getpid());

    (void)state;
    assert_true(fd >= 0);
    weir__descriptor_set_pidfd(&own, fd, getpid());
    own.pid = getpid();
    assert_true(weir__descriptor_is_own(&own));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_true(weir__descriptor_is_own(&own));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    own.pid = getpid() + 1;
    assert_false(weir__descriptor_is_own(&own));
    own.pid = getpid();
    assert_int_equal(weir__descriptor_close(&own), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_number_is_own__until_it_is_closed_or_another_files),
        UNIT(a_number_is_own__when_its_file_cannot_be_looked_at),
        UNIT(a_number_is_own__when_its_file_could_not_be_looked_at_before),
        UNIT(a_pidfd_is_own__when_no_descriptor_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
