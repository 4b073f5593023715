/* SPDX-License-Identifier: MIT
 *
 * cold.h: a job that a thread waits for, and for which a worker had to be woken.
 */
#ifndef WEIR_COLD_H
#define WEIR_COLD_H

#include "pool/host/state.h"

/* Notes on which CPU the program opens a job that it is about to wait for, before the job is
 * visible: a worker that finds itself there makes room (park.c). */
void weir__cold_note_cpu(weir_pool *pool);

/* The caller has just woken a worker for the job. If jobs like it are over at once, gives the CPU
 * up, once. When that was, for weir__cold_end(). */
int64_t weir__cold_begin(weir_pool *pool, const struct weir__job *job);

/* The wait for the job has ended: learns whether jobs like it are over at once. */
void weir__cold_end(weir_pool *pool, const struct weir__job *job, int64_t began_ns);

#endif
