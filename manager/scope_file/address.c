/* SPDX-License-Identifier: MIT
 *
 * address.c: the path at which a manager listens.
 *
 * bind(2) makes a name and a socket at once, so nothing can be checked in between. Therefore it
 * binds a name of the scope's own, ".weir-<id>.sock" beside the address, listens there, and then
 * gives the socket its second name, the address, by link(2), which replaces nothing. Both names
 * stay until the end.
 *
 * Invariants
 *  - A file at the address is scope <id>'s if, and only if, it is the same file as
 *    ".weir-<id>.sock". That name holds the inode, so its number cannot have been given to another
 *    file.
 *  - A program that can see the address can connect: it is linked after listen(2). So a socket of
 *    weir's that refuses connections will never accept any again, and may be swept.
 *  - The address is removed first, the scope's own name last.
 *  - Names are only removed under the folder's lock (flock), so that no two processes of weir
 *    look at one name and then remove another.
 *
 * Failure modes. Killed anywhere, the scope's record has the address: the process that cleans
 * the scope removes both names. If /dev/shm was lost as well (the machine was restarted), the next
 * manager that listens there removes them.
 */
#include "manager/scope_file/address.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "manager/scope_file/record.h"
#include "shm/error.h"
#include "shm/value.h"

#define OWN_NAME_SIZE 32   /* ".weir-<16 hex>.sock" and the NUL */
#define LOCK_WAIT_MS  1000 /* for a process that is stopped while it holds the folder's lock */
#define BACKLOG       128

/* An address taken apart, its folder open. */
struct place {
    int dir;
    char own[OWN_NAME_SIZE];
    const char *name; /* the address in its folder */
};

int weir__address_check(const char *address)
{
    size_t size = strnlen(address, WEIR__ADDRESS_MAX + 1);

    if (size > WEIR__ADDRESS_MAX)
        return weir__fail(-ENAMETOOLONG,
                          "the address \"%.40s...\" has %zu bytes; a Unix socket's path has at "
                          "most %zu",
                          address, strlen(address), WEIR__ADDRESS_MAX);
    if (address[0] != '/' || size < 2 || address[size - 1] == '/')
        return weir__fail(-EINVAL, "the address \"%s\" is not the absolute path of a socket",
                          address);
    if (!weir__scope_file_is_plain(address))
        return weir__fail(-EINVAL, "the address \"%s\" %s", address,
                          weir__utf8_valid(address, size)
                              ? "has a quote, a backslash or a control character in it"
                              : "is not UTF-8");
    return 0;
}

/* ---- the folder ----------------------------------------------------------------------------- */

static void own_name(char name[OWN_NAME_SIZE], uint64_t id)
{
    snprintf(name, OWN_NAME_SIZE, ".weir-%016" PRIx64 ".sock", id);
}

static void folder_of(char folder[WEIR__ADDRESS_MAX + 1], const char *address)
{
    size_t size = (size_t)(strrchr(address, '/') - address);

    memcpy(folder, address, size);
    folder[size] = '\0';
    if (size == 0)
        strcpy(folder, "/");
}

/* Opens the folder without checking its owner. 0 or a negative errno. */
static int open_place(struct place *place, const char *address, uint64_t id)
{
    char folder[WEIR__ADDRESS_MAX + 1];

    folder_of(folder, address);
    own_name(place->own, id);
    place->name = strrchr(address, '/') + 1;
    place->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return place->dir < 0 ? -errno : 0;
}

/* The last reference of the lock may be a child's that was forked meanwhile: given back by hand. */
static void close_place(struct place *place)
{
    flock(place->dir, LOCK_UN);
    close(place->dir);
}

static int lock_place(const struct place *place)
{
    const struct timespec step = {.tv_nsec = 1000000};

    for (int waited = 0; flock(place->dir, LOCK_EX | LOCK_NB) < 0; waited++) {
        if (errno != EINTR && (errno != EWOULDBLOCK || waited >= LOCK_WAIT_MS))
            return -errno;
        nanosleep(&step, NULL);
    }
    return 0;
}

/* Makes the folder if it is not there. No other user may be able to enter it, or that user could
 * connect or put something else there. */
static int open_private_place(struct place *place, const char *address, uint64_t id)
{
    char folder[WEIR__ADDRESS_MAX + 1];
    struct stat st;
    int error;

    folder_of(folder, address);
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return weir__fail(-errno, "cannot make the folder %s: %s", folder, strerror(errno));
    error = open_place(place, address, id);
    if (error)
        return weir__fail(error, "cannot open the folder %s: %s", folder, strerror(-error));
    error = fstat(place->dir, &st) < 0 ? -errno : lock_place(place);
    if (!error && (st.st_uid != geteuid() || (st.st_mode & 0777) != 0700)) {
        close_place(place);
        return weir__fail(-EPERM,
                          "the folder %s has mode %04o and belongs to user %u; a manager listens "
                          "only in a folder of mode 0700 that belongs to user %u",
                          folder, st.st_mode & 0777u, (unsigned)st.st_uid, (unsigned)geteuid());
    }
    if (!error)
        return 0;
    close_place(place);
    return weir__fail(error, "cannot lock the folder %s: %s", folder, strerror(-error));
}

/* ---- removing names ------------------------------------------------------------------------- */

/* Under the folder's lock. 1: both names are one socket; 0: they are not; or a negative errno. */
static int is_own(const struct place *place, const char *own, const char *name)
{
    struct stat mine, st;

    if (fstatat(place->dir, own, &mine, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    return S_ISSOCK(st.st_mode) && st.st_ino == mine.st_ino && st.st_dev == mine.st_dev;
}

static int unlink_in(const struct place *place, const char *name)
{
    return unlinkat(place->dir, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Under the folder's lock. */
static int remove_names(const struct place *place, const char *own)
{
    int result = is_own(place, own, place->name);

    if (result == 1)
        result = unlink_in(place, place->name);
    return result < 0 ? result : unlink_in(place, own);
}

int weir__address_remove(const char *address, uint64_t id)
{
    struct place place;
    int error;

    if (address[0] != '/' || strlen(address) > WEIR__ADDRESS_MAX)
        return 0; /* no record of weir's has such an address */
    error = open_place(&place, address, id);
    if (error)
        return error == -ENOENT || error == -ENOTDIR ? 0 : error;
    error = lock_place(&place);
    if (!error)
        error = remove_names(&place, place.own);
    close_place(&place);
    return error;
}

/* ---- an address that is in use already ------------------------------------------------------ */

/* True when no process listens. */
static bool is_refused(const char *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused;

    strcpy(name.sun_path, address); /* checked: it fits */
    refused =
        fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return refused;
}

static bool is_own_name(const char *name)
{
    char expected[OWN_NAME_SIZE];
    unsigned long long id;

    if (sscanf(name, ".weir-%16llx.sock", &id) != 1)
        return false;
    own_name(expected, id);
    return strcmp(name, expected) == 0;
}

/* Finds the scope's own name of the socket at the address. False when it is not one of weir's. */
static bool find_own(const struct place *place, char own[OWN_NAME_SIZE])
{
    int fd = openat(place->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *item;
    bool found = false;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!found && (item = readdir(dir))) {
        found = is_own_name(item->d_name) && is_own(place, item->d_name, place->name) == 1;
        if (found)
            snprintf(own, OWN_NAME_SIZE, "%.31s", item->d_name);
    }
    closedir(dir);
    return found;
}

/* The address is taken. 0 when it was a dead manager's, and is free now. */
static int sweep_address(const struct place *place, const char *address)
{
    char own[OWN_NAME_SIZE];
    struct stat st;
    int error;

    if (fstatat(place->dir, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISSOCK(st.st_mode))
        return weir__fail(-EEXIST, "%s is a file, but not a socket", address);
    if (!find_own(place, own))
        return weir__fail(-EADDRINUSE, "%s is a socket that weir did not make", address);
    if (!is_refused(address))
        return weir__fail(-EADDRINUSE, "another scope listens at %s", address);
    error = remove_names(place, own);
    if (error)
        return weir__fail(error, "cannot remove the dead socket %s: %s", address, strerror(-error));
    return 0;
}

/* ---- listening ------------------------------------------------------------------------------ */

/* A listening socket under the scope's own name. */
static int bind_own(const struct place *place, const char *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = fd < 0 ? -errno : 0;
    mode_t mask;

    snprintf(name.sun_path, sizeof(name.sun_path), "%s", place->own);
    /* The kernel resolves a relative name from here, so the address's length is all that counts. */
    if (!error && fchdir(place->dir) < 0)
        error = -errno;
    mask = umask(0177);
    if (!error && bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        error = -errno;
    umask(mask);
    if (chdir("/") < 0 && !error)
        error = -errno;
    if (!error && listen(fd, BACKLOG) < 0)
        error = -errno;
    if (!error)
        return fd;
    if (fd >= 0)
        close(fd);
    return weir__fail(error, "cannot listen at %s: %s", address, strerror(-error));
}

static int link_address(const struct place *place, const char *address)
{
    int error;

    if (linkat(place->dir, place->own, place->dir, place->name, 0) == 0)
        return 0;
    if (errno == EEXIST) {
        error = sweep_address(place, address);
        if (error)
            return error;
        if (linkat(place->dir, place->own, place->dir, place->name, 0) == 0)
            return 0;
    }
    return weir__fail(errno == EEXIST ? -EADDRINUSE : -errno, "cannot name the socket %s: %s",
                      address, strerror(errno));
}

int weir__address_listen(const char *address, uint64_t id)
{
    mode_t mask = umask(077);
    struct place place;
    int error = open_private_place(&place, address, id);
    int fd;

    umask(mask);
    if (error)
        return error;
    fd = bind_own(&place, address);
    error = fd < 0 ? fd : link_address(&place, address);
    if (error)
        remove_names(&place, place.own);
    close_place(&place);
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}
