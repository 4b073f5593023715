/* SPDX-License-Identifier: MIT
 *
 * call.c: jobs that run a function as it is: over a range in chunks, or once.
 *
 * A submitted call is a job of one chunk. Its result goes into the job's record, or into a block of
 * the scope that the worker makes; it counts when the chunk is done. What a worker that died had
 * already given is overwritten by the next attempt.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"
#include "pool/worker.h"
#include "shm/error.h"

/* ---- for ------------------------------------------------------------------------------------ */

static int run_for(weir_task *task, weir_range range)
{
    weir_task_fn function = (weir_task_fn)task->job->function;

    return function(task, range, task->job->arg);
}

static int spec_for(struct weir__job_spec *spec, weir_pool *pool, weir_range range,
                    weir_task_fn function, void *arg, const weir_job_options *options)
{
    int result = weir__check_pool(pool);

    if (result == 0)
        result = weir__spec_init(spec, pool, range, (void (*)(void))function, arg, options, 0);
    spec->run = run_for;
    return result;
}

int weir_pool_for(weir_pool *pool, weir_range range, weir_task_fn function, void *arg,
                  const weir_job_options *options)
{
    struct weir__job_spec spec;
    int result = spec_for(&spec, pool, range, function, arg, options);

    return result < 0 ? result : weir__run(pool, &spec, NULL);
}

weir_future *weir_pool_for_async(weir_pool *pool, weir_range range, weir_task_fn function,
                                 void *arg, const weir_job_options *options)
{
    struct weir__job_spec spec;

    return spec_for(&spec, pool, range, function, arg, options) < 0
               ? NULL
               : weir__launch(pool, &spec, NULL);
}

/* ---- submit --------------------------------------------------------------------------------- */

static int run_call(weir_task *task, weir_range range)
{
    weir_call_fn function = (weir_call_fn)task->job->function;

    (void)range;
    return function(task, task->job->arg);
}

static void drop_block(struct weir__job *job)
{
    weir_shm *block = atomic_exchange(&job->result_block, NULL);

    if (block == NULL)
        return;
    weir_shm_unlink(block);
    weir_shm_close(block);
}

int weir_task_result(weir_task *task, const void *data, size_t size)
{
    struct weir__job *job = task->job;
    weir_shm *block;

    if (job->run != run_call)
        return weir__fail(-EINVAL, "only a task of weir_pool_submit() has a result");
    if (data == NULL && size > 0)
        return weir__fail(-EINVAL, "the result is NULL, but its size is %zu", size);
    drop_block(job);
    job->result_size = 0;
    if (size <= WEIR__RESULT_INLINE) {
        if (size > 0)
            memcpy(job->inline_result, data, size);
    } else {
        block = weir_manager_shm(task->manager, size);
        if (block == NULL)
            return weir_last_error()->code;
        memcpy(weir_shm_buf(block), data, size);
        atomic_store(&job->result_block, block);
    }
    job->result_size = size;
    return 0;
}

static int finish_call(weir_future *future, struct weir__job *job)
{
    weir_shm *block;
    size_t size = job->result_size;
    int result = 0;

    if (future->code == 0 && size > 0) {
        weir_manager_sync(future->pool->manager);
        block = atomic_load(&job->result_block);
        future->result = malloc(size);
        if (future->result == NULL) {
            result = weir__fail(-ENOMEM, "no memory for a result of %zu bytes", size);
        } else {
            memcpy(future->result, block != NULL ? weir_shm_buf(block) : job->inline_result, size);
            future->result_size = size;
        }
    }
    drop_block(job);
    return result;
}

weir_future *weir_pool_submit(weir_pool *pool, weir_call_fn function, const void *arg,
                              size_t arg_size, const weir_job_options *options)
{
    struct weir__job_spec spec;
    weir_job_options one = options != NULL ? *options : (weir_job_options){0};

    one.chunks = 0;
    one.grain = 0;
    one.arg_size = arg_size;
    if (weir__check_pool(pool) < 0 ||
        weir__spec_init(&spec, pool, (weir_range){0, 1}, (void (*)(void))function, (void *)arg,
                        &one, 0) < 0)
        return NULL;
    spec.run = run_call;
    spec.finish = finish_call;
    return weir__launch(pool, &spec, NULL);
}
