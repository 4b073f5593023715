/* SPDX-License-Identifier: MIT
 *
 * progress.h: what a waiting thread shows of a job, or says of it when nothing of it ends.
 */
#ifndef WEIR_PROGRESS_H
#define WEIR_PROGRESS_H

#include "pool/host/job.h"

/* Private to the thread that uses the future. */
struct weir__progress;

/* Whether it calls a function of the program. That may end the pool, which `out` tells. */
bool weir__progress_calls(const struct weir__progress *progress);
void weir__progress_set_out(struct weir__progress *progress, const struct weir__out *out);

/* 0 and *out, NULL if nothing is asked for; or -ENOMEM. To be freed with free(). All others here
 * take NULL. Where the spec has counts they must stay, an index is not looked at, and
 * the pool is NULL once it has ended. */
int weir__progress_new(const struct weir__job_spec *spec, struct weir__progress **out);

/* weir__job_wait(), showing progress meanwhile. The end is not shown, as more may follow. */
bool weir__progress_wait(weir_pool *pool, int index, int64_t limit_ns,
                         struct weir__progress *progress);

/* When it will be time to show something; INT64_MAX: never. */
int64_t weir__progress_next(const struct weir__progress *progress);
/* Shows how far the job is, if it is time. Returns when it will be, INT64_MAX: never. */
int64_t weir__progress_look(weir_pool *pool, int index, struct weir__progress *progress);
/* Nobody waits any more: the terminal's line is free, and another one's to draw on. */
void weir__progress_leave(weir_pool *pool, struct weir__progress *progress);
/* The next job follows; the one before it is all done. */
void weir__progress_go_on(struct weir__progress *progress);
/* Shows the end. `index` negative: the next job could not be opened. */
void weir__progress_end(weir_pool *pool, int index, struct weir__progress *progress, int code);
/* Whether something was shown and the end was not. */
bool weir__progress_begun(const struct weir__progress *progress);

#endif
