/* SPDX-License-Identifier: MIT
 *
 * read_file.c: the contents of a file that cannot be mapped.
 *
 * The files of /proc and /sys have a size of 0 or 4,096 whatever they contain, and cannot be
 * mapped; pipes and terminals have no size at all. Their bytes are read once, by the
 * process that opens the text.
 *
 * Failure modes: memory that is lacking is told (ENOMEM). A file without an end is read until
 * then, so devices other than terminals are refused by the caller.
 */
#include "pool/map_reduce/read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <weir.h>

#include "shm/error.h"

#define FIRST_SIZE ((size_t)1 << 16)

int weir__can_map_file(const char *path, const struct stat *status)
{
    void *at;
    int fd;

    if (!S_ISREG(status->st_mode) || status->st_size == 0)
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return weir__fail(-errno, "%s: %s", path, weir_strerror(-errno));
    at = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return 0;
    munmap(at, 1);
    return 1;
}

static int grow(struct weir__contents *contents, size_t *capacity)
{
    const size_t more = *capacity == 0 ? FIRST_SIZE : *capacity * 2;
    unsigned char *bytes = more > PTRDIFF_MAX ? NULL : realloc(contents->bytes, more);

    if (bytes == NULL)
        return -ENOMEM;
    contents->bytes = bytes;
    *capacity = more;
    return 0;
}

/* A descriptor may have been made non-blocking by whoever else has it. */
static void wait_for_bytes(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    (void)poll(&readable, 1, -1);
}

static int read_to_end(int fd, struct weir__contents *contents)
{
    size_t capacity = 0;
    ssize_t n;

    do {
        if (contents->size == capacity && grow(contents, &capacity) < 0)
            return -ENOMEM;
        n = read(fd, contents->bytes + contents->size, capacity - contents->size);
        if (n > 0)
            contents->size += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            wait_for_bytes(fd);
        else if (n < 0 && errno != EINTR)
            return -errno;
    } while (n != 0);
    return 0;
}

int weir__read_file(const char *path, struct weir__contents *contents)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int error;

    *contents = (struct weir__contents){0};
    if (fd < 0)
        return weir__fail(-errno, "%s: %s", path, weir_strerror(-errno));
    error = read_to_end(fd, contents);
    close(fd);
    if (error == 0)
        return 0;
    error = weir__fail(error, "%s: %s after %zu bytes", path, weir_strerror(error), contents->size);
    free(contents->bytes);
    *contents = (struct weir__contents){0};
    return error;
}
