/* SPDX-License-Identifier: MIT
 *
 * openmp.h: the threads of libgomp around a fork.
 */
#ifndef WEIR_POOL_HOST_OPENMP_H
#define WEIR_POOL_HOST_OPENMP_H

/* Ends the threads that libgomp keeps for the calling thread; its next parallel region makes them
 * again. Does nothing in a program without libgomp, or within a parallel region. */
void weir__openmp_release_threads(void);

#endif
