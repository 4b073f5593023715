/* SPDX-License-Identifier: MIT
 *
 * nested.c: calls that a task makes.
 *
 * A worker has a copy of the program's record of the pool, which it may not use. If the pool lets
 * calls be nested, a task's call runs on a pool of the worker's own, without processes: the tasks
 * run in the thread that calls, by the same steps as in the program (worker/here.c). That pool is
 * made at the first such call, and stays as long as the worker. It has the defaults of the
 * program's, and knows all its slots, so that the tasks have the worker's index.
 *
 * Killed: what a nested call has begun goes with the worker; blocks of the scope that it had made,
 * for large results or tables, stay until the scope ends.
 */
#include "pool/host/nested.h"

#include "pool/control/mine.h"
#include "pool/control/self.h"
#include "pool/host/hold.h"
#include "pool/host/record.h"

/* State of the library in this process, a worker. */
static struct {
    pthread_mutex_t lock;
    weir_pool *pool; /* NULL until it is needed */
} nested = {.lock = PTHREAD_MUTEX_INITIALIZER};

static weir_pool *make_pool(const weir_pool *programs)
{
    weir_pool *pool = weir__record_new(programs->scope, weir__self.control->workers, false);

    if (pool == NULL)
        return NULL;
    pool->here = true;
    pool->may_nest = true;
    pool->nested = true;
    pool->has_job = programs->has_job;
    pool->job = programs->job;
    return pool;
}

/* In a worker. 0, or a negative error. */
static int use_nested(weir_pool **pool)
{
    pthread_mutex_lock(&nested.lock);
    if (nested.pool == NULL)
        nested.pool = make_pool(weir__self.control->program_pool);
    *pool = nested.pool;
    pthread_mutex_unlock(&nested.lock);
    return *pool != NULL ? 0 : weir_last_error()->code;
}

int weir__use_pool(weir_pool **pool)
{
    if (__builtin_expect(*pool != NULL && weir__is_mine((*pool)->mine), 1))
        return weir__check_pool(*pool);
    /* NULL: the worker was forked before the program's variable was set */
    if (weir__may_nest() && (*pool == NULL || *pool == weir__self.control->program_pool))
        return use_nested(pool);
    return weir__check_pool(*pool);
}
