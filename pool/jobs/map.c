/* SPDX-License-Identifier: MIT
 *
 * map.c: a function over the elements of arrays.
 *
 * Arrays of the scope are used in place. Private ones travel in the job's memory: the input is
 * copied in before the job opens, and the output copied back after its end, of the chunks that are
 * DONE only; so what is in the caller's array was committed by the ledger.
 */
#include <errno.h>
#include <string.h>

#include "pool/control/chunk.h"
#include "pool/host/argument.h"
#include "pool/host/job_future.h"
#include "pool/host/nested.h"
#include "pool/worker/here.h"
#include "shm/error.h"

static int run_map(weir_task *task, weir_range range)
{
    const struct weir__job *job = task->job;
    const struct weir__job_data *data = &job->data;
    weir_map_fn function = (weir_map_fn)job->function;

    for (int64_t i = range.begin; i < range.end; i++) {
        int returned = function(task, data->in + (size_t)i * data->in_size,
                                data->out + (size_t)i * data->out_size, job->arg);

        weir__task_check_copy(task);
        if (returned != 0 || task->fail_code != 0) {
            task->at = (weir_range){i, i + 1};
            return returned;
        }
    }
    return 0;
}

/* The spec's `in` and `out` say what is private: they are set, and the memory has a
 * place for them. */
static void prepare_map(const struct weir__job_spec *spec, struct weir__job *job,
                        unsigned char *data)
{
    size_t count = (size_t)spec->range.end;

    if (spec->data.copy_in) {
        memcpy(data, spec->data.in, count * spec->data.in_size);
        job->data.in = data;
        data += weir__line_up(count * spec->data.in_size);
    }
    if (spec->data.copy_out)
        job->data.out = data;
}

static int finish_map(weir_future *future, struct weir__job *job)
{
    size_t size = job->data.out_size;

    if (!job->data.copy_out || (future->code != 0 && !weir__job_future_of(future)->keep_going))
        return 0;
    for (int64_t chunk = 0; chunk < job->count; chunk++) {
        weir_range range = weir__job_chunk(job, chunk);

        if (weir__cell_state_of(atomic_load(&job->cells[chunk])) == CELL_DONE)
            memcpy((unsigned char *)weir__job_future_of(future)->user_out +
                       (size_t)range.begin * size,
                   job->data.out + (size_t)range.begin * size,
                   (size_t)(range.end - range.begin) * size);
    }
    return 0;
}

static const struct weir__job_kind map_kind = {
    .does = DOES_MAP,
    .run = run_map,
    .here = weir__run_here,
    .prepare = prepare_map,
    .finish = finish_map,
};

static int check_array(const char *what, const void *array, size_t size, size_t count)
{
    size_t bytes;

    if (count > INT64_MAX)
        return weir__fail(-E2BIG, "%zu elements; a map has at most %lld", count,
                          (long long)INT64_MAX);
    if (array == NULL && size > 0 && count > 0)
        return weir__fail(-EINVAL, "%s is NULL, but %s_size is %zu", what, what, size);
    if (__builtin_mul_overflow(size, count, &bytes) || bytes > PTRDIFF_MAX / 4)
        return weir__fail(-E2BIG, "%zu elements of %zu bytes in %s; an array has at most %td bytes",
                          count, size, what, PTRDIFF_MAX / 4);
    return 0;
}

static int spec_map(struct weir__job_spec *spec, weir_pool **at, weir_map_fn function,
                    const void *in, size_t in_size, void *out, size_t out_size, size_t count,
                    void *arg, const weir_job_options *options)
{
    bool shared = options != NULL && options->shared;
    const weir_pool *pool;

    if (weir__use_pool(at) < 0 || check_array("in", in, in_size, count) < 0 ||
        check_array("out", out, out_size, count) < 0 ||
        weir__spec_init(spec, *at, (weir_range){0, (int64_t)count}, (void (*)(void))function, arg,
                        options, 1) < 0)
        return weir_last_error()->code;
    pool = *at;
    if (shared && pool->debug &&
        (weir__argument_check_shared("in", in) < 0 || weir__argument_check_shared("out", out) < 0))
        return -EINVAL;
    spec->kind = &map_kind;
    spec->data = (struct weir__job_data){
        .in = in,
        .out = out,
        .in_size = in_size,
        .out_size = out_size,
        .copy_in =
            in_size > 0 && !shared && !weir__scope_has_address(pool->scope, in, in_size * count),
        .copy_out =
            out_size > 0 && !shared && !weir__scope_has_address(pool->scope, out, out_size * count),
    };
    spec->memory = (spec->data.copy_in ? weir__line_up(in_size * count) : 0) +
                   (spec->data.copy_out ? weir__line_up(out_size * count) : 0);
    return 0;
}

int weir_pool_map(weir_pool *pool, weir_map_fn function, const void *in, size_t in_size, void *out,
                  size_t out_size, size_t count, void *arg, const weir_job_options *options)
{
    struct weir__job_spec spec;
    int result = spec_map(&spec, &pool, function, in, in_size, out, out_size, count, arg, options);

    return result < 0 ? result : weir__run(pool, &spec, out);
}

weir_future *weir_pool_map_async(weir_pool *pool, weir_map_fn function, const void *in,
                                 size_t in_size, void *out, size_t out_size, size_t count,
                                 void *arg, const weir_job_options *options)
{
    struct weir__job_spec spec;

    return spec_map(&spec, &pool, function, in, in_size, out, out_size, count, arg, options) < 0
               ? NULL
               : weir__launch(pool, &spec, out);
}
