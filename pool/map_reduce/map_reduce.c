/* SPDX-License-Identifier: MIT
 *
 * map_reduce.c: keyed map-reduce, in two jobs.
 *
 * The first job runs the user's map function over the chunks. A worker combines the pairs that
 * a chunk emits in a private table and publishes that as a map output, in a block of the scope;
 * then the chunk's cell says DONE, and that one store makes the map output count. The host then
 * opens the second job, each chunk of which makes one partition of the table: it goes through the
 * map outputs in the order of their chunks, so pairs of one key are combined in the order of the
 * range, whichever worker ran a chunk, and whenever.
 *
 * Invariants: a map output or a partition is named by its chunk's record in the job's memory before
 * anything is written to it, and only by the worker that has the chunk; when the job has ended the
 * host alone touches the records. What each contains depends on range and options only.
 *
 * Killed: in the map function, or while pairs are combined: the private table goes with the worker,
 * and the chunk is run again. While it publishes: the next attempt at the chunk, or the host, drops
 * the block. Between the making of a block and its being noted: the block stays until the scope
 * ends. The host: the scope ends, and all blocks with it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/host/job_future.h"
#include "pool/host/nested.h"
#include "pool/map_reduce/map_reduce.h"
#include "pool/worker/here.h"
#include "shm/clock.h"
#include "shm/error.h"

#define CHUNKS_DEFAULT 16

/* In the job's memory, shared. */
struct weir__map_reduce_memory {
    _Atomic int32_t error; /* by a worker: of the library, not of the task; 0: none */
    uint32_t group_bits;   /* of map outputs */
    /* Of the second job: */
    uint64_t first; /* the group that the first partition begins with */
    uint32_t width; /* groups of a partition */
    bool as_outputs;
    int64_t outputs_count;
    uint64_t outputs_size;             /* bytes of all map outputs */
    struct weir__published *published; /* one a chunk of this job */
    struct weir__published *outputs;   /* of the second job: what the first one has published */
};

/* The host's record, from the call to the freeing of the future. */
struct weir__map_reduce {
    weir_scope *scope;
    uint64_t scope_id; /* the record may outlive the scope */
    struct weir__published *outputs;
    int64_t outputs_count;
    void *arg; /* a copy, for the second job; NULL: it is passed as it is */
    weir_table *table;
    bool taken; /* the table is the caller's */
    bool alone; /* there is one of the two jobs, and outputs are what it has published */
    struct weir__job_spec merge;
    struct weir__merge plan; /* of the second job; its outputs are `outputs` unless it is alone */
};

/* ---- in the worker -------------------------------------------------------------------------- */

static void free_combiner(struct weir_task *task)
{
    weir__combiner_free(task->combiner);
    task->combiner = NULL;
}

/* Makes the task fail for a reason of the library, which the call then returns. */
static int fail_task(struct weir_task *task, int code, const char *message)
{
    int32_t none = 0;

    if (!weir__is_mine(task->mine)) /* a copy of the worker, which says nothing to the job */
        return code;
    atomic_compare_exchange_strong(&task->job->data.map_reduce_memory->error, &none, code);
    return weir_task_fail(task, code, "%s", message);
}

static int fail_memory(struct weir_task *task, int code)
{
    const size_t limit = task->job->data.map_reduction.memory;
    char message[WEIR__TASK_MESSAGE];

    if (code == -EOVERFLOW)
        return weir_task_fail(task, -EINVAL, "combine wrote past a value, which has %zu bytes",
                              task->job->data.map_reduction.value_size);
    if (code == -E2BIG)
        snprintf(message, sizeof(message), "the values of one key are longer than %zu bytes",
                 WEIR__PAIR_VALUE_MAX);
    else if (limit > 0)
        snprintf(message, sizeof(message), "tables need more than the memory limit of %zu bytes",
                 limit);
    else
        snprintf(message, sizeof(message), "no memory for a worker's table");
    return fail_task(task, code, message);
}

static int begin_combiner(struct weir_task *task)
{
    const weir_map_reduction *reduction = &task->job->data.map_reduction;
    const struct weir__combine_rule rule = {
        .value_size = reduction->value_size,
        .combine = reduction->combine,
        .arg = task->job->arg,
        .group_bits = task->job->data.map_reduce_memory->group_bits,
    };

    if (task->combiner == NULL)
        task->combiner = weir__combiner_new();
    if (task->combiner == NULL)
        return fail_task(task, -ENOMEM, "no memory for a worker's table");
    weir__combiner_begin(task->combiner, &rule,
                         reduction->memory > 0 ? reduction->memory : SIZE_MAX);
    return 0;
}

/* Says that this chunk is going to have `size` bytes, and then adds up what all have: of several
 * that do so at once and pass the limit together, at least one sees it. */
static int claim_memory(struct weir_task *task, struct weir__published *mine, size_t size)
{
    const struct weir__job *job = task->job;
    const size_t limit = job->data.map_reduction.memory;
    uint64_t sum = job->data.map_reduce_memory->outputs_size;

    atomic_store(&mine->size, size);
    if (limit == 0)
        return 0;
    for (int64_t i = 0; i < job->count; i++)
        sum += atomic_load(&job->data.map_reduce_memory->published[i].size);
    return sum <= limit ? 0 : -ENOMEM;
}

static struct weir__published *begin_chunk(struct weir_task *task)
{
    struct weir__published *mine = &task->job->data.map_reduce_memory->published[task->chunk];

    weir__published_drop(mine); /* what an attempt before this one left */
    return mine;
}

static int run_map_chunk(weir_task *task, weir_range range)
{
    struct weir__published *mine = begin_chunk(task);
    int result = begin_combiner(task);

    if (result != 0)
        return result;
    task->may_emit = true;
    result = ((weir_task_fn)task->job->function)(task, range, task->job->arg);
    task->may_emit = false;
    if (result != 0 || task->fail_code != 0)
        return result;
    result = weir__combiner_end(task->combiner);
    if (result == 0)
        result = claim_memory(task, mine, weir__map_output_size(task->combiner));
    if (result != 0)
        return fail_memory(task, result);
    result = weir__map_output_publish(task->scope, task->combiner, mine);
    return result == 0 ? 0 : fail_task(task, result, weir_last_error()->message);
}

static int add_span(struct weir_task *task, const unsigned char *at, const unsigned char *end)
{
    const size_t fixed = task->job->data.map_reduction.value_size;
    int result = 0;

    while (at < end && result == 0) {
        struct weir__pair_record head;

        if (!weir__pair_record_check(at, end, &head) || (fixed > 0 && head.value_size != fixed))
            return -EBADMSG;
        result = weir__combiner_add_record(task->combiner, at, &head);
        at += weir__pair_record_size(head.key_size, head.value_size);
    }
    return result;
}

static int add_map_outputs(struct weir_task *task, uint64_t first, uint64_t last)
{
    const struct weir__map_reduce_memory *shared = task->job->data.map_reduce_memory;
    int result = 0, unmapped = 0;

    for (int64_t i = 0; i < shared->outputs_count && result == 0; i++) {
        const weir_shm *block =
            atomic_load_explicit(&shared->outputs[i].block, memory_order_relaxed);
        const unsigned char *begin, *end;

        if (block == NULL)
            continue;
        unmapped = weir__scope_require(task->scope, block, "a chunk's table");
        if (unmapped < 0)
            break;
        result = weir__map_output_span(block, first, last, &begin, &end)
                     ? add_span(task, begin, end)
                     : -EBADMSG;
    }
    if (unmapped < 0)
        return fail_task(task, unmapped, weir_last_error()->message);
    if (result == 0)
        result = weir__combiner_end(task->combiner);
    if (result == -EBADMSG)
        return fail_task(task, result, "a chunk's table in shared memory has been overwritten");
    return result == 0 ? 0 : fail_memory(task, result);
}

/* The user's reduce function for one key. */
static int reduce_key(void *context, weir_pair *pair)
{
    struct weir_task *task = context;
    const weir_map_reduction *reduction = &task->job->data.map_reduction;
    const unsigned char *key = (const unsigned char *)pair->key;
    const size_t before = pair->value_size;
    const unsigned char *behind = (unsigned char *)pair->value + weir__padded(before);
    int result = reduction->reduce(task, pair, task->job->arg);

    weir__task_check_copy(task);
    if (result != 0 && result != WEIR_SKIP && task->fail_code == 0)
        weir_task_fail(task, result, "reduce failed on the key \"%.100s\"",
                       (const char *)pair->key);
    if (task->fail_code == 0 &&
        (reduction->value_size > 0 ? pair->value_size != before : pair->value_size > before))
        weir_task_fail(task, -EINVAL, "reduce changed the size of a value from %zu to %zu bytes",
                       before, pair->value_size);
    /* the first word of the key, which is padded */
    if (task->fail_code == 0 && memcmp(behind, key, sizeof(uint64_t)) != 0)
        weir_task_fail(task, -EINVAL,
                       "reduce wrote past the value of the key \"%.100s\", which has %zu bytes",
                       (const char *)key, before);
    return task->fail_code != 0 ? -ECANCELED : result;
}

/* All hashes of a partition have so many of the highest bits in common. */
static unsigned common_bits(const struct weir__map_reduce_memory *shared)
{
    unsigned bits = shared->group_bits;

    for (uint32_t width = shared->width; width > 1; width /= 2)
        bits--;
    return bits;
}

static int publish_merged(weir_task *task, struct weir__published *mine)
{
    const struct weir__map_reduce_memory *shared = task->job->data.map_reduce_memory;
    const bool reduces = task->job->data.map_reduction.reduce != NULL;
    int result = claim_memory(task, mine,
                              shared->as_outputs ? weir__map_output_size(task->combiner)
                                                 : weir__partition_size(task->combiner));

    if (result != 0)
        return fail_memory(task, result);
    result = shared->as_outputs
                 ? weir__map_output_publish(task->scope, task->combiner, mine)
                 : weir__partition_publish(task->scope, task->combiner, common_bits(shared),
                                           reduces ? reduce_key : NULL, task, mine);
    return result == 0 || task->fail_code != 0
               ? result
               : fail_task(task, result, weir_last_error()->message);
}

static int run_merge_chunk(weir_task *task, weir_range range)
{
    const struct weir__map_reduce_memory *shared = task->job->data.map_reduce_memory;
    const uint64_t first = shared->first + (uint64_t)range.begin * shared->width;
    struct weir__published *mine = begin_chunk(task);
    int result = begin_combiner(task);

    if (result == 0)
        result = add_map_outputs(task, first, first + shared->width);
    return result != 0 ? result : publish_merged(task, mine);
}

/* ---- emitting ------------------------------------------------------------------------------- */

static int refuse_emit(weir_task *task, const void *key, size_t key_size, const void *value,
                       size_t value_size)
{
    const size_t fixed = task->job->data.map_reduction.value_size;

    if (!task->may_emit)
        return weir_task_fail(task, -EINVAL,
                              "only the map function of weir_pool_map_reduce() can emit");
    if (key == NULL || (value == NULL && value_size > 0))
        return weir_task_fail(task, -EINVAL, "the %s that is emitted is NULL",
                              key == NULL ? "key" : "value");
    if (key_size > WEIR__PAIR_KEY_MAX)
        return weir_task_fail(task, -EINVAL, "a key of %zu bytes; the longest has %zu", key_size,
                              WEIR__PAIR_KEY_MAX);
    return weir_task_fail(task, -EINVAL,
                          "a value of %zu bytes is emitted; the job's values have %zu", value_size,
                          fixed > 0 ? fixed : WEIR__PAIR_VALUE_MAX);
}

static inline int emit_pair(weir_task *task, const void *key, size_t key_size, const void *value,
                            size_t value_size)
{
    size_t fixed;
    int result;

    if (__builtin_expect(task == NULL, 0))
        return weir__fail(-EINVAL, "the task is NULL");
    fixed = task->job->data.map_reduction.value_size;
    if (__builtin_expect(!task->may_emit || key == NULL || (value == NULL && value_size > 0) ||
                             key_size > WEIR__PAIR_KEY_MAX ||
                             (fixed > 0 ? value_size != fixed : value_size > WEIR__PAIR_VALUE_MAX),
                         0))
        return refuse_emit(task, key, key_size, value, value_size);
    result = weir__combiner_add(task->combiner, key, key_size, value, value_size);
    return __builtin_expect(result != 0, 0) ? fail_memory(task, result) : 0;
}

int weir_emit(weir_task *task, const void *key, size_t key_size, const void *value,
              size_t value_size)
{
    return emit_pair(task, key, key_size, value, value_size);
}

int weir_emit_str(weir_task *task, const char *key, const void *value, size_t value_size)
{
    return emit_pair(task, key, key != NULL ? strlen(key) : 0, value, value_size);
}

int weir_emit_int64(weir_task *task, const void *key, size_t key_size, int64_t value)
{
    return emit_pair(task, key, key_size, &value, sizeof(value));
}

/* ---- the host: the second job --------------------------------------------------------------- */

/* The last error stays as it is. */
static void drop_all(struct weir__published *published, int64_t count)
{
    const weir_error before = *weir_last_error();

    for (int64_t i = 0; i < count; i++)
        weir__published_drop(&published[i]);
    weir__fail_with(&before);
}

static void release_record(struct weir__map_reduce *record)
{
    const weir_error before = *weir_last_error();

    if (record == NULL)
        return;
    /* After the scope's end there is nothing left to free. */
    if (weir__scope_lives(record->scope_id)) {
        drop_all(record->outputs, record->outputs_count);
        if (!record->taken)
            weir_table_free(record->table);
    }
    weir__fail_with(&before);
    free(record->outputs);
    free(record->arg);
    free(record);
}

/* A failure of the library in a task is the call's failure under its own code. */
static void set_code(weir_future *future, const struct weir__job *job)
{
    int32_t code = atomic_load(&job->data.map_reduce_memory->error);
    weir_error error = *weir_last_error();

    if (future->code != WEIR_EFAILED || code == 0 || error.task_code != code)
        return;
    error.code = code;
    future->code = weir__fail_with(&error);
}

static void prepare_map_job(const struct weir__job_spec *spec, struct weir__job *job,
                            unsigned char *memory)
{
    struct weir__map_reduce_memory *shared = (struct weir__map_reduce_memory *)memory;

    memset(memory, 0, spec->memory);
    shared->published = (struct weir__published *)(shared + 1);
    shared->group_bits = spec->map_reduce->plan.group_bits;
    job->data.map_reduce_memory = shared;
}

static void prepare_merge_job(const struct weir__job_spec *spec, struct weir__job *job,
                              unsigned char *memory)
{
    struct weir__map_reduce_memory *shared = (struct weir__map_reduce_memory *)memory;
    const struct weir__merge *plan = &spec->map_reduce->plan;

    prepare_map_job(spec, job, memory);
    shared->first = plan->first;
    shared->width = plan->width;
    shared->as_outputs = plan->as_outputs;
    shared->outputs_count = plan->count;
    shared->outputs = shared->published + spec->count;
    for (int64_t i = 0; i < plan->count; i++) {
        atomic_store(&shared->outputs[i].block, atomic_load(&plan->outputs[i].block));
        shared->outputs_size += atomic_load(&plan->outputs[i].size);
    }
}

/* 0, or the error of a partition that is not mapped in this process. */
static int map_partitions(weir_scope *scope, const struct weir__published *partitions,
                          int64_t count)
{
    int result = 0;

    for (int64_t i = 0; i < count && result == 0; i++) {
        const weir_shm *block = atomic_load(&partitions[i].block);

        if (block != NULL)
            result = weir__scope_require(scope, block, "a part of the table");
    }
    return result;
}

/* Takes what a job has published over from it, as it is about to be closed: 0, or -ENOMEM. */
static int take_published(struct weir__map_reduce *record, struct weir__job *job, uint64_t *records)
{
    struct weir__published *published = job->data.map_reduce_memory->published;

    record->outputs = calloc((size_t)job->count, sizeof(*record->outputs));
    if (record->outputs == NULL)
        return weir__fail(-ENOMEM, "no memory for the record of %lld chunks",
                          (long long)job->count);
    record->outputs_count = job->count;
    *records = 0;
    for (int64_t i = 0; i < job->count; i++) {
        atomic_store(&record->outputs[i].size, atomic_load(&published[i].size));
        atomic_store(&record->outputs[i].block, atomic_exchange(&published[i].block, NULL));
        record->outputs[i].records = published[i].records;
        *records += published[i].records;
    }
    return 0;
}

static int make_table(struct weir__map_reduce *record, struct weir__published *published)
{
    const struct weir__merge *plan = &record->plan;
    struct weir__partitions partitions = {.first = plan->first / plan->width,
                                          .count = plan->partitions};
    int result = map_partitions(record->scope, published, plan->partitions);

    if (result < 0)
        return result;
    while (UINT64_C(1) << partitions.bits < (UINT64_C(1) << plan->group_bits) / plan->width)
        partitions.bits++;
    record->table = weir__table_new(record->scope, published, &partitions);
    return record->table != NULL ? 0 : weir_last_error()->code;
}

static int finish_merge_job(weir_future *future, struct weir__job *job)
{
    struct weir__map_reduce *record = weir__job_future_of(future)->map_reduce;
    struct weir__published *partitions = job->data.map_reduce_memory->published;
    uint64_t records;

    drop_all(record->outputs, record->outputs_count);
    set_code(future, job);
    if (future->code == 0)
        future->code = record->plan.as_outputs ? take_published(record, job, &records)
                                               : make_table(record, partitions);
    if (future->code != 0)
        drop_all(partitions, job->count);
    return future->code;
}

static const struct weir__job_kind merge_kind = {
    .does = DOES_MAP_REDUCE_MERGE,
    .run = run_merge_chunk,
    .here = weir__run_here,
    .leave = free_combiner,
    .prepare = prepare_merge_job,
    .finish = finish_merge_job,
    .release = release_record,
};

/* The second job's spec, by the plan. */
static void set_merge(struct weir__job_spec *spec, const struct weir__merge *plan)
{
    spec->range = (weir_range){0, plan->partitions};
    spec->count = plan->partitions;
    spec->grain = 1;
    spec->kind = &merge_kind;
    spec->memory = sizeof(struct weir__map_reduce_memory) +
                   ((size_t)plan->partitions + (size_t)plan->count) * sizeof(*plan->outputs);
}

/* Describes the second job by the first. */
static int plan_merge(struct weir__map_reduce *record, const struct weir__job *job,
                      uint64_t records)
{
    struct weir__job_spec *spec = &record->merge;

    if (spec->arg_size > 0) {
        record->arg = malloc(spec->arg_size);
        if (record->arg == NULL)
            return weir__fail(-ENOMEM, "no memory for an argument of %zu bytes", spec->arg_size);
        memcpy(record->arg, job->arg, spec->arg_size);
        spec->arg = record->arg;
    }
    if (job->deadline_ns > 0) {
        spec->timeout_ns = job->deadline_ns - weir__now_ns();
        if (spec->timeout_ns <= 0)
            spec->timeout_ns = 1;
    }
    spec->cancel_epoch = job->cancel_epoch;
    spec->async = true; /* so that its workers are all woken */
    record->plan.outputs = record->outputs;
    record->plan.count = record->outputs_count;
    record->plan.partitions = weir__partitions_for(records);
    record->plan.width = (1U << record->plan.group_bits) / record->plan.partitions;
    set_merge(spec, &record->plan);
    return 0;
}

static int finish_map_job(weir_future *future, struct weir__job *job)
{
    struct weir__map_reduce *record = weir__job_future_of(future)->map_reduce;
    uint64_t records = 0;
    int result = 0;

    set_code(future, job);
    if (future->code == 0)
        result = take_published(record, job, &records);
    if (future->code != 0 || result < 0) {
        drop_all(job->data.map_reduce_memory->published, job->count);
        return result;
    }
    if (record->alone)
        return 0;
    if (records == 0) {
        record->table = weir__table_new(record->scope, NULL, &(struct weir__partitions){0});
        return record->table != NULL ? 0 : weir_last_error()->code;
    }
    result = plan_merge(record, job, records);
    if (result == 0)
        weir__job_future_of(future)->then = &record->merge;
    return result;
}

/* ---- the host: the first job ---------------------------------------------------------------- */

static const struct weir__job_kind map_kind = {
    .does = DOES_MAP_REDUCE_MAP,
    .run = run_map_chunk,
    .here = weir__run_here,
    .leave = free_combiner,
    .prepare = prepare_map_job,
    .finish = finish_map_job,
    .release = release_record,
};

int weir__check_map_reduction(const weir_map_reduction *reduction)
{
    if (reduction == NULL)
        return weir__fail(-EINVAL, "the map-reduction is NULL");
    if (weir__check_reserved(reduction->reserved, sizeof(reduction->reserved) / sizeof(uint64_t),
                             "weir_map_reduction") < 0)
        return -EINVAL;
    if (reduction->map == NULL)
        return weir__fail(-EINVAL, "the map-reduction's map is NULL");
    if (reduction->value_size > WEIR__PAIR_VALUE_MAX)
        return weir__fail(-EINVAL, "value_size is %zu; the largest is %zu", reduction->value_size,
                          WEIR__PAIR_VALUE_MAX);
    if ((reduction->value_size > 0) != (reduction->combine != NULL))
        return weir__fail(-EINVAL,
                          reduction->combine == NULL
                              ? "the map-reduction's combine is NULL; only values of variable "
                                "size (value_size 0) are appended without one"
                              : "values of variable size (value_size 0) are appended; combine "
                                "must be NULL");
    if (reduction->any_order && reduction->combine == NULL)
        return weir__fail(-EINVAL, "any_order is set, but values of variable size (value_size 0) "
                                   "are appended in the order of the range");
    return 0;
}

/* The record of a job with this reduction; NULL: the last error. */
static struct weir__map_reduce *add_record(struct weir__job_spec *spec, const weir_pool *pool,
                                           const weir_map_reduction *reduction, unsigned group_bits)
{
    struct weir__map_reduce *record = calloc(1, sizeof(*record));

    if (record == NULL)
        return weir__fail_null(-ENOMEM, "no memory for the record of a map-reduce");
    record->scope = pool->scope;
    record->scope_id = weir__scope_id(pool->scope);
    record->plan.group_bits = group_bits;
    spec->data.map_reduction = *reduction;
    spec->map_reduce = record;
    return record;
}

/* The first job, and its record; NULL: the last error. */
static struct weir__map_reduce *spec_map(struct weir__job_spec *spec, weir_pool **at,
                                         weir_range range, const weir_map_reduction *reduction,
                                         void *arg, const weir_job_options *options,
                                         unsigned group_bits)
{
    weir_job_options own = options != NULL ? *options : (weir_job_options){0};

    if (own.chunks == 0 && own.grain == 0)
        own.chunks = CHUNKS_DEFAULT;
    if (weir__use_pool(at) < 0 || weir__check_map_reduction(reduction) < 0 ||
        weir__spec_init(spec, *at, range, (void (*)(void))reduction->map, arg, &own, 1) < 0)
        return NULL;
    if (spec->count > WEIR__MAP_CHUNKS_MAX)
        return weir__fail_null(-E2BIG,
                               "%lld chunks; a map-reduce has at most %d, as each has a table",
                               (long long)spec->count, WEIR__MAP_CHUNKS_MAX);
    spec->kind = &map_kind;
    spec->memory = sizeof(struct weir__map_reduce_memory) +
                   (size_t)spec->count * sizeof(struct weir__published);
    return add_record(spec, *at, reduction, group_bits);
}

/* Both jobs. An empty range has its table at once. */
static struct weir__map_reduce *spec_map_reduce(struct weir__job_spec *spec, weir_pool **at,
                                                weir_range range,
                                                const weir_map_reduction *reduction, void *arg,
                                                const weir_job_options *options)
{
    struct weir__map_reduce *record =
        spec_map(spec, at, range, reduction, arg, options, WEIR__GROUP_BITS);

    if (record == NULL)
        return NULL;
    record->merge = *spec;
    if (spec->count > 0)
        return record;
    record->table = weir__table_new(record->scope, NULL, &(struct weir__partitions){0});
    if (record->table != NULL)
        return record;
    free(record);
    return NULL;
}

/* A cleanup, also if on_progress is left by an exception. */
static void release_record_at(struct weir__map_reduce *const *record)
{
    release_record(*record);
}

weir_table *weir_pool_map_reduce(weir_pool *pool, weir_range range,
                                 const weir_map_reduction *reduction, void *arg,
                                 const weir_job_options *options)
{
    struct weir__job_spec spec;
    struct weir__map_reduce *record __attribute__((cleanup(release_record_at))) =
        spec_map_reduce(&spec, &pool, range, reduction, arg, options);

    if (record == NULL)
        return NULL;
    weir__run(pool, &spec, NULL);
    record->taken = true;
    return record->table;
}

/* NULL for a record that is NULL. */
static weir_future *launch(weir_pool *pool, struct weir__job_spec *spec,
                           struct weir__map_reduce *record)
{
    weir_future *future = record != NULL ? weir__launch(pool, spec, NULL) : NULL;

    if (future == NULL)
        release_record(record);
    return future;
}

weir_future *weir_pool_map_reduce_async(weir_pool *pool, weir_range range,
                                        const weir_map_reduction *reduction, void *arg,
                                        const weir_job_options *options)
{
    struct weir__job_spec spec;
    struct weir__map_reduce *record = spec_map_reduce(&spec, &pool, range, reduction, arg, options);

    return launch(pool, &spec, record);
}

/* ---- one job alone -------------------------------------------------------------------------- */

weir_future *weir__map_async(weir_pool *pool, weir_range range, const weir_map_reduction *reduction,
                             void *arg, const weir_job_options *options, unsigned group_bits)
{
    struct weir__job_spec spec;
    struct weir__map_reduce *record =
        spec_map(&spec, &pool, range, reduction, arg, options, group_bits);

    if (record != NULL)
        record->alone = true;
    return launch(pool, &spec, record);
}

weir_future *weir__merge_async(weir_pool *pool, const weir_map_reduction *reduction, void *arg,
                               const weir_job_options *options, const struct weir__merge *merge)
{
    struct weir__map_reduce *record;
    struct weir__job_spec spec;

    if (weir__use_pool(&pool) < 0 ||
        weir__spec_init(&spec, pool, weir_range_of(merge->partitions),
                        (void (*)(void))reduction->map, arg, options, 1) < 0)
        return NULL;
    record = add_record(&spec, pool, reduction, merge->group_bits);
    if (record != NULL) {
        record->alone = true;
        record->plan = *merge;
        set_merge(&spec, merge);
    }
    return launch(pool, &spec, record);
}

struct weir__published *weir__future_outputs(weir_future *future, int64_t *count)
{
    struct weir__map_reduce *record;
    struct weir__published *outputs;

    if (weir_future_wait(future, -1) < 0)
        return NULL;
    record = weir__job_future_of(future)->map_reduce;
    outputs = record->outputs;
    *count = record->outputs_count;
    record->outputs = NULL;
    record->outputs_count = 0;
    return outputs;
}

/* ---- what has become of it ------------------------------------------------------------------ */

weir_table *weir_future_table(weir_future *future)
{
    struct weir__map_reduce *record;

    if (weir_future_wait(future, -1) < 0)
        return NULL;
    if (future->kind != &weir__job_future_kind || weir__job_future_of(future)->map_reduce == NULL)
        return weir__fail_null(-EINVAL, "the future is not of weir_pool_map_reduce_async()");
    record = weir__job_future_of(future)->map_reduce;
    if (!weir__scope_lives(record->scope_id))
        return weir__fail_null(-EINVAL, "the table's scope has ended");
    record->taken = true;
    return record->table;
}
