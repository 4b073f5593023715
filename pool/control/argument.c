/* SPDX-License-Identifier: MIT
 *
 * argument.c: reading memory that may not be there.
 *
 * A pointer that is no pointer, or to what another process has, must not crash the one that looks.
 * So the kernel reads: process_vm_readv() of this process itself, which needs no right.
 */
#include "pool/control/argument.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pool/control/no_malloc.h"

int weir__argument_read(const void *from, void *to, size_t size)
{
    const struct iovec local = {to, size}, remote = {(void *)from, size};
    const ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

    if (got < 0)
        return -errno;
    return got == (ssize_t)size ? 0 : -EFAULT;
}

int weir__argument_hash(const void *from, size_t size, uint64_t *hash)
{
    const unsigned char *at = from;
    uint64_t words[512];

    *hash = size;
    while (size > 0) {
        const size_t step = size < sizeof(words) ? size : sizeof(words);
        int result;

        words[(step - 1) / 8] = 0;
        result = weir__argument_read(at, words, step);
        if (result < 0)
            return result;
        for (size_t i = 0; i < (step + 7) / 8; i++)
            *hash = ((*hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15)) ^ (*hash >> 29);
        at += step;
        size -= step;
    }
    return 0;
}
