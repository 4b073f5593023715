/* SPDX-License-Identifier: MIT
 *
 * block.c: one block of shared memory, born finished.
 *
 * A block begins as an unnamed file in /dev/shm (O_TMPFILE). Its memory is reserved, it is mapped
 * and filled by the caller, and only then does linkat(2) give it a name. So there are two states
 * that another process, or a kill at any line here, can meet: no name, and then the kernel frees
 * the file with its last descriptor and mapping; or the name of a finished block.
 *
 * Failure modes. A full /dev/shm is ENOSPC here, never SIGBUS later, because tmpfs allocates the
 * pages in fallocate(2). A memory cgroup or a machine with too little memory would kill the process
 * in that call instead of refusing; so for blocks that are large enough to matter the limits are
 * compared first. Two processes can both pass this comparison and then not both fit; nothing can
 * prevent that. RLIMIT_FSIZE would raise SIGXFSZ besides EFBIG; that signal is held back and taken.
 *
 * A block without a name at any time (an anonymous scope's) is a part of a memfd, which is a tmpfs
 * without a size: what ends it is the memory cgroup or the machine, so there the comparison is all
 * that stands before a kill.
 *
 * The path from create to unlink is one of the things that weir is measured by: no allocation and
 * no stdio on it, and only the system calls that it needs.
 */
#include "shm/block/block.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "shm/block/lazy.h"
#include "shm/block/memory_limit.h"
#include "shm/error.h"

/* fallocate(2) on tmpfs gives back all that one call reserved when a signal arrives, so a large
 * block is reserved in steps, which become smaller while signals keep interrupting them. */
#define STEP_MAX ((size_t)16 << 20)
#define STEP_MIN ((size_t)64 << 10)

/* What a lazy block has from the beginning; fallocate makes it a page. */
#define HEAD ((size_t)512)

/* What must be left behind a small block that stands for others that were not compared, and whose
 * mappings and pages in the kernel's stock count as well. */
#define AHEAD ((size_t)4 << 20)

/* A /dev/shm smaller than this makes the message mention Docker, whose default is 64 MiB. */
#define SMALL_SHM ((uint64_t)1 << 30)

/* What a block is, or is to be, in its file. */
struct part {
    int fd;
    off_t from;
    size_t size;
    bool of_memory; /* of a memfd */
    bool lazy;      /* not all of its memory is reserved */
    bool dumped;
};

struct path {
    char text[sizeof WEIR__SHM_DIR + 1 + WEIR_SHM_NAME_MAX];
};

static struct path path_of(const char *name)
{
    struct path path = {WEIR__SHM_DIR "/"};
    size_t at = sizeof WEIR__SHM_DIR, size = strnlen(name, WEIR_SHM_NAME_MAX);

    memcpy(path.text + at, name, size);
    path.text[at + size] = '\0';
    return path;
}

int weir__block_check_name(const char *name)
{
    size_t size;

    if (name == NULL)
        return weir__fail(-EINVAL, "the name of a block is NULL");
    size = strnlen(name, WEIR_SHM_NAME_MAX + 1);
    if (size == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return weir__fail(-EINVAL, "\"%s\" cannot be the name of a block", name);
    if (size > WEIR_SHM_NAME_MAX)
        return weir__fail(-ENAMETOOLONG, "the name \"%.40s...\" is longer than %d bytes", name,
                          WEIR_SHM_NAME_MAX);
    if (memchr(name, '/', size) != NULL)
        return weir__fail(-EINVAL, "the name \"%s\" contains a '/'", name);
    return 0;
}

uint64_t weir__random64(void)
{
    uint64_t number;
    struct timespec now;

    /* A read of 8 bytes is never cut short; EINTR is possible only before the pool of a booting
     * machine is ready. */
    for (;;) {
        if (getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number)
            return number;
        if (errno != EINTR)
            break;
    }
    /* A sandbox forbids the call. Names need to differ, not to be secret: every name is taken with
     * linkat(2), which refuses one that exists. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    number = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u;
    number ^= (uint64_t)getpid() << 40 ^ (uint64_t)now.tv_sec;
    return number * 0xbf58476d1ce4e5b9u;
}

/* ---- what went wrong ------------------------------------------------------------------------ */

/* The way out, where /dev/shm is too small or not what it must be. */
#define ANONYMOUS "; a scope with the option `anonymous` needs no /dev/shm"

int weir__fail_no_space(const char *who, const char *more, size_t size)
{
    struct statfs fs;
    uint64_t free_bytes, total;

    if (statfs(WEIR__SHM_DIR, &fs) < 0)
        return weir__fail(-ENOSPC, "%s needs %zu %sbytes, for which /dev/shm has no room", who,
                          size, more);
    free_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
    if (*more == '\0' && free_bytes >= size)
        return weir__fail(-ENOSPC,
                          "no memory could be committed for %s of %zu bytes, although /dev/shm has "
                          "%llu bytes free (vm.overcommit_memory=2?)",
                          who, size, (unsigned long long)free_bytes);
    return weir__fail(
        -ENOSPC, "%s needs %zu %sbytes, but /dev/shm has %llu of %llu bytes free%s" ANONYMOUS, who,
        size, more, (unsigned long long)free_bytes, (unsigned long long)total,
        total < SMALL_SHM ? " (in Docker, start the container with a larger --shm-size)" : "");
}

static int fail_open_unnamed(int error)
{
    struct statfs fs;

    if (error == EOPNOTSUPP || error == EISDIR)
        return weir__fail(-ENOTSUP,
                          "/dev/shm must be a tmpfs: the file system there makes no unnamed "
                          "files (O_TMPFILE)" ANONYMOUS);
    if (error == ENOSPC && statfs(WEIR__SHM_DIR, &fs) == 0 && fs.f_files != 0 && fs.f_ffree == 0)
        return weir__fail(-ENOSPC,
                          "/dev/shm holds all the %llu files that it is mounted for" ANONYMOUS,
                          (unsigned long long)fs.f_files);
    return weir__fail(-error, "cannot make a block in /dev/shm: %s" ANONYMOUS,
                      weir_strerror(-error));
}

static int fail_reserve(int error, const struct part *part)
{
    const size_t size = part->size;
    struct rlimit limit;

    if (error == ENOSPC && !part->of_memory)
        return weir__fail_no_space("a block", "", size);
    if (error == ENOSPC)
        return weir__fail(-ENOSPC,
                          "no memory could be committed for a block of %zu bytes "
                          "(vm.overcommit_memory=2?)",
                          size);
    if (error == EOPNOTSUPP)
        return weir__fail(-ENOTSUP,
                          "/dev/shm must be a tmpfs: the file system there cannot reserve "
                          "memory" ANONYMOUS);
    if (error == EFBIG && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        return weir__fail(-EFBIG,
                          "a block needs %zu bytes%s, but this process may make files of at most "
                          "%llu bytes (RLIMIT_FSIZE, ulimit -f)",
                          size, part->of_memory ? " behind the scope's others" : "",
                          (unsigned long long)limit.rlim_cur);
    return weir__fail(-error, "cannot reserve %zu bytes%s: %s", size,
                      part->of_memory ? "" : " in /dev/shm", weir_strerror(-error));
}

/* ---- holding SIGXFSZ back ------------------------------------------------------------------- */

/* Only where there is a limit at all, which saves two system calls everywhere else. */
struct weir__held_signal weir__sigxfsz_hold(void)
{
    struct weir__held_signal hold = {.held = false};
    struct rlimit limit;
    sigset_t xfsz, pending;

    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return hold;
    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    if (pthread_sigmask(SIG_BLOCK, &xfsz, &hold.old) != 0)
        return hold;
    hold.held = true;
    hold.was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ) == 1;
    return hold;
}

/* The kernel sends the signal to the thread, so the one that we caused is ours to take. One that
 * was waiting before stays. */
void weir__sigxfsz_release(const struct weir__held_signal *hold, bool caused)
{
    static const struct timespec at_once = {0, 0};
    sigset_t xfsz;

    if (!hold->held)
        return;
    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    if (caused && !hold->was_pending)
        while (sigtimedwait(&xfsz, NULL, &at_once) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &hold->old, NULL);
}

/* ---- reserving ------------------------------------------------------------------------------ */

/* Refuses what would only fail after filling all of /dev/shm, or would get the process killed. */
static int compare_block_with_limits(int fd, size_t size, unsigned flags)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && fs.f_blocks != 0 &&
        (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < size)
        return weir__fail_no_space("a block", "", size);
    /* What is made before the limits are looked at the next time has to fit, too. */
    return weir__memory_compare("a block", "", size, WEIR__BOOKKEEPING_OF(size),
                                flags & WEIR__SHM_COMPARE ? AHEAD : 0);
}

static int fallocate_in_steps(const struct part *part, size_t size)
{
    size_t step = STEP_MAX, done = 0;

    while (done < size) {
        size_t now = size - done < step ? size - done : step;

        if (fallocate(part->fd, 0, part->from + (off_t)done, (off_t)now) == 0)
            done += now;
        else if (errno != EINTR)
            return errno;
        else if (step > STEP_MIN)
            step /= 2;
    }
    return 0;
}

/* Makes the file as long as the block needs it. A file that others reserve parts of at the same
 * time must only ever grow, so there it is done by reserving the block's last byte. */
static int extend(const struct part *part)
{
    const off_t end = part->from + (off_t)part->size;
    int result;

    do
        result = part->of_memory ? fallocate(part->fd, 0, end - 1, 1) : ftruncate(part->fd, end);
    while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

static int reserve_memory(const struct part *part, unsigned flags)
{
    struct weir__held_signal hold;
    int result, error = 0;

    if ((!(flags & WEIR_SHM_LAZY) && part->size >= WEIR__COMPARE_FROM) ||
        flags & WEIR__SHM_COMPARE) {
        result = compare_block_with_limits(part->fd, part->size, flags);
        if (result < 0)
            return result;
    }
    hold = weir__sigxfsz_hold();
    if (flags & WEIR_SHM_LAZY)
        error = extend(part);
    /* A lazy block has its first page all the same: what is written before it has a name is there.
     */
    if (error == 0)
        error = fallocate_in_steps(part,
                                   flags & WEIR_SHM_LAZY && part->size > HEAD ? HEAD : part->size);
    weir__sigxfsz_release(&hold, error == EFBIG);
    return error == 0 ? 0 : fail_reserve(error, part);
}

static int open_unnamed(struct weir__block *block)
{
    struct stat status;

    block->fd = open(WEIR__SHM_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (block->fd < 0)
        return fail_open_unnamed(errno);
    if (fstat(block->fd, &status) < 0)
        return weir__fail(-errno, "cannot read the status of a new block: %s",
                          weir_strerror(-errno));
    /* The umask may have taken bits away. */
    if ((status.st_mode & 07777) != 0600 && fchmod(block->fd, 0600) < 0)
        return weir__fail(-errno, "cannot set the mode of a new block: %s", weir_strerror(-errno));
    block->ino = (uint64_t)status.st_ino;
    return 0;
}

size_t weir__block_mapped_size(size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page + (WEIR_GUARD ? page : 0);
}

static void *map_file(void *at, const struct part *part)
{
    const int protection = PROT_READ | PROT_WRITE;
    const int flags = at != NULL ? MAP_SHARED | MAP_FIXED : MAP_SHARED;

    return part->lazy ? weir__map_lazily(at, part->size, protection, flags, part->fd, part->from)
                      : mmap(at, part->size, protection, flags, part->fd, part->from);
}

/* In a debug build the page behind the block is inaccessible: a process that runs over the end dies
 * there, before it damages a neighbour. A scope's range has such a page in every build. */
static void *map_anywhere(const struct part *part)
{
    const size_t whole = weir__block_mapped_size(part->size);
    void *range, *addr;
    int error;

    if (!WEIR_GUARD)
        return map_file(NULL, part);
    range = weir__map_nothing(NULL, whole);
    if (range == MAP_FAILED)
        return range;
    addr = map_file(range, part);
    if (addr == MAP_FAILED) {
        error = errno;
        munmap(range, whole);
        errno = error;
    }
    return addr;
}

void weir__block_unmap(void *addr, size_t size)
{
    munmap(addr, weir__block_mapped_size(size));
}

static int map_part(struct weir__block *block, const struct part *part, void *at)
{
    const size_t size = part->size;
    void *addr;
    int error;

    addr = at == NULL ? map_anywhere(part) : map_file(at, part);
    if (addr == MAP_FAILED) {
        error = errno;
        /* A failed MAP_FIXED may have unmapped what was there; keep the range taken. */
        if (at != NULL)
            weir__map_nothing(at, size);
        return weir__fail(error == EAGAIN ? -ENOMEM : -error,
                          "cannot map a block of %zu bytes: %s%s%s", size, weir_strerror(-error),
                          error == ENOMEM ? ", or more mappings than vm.max_map_count" : "",
                          weir__lock_hint(error).text);
    }
    /* Shared memory is dumped by other rules with a name than without one. */
    if (!part->dumped)
        weir__set_dump(addr, size, false);
    block->addr = addr;
    block->size = size;
    return 0;
}

static int check_new(size_t size, unsigned flags)
{
    if (size == 0 || size > PTRDIFF_MAX)
        return weir__fail(-EINVAL, "a block cannot have a size of %zd bytes", (ssize_t)size);
    if (flags & ~WEIR_SHM_LAZY)
        return weir__fail(-EINVAL, "unknown flags 0x%x for a block", flags & ~WEIR_SHM_LAZY);
    return 0;
}

static struct part part_of(size_t size, unsigned flags)
{
    const bool lazy = flags & WEIR_SHM_LAZY;

    return (struct part){.size = size, .lazy = lazy, .dumped = flags & WEIR__SHM_DUMP && !lazy};
}

int weir__block_reserve(struct weir__block *block, size_t size, unsigned flags, void *at)
{
    struct weir__block made = WEIR__BLOCK_NONE;
    struct part part = part_of(size, flags);
    int result = check_new(size, flags & ~WEIR__SHM_DUMP);

    *block = made;
    if (result < 0)
        return result;
    result = open_unnamed(&made);
    part.fd = made.fd;
    if (result == 0)
        result = reserve_memory(&part, flags);
    if (result == 0)
        result = map_part(&made, &part, at);
    if (result < 0)
        weir__block_close_fd(&made);
    else
        *block = made;
    return result;
}

/* ---- without a name ------------------------------------------------------------------------- */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

int weir__memory_file_unsealed(const char *name)
{
    const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* Linux before 6.3 */
        return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

int weir__memory_file(const char *name)
{
    int fd = weir__memory_file_unsealed(name), error;

    if (fd < 0)
        return weir__fail(-errno, "cannot make a file of memory: %s", weir_strerror(-errno));
    if (fchmod(fd, 0600) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
        return fd;
    error = errno;
    close(fd);
    return weir__fail(-error, "cannot prepare a file of memory: %s", weir_strerror(-error));
}

void weir__block_clear(int file, uint64_t offset, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int saved = errno;

    /* In whole pages, or the rest of the last one would be zeroed and kept. */
    size = (size + page - 1) / page * page;
    while (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) <
               0 &&
           errno == EINTR)
        ;
    errno = saved;
}

int weir__block_carve(struct weir__block *block, int file, uint64_t offset, size_t size,
                      unsigned flags, void *at)
{
    struct part part = part_of(size, flags);
    int result = check_new(size, flags & ~(WEIR__SHM_COMPARE | WEIR__SHM_DUMP));

    part.fd = file;
    part.from = (off_t)offset;
    part.of_memory = true;
    *block = WEIR__BLOCK_NONE;
    if (result < 0)
        return result;
    weir__block_clear(file, offset, size);
    result = reserve_memory(&part, flags);
    if (result == 0)
        result = map_part(block, &part, at);
    if (result < 0)
        weir__block_clear(file, offset, size);
    return result;
}

/* ---- naming --------------------------------------------------------------------------------- */

int weir__block_link(const struct weir__block *block, const char *name)
{
    struct path path = path_of(name);
    char self[32];
    int error;

    if (linkat(block->fd, "", AT_FDCWD, path.text, AT_EMPTY_PATH) == 0)
        return 0;
    error = errno;
    /* Before Linux 6.10 that form needs CAP_DAC_READ_SEARCH, and fails with ENOENT. */
    if (error == ENOENT) {
        snprintf(self, sizeof self, "/proc/self/fd/%d", block->fd);
        if (linkat(AT_FDCWD, self, AT_FDCWD, path.text, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        error = errno;
    }
    if (error == EEXIST)
        return weir__fail(-EEXIST, "there is already a block \"%s\"", name);
    return weir__fail(-error, "cannot name a block \"%s\": %s%s", name, weir_strerror(-error),
                      error == ENOENT ? " (is /proc mounted?)" : "");
}

/* Quiet when there is no such name. */
static int fail_unlink(int error, const char *name, const char *what)
{
    return error == ENOENT ? -ENOENT
                           : weir__fail(-error, "cannot %s block \"%s\": %s", what, name,
                                        weir_strerror(-error));
}

int weir__block_unlink(const char *name, uint64_t ino)
{
    struct path path = path_of(name);
    struct stat status;

    if (lstat(path.text, &status) < 0)
        return fail_unlink(errno, name, "look at");
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_ino != ino)
        return -ENOENT;
    /* Another process may put another file there right now. It would have to unlink this block
     * first, and has to agree with the others about that; the kernel offers no unlink by inode. */
    return unlink(path.text) < 0 ? fail_unlink(errno, name, "unlink") : 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int fail_open(int error, const char *name)
{
    switch (error) {
    case ENOENT:
        return weir__fail(-ENOENT, "there is no block \"%s\"", name);
    case ELOOP:
        return weir__fail(-EPERM, "\"%s\" in /dev/shm is a symbolic link, which is not followed",
                          name);
    case EISDIR:
    case ENXIO:
    case ENODEV:
        return weir__fail(-EPERM, "\"%s\" in /dev/shm is no regular file", name);
    case EACCES:
        return weir__fail(-EPERM, "block \"%s\" may not be opened by this user", name);
    default:
        return weir__fail(-error, "cannot open block \"%s\": %s", name, weir_strerror(-error));
    }
}

/* Checks what was opened, and notes its inode. */
static int check_opened(struct weir__block *block, const char *name, uint64_t ino,
                        struct part *part)
{
    struct stat status;

    if (fstat(block->fd, &status) < 0)
        return weir__fail(-errno, "cannot read the status of block \"%s\": %s", name,
                          weir_strerror(-errno));
    if (!S_ISREG(status.st_mode))
        return weir__fail(-EPERM, "\"%s\" in /dev/shm is no regular file", name);
    if (status.st_uid != geteuid())
        return weir__fail(-EPERM, "block \"%s\" belongs to user %lu, not to %lu", name,
                          (unsigned long)status.st_uid, (unsigned long)geteuid());
    if (ino != 0 && (uint64_t)status.st_ino != ino)
        return weir__fail(-ENOENT, "\"%s\" is another block by now", name);
    if (status.st_size <= 0)
        return weir__fail(-EBADMSG, "block \"%s\" is empty", name);
    block->ino = (uint64_t)status.st_ino;
    part->fd = block->fd;
    part->size = (size_t)status.st_size;
    part->lazy = (uint64_t)status.st_blocks * 512 < part->size;
    return 0;
}

int weir__block_open(struct weir__block *block, const char *name, uint64_t ino, void *at)
{
    struct weir__block opened = WEIR__BLOCK_NONE;
    struct path path = path_of(name);
    struct part part = {0};
    int result;

    *block = opened;
    /* O_NONBLOCK: should the name be a FIFO, opening must not wait for its other end. */
    opened.fd = open(path.text, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (opened.fd < 0)
        return fail_open(errno, name);
    result = check_opened(&opened, name, ino, &part);
    if (result == 0)
        result = map_part(&opened, &part, at);
    if (result < 0)
        weir__block_close_fd(&opened);
    else
        *block = opened;
    return result;
}

void weir__block_close_fd(struct weir__block *block)
{
    if (block->fd >= 0)
        close(block->fd);
    block->fd = -1;
}

void weir__block_discard(struct weir__block *block)
{
    weir__block_close_fd(block);
    if (block->addr != NULL)
        weir__block_unmap(block->addr, block->size);
    *block = WEIR__BLOCK_NONE;
}
