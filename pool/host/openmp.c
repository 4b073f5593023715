/* SPDX-License-Identifier: MIT
 *
 * openmp.c: the threads of libgomp around a fork.
 *
 * After a parallel region gcc's OpenMP library keeps the region's threads, and notes them in the
 * thread that began it. A child that this thread forks inherits the note but not the threads, and
 * its first parallel region waits for them for ever. omp_pause_resource_all() (OpenMP 5.0, libgomp
 * of gcc 9 and later) ends the threads, so that the child makes its own.
 *
 * Other OpenMP libraries (LLVM's, Intel's) handle a fork by themselves. They have
 * omp_pause_resource_all(), too, where it gives up more than threads; __kmpc_fork_call is theirs.
 *
 * The names are weak: they are there if the program has such a library.
 */
#include "pool/host/openmp.h"

#include <stddef.h>

#define PAUSE_SOFT 1 /* omp_pause_soft */

__attribute__((weak, visibility("default"))) int omp_pause_resource_all(int kind);
__attribute__((weak, visibility("default"))) void __kmpc_fork_call(void);

void weir__openmp_release_threads(void)
{
    if (omp_pause_resource_all != NULL && __kmpc_fork_call == NULL)
        (void)omp_pause_resource_all(PAUSE_SOFT); /* -1 within a region: it cannot be done there */
}
