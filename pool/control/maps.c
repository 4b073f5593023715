/* SPDX-License-Identifier: MIT
 *
 * maps.c: what is mapped at an address of this process, from /proc/self/maps.
 *
 * It is read piece by piece, without memory, as a crashed worker asks too (symbol.c).
 */
#include "pool/control/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "pool/control/no_malloc.h"

struct reader {
    int fd;
    size_t at, size;
    char bytes[1024];
};

/* -1: the end. */
static int next_byte(struct reader *reader)
{
    ssize_t got;

    if (reader->at == reader->size) {
        do
            got = read(reader->fd, reader->bytes, sizeof(reader->bytes));
        while (got < 0 && errno == EINTR);
        if (got <= 0)
            return -1;
        reader->at = 0;
        reader->size = (size_t)got;
    }
    return (unsigned char)reader->bytes[reader->at++];
}

/* Reads up to the first byte that is no digit of this base. */
static uint64_t next_number(struct reader *reader, unsigned base)
{
    uint64_t number = 0;
    int byte;

    while ((byte = next_byte(reader)) >= 0) {
        if (byte >= '0' && byte <= '9')
            number = number * base + (unsigned)(byte - '0');
        else if (base == 16 && byte >= 'a' && byte <= 'f')
            number = number * base + (unsigned)(byte - 'a' + 10);
        else
            break;
    }
    return number;
}

/* The path is what begins with a slash, up to the line's end. */
static void read_path(struct reader *reader, char *out, size_t size)
{
    size_t used = 0;
    int byte;

    while ((byte = next_byte(reader)) >= 0 && byte != '\n') {
        if ((used > 0 || byte == '/') && used < size - 1)
            out[used++] = (char)byte;
    }
    out[used] = '\0';
}

/* A line is "start-end flags offset device inode path", the flags are "rwxp" or "rwxs". */
bool weir__mapped_at(uintptr_t address, struct weir__mapped *out)
{
    struct reader reader = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    bool found = false;

    while (reader.fd >= 0 && !found) {
        out->start = (uintptr_t)next_number(&reader, 16);
        out->end = (uintptr_t)next_number(&reader, 16);
        if (out->end == 0)
            break;
        for (int i = 0; i < 3; i++)
            next_byte(&reader);
        out->shared = next_byte(&reader) == 's';
        next_byte(&reader);
        out->offset = (uintptr_t)next_number(&reader, 16);
        next_number(&reader, 16); /* the device: two numbers */
        next_number(&reader, 16);
        out->inode = next_number(&reader, 10);
        read_path(&reader, out->file, sizeof(out->file));
        found = address >= out->start && address < out->end;
    }
    if (reader.fd >= 0)
        close(reader.fd);
    return found;
}
