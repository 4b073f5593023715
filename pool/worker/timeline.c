/* SPDX-License-Identifier: MIT
 *
 * timeline.c: noting chunks, spans and counts of a traced pool.
 *
 * Where a chunk takes less than SHORT_NS its event takes in the next one of the job too, if that
 * follows at once and is as short: so a ring holds as many seconds of small chunks as of large
 * ones, and the line of memory is one that this CPU has.
 */
#include "pool/worker/timeline.h"

#include "pool/control/mine.h"
#include "shm/error.h"

#define SHORT_NS 10000

/* A call of weir_pool_each() that a worker makes as it starts has no job of its own. */
static bool has_number(const struct weir_task *task, uint64_t *number)
{
    *number = task->call != NULL ? 0
                                 : atomic_load_explicit(&task->job->stop, memory_order_relaxed) >>
                                       STOP_NUMBER_SHIFT;
    return task->call != NULL || *number > 0;
}

/* Takes the chunk into the last event. False: it gets an event of its own. */
static bool extend(struct weir__event *last, const struct weir__event *next)
{
    const int64_t took = next->chunk.busy_ns;

    if (last == NULL || last->kind != EVENT_CHUNK || last->job != next->job || took >= SHORT_NS ||
        last->chunk.longest_ns >= SHORT_NS || next->begin_ns - last->end_ns >= SHORT_NS ||
        last->flags != 0 || next->flags != 0 || last->attempt != 1 || next->attempt != 1 ||
        last->count == UINT32_MAX ||
        (next->job != 0 && next->chunk.first != last->chunk.first + last->count))
        return false;
    last->end_ns = next->end_ns;
    last->chunk.busy_ns += took;
    last->count++;
    if (took > last->chunk.longest_ns) {
        last->chunk.longest_ns = took;
        last->chunk.longest = next->chunk.first;
    }
    return true;
}

void weir__timeline_end(struct weir_task *task, int64_t begin_ns, bool failed)
{
    const uint32_t events = task->control->ring_events;
    struct weir__ring *ring = weir__ring_of(task->control, task->slot);
    const int64_t end_ns = weir__now_ns(), took = end_ns - begin_ns;
    struct weir__event event = {
        .begin_ns = begin_ns,
        .end_ns = end_ns,
        .kind = EVENT_CHUNK,
        .flags = failed ? EVENT_FAILED : 0,
        .attempt = (uint16_t)task->attempt,
        .count = 1,
        .chunk = {
            .first = task->chunk, .busy_ns = took, .longest_ns = took, .longest = task->chunk}};

    task->ended_ns = end_ns;
    if (!has_number(task, &event.job))
        return;
    /* relaxed: this worker alone writes them, and who watches wants a number, whichever */
    atomic_store_explicit(&ring->busy_ns,
                          atomic_load_explicit(&ring->busy_ns, memory_order_relaxed) + took,
                          memory_order_relaxed);
    atomic_store_explicit(&ring->chunks,
                          atomic_load_explicit(&ring->chunks, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (!extend(weir__ring_last(ring, events), &event))
        weir__ring_add(ring, events, &event);
}

/* ---- of the program's tasks ------------------------------------------------------------------ */

/* Not by a process that the task has forked: a ring has one writer. */
static bool is_noted(const weir_task *task)
{
    return task != NULL && weir__is_traced(task->control) && weir__is_mine(task->mine);
}

static void note(weir_task *task, enum weir__event_kind kind, int64_t begin_ns, const char *label,
                 int64_t number)
{
    struct weir__event event = {.begin_ns = begin_ns,
                                .end_ns = weir__now_ns(),
                                .kind = (uint8_t)kind,
                                .attempt = (uint16_t)task->attempt,
                                .count = 1,
                                .user.number = number};

    if (!has_number(task, &event.job))
        return;
    memccpy(event.user.text, label, '\0', WEIR__EVENT_TEXT - 1);
    weir__ring_add(weir__ring_of(task->control, task->slot), task->control->ring_events, &event);
}

weir_span weir_span_begin(weir_task *task, const char *label)
{
    if (!is_noted(task) || label == NULL)
        return (weir_span){.task = NULL};
    return (weir_span){.task = task, .label = label, .begin_ns = weir__now_ns()};
}

void weir_span_end(weir_span *span)
{
    if (span == NULL || span->task == NULL)
        return;
    if (is_noted(span->task))
        note(span->task, EVENT_SPAN, span->begin_ns, span->label, 0);
    span->task = NULL;
}

void weir_task_count(weir_task *task, const char *label, int64_t number)
{
    int64_t now;

    if (!is_noted(task) || label == NULL)
        return;
    now = weir__now_ns();
    note(task, EVENT_COUNT, now, label, number);
}
