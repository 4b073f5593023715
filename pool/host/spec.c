/* SPDX-License-Identifier: MIT
 *
 * spec.c: checking a call's arguments and turning them into a job's description.
 *
 * Everything is checked before anything is changed, and each message names the value and its limit.
 */
#include <errno.h>
#include <string.h>

#include "pool/host/spec.h"
#include "shm/error.h"

#define CHUNKS_DEFAULT 64
#define RETRIES_MAX    30

int weir__check_name(const char *name, const char *what)
{
    if (name == NULL)
        return 0;
    if (strnlen(name, WEIR__STATUS_NAME) == WEIR__STATUS_NAME)
        return weir__fail(-EINVAL, "%s is \"%.40s\"%s; it can have up to %d bytes", what, name,
                          strnlen(name, 41) > 40 ? "..." : "", WEIR__STATUS_NAME - 1);
    return 0;
}

static int check_job_options(const weir_job_options *options)
{
    if (weir__check_reserved(options->reserved, sizeof(options->reserved) / sizeof(uint64_t),
                             "weir_job_options") < 0)
        return -EINVAL;
    if (weir__check_name(options->name, "weir_job_options.name") < 0)
        return -EINVAL;
    if (options->chunks < 0 || options->grain < 0)
        return weir__fail(-EINVAL, "chunks is %lld and grain %lld; neither may be negative",
                          (long long)options->chunks, (long long)options->grain);
    if (options->chunks > 0 && options->grain > 0)
        return weir__fail(-EINVAL, "chunks (%lld) and grain (%lld) exclude each other",
                          (long long)options->chunks, (long long)options->grain);
    if (options->first_chunk < 0)
        return weir__fail(-EINVAL, "first_chunk is %lld; it must not be negative",
                          (long long)options->first_chunk);
    if (options->retries < WEIR_RETRIES_NONE || options->retries > RETRIES_MAX)
        return weir__fail(-EINVAL, "retries is %d; it must be from %d (never) to %d",
                          options->retries, WEIR_RETRIES_NONE, RETRIES_MAX);
    if (options->timeout_ms < WEIR_TIMEOUT_NONE || options->chunk_timeout_ms < WEIR_TIMEOUT_NONE)
        return weir__fail(-EINVAL,
                          "timeout_ms is %d and chunk_timeout_ms %d; neither may be less than %d "
                          "(none)",
                          options->timeout_ms, options->chunk_timeout_ms, WEIR_TIMEOUT_NONE);
    if (options->stall_ms < WEIR_STALL_NONE)
        return weir__fail(-EINVAL, "stall_ms is %d; it must not be less than %d (never)",
                          options->stall_ms, WEIR_STALL_NONE);
    if (options->on_stall != NULL && options->stall_ms == 0)
        return weir__fail(-EINVAL, "on_stall needs stall_ms, which is 0");
    if (options->report != NULL && options->report->failures == NULL &&
        options->report->failures_most > 0)
        return weir__fail(-EINVAL, "the report's failures is NULL, but failures_most is %zu",
                          options->report->failures_most);
    if (options->report != NULL &&
        weir__check_reserved(options->report->reserved,
                             sizeof(options->report->reserved) / sizeof(uint64_t),
                             "weir_job_report") < 0)
        return -EINVAL;
    if (options->progress_lines && options->progress == NULL)
        return weir__fail(-EINVAL,
                          "progress_lines needs a label in progress, if only an empty one");
    return 0;
}

/* Into how many chunks the range is cut: from range and options alone. */
static int count_chunks(weir_range range, const weir_job_options *options, int64_t *count)
{
    uint64_t length = (uint64_t)range.end - (uint64_t)range.begin;
    uint64_t chunks = options->chunks > 0 ? (uint64_t)options->chunks : CHUNKS_DEFAULT;

    if (options->grain > 0 && length > 0)
        chunks = (length - 1) / (uint64_t)options->grain + 1;
    if (chunks > length)
        chunks = length;
    if (chunks > WEIR__CHUNKS_MAX)
        return weir__fail(
            -E2BIG, "%llu chunks for [%lld, %lld); a job has at most %lld: give a larger grain",
            (unsigned long long)chunks, (long long)range.begin, (long long)range.end,
            (long long)WEIR__CHUNKS_MAX);
    *count = (int64_t)chunks;
    return 0;
}

int weir__check_job_defaults(const weir_job_options *options)
{
    if (check_job_options(options) < 0)
        return -EINVAL;
    if (options->chunks != 0 || options->grain != 0 || options->first_chunk != 0 ||
        options->arg_size != 0 || options->shared || options->progress_lines ||
        options->progress != NULL || options->on_progress != NULL ||
        options->on_progress_arg != NULL || options->report != NULL || options->name != NULL)
        return weir__fail(-EINVAL, "a pool's options for jobs can have only retries, timeout_ms, "
                                   "chunk_timeout_ms, keep_going, stall_ms and on_stall");
    return 0;
}

weir_job_options weir__with_defaults(const weir_pool *pool, const weir_job_options *options)
{
    weir_job_options own = options != NULL ? *options : (weir_job_options){0};

    if (own.retries == 0)
        own.retries = pool->job.retries;
    if (own.timeout_ms == 0)
        own.timeout_ms = pool->job.timeout_ms;
    if (own.chunk_timeout_ms == 0)
        own.chunk_timeout_ms = pool->job.chunk_timeout_ms;
    own.keep_going |= pool->job.keep_going;
    if (own.stall_ms == 0)
        own.stall_ms = pool->job.stall_ms;
    if (own.on_stall == NULL) {
        own.on_stall = pool->job.on_stall;
        own.on_stall_arg = pool->job.on_stall_arg;
    }
    return own;
}

static int64_t to_ns(int timeout_ms)
{
    return timeout_ms > 0 ? (int64_t)timeout_ms * 1000000 : 0;
}

int weir__spec_init(struct weir__job_spec *spec, const weir_pool *pool, weir_range range,
                    void (*function)(void), void *arg, const weir_job_options *options,
                    unsigned retries)
{
    const weir_job_options defaults = {0};
    weir_job_options own;
    int result;

    if (pool->has_job) {
        own = weir__with_defaults(pool, options);
        options = &own;
    } else if (options == NULL) {
        options = &defaults;
    }
    if (function == NULL)
        return weir__fail(-EINVAL, "the task's function is NULL");
    if (range.end < range.begin)
        return weir__fail(-EINVAL, "the range [%lld, %lld) ends before it begins",
                          (long long)range.begin, (long long)range.end);
    result = check_job_options(options);
    if (result < 0)
        return result;
    if (options->arg_size > 0 && arg == NULL)
        return weir__fail(-EINVAL, "arg is NULL, but arg_size is %zu", options->arg_size);
    *spec = (struct weir__job_spec){
        .function = function,
        .arg = arg,
        .arg_size = options->arg_size,
        .range = range,
        .grain = options->grain,
        .first_chunk = options->first_chunk,
        .retries = options->retries > 0   ? (unsigned)options->retries
                   : options->retries < 0 ? 0
                                          : retries,
        .keep_going = options->keep_going,
        .timeout_ns = to_ns(options->timeout_ms),
        .chunk_timeout_ns = to_ns(options->chunk_timeout_ms),
        .report = options->report,
        .name = options->name,
        .progress =
            {
                .label = options->progress,
                .lines = options->progress_lines,
                .call = options->on_progress,
                .arg = options->on_progress_arg,
            },
    };
    if (!pool->here) /* the thread that waits runs the chunks */
        spec->stall = (struct weir__stall_wish){
            .limit_ns = to_ns(options->stall_ms),
            .call = options->on_stall,
            .arg = options->on_stall_arg,
        };
    if (pool->nested) { /* the terminal is the program's */
        spec->progress.label = NULL;
        spec->progress.lines = false;
    }
    return count_chunks(range, options, &spec->count);
}
