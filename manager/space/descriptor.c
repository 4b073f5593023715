/* SPDX-License-Identifier: MIT
 *
 * descriptor.c: which open file a descriptor of weir's was, and which of them are the program's
 * own.
 *
 * A file in a file system, a socket, a pipe and (from Linux 6.9 on) a process have an inode number
 * of their own. All other files without a name share one, so weir keeps none of these by itself:
 * the files of a pool's event loop are known by what they watch (dispatch.c).
 *
 * Failure modes. An open file that cannot be looked at (no memory, no descriptor left, a sandbox)
 * is no sign that the program has closed weir's: it is taken for weir's own, as the number was
 * before; leaving it alone would make each end wait for its timeouts. A thread that closes a
 * descriptor between a look and a use can deceive this.
 */
#include "manager/space/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "manager/space/pidfd.h"
#include "manager/space/private_lock.h"

#define PIDFS_MAGIC 0x50494446
#define NUMBERS_MAX (1 << 20) /* of descriptors that are closed one by one */

#ifndef CLOSE_RANGE_CLOEXEC /* Linux 5.11 */
#define CLOSE_RANGE_CLOEXEC 4u
#endif
#ifndef SYS_close_range /* Linux 5.9; the same number on every machine */
#define SYS_close_range 436
#endif

static struct {
    struct weir__private_lock lock;
    struct weir__descriptor *first;
} listed;

/* 0 or a negative errno. */
static int look_at(int fd, uint64_t *device, uint64_t *inode)
{
    struct stat st;

    if (fd < 0)
        return -EBADF;
    if (fstat(fd, &st) < 0)
        return -errno;
    *device = st.st_dev;
    *inode = st.st_ino;
    return 0;
}

bool weir__is_file(int fd, uint64_t device, uint64_t inode)
{
    uint64_t on = 0, number = 0;

    return look_at(fd, &on, &number) == 0 && on == device && number == inode;
}

/* errno stays as the call that made the descriptor has left it. */
void weir__descriptor_set(struct weir__descriptor *own, int fd)
{
    int saved = errno;

    *own = WEIR__DESCRIPTOR_NONE;
    own->fd = fd;
    look_at(fd, &own->device, &own->inode);
    errno = saved;
}

static bool has_inode_of_its_own(int pidfd)
{
    struct statfs fs;

    return fstatfs(pidfd, &fs) == 0 && fs.f_type == PIDFS_MAGIC;
}

void weir__descriptor_set_pidfd(struct weir__descriptor *own, int pidfd, pid_t pid)
{
    weir__descriptor_set(own, pidfd);
    if (pidfd >= 0 && !has_inode_of_its_own(pidfd))
        own->pid = pid;
}

/* By what the kernel says of the pidfd, if it can be asked. -1 in it: the process has been reaped;
 * but then another pidfd of a reaped process says the same, and the one is as good as the other. */
static bool is_pidfd_of(int fd, pid_t pid)
{
    char path[40], text[512];
    const char *found;
    ssize_t n;
    int info, number;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = open(path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return true;
    n = read(info, text, sizeof(text) - 1);
    close(info);
    if (n <= 0)
        return true;
    text[n] = '\0';
    found = strstr(text, "\nPid:");
    return found && sscanf(found, "\nPid:%d", &number) == 1 && (number == pid || number == -1);
}

bool weir__descriptor_is_own(const struct weir__descriptor *own)
{
    uint64_t device = 0, inode = 0;
    const int error = look_at(own->fd, &device, &inode);

    if (error != 0)
        return error != -EBADF;
    if (own->device == 0 && own->inode == 0) /* it could not be looked at when it was made */
        return true;
    return device == own->device && inode == own->inode &&
           (own->pid == 0 || is_pidfd_of(own->fd, own->pid));
}

int weir__descriptor_fd(const struct weir__descriptor *own)
{
    return weir__descriptor_is_own(own) ? own->fd : -1;
}

int weir__above_streams(int fd)
{
    int above, error;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    error = errno;
    close(fd);
    errno = error;
    return above;
}

/* In the intermediate of launch.c too, on a stack that a sanitizer does not know. */
__attribute__((no_sanitize("address", "undefined"))) void weir__close_numbers(int from, int to,
                                                                              bool by_exec)
{
    struct rlimit limit = {.rlim_cur = NUMBERS_MAX};

    if (from > to || syscall(SYS_close_range, from, to, by_exec ? CLOSE_RANGE_CLOEXEC : 0) == 0)
        return;
    /* before Linux 5.9 (5.11 by exec), or in a sandbox that does not know it */
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = from; fd <= to && fd < NUMBERS_MAX && (rlim_t)fd < limit.rlim_cur; fd++) {
        if (by_exec)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        else
            close(fd);
    }
}

int weir__descriptor_close(struct weir__descriptor *own)
{
    const bool is_listed = own->link != NULL;
    int lost = own->closed;

    if (is_listed) {
        weir__descriptors_lock();
        *own->link = own->next;
        if (own->next)
            own->next->link = own->link;
    }
    if (own->fd >= 0) {
        if (weir__descriptor_is_own(own))
            close(own->fd);
        else
            lost = own->fd;
    }
    *own = WEIR__DESCRIPTOR_NONE;
    if (is_listed)
        weir__descriptors_unlock();
    return lost;
}

bool weir__descriptor_reopen_pidfd(struct weir__descriptor *own, pid_t pid)
{
    bool same;
    int pidfd;

    if (own->fd < 0 || own->pid != 0 || own->inode == 0 || pid <= 0)
        return false;
    weir__descriptors_lock();
    same = weir__descriptor_is_own(own); /* another thread has opened it */
    if (!same) {
        pidfd = weir__pidfd_open(pid);
        same = weir__is_file(pidfd, own->device, own->inode);
        if (same && own->closed < 0)
            own->closed = own->fd;
        if (same)
            own->fd = pidfd;
        else if (pidfd >= 0)
            close(pidfd);
    }
    weir__descriptors_unlock();
    return same;
}

/* ---- the program's own ---------------------------------------------------------------------- */

void weir__descriptors_lock(void)
{
    weir__private_lock(&listed.lock);
}

void weir__descriptors_unlock(void)
{
    weir__private_unlock(&listed.lock);
}

void weir__descriptor_list(struct weir__descriptor *own)
{
    if (own->fd < 0 || own->link)
        return;
    own->next = listed.first;
    own->link = &listed.first;
    if (own->next)
        own->next->link = &own->next;
    listed.first = own;
}

int weir__descriptor_socket_pair(struct weir__descriptor *one, struct weir__descriptor *other,
                                 int type)
{
    int ends[2] = {-1, -1}, error = 0;

    weir__descriptors_lock();
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0)
        error = errno;
    weir__descriptor_set(one, weir__above_streams(ends[0]));
    weir__descriptor_set(other, weir__above_streams(ends[1]));
    weir__descriptor_list(one);
    weir__descriptor_list(other);
    weir__descriptors_unlock();
    if (one->fd >= 0 && other->fd >= 0)
        return 0;
    weir__descriptor_close(one);
    weir__descriptor_close(other);
    return error != 0 ? -error : -EMFILE;
}

static bool is_among(const struct weir__descriptor *own, struct weir__descriptor *const *keep,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (own == keep[i])
            return true;
    }
    return false;
}

void weir__descriptors_close_all(struct weir__descriptor *const *keep, size_t count)
{
    struct weir__descriptor *own, *next;

    for (own = listed.first; own; own = next) {
        next = own->next;
        own->next = NULL;
        own->link = NULL;
        if (is_among(own, keep, count))
            continue;
        if (weir__descriptor_is_own(own))
            close(own->fd);
        *own = WEIR__DESCRIPTOR_NONE;
    }
    listed.first = NULL;
    weir__descriptors_unlock();
}
