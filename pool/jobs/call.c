/* SPDX-License-Identifier: MIT
 *
 * call.c: a function that is called once.
 *
 * A submitted call goes into the queue (control/calls.h), or is a job of one chunk if the queue has
 * no place. Its result goes into its record, into memory of the worker's (control/piece.h), or into
 * a block of the scope that the worker makes; it counts when the chunk is done. The next attempt
 * begins by dropping the block that a worker that died had already given.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/host/calls.h"
#include "pool/host/job_future.h"
#include "pool/host/nested.h"
#include "pool/host/result.h"
#include "pool/worker/here.h"
#include "shm/error.h"

static int run_call(weir_task *task, weir_range range)
{
    weir_call_fn function = (weir_call_fn)task->job->function;

    (void)range;
    if (task->attempt > 1)
        weir__task_drop_result(task, &task->job->result);
    return function(task, task->job->arg);
}

static int finish_call(weir_future *future, struct weir__job *job)
{
    return weir__take_result(future, future->pool, &job->result, future->code == 0);
}

static const struct weir__job_kind call_kind = {
    .does = DOES_CALL,
    .run = run_call,
    .here = weir__run_here,
    .finish = finish_call,
    .has_result = true,
};

weir_future *weir_pool_submit(weir_pool *pool, weir_call_fn function, const void *arg,
                              size_t arg_size, const weir_job_options *options)
{
    struct weir__job_spec spec;
    weir_job_options one;
    weir_future *future;

    if (weir__use_pool(&pool) < 0)
        return NULL;
    future = weir__call_put(pool, function, arg, arg_size, options);
    if (future != NULL)
        return future;
    one = options != NULL ? *options : (weir_job_options){0};
    one.chunks = 0;
    one.grain = 0;
    one.first_chunk = 0;
    one.arg_size = arg_size;
    if (weir__spec_init(&spec, pool, (weir_range){0, 1}, (void (*)(void))function, (void *)arg,
                        &one, 0) < 0)
        return NULL;
    spec.kind = &call_kind;
    return weir__launch(pool, &spec, NULL);
}
