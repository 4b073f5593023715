/* SPDX-License-Identifier: MIT
 *
 * timeline.h: the program's part of a traced pool: the file, and the records of jobs.
 */
#ifndef WEIR_HOST_TIMELINE_H
#define WEIR_HOST_TIMELINE_H

#include "pool/host/state.h"

/* Before the fork: opens and empties the file that is asked for by `asked` (weir_pool_options), or
 * by the environment if that is NULL. From then on the pool is traced. 0 if none is asked for or it
 * is open; or a negative error. */
int weir__timeline_open(weir_pool *pool, const char *asked);
/* After the fork, or without one: the program does not have the file any more. */
void weir__timeline_forget(weir_pool *pool);

/* With pool->lock: the job has ended, and is noted. */
void weir__timeline_note_job(weir_pool *pool, unsigned index);

#endif
