/* SPDX-License-Identifier: MIT
 *
 * descriptor.h: a descriptor that weir keeps open in the program.
 *
 * The number alone is not trusted: a program may close it (daemons close all from 3 on), and then
 * it is the number of a file of the program's own. So which open file it was is noted, and compared
 * before the first write, send or close.
 */
#ifndef WEIR_MANAGER_SPACE_DESCRIPTOR_H
#define WEIR_MANAGER_SPACE_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Private to each process; a forked child has a copy. Stays where it is while it is listed. */
struct weir__descriptor {
    int fd;     /* -1: none */
    int closed; /* before it was opened again: the number that the program has closed; else -1 */
    pid_t pid;  /* of a pidfd before Linux 6.9, whose inode does not tell it from others; else 0 */
    uint64_t device, inode;
    struct weir__descriptor *next, **link; /* on the list of the program's own; link NULL: not */
};

#define WEIR__DESCRIPTOR_NONE ((struct weir__descriptor){.fd = -1, .closed = -1})

/* Whether `fd` is open, and of this file; false if it cannot be looked at. Signal-safe. */
bool weir__is_file(int fd, uint64_t device, uint64_t inode);

/* Closes all numbers from `from` to `to`, or has exec close them. Needs no memory nor lock. */
void weir__close_numbers(int from, int to, bool by_exec);

/* Returns a descriptor that is not one of the three standard streams: fd itself, or a duplicate
 * with fd closed. A program that has closed its stdout must not print into weir's descriptors.
 * -1 (errno is set, fd is closed) when fd is negative or there is no descriptor left. */
int weir__above_streams(int fd);

/* Notes which open file `fd` is; negative: none. A pidfd's process is `pid`. */
void weir__descriptor_set(struct weir__descriptor *own, int fd);
void weir__descriptor_set_pidfd(struct weir__descriptor *own, int pidfd, pid_t pid);

/* Whether the number still is that open file, as far as can be seen: true if it is open and cannot
 * be looked at. False for none. Signal-safe, but for a pidfd before Linux 6.9. */
bool weir__descriptor_is_own(const struct weir__descriptor *own);

/* The number, or -1 if it is that of another file by now, or of none. */
int weir__descriptor_fd(const struct weir__descriptor *own);

/* Closes it, and then there is none. Returns -1; or the number that the program has closed: that
 * was left alone. */
int weir__descriptor_close(struct weir__descriptor *own);

/* Opens the pidfd again that the program has closed. It is the same process if it has the same
 * inode, so before Linux 6.9 this is false. */
bool weir__descriptor_reopen_pidfd(struct weir__descriptor *own, pid_t pid);

/* The list of the program's own: what no process that a pool forks is to keep. A descriptor is made
 * and listed, and a process forked, with the lock; so no process is forked in between. */
void weir__descriptors_lock(void);
void weir__descriptors_unlock(void);
void weir__descriptor_list(struct weir__descriptor *own);
/* A pair of sockets of AF_UNIX, listed, both above the standard streams. `type`: SOCK_..., to which
 * SOCK_CLOEXEC is added. 0, or a negative errno: there is none of both then. */
int weir__descriptor_socket_pair(struct weir__descriptor *one, struct weir__descriptor *other,
                                 int type);
/* In the forked process: closes all that is listed but the `count` of `keep`, and unlocks. */
void weir__descriptors_close_all(struct weir__descriptor *const *keep, size_t count);

#endif
