/* SPDX-License-Identifier: MIT
 *
 * populate.c: giving a part of a lazy block its memory, through the mapping.
 *
 * MADV_POPULATE_WRITE touches pages as a write would, but reports where a write would be SIGBUS. It
 * needs no descriptor and no name, so it works for a block that was unlinked too, and in any
 * process that has it mapped.
 *
 * Failure modes. As in block.c, a memory cgroup or machine with too little memory would kill
 * instead of refusing, so for large ranges the limits are compared first; not for a block that has
 * all its memory already, where populating takes none. Kernels before 5.14 do not have the call:
 * there it is the same fallocate(2) as at creation, through the name (or, where there is none, the
 * descriptor).
 */
#include "shm/block/populate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/block/block.h"
#include "shm/block/memory_limit.h"
#include "shm/error.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Signals interrupt a step and give it up; see block.c. */
#define STEP      ((size_t)16 << 20)
#define AGAIN_MAX 1000 /* tries, while the kernel says that it is short of something for now */

/* The block's file, and where in it the block begins; by its name, and -1 if that is gone or
 * another file. */
static int open_file(const struct weir_shm *shm, struct stat *status, uint64_t *begin)
{
    char path[sizeof WEIR__SHM_DIR + 1 + WEIR_SHM_NAME_MAX];
    int fd;

    *begin = 0;
    if (weir__shm_is_anonymous(shm))
        return fcntl(shm->owner->file(shm, begin), F_DUPFD_CLOEXEC, 3);
    snprintf(path, sizeof path, WEIR__SHM_DIR "/%s", shm->name);
    fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, status) == 0 && S_ISREG(status->st_mode) && (uint64_t)status->st_ino == shm->ino)
        return fd;
    close(fd);
    return -1;
}

static bool has_all_its_memory(const struct weir_shm *shm)
{
    struct stat status = {0};
    uint64_t begin;
    int fd = weir__shm_is_anonymous(shm) ? -1 : open_file(shm, &status, &begin);

    if (fd < 0)
        return false;
    close(fd);
    return (uint64_t)status.st_blocks * 512 >= shm->size;
}

/* How messages call the block. */
struct called {
    char text[sizeof "block \"\"" + WEIR_SHM_NAME_MAX];
};

static struct called call_block(const struct weir_shm *shm)
{
    struct called called;

    snprintf(called.text, sizeof called.text, "block \"%s\"", shm->name);
    return called;
}

static int fail_no_more_space(const struct weir_shm *shm, size_t size)
{
    if (!weir__shm_is_anonymous(shm))
        return weir__fail_no_space(call_block(shm).text, "more ", size);
    return weir__fail(-ENOSPC,
                      "no memory could be committed for %zu more bytes of block \"%s\" "
                      "(vm.overcommit_memory=2?)",
                      size, shm->name);
}

static int compare_range_with_limits(const struct weir_shm *shm, size_t size)
{
    return has_all_its_memory(shm) ? 0
                                   : weir__memory_compare(call_block(shm).text, "more ", size,
                                                          WEIR__BOOKKEEPING_OF(size), 0);
}

/* Reserves without the call that old kernels do not have. The errno, or 0. */
static int reserve_by_name(const struct weir_shm *shm, size_t offset, size_t size)
{
    struct stat status;
    uint64_t begin;
    int fd = open_file(shm, &status, &begin), error = 0;

    if (fd < 0)
        return EOPNOTSUPP;
    while (error == 0 && size > 0) {
        size_t now = size < STEP ? size : STEP;

        if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)(begin + offset), (off_t)now) == 0) {
            offset += now;
            size -= now;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    close(fd);
    return error;
}

int weir__populate_pages(char *begin, size_t size)
{
    int tries = 0;

    while (size > 0) {
        size_t now = size < STEP ? size : STEP;

        if (madvise(begin, now, MADV_POPULATE_WRITE) == 0) {
            begin += now;
            size -= now;
        } else if (errno != EINTR && (errno != EAGAIN || ++tries == AGAIN_MAX)) {
            return errno;
        }
    }
    return 0;
}

bool weir__can_populate(void)
{
    return madvise(NULL, 0, MADV_POPULATE_WRITE) == 0;
}

static int populate_once(const struct weir_shm *shm, size_t offset, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t begin = offset / page * page, end = offset + size;
    int error;

    if (size == 0)
        return 0;
    end = (end + page - 1) / page * page;
    if (size >= WEIR__COMPARE_FROM) {
        error = compare_range_with_limits(shm, size);
        if (error < 0)
            return error;
    }
    error = weir__populate_pages((char *)shm->buf + begin, end - begin);
    if (error == EINVAL)
        error = reserve_by_name(shm, begin, end - begin);
    if (error == 0)
        return 0;
    /* EFAULT: a write would have been a SIGBUS. */
    if (error == EFAULT || error == ENOSPC)
        return fail_no_more_space(shm, size);
    return weir__fail(-error, "cannot reserve %zu bytes of block \"%s\": %s", size, shm->name,
                      weir_strerror(-error));
}

int weir__populate(struct weir_shm *shm, size_t offset, size_t size)
{
    const weir_error before = *weir_last_error();
    int result;

    do
        result = populate_once(shm, offset, size);
    while (weir__shm_has_room_now(shm, result));
    if (result == 0)
        weir__fail_with(&before); /* it had failed before there was room */
    return result;
}
