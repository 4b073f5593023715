/* SPDX-License-Identifier: MIT
 *
 * key_file.c: a scope's key that lies in a file.
 *
 * A key that others can read proves nothing, so such a file is refused, as ssh refuses a private
 * key. Its owner and mode are those of the open file: it may be given another name meanwhile. All
 * of its bytes are the key, a newline at its end too, so that every program that reads the file has
 * the same key.
 *
 * Failure modes. A FIFO or a device is opened without waiting, and refused. A file that is being
 * written gives a part of the key, which the other side refuses.
 */
#include "manager/host/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/error.h"

static int check_key_file(int fd, const char *path)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return weir__fail(-errno, "cannot look at the key file %.300s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return weir__fail(-EINVAL, "the key file %.300s is not a regular file", path);
    if (st.st_uid != geteuid())
        return weir__fail(-EPERM, "the key file %.300s belongs to user %u, not to user %u", path,
                          (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & 077)
        return weir__fail(-EPERM,
                          "the key file %.300s has mode %04o, so others may open it; chmod 600 "
                          "takes that from them",
                          path, (unsigned)st.st_mode & 07777);
    return 0;
}

/* One byte more than a key may have shows that the file is too long. */
static int read_key(int fd, const char *path, struct weir__auth_key *key)
{
    unsigned char bytes[WEIR__AUTH_KEY_MAX + 1];
    size_t size = 0;
    ssize_t got;
    int error = 0;

    while ((got = read(fd, bytes + size, sizeof(bytes) - size)) != 0) {
        if (got > 0)
            size += (size_t)got;
        else if (errno != EINTR)
            break;
    }
    if (got < 0)
        error = weir__fail(-errno, "cannot read the key file %.300s: %s", path, strerror(errno));
    else if (size == 0 || size > WEIR__AUTH_KEY_MAX)
        error = weir__fail(-EINVAL, "the key file %.300s %s; a key has 1 to %d bytes", path,
                           size == 0 ? "is empty" : "is too long", WEIR__AUTH_KEY_MAX);
    else
        memcpy(key->bytes, bytes, key->size = size);
    explicit_bzero(bytes, sizeof(bytes));
    return error;
}

int weir__key_file_read(const char *path, struct weir__auth_key *key)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error;

    if (fd < 0)
        return weir__fail(-errno, "cannot open the key file %.300s: %s", path, strerror(errno));
    error = check_key_file(fd, path);
    if (!error)
        error = read_key(fd, path, key);
    close(fd);
    return error;
}
