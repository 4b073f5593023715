/* SPDX-License-Identifier: MIT
 *
 * job.h: the host's side of one job.
 */
#ifndef WEIR_JOB_H
#define WEIR_JOB_H

#include "pool/host/spec.h"
#include "pool/host/state.h"

/* Gives the job memory and publishes it to the workers. If the call does not hold the pool it does
 * from now on (spec->inside), also after an error, unless the pool is about to end. Returns its
 * index or a negative error; -EAGAIN, without a message: too many are in flight. */
int weir__job_open(weir_pool *pool, struct weir__job_spec *spec);
/* True when all its chunks are final; stops it if it is to stop. For the thread that has the job,
 * or has claimed its future: it keeps how far it has looked. */
bool weir__job_settled(weir_pool *pool, int index);
/* The same for any other thread, with pool->lock: the job, if open, is not closed meanwhile. */
bool weir__job_seen_settled(weir_pool *pool, int index);
/* With pool->lock: whether a job but the queue's is open that has not settled. */
bool weir__jobs_running(weir_pool *pool);
/* Has the host notified of its end as `how` says, WAITING_..., and then looks whether it has
 * come. */
bool weir__job_mark(weir_pool *pool, int index, uint32_t how);
/* Waits until it has settled or `limit_ns` of CLOCK_MONOTONIC (INT64_MAX: no limit). */
bool weir__job_wait(weir_pool *pool, int index, int64_t limit_ns);
/* The job's result, as weir_pool_for() returns it; sets the last error. */
int weir__job_result(weir_pool *pool, int index);
/* Takes the job away and gives its memory back; a place in which a worker still is keeps its cells
 * until that has left. `leaves`: the pool is not held for it any more. */
void weir__job_close(weir_pool *pool, int index, bool leaves);

/* What names a job for good: its place, and its number among all jobs. */
uint64_t weir__job_position(const weir_pool *pool, int index);
/* Cancels the job at this position, and no other that may have its place by now. Signal-safe. */
void weir__job_cancel(weir_pool *pool, uint64_t position);

/* The records of a new pool that has its control block. 0 or -ENOMEM. */
int weir__jobs_init(weir_pool *pool);
/* Gives back the memory of all jobs; none is open. */
void weir__jobs_release(weir_pool *pool);
void weir__jobs_destroy(weir_pool *pool);

#endif
