/* SPDX-License-Identifier: MIT
 *
 * calls.h: the host's side of the queue of submitted calls.
 */
#ifndef WEIR_HOST_CALLS_H
#define WEIR_HOST_CALLS_H

#include "pool/host/state.h"

/* Before the fork: the job that stands for the queue. */
void weir__calls_init(struct weir__control *control);

/* Puts a call into the queue. NULL without an error: it has no place there, or asks for something
 * special, and is to have a job of its own. */
weir_future *weir__call_put(weir_pool *pool, weir_call_fn function, const void *arg,
                            size_t arg_size, const weir_job_options *options);

/* Ends the future of the call in this place that has a callback, if it has settled. */
void weir__call_end_notified(weir_pool *pool, unsigned place);

/* Waits for all calls and ends them. */
void weir__calls_end(weir_pool *pool);

/* The pool goes. */
void weir__calls_free(weir_pool *pool);

#endif
