/* SPDX-License-Identifier: MIT
 *
 * pidfd.h: the system calls of pidfds, for which not every libc has functions.
 */
#ifndef WEIR_MANAGER_SPACE_PIDFD_H
#define WEIR_MANAGER_SPACE_PIDFD_H

#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Closed by exec. -1: errno. */
static inline int weir__pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* 0, or -1: errno. */
static inline int weir__pidfd_send_signal(int pidfd, int number)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

#endif
