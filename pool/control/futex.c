/* SPDX-License-Identifier: MIT
 *
 * futex.c: sleeping on a word of shared memory.
 *
 * The futexes are not private: waiter and waker are different processes. A waker that is killed
 * before its call leaves the waiter asleep; so each caller bounds its wait, or is woken by the
 * supervisor after each death.
 */
#include "pool/control/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/control/no_malloc.h"

int weir__futex_wait(const _Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns)
{
    struct timespec limit = {timeout_ns / 1000000000, timeout_ns % 1000000000};

    if (syscall(SYS_futex, word, FUTEX_WAIT, seen, timeout_ns < 0 ? NULL : &limit, NULL, 0) == 0 ||
        errno == EAGAIN)
        return 0;
    return -errno;
}

void weir__futex_wake(const _Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}
