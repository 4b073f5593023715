/* SPDX-License-Identifier: MIT
 *
 * task.c: running one chunk or call, and what a task can ask of the worker that runs it.
 *
 * Killed in the task: the cell still says RUNNING, and the supervisor makes it free or failed.
 * While a failure is written: the supervisor takes the record back (failure.h). After the cell is
 * settled: the chunk counts.
 */
#include "pool/worker/task.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "manager/internal.h"
#include "pool/control/calls.h"
#include "pool/control/failure.h"
#include "pool/control/log.h"
#include "pool/control/result.h"
#include "pool/worker/piece.h"
#include "shm/error.h"

static void fill_failure(const struct weir_task *task, int returned, weir_error *error)
{
    const weir_range range = task->at;

    error->code = WEIR_EFAILED;
    error->worker = (int)task->slot;
    error->pid = getpid();
    error->exit_status = -1;
    error->attempt = (int)task->attempt;
    error->task_code = task->fail_code != 0 ? task->fail_code : returned;
    error->range = range;
    if (task->refused) {
        error->code = -task->fail_code;
        error->task_code = 0;
        snprintf(error->message, sizeof(error->message), "%s", task->message);
        return;
    }
    if (task->message[0] != '\0')
        snprintf(error->message, sizeof(error->message),
                 "task failed on [%lld, %lld) with code %d: %s", (long long)range.begin,
                 (long long)range.end, error->task_code, task->message);
    else
        snprintf(error->message, sizeof(error->message), "task failed on [%lld, %lld) with code %d",
                 (long long)range.begin, (long long)range.end, error->task_code);
}

static void describe_failure(struct weir_task *task, int returned)
{
    weir_error *error = weir__failure_claim(task->failures, task->slot);
    struct weir__failure_entry *entry = weir__failure_log_take(task->failures);

    if (error != NULL)
        fill_failure(task, returned, error);
    if (entry != NULL) {
        memset(&entry->error, 0, sizeof(entry->error));
        fill_failure(task, returned, &entry->error);
        weir__failure_log_note(task->failures, entry);
    }
    task->refused = false;
}

/* An object that cannot be mapped is only missed if it is used; then the report of this worker's
 * death says so. Without memory or descriptors it is tried again before the next chunk. */
void weir__task_sync(struct weir_task *task)
{
    _Atomic uint64_t *noted = &task->control->slots[task->slot].unmapped;
    struct weir__unmapped unmapped;
    uint64_t note = 0;

    if (weir__scope_sync(task->scope, &unmapped) < 0)
        note = (uint64_t)unmapped.entry << 32 | (uint32_t)-unmapped.error;
    /* pairs with supervisor.c, add_unmapped(), which has reaped this process */
    if (atomic_load_explicit(noted, memory_order_relaxed) != note)
        atomic_store_explicit(noted, note, memory_order_relaxed);
    task->synced = weir__scope_synced(task->scope);
}

static inline void map_what_is_new(struct weir_task *task)
{
    if (atomic_load_explicit(task->generation, memory_order_acquire) != task->synced)
        weir__task_sync(task);
}

/* The job's memory may lie in a block that this process cannot map. */
static int run_if_mapped(struct weir_task *task,
                         int (*run)(struct weir_task *task, weir_range range), weir_range range)
{
    weir_shm *block = task->job->block;
    int result = 0;

    if (__builtin_expect(block != NULL, 0))
        result = weir__scope_require(task->scope, block, "the job's argument or array");
    if (result < 0)
        return weir_task_fail(task, result, "%s", weir_last_error()->message);
    return run(task, range);
}

/* No buffer is flushed: the worker has the same one. */
_Noreturn void weir__task_end_copy(const struct weir_task *task)
{
    dprintf(
        STDERR_FILENO,
        "weir: process %d ends: a task forked it from worker %u, and it returned from that task\n",
        (int)getpid(), task->slot);
    _exit(1);
}

/* A chunk that may take too long is settled, or this process is killed: the supervisor has
 * condemned it then. */
static void settle(struct weir_task *task, enum weir__cell_state state)
{
    const struct weir__job *job = task->job;

    if (job->deadline_ns == 0 && job->chunk_timeout_ns == 0) {
        weir__cell_settle(task->cell, state);
        return;
    }
    while (!weir__cell_settle_in_time(task->cell, state))
        pause();
}

bool weir__task_run(struct weir_task *task, int (*run)(struct weir_task *task, weir_range range),
                    weir_range range)
{
    struct weir__job *job = task->job;
    bool failed;
    int returned;

    task->fail_code = 0;
    task->result_failed = false;
    task->told = false;
    task->message[0] = '\0';
    task->at = range;
    map_what_is_new(task);

    returned = run_if_mapped(task, run, range);
    weir__task_check_copy(task);

    if (__fpending(stdout) > 0)
        fflush(stdout);
    failed = returned != 0 || task->fail_code != 0;
    if (!failed) {
        settle(task, task->told ? CELL_CANCELLED : CELL_DONE);
    } else {
        describe_failure(task, returned); /* it counts when the cell is FAILED */
        settle(task, CELL_FAILED);
        /* After the cell: killed in between, the failure stands and only more is done than need be.
         * The other way round the job would stop for a chunk that is free again. */
        if (!job->keep_going)
            atomic_fetch_or(&job->stop, STOP_FAILED);
    }
    if (__builtin_expect(task->holds, 0)) {
        weir__piece_let_go(&task->control->slots[task->slot]);
        task->holds = false;
    }
    task->settled++;
    task->total++;
    weir__task_keep_tie(task);
    return !failed;
}

static int check_task(const weir_task *task)
{
    return task != NULL ? 0 : weir__fail(-EINVAL, "the task is NULL");
}

int weir_task_fail(weir_task *task, int code, const char *format, ...)
{
    va_list args;

    if (check_task(task) < 0)
        return -EINVAL;
    task->fail_code = code != 0 ? code : 1;
    task->result_failed = false;
    va_start(args, format);
    vsnprintf(task->message, sizeof(task->message), format, args);
    va_end(args);
    return task->fail_code;
}

int weir_task_log(weir_task *task, const char *format, ...)
{
    va_list args;
    int result;

    if (check_task(task) < 0)
        return -EINVAL;
    if (format == NULL)
        return weir__fail(-EINVAL, "the format is NULL");
    while (task->outer != NULL) /* the bar is known where the program's calls are */
        task = task->outer;
    va_start(args, format);
    result = weir__log_format(task->control, format, args);
    va_end(args);
    if (result == -EINVAL)
        return weir__fail(-EINVAL, "the format is not valid, or what it formats");
    return result < 0 ? weir__fail(result, "cannot write to stderr: %s", strerror(-result)) : 0;
}

int weir_task_worker(const weir_task *task)
{
    return check_task(task) < 0 ? -EINVAL : (int)task->slot;
}

int weir_task_attempt(const weir_task *task)
{
    return check_task(task) < 0 ? -EINVAL : (int)task->attempt;
}

int64_t weir_task_chunk(const weir_task *task)
{
    if (check_task(task) < 0)
        return -EINVAL;
    return task->call == NULL ? task->job->first_chunk + task->chunk : 0;
}

bool weir__task_stopped(const struct weir_task *task)
{
    for (; task != NULL; task = task->outer) {
        if (task->call != NULL ? weir__call_stopped(task->control, task->call)
                               : task->job != NULL && weir__job_stopped(task->control, task->job))
            return true;
    }
    return false;
}

bool weir_task_cancelled(const weir_task *task)
{
    bool stopped;

    if (check_task(task) < 0)
        return false;
    stopped = weir__task_stopped(task);
    if (stopped && weir__is_mine(task->mine))
        ((weir_task *)(uintptr_t)task)->told = true; /* it is const for the function only */
    return stopped;
}

/* Where the result of the task goes. NULL: it has none. */
static struct weir__result *result_of(weir_task *task)
{
    if (task->call == NULL)
        return task->job->kind->has_result ? &task->job->result : NULL;
    task->call->gave = 1; /* first: whatever is given up half-way is found */
    return &task->call->result;
}

void weir__task_drop_result(struct weir_task *task, struct weir__result *result)
{
    const uint64_t place = atomic_exchange(&result->place, 0);

    result->size = 0;
    weir__block_drop(weir__result_block(place));
    if (!task->holds)
        return;
    weir__piece_drop(task->control, task->slot);
    task->holds = false;
}

/* A copy in the worker's region, or in a block of the scope when that has no room. 0, or an error
 * with the last error set. */
static int give_copy(weir_task *task, struct weir__result *result, const void *data, size_t size)
{
    uint64_t piece = weir__piece_take(task->control, task->slot, size);
    weir_shm *block;

    if (piece != 0) {
        task->holds = true;
        memcpy(weir__piece_memory(task->control, piece), data, size);
        /* relaxed: it counts when the cell is settled */
        atomic_store_explicit(&result->place, piece, memory_order_relaxed);
        return 0;
    }
    block = weir__scope_block(task->scope, size, 0);
    if (block == NULL)
        return weir_last_error()->code;
    memcpy(weir_shm_buf(block), data, size);
    atomic_store(&result->place, (uint64_t)(uintptr_t)block);
    return 0;
}

/* Copies it to where the host finds it. 0, or an error with the last error set. */
static int give_result(weir_task *task, const void *data, size_t size)
{
    struct weir__result *result = result_of(task);
    int code = 0;

    if (result == NULL)
        return weir__fail(-EINVAL, "only a task of weir_pool_submit() has a result");
    if (atomic_load_explicit(&result->place, memory_order_relaxed) != 0)
        weir__task_drop_result(task, result);
    result->size = 0;
    if (data == NULL && size > 0)
        return weir__fail(-EINVAL, "the result is NULL, but its size is %zu", size);
    if (size > WEIR__RESULT_INLINE)
        code = give_copy(task, result, data, size);
    else if (size > 0)
        memcpy(result->bytes, data, size);
    if (code == 0)
        result->size = size;
    return code;
}

/* What the task itself said by weir_task_fail() stays. */
static void note_lost_result(weir_task *task, int code, size_t size)
{
    if (task->fail_code != 0 && !task->result_failed)
        return;
    weir_task_fail(task, code, "its result of %zu bytes is lost: %s", size,
                   weir_last_error()->message);
    task->result_failed = true;
}

int weir_task_result(weir_task *task, const void *data, size_t size)
{
    int code;

    if (check_task(task) < 0)
        return -EINVAL;
    if (!weir__is_mine(task->mine))
        return weir__fail(-EDEADLK,
                          "only worker %u, which runs the task, can give its result, not a "
                          "process that the task has forked",
                          task->slot);
    code = give_result(task, data, size);
    if (__builtin_expect(code < 0, 0)) {
        note_lost_result(task, code, size);
    } else if (__builtin_expect(task->result_failed, 0)) {
        task->result_failed = false;
        task->fail_code = 0;
        task->message[0] = '\0';
    }
    return code;
}
