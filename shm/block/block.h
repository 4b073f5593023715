/* SPDX-License-Identifier: MIT
 *
 * block.h: one block of shared memory below its handle: reserved, filled, then named.
 *
 * Used by the shm layer for stand-alone blocks and by the manager layer for a scope's blocks. Every
 * function returns 0 or a negative errno and has then set the thread's last error.
 */
#ifndef WEIR_SHM_BLOCK_BLOCK_H
#define WEIR_SHM_BLOCK_BLOCK_H

#include <signal.h>
#include <stdint.h>

#include "weir-shm.h"

#define WEIR__SHM_DIR "/dev/shm"

struct weir__block {
    int fd; /* -1 when closed */
    void *addr;
    size_t size; /* as asked for; the mapping is this, rounded up to pages */
    uint64_t ino;
};

#define WEIR__BLOCK_NONE ((struct weir__block){.fd = -1})

/* Makes an unnamed file of `size` bytes in /dev/shm, reserves its memory (with WEIR_SHM_LAZY its
 * first page alone) and maps it: at `at` with MAP_FIXED, or anywhere if `at` is NULL. On failure
 * nothing is left, and a mapping that was at `at` is as before or PROT_NONE. */
int weir__block_reserve(struct weir__block *block, size_t size, unsigned flags, void *at);

/* Memory as a file that never has a name (memfd_create): mode 0600, and nobody can make it smaller.
 * `name` is for a person who looks into /proc. Returns the descriptor, or a negative error. */
int weir__memory_file(const char *name);
/* The same without its mode and its seals, all of which can be added; -1: errno. */
int weir__memory_file_unsealed(const char *name);

/* Makes a block in a part of such a file that is the caller's alone, from `offset` (a multiple of
 * the page size) on, and maps it at `at`: all zero whatever was there, and reserved as by
 * weir__block_reserve(). WEIR__SHM_COMPARE: compares with the limits of memory even if the block is
 * a small one. block->fd stays -1. On failure the part is empty, and `at` as there. */
#define WEIR__SHM_COMPARE (1u << 31)
/* In the flags of both: the block is to be in core dumps, unless it is lazy. */
#define WEIR__SHM_DUMP (1u << 30)
int weir__block_carve(struct weir__block *block, int file, uint64_t offset, size_t size,
                      unsigned flags, void *at);

/* Gives the memory of such a part back, in every process that has it mapped. */
void weir__block_clear(int file, uint64_t offset, size_t size);

/* Gives the block its name. -EEXIST leaves the other file alone. */
int weir__block_link(const struct weir__block *block, const char *name);

/* Maps an existing block. `ino` != 0: only if the name still is that inode (else -ENOENT). */
int weir__block_open(struct weir__block *block, const char *name, uint64_t ino, void *at);

/* Closes the descriptor if it is open; the mapping stays. */
void weir__block_close_fd(struct weir__block *block);

/* What a block takes of the address space when it is mapped anywhere: its pages, and one more in a
 * build with guard pages (WEIR_GUARD). */
size_t weir__block_mapped_size(size_t size);
/* Unmaps a block of `size` bytes that was mapped with at == NULL. */
void weir__block_unmap(void *addr, size_t size);

/* Closes the descriptor and unmaps. For blocks that were mapped with at == NULL. */
void weir__block_discard(struct weir__block *block);

/* Removes the name if it still is a regular file with that inode. -ENOENT (quietly, without setting
 * the last error) when it is gone or another file. */
int weir__block_unlink(const char *name, uint64_t ino);

/* Checks a user's name: -EINVAL or -ENAMETOOLONG with a message. */
int weir__block_check_name(const char *name);

/* -ENOSPC: "`who` needs SIZE `more`bytes, but /dev/shm has ...". */
int weir__fail_no_space(const char *who, const char *more, size_t size) __attribute__((cold));

/* Around a call that makes a file larger: beyond RLIMIT_FSIZE it fails with EFBIG, and the SIGXFSZ
 * that comes with it (`caused`) reaches nobody. */
struct weir__held_signal {
    bool held;
    bool was_pending;
    sigset_t old;
};
struct weir__held_signal weir__sigxfsz_hold(void);
void weir__sigxfsz_release(const struct weir__held_signal *hold, bool caused);

/* 64 bits from getrandom(2); it cannot fail. */
uint64_t weir__random64(void);

#endif
