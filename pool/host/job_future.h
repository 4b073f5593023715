/* SPDX-License-Identifier: MIT
 *
 * job_future.h: jobs from their opening to their end, and the futures of those that run beside the
 * program.
 */
#ifndef WEIR_JOB_FUTURE_H
#define WEIR_JOB_FUTURE_H

#include "pool/host/spec.h"
#include "pool/host/state.h"

extern const struct weir__future_kind weir__job_future_kind;

/* Opens the job, waits for it and finishes it. */
int weir__run(weir_pool *pool, struct weir__job_spec *spec, void *user_out);
/* Opens the job. NULL with the last error set. */
weir_future *weir__launch(weir_pool *pool, struct weir__job_spec *spec, void *user_out);

/* Ends the future that has this job and a callback, if it has settled. */
void weir__job_future_end_notified(weir_pool *pool, unsigned index);
/* Shows the progress of any future, if it has one and it is time. Returns when it will be. */
int64_t weir__job_future_show(weir_pool *pool, weir_future *future);
/* Ends some futures whose jobs have settled, at which no thread looks. False: there is none. */
bool weir__job_futures_end_settled(weir_pool *pool);
/* Waits for the jobs of all futures and finishes them: the pool is about to end. */
void weir__job_futures_end(weir_pool *pool);

#endif
