/* SPDX-License-Identifier: MIT
 *
 * reduce.c: deterministic reductions.
 *
 * Each chunk has an accumulator in the job's memory. An attempt sets it to the neutral element
 * first, so what an attempt that was killed left does not matter; the ledger commits it with the
 * chunk. When all are done the caller's process combines them pairwise, neighbours first:
 *
 *     0 1 2 3 4 5 6      0+1  2+3  4+5  6      (0+1)+(2+3)  (4+5)+6      ...
 *
 * The cut into chunks and this tree depend on range and options only, so do the bits of the result.
 */
#include <errno.h>
#include <string.h>

#include "pool/host/job_future.h"
#include "pool/host/nested.h"
#include "pool/host/result.h"
#include "pool/worker/here.h"
#include "shm/error.h"

static void set_neutral(const weir_reduction *reduction, void *accumulator, void *arg)
{
    if (reduction->init != NULL)
        reduction->init(accumulator, arg);
    else
        memset(accumulator, 0, reduction->size);
}

/* A word behind the accumulator: what writes past that writes to it, before it reaches the next
 * one. */
#define FENCE UINT64_C(0x5eed0fa11ed5eed1)

static unsigned char *fence_of(const weir_reduction *reduction, void *accumulator)
{
    return (unsigned char *)accumulator + ((reduction->size + 7) & ~(size_t)7);
}

static bool fence_holds(const weir_reduction *reduction, void *accumulator)
{
    uint64_t fence;

    memcpy(&fence, fence_of(reduction, accumulator), sizeof(fence));
    return fence == FENCE;
}

static int run_reduce(weir_task *task, weir_range range)
{
    const struct weir__job *job = task->job;
    const weir_reduction *reduction = &job->data.reduction;
    void *accumulator = job->data.out + (size_t)task->chunk * job->data.out_size;
    const uint64_t fence = FENCE;
    int returned;

    memcpy(fence_of(reduction, accumulator), &fence, sizeof(fence));
    set_neutral(reduction, accumulator, job->arg);
    returned = reduction->fold(task, range, accumulator, job->arg);
    if (returned == 0 && task->fail_code == 0 && !fence_holds(reduction, accumulator))
        return weir_task_fail(task, -EINVAL,
                              "init or fold wrote past its accumulator, which has %zu bytes",
                              reduction->size);
    return returned;
}

static void prepare_reduce(const struct weir__job_spec *spec, struct weir__job *job,
                           unsigned char *data)
{
    (void)spec;
    job->data.out = data;
}

static int combine_all(const weir_reduction *reduction, unsigned char *first, size_t distance,
                       int64_t count, void *arg)
{
    for (int64_t step = 1; step < count; step *= 2) {
        for (int64_t i = 0; i + step < count; i += 2 * step) {
            unsigned char *into = first + (size_t)i * distance;

            reduction->combine(into, into + (size_t)step * distance, arg);
            if (!fence_holds(reduction, into))
                return weir__fail(-EINVAL, "combine wrote past an accumulator, which has %zu bytes",
                                  reduction->size);
        }
    }
    return 0;
}

static int finish_reduce(weir_future *future, struct weir__job *job)
{
    const weir_reduction *reduction = &weir__job_future_of(future)->data.reduction;
    void *out = weir__job_future_of(future)->user_out;
    int result;

    if (future->code != 0)
        return 0;
    result = combine_all(reduction, job->data.out, job->data.out_size, job->count, job->arg);
    if (result < 0)
        return result;
    if (out == NULL)
        out = weir__result_alloc(future, reduction->size);
    if (out == NULL)
        return -ENOMEM;
    memcpy(out, job->data.out, reduction->size);
    return 0;
}

static const struct weir__job_kind reduce_kind = {
    .does = DOES_REDUCE,
    .run = run_reduce,
    .here = weir__run_here,
    .prepare = prepare_reduce,
    .finish = finish_reduce,
    .combines = true,
};

static int check_reduction(const weir_reduction *reduction)
{
    if (reduction == NULL)
        return weir__fail(-EINVAL, "the reduction is NULL");
    if (weir__check_reserved(reduction->reserved, sizeof(reduction->reserved) / sizeof(uint64_t),
                             "weir_reduction") < 0)
        return -EINVAL;
    if (reduction->size == 0 || reduction->size > PTRDIFF_MAX / 4)
        return weir__fail(-EINVAL, "the reduction's size is %zu; it must be from 1 to %td bytes",
                          reduction->size, PTRDIFF_MAX / 4);
    if (reduction->fold == NULL || reduction->combine == NULL)
        return weir__fail(-EINVAL, "the reduction's %s is NULL",
                          reduction->fold == NULL ? "fold" : "combine");
    return 0;
}

static int spec_reduce(struct weir__job_spec *spec, weir_pool **pool, weir_range range,
                       const weir_reduction *reduction, void *arg, const weir_job_options *options)
{
    if (weir__use_pool(pool) < 0 || check_reduction(reduction) < 0 ||
        weir__spec_init(spec, *pool, range, (void (*)(void))reduction->fold, arg, options, 1) < 0)
        return weir_last_error()->code;
    spec->kind = &reduce_kind;
    /* a cache line apart, so that no two workers write to the same one */
    spec->data.out_size = weir__line_up(reduction->size + 7 + sizeof(uint64_t));
    spec->data.reduction = *reduction;
    if (__builtin_mul_overflow(spec->data.out_size, (size_t)spec->count, &spec->memory) ||
        spec->memory > PTRDIFF_MAX / 4)
        return weir__fail(-ENOMEM, "%lld accumulators of %zu bytes; give fewer chunks",
                          (long long)spec->count, reduction->size);
    return 0;
}

int weir_pool_reduce(weir_pool *pool, weir_range range, const weir_reduction *reduction,
                     void *result, void *arg, const weir_job_options *options)
{
    struct weir__job_spec spec;
    int error = spec_reduce(&spec, &pool, range, reduction, arg, options);

    if (error < 0)
        return error;
    if (result == NULL)
        return weir__fail(-EINVAL, "the place for the reduction's result is NULL");
    if (spec.count == 0)
        set_neutral(reduction, result, arg);
    return weir__run(pool, &spec, result);
}

weir_future *weir_pool_reduce_async(weir_pool *pool, weir_range range,
                                    const weir_reduction *reduction, void *arg,
                                    const weir_job_options *options)
{
    struct weir__job_spec spec;
    weir_future *future;

    if (spec_reduce(&spec, &pool, range, reduction, arg, options) < 0)
        return NULL;
    future = weir__launch(pool, &spec, NULL);
    if (future == NULL || spec.count > 0)
        return future;
    if (weir__result_alloc(future, reduction->size) == NULL) {
        weir_future_free(future);
        return NULL;
    }
    set_neutral(reduction, future->result, arg);
    return future;
}
