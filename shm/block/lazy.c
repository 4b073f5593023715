/* SPDX-License-Identifier: MIT
 *
 * lazy.c: mapping memory that is large and gets its pages as they are used.
 *
 * After mlockall(MCL_FUTURE) the kernel fills a mapping within mmap(). It cannot fill what has no
 * permission, so lazy memory is mapped with PROT_NONE at first. Then mlock2(MLOCK_ONFAULT) says
 * that its pages are to be locked when they are touched, and only then does it get its permission;
 * mprotect() fills a locked mapping, but not such a one. Whether this program locks its memory is
 * found out by MADV_DONTNEED, which is refused on locked memory: on a mapping that is new it drops
 * nothing. A program that does not lock its memory pays three system calls, and none of them for
 * memory that is to be full from the beginning.
 *
 * Failure modes. All that is locked counts against RLIMIT_MEMLOCK, except addresses alone: those
 * are unlocked, and where even that many may not be locked for a moment, they grow from one page
 * that was unlocked before. Where mlock2() fails the memory is lazy and not locked.
 */
#include "shm/block/lazy.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Of a new mapping. */
static bool is_locked(void *address)
{
    return madvise(address, 1, MADV_DONTNEED) < 0 && errno == EINVAL;
}

void *weir__map_lazily(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *mapped = mmap(at, size, PROT_NONE, flags, fd, offset);
    int error;

    if (mapped == MAP_FAILED)
        return mapped;
    if (is_locked(mapped) && mlock2(mapped, size, MLOCK_ONFAULT) < 0)
        munlock(mapped, size);
    if (mprotect(mapped, size, protection) == 0)
        return mapped;
    error = errno;
    if (!(flags & MAP_FIXED))
        munmap(mapped, size);
    errno = error;
    return MAP_FAILED;
}

void *weir__map_private(size_t size)
{
    void *mapped = weir__map_lazily(NULL, size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return mapped != MAP_FAILED ? mapped : NULL;
}

void *weir__map_nothing(void *at, size_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *mapped = mmap(at, size, PROT_NONE, at != NULL ? flags | MAP_FIXED : flags, -1, 0), *grown;

    if (mapped != MAP_FAILED) {
        if (is_locked(mapped))
            munlock(mapped, size);
        return mapped;
    }
    if (errno != EAGAIN || at != NULL)
        return mapped;
    /* more than may be locked */
    mapped = mmap(NULL, 1, PROT_NONE, flags, -1, 0);
    if (mapped == MAP_FAILED)
        return mapped;
    munlock(mapped, 1);
    grown = mremap(mapped, 1, size, MREMAP_MAYMOVE);
    if (grown == MAP_FAILED) {
        int error = errno;

        munmap(mapped, 1);
        errno = error;
    }
    return grown;
}

void weir__set_dump(void *address, size_t size, bool dump)
{
    int error = errno;

    madvise(address, size, dump ? MADV_DODUMP : MADV_DONTDUMP); /* it may fail */
    errno = error;
}

void weir__remove_pages(void *address, size_t size)
{
    int error = errno;

    /* Locked memory is not given back. */
    if (madvise(address, size, MADV_REMOVE) < 0 && errno == EINVAL && munlock(address, size) == 0) {
        madvise(address, size, MADV_REMOVE);
        mlock2(address, size, MLOCK_ONFAULT);
    }
    errno = error;
}

struct weir__lock_hint weir__lock_hint(int error)
{
    struct weir__lock_hint hint = {""};
    struct rlimit limit;

    if ((error == EAGAIN || error == ENOMEM) && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
        limit.rlim_cur != RLIM_INFINITY)
        snprintf(hint.text, sizeof(hint.text),
                 error == EAGAIN
                     ? " (this program locks its memory, of which RLIMIT_MEMLOCK allows "
                       "%llu bytes)"
                     : " (RLIMIT_MEMLOCK is %llu bytes)",
                 (unsigned long long)limit.rlim_cur);
    return hint;
}
