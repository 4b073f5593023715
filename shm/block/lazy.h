/* SPDX-License-Identifier: MIT
 *
 * lazy.h: mapping memory that is large and gets its pages as they are used.
 *
 * Two things would give such memory all of its pages at once: mlockall(MCL_FUTURE), which fills
 * what is mapped from then on, and a core dump, which reads shared memory also where it is empty
 * and so makes its pages. Both are kept off here.
 */
#ifndef WEIR_SHM_BLOCK_LAZY_H
#define WEIR_SHM_BLOCK_LAZY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* mmap(), but no page is there before it is touched. In a program that locks its memory the pages
 * are locked then. MAP_FAILED, with errno; with MAP_FIXED the place may then be PROT_NONE. */
void *weir__map_lazily(void *at, size_t size, int protection, int flags, int fd, off_t offset);

/* The same of zeroed memory of this process alone, of which it mostly uses little: calloc() clears
 * each page of what it takes from the heap. NULL, with errno. */
void *weir__map_private(size_t size);

/* Reserves addresses: PROT_NONE, of no memory, and not counted as locked. `at`: NULL, or a place
 * that is mapped over. MAP_FAILED, with errno. */
void *weir__map_nothing(void *at, size_t size);

/* Keeps shared memory out of core dumps, or has it in them. */
void weir__set_dump(void *address, size_t size, bool dump);

/* Gives whole pages of shared memory back in every process, locked or not. */
void weir__remove_pages(void *address, size_t size);

/* For the message about a mapping that failed with this errno: "", or what it says of the limit on
 * locked memory. */
struct weir__lock_hint {
    char text[120];
};
struct weir__lock_hint weir__lock_hint(int error);

#endif
