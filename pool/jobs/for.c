/* SPDX-License-Identifier: MIT
 *
 * for.c: a function over a range, in chunks.
 *
 * What the function does is up to it: the pool takes nothing over, and undoes nothing that an
 * attempt has done whose worker was killed. So chunks are not retried unless the caller asks.
 */
#include "pool/host/job_future.h"
#include "pool/host/nested.h"
#include "pool/worker/here.h"

static int run_for(weir_task *task, weir_range range)
{
    weir_task_fn function = (weir_task_fn)task->job->function;

    return function(task, range, task->job->arg);
}

static const struct weir__job_kind for_kind = {
    .does = DOES_FOR, .run = run_for, .here = weir__run_here};

static int spec_for(struct weir__job_spec *spec, weir_pool **pool, weir_range range,
                    weir_task_fn function, void *arg, const weir_job_options *options)
{
    if (weir__use_pool(pool) < 0 ||
        weir__spec_init(spec, *pool, range, (void (*)(void))function, arg, options, 0) < 0)
        return weir_last_error()->code;
    spec->kind = &for_kind;
    return 0;
}

int weir_pool_for(weir_pool *pool, weir_range range, weir_task_fn function, void *arg,
                  const weir_job_options *options)
{
    struct weir__job_spec spec;
    int result = spec_for(&spec, &pool, range, function, arg, options);

    return result < 0 ? result : weir__run(pool, &spec, NULL);
}

weir_future *weir_pool_for_async(weir_pool *pool, weir_range range, weir_task_fn function,
                                 void *arg, const weir_job_options *options)
{
    struct weir__job_spec spec;

    return spec_for(&spec, &pool, range, function, arg, options) < 0
               ? NULL
               : weir__launch(pool, &spec, NULL);
}
