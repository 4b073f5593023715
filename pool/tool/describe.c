/* SPDX-License-Identifier: MIT
 *
 * describe.c: scopes, pools and blocks as tables and as JSON, the same in each command.
 */
#include "pool/tool/describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *tool_block_shape(struct tool_heap *heap, const struct tool_block *block)
{
    char *text;

    if (block->count >= 0)
        return tool_print(heap, "%s%" PRId64 " items", strcmp(block->kind, "dict") == 0 ? "~" : "",
                          block->count);
    if (block->dtype == NULL)
        return "-";
    text = tool_print(heap, "%s[", block->dtype);
    for (int i = 0; i < block->ndim; i++)
        text = tool_print(heap, "%s%s%" PRId64, text, i > 0 ? "," : "", block->shape[i]);
    return tool_print(heap, "%s]", text);
}

const char *tool_job_label(struct tool_heap *heap, const struct tool_job *job)
{
    if (job->queue)
        return "calls";
    return job->name[0] != '\0' ? job->name : tool_print(heap, "%s@%u", job->kind, job->place);
}

const char *tool_range(struct tool_heap *heap, weir_range range)
{
    return tool_print(heap, "[%" PRId64 ",%" PRId64 ")", range.begin, range.end);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *block_json(const struct tool_scope *scope, const struct tool_block *block)
{
    json_t *object =
        json_pack("{s:s, s:s, s:o, s:o, s:i, s:b}", "name", block->name, "kind", block->kind,
                  "size", tool_json_number(block->size), "resident",
                  block->resident == UINT64_MAX ? json_null() : tool_json_number(block->resident),
                  "maker", block->maker, "named", (int)block->named);

    json_object_set_new(object, "users",
                        scope->anonymous ? json_null() : json_integer((json_int_t)block->users));
    if (block->count >= 0)
        json_object_set_new(object, "count", json_integer(block->count));
    if (block->dtype != NULL) {
        json_t *shape = json_array();

        for (int i = 0; i < block->ndim; i++)
            json_array_append_new(shape, json_integer(block->shape[i]));
        json_object_set_new(object, "dtype", json_string(block->dtype));
        json_object_set_new(object, "shape", shape);
    }
    return object;
}

json_t *tool_json_text(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

json_t *tool_json_duration(int64_t ns)
{
    return ns >= 0 ? json_integer((json_int_t)ns) : json_null();
}

json_t *tool_scope_json(struct tool_heap *heap, const struct tool_scope *scope)
{
    json_t *members = json_array(), *blocks = json_array(), *object;

    for (size_t i = 0; i < scope->members_count; i++)
        json_array_append_new(members, json_integer(scope->members[i]));
    for (size_t i = 0; i < scope->blocks_count; i++)
        json_array_append_new(blocks, block_json(scope, &scope->blocks[i]));
    object = json_pack("{s:s, s:s, s:b, s:b, s:o, s:I, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "id",
                       tool_print(heap, "%016" PRIx64, scope->id), "state",
                       tool_state_name(scope->state), "certain", (int)scope->certain, "anonymous",
                       (int)scope->anonymous, "pid",
                       scope->pid > 0 ? json_integer(scope->pid) : json_null(), "uid",
                       (json_int_t)scope->uid, "command", tool_json_text(scope->command), "address",
                       tool_json_text(scope->address), "began", tool_time(heap, scope->began),
                       "processes", members, "size", tool_json_number(scope->size), "resident",
                       tool_json_number(scope->resident), "blocks", blocks);
    return object;
}

static json_t *job_json(struct tool_heap *heap, const struct tool_job *job)
{
    return json_pack(
        "{s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:o, s:I, s:I, s:o, s:o, s:o, s:[II]}",
        "job", (json_int_t)job->place, "label", tool_job_label(heap, job), "name", job->name,
        "kind", job->queue ? "calls" : job->kind, "total", (json_int_t)job->total, "done",
        (json_int_t)job->done, "running", (json_int_t)job->running, "waiting",
        (json_int_t)job->waiting, "stopping", (int)job->stopping, "failed", (int)job->failed,
        "failure", tool_json_text(job->failure), "deaths", (json_int_t)job->deaths, "retried",
        (json_int_t)job->retried, "for_ns", tool_json_duration(job->for_ns), "deadline_in_ns",
        tool_json_duration(job->left_ns > 0 ? job->left_ns : -1), "chunk_timeout_ns",
        tool_json_duration(job->chunk_timeout_ns > 0 ? job->chunk_timeout_ns : -1), "range",
        (json_int_t)job->range.begin, (json_int_t)job->range.end);
}

static json_t *worker_json(struct tool_heap *heap, const struct tool_pool *pool,
                           const struct tool_worker *worker)
{
    const struct tool_job *job = worker->job >= 0 ? &pool->jobs[worker->job] : NULL;
    json_t *object =
        json_pack("{s:I, s:o, s:I, s:s, s:o}", "worker", (json_int_t)(worker - pool->workers),
                  "pid", worker->pid > 0 ? json_integer(worker->pid) : json_null(), "life",
                  (json_int_t)worker->life, "state", tool_work_name(worker->work), "job",
                  job != NULL ? json_integer((json_int_t)job->place) : json_null());

    if (job != NULL) {
        json_object_set_new(object, "label", json_string(tool_job_label(heap, job)));
        json_object_set_new(object, "chunk", json_integer(worker->chunk));
        json_object_set_new(object, "for_ns", tool_json_duration(worker->for_ns));
    }
    if (job != NULL && !job->queue) {
        json_object_set_new(object, "begin", json_integer(worker->range.begin));
        json_object_set_new(object, "end", json_integer(worker->range.end));
        json_object_set_new(object, "attempt",
                            worker->attempt > 0 ? json_integer(worker->attempt) : json_null());
    }
    return object;
}

static json_t *counter_json(const _Atomic uint64_t *counter)
{
    return tool_json_number(*counter);
}

json_t *tool_pool_json(struct tool_heap *heap, const struct tool_pool *pool)
{
    const struct weir__status *status = &pool->status;
    json_t *workers = json_array(), *jobs = json_array();

    for (size_t i = 0; i < pool->workers_count; i++)
        json_array_append_new(workers, worker_json(heap, pool, &pool->workers[i]));
    for (size_t i = 0; i < pool->jobs_count; i++)
        json_array_append_new(jobs, job_json(heap, &pool->jobs[i]));
    return json_pack(
        "{s:s, s:I, s:s, s:I, s:b, s:o, s:s, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "name", pool->name, "supervisor", (json_int_t)pool->supervisor, "scope",
        tool_print(heap, "%016" PRIx64, status->scope), "size", (json_int_t)status->workers,
        "pids_are_ours", (int)pool->pids_are_ours, "unknown", tool_json_text(pool->why), "began",
        tool_time(heap, status->began_real_ns / 1000000000), "stacks",
        (int)((status->can & STATUS_STACKS) != 0), "broken", (int)pool->broken, "ending",
        (int)pool->draining, "workers_started", counter_json(&status->workers_started),
        "workers_died", counter_json(&status->workers_died), "chunks_retried",
        counter_json(&status->chunks_retried), "chunks_timed_out",
        counter_json(&status->chunks_timed_out), "starts_failed",
        counter_json(&status->starts_failed), "workers", workers, "jobs", jobs);
}
