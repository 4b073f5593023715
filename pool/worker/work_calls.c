/* SPDX-License-Identifier: MIT
 *
 * work_calls.c: the worker's side of the queue of submitted calls; control/calls.h has the states.
 *
 * Each worker goes over the cells from its cursor, or another worker's that is further, to the
 * tail, claims those that are FREE, and runs their calls. Before it runs one it sees to it that the
 * next one finds a worker: either there is none (and the job is taken out of the ready set, so that
 * the thread that puts the next call wakes a worker), or the next worker is woken. So a call that
 * takes long holds up no other one.
 *
 * Killed anywhere: as in work_jobs.c. The chunk is named before it is claimed; the supervisor fails
 * it, puts the job back into the ready set, and has the host look at all calls.
 */
#include "pool/worker/work_calls.h"

#include "pool/control/calls.h"
#include "pool/control/park.h"
#include "pool/control/ready.h"
#include "pool/worker/timeline.h"

#define TURN         32 /* calls, then other jobs have their turn */
#define FEW          8  /* calls left: nearly caught up */
#define PASSED_STEP  64 /* calls, then the others are told how far this worker is */
#define CALLS_AHEAD  6
#define CELLS_AHEAD  12
#define LINGER_LOOKS 4
#define LINGER_PAUSE 3 /* pauses between looks */

static int run_queued_call(struct weir_task *task, weir_range range)
{
    (void)range;
    return task->call->function(task, task->call->arg);
}

static uint64_t load_tail(const struct weir__queue *queue)
{
    /* seq_cst, as are publish_call() and take_queue_out() */
    return atomic_load(&queue->tail);
}

/* Moves the cursor to the first call below the known tail that is to be run. False: no call
 * is. */
static bool find_call(struct weir_task *task)
{
    struct weir__queue *queue = task->control->queue;
    uint64_t end = task->tail >> QUEUE_POSITION_SHIFT;

    if (end - task->cursor > WEIR__QUEUE_CALLS)
        task->cursor = end - WEIR__QUEUE_CALLS;
    for (; task->cursor != end; task->cursor++) {
        unsigned place = weir__queue_place(task->cursor);

        if (weir__cell_state_of(atomic_load_explicit(&queue->cells[place], memory_order_relaxed)) ==
                CELL_FREE &&
            !weir__call_stopped(task->control, &queue->calls[place]))
            return true;
    }
    return false;
}

/* Goes on from where another worker has been, if that is further: no call before is to be run. */
static void skip_passed(struct weir_task *task)
{
    struct weir__queue *queue = task->control->queue;
    /* acquire: a tail that is read after it is at least as far as the other worker's was */
    const uint64_t passed = atomic_load_explicit(&queue->passed, memory_order_acquire);

    if (task->cursor >= passed) {
        if (task->cursor - passed >= PASSED_STEP)
            atomic_store_explicit(&queue->passed, task->cursor, memory_order_release);
        return;
    }
    if (passed > task->tail >> QUEUE_POSITION_SHIFT)
        task->tail = load_tail(queue);
    task->cursor = passed;
}

/* Reads the tail again if there is not much below the one that is known: each look takes the line
 * away from the program. While that puts many calls, waits a moment for more. */
static void look_ahead(struct weir_task *task)
{
    const struct weir__queue *queue = task->control->queue;

    if ((task->tail >> QUEUE_POSITION_SHIFT) - task->cursor < FEW)
        weir__timeline_pause(task);
    for (int i = 0; (task->tail >> QUEUE_POSITION_SHIFT) - task->cursor < FEW; i++) {
        task->tail = load_tail(queue);
        if (i == LINGER_LOOKS || !(task->tail & QUEUE_BULK))
            return;
        for (int k = 0; k < LINGER_PAUSE; k++)
            weir__pause();
    }
}

/* Every call below the known tail is taken. True: the job is out of the ready set. False: there are
 * more calls by now. */
static bool take_queue_out(struct weir_task *task)
{
    struct weir__queue *queue = task->control->queue;
    uint64_t tail = task->tail;

    weir__ready_remove(task->control, WEIR__QUEUE_JOB);
    /* seq_cst; pairs with calls.c, publish_call(): either that exchange finds the flag, or this
     * one finds another tail */
    if ((tail & QUEUE_IDLE)
            ? load_tail(queue) == tail
            : atomic_compare_exchange_strong(&queue->tail, &tail, tail | QUEUE_IDLE))
        return true;
    weir__ready_add(task->control, WEIR__QUEUE_JOB);
    return false;
}

/* Claims the call at the cursor. */
static bool claim_call(struct weir_task *task)
{
    unsigned place = weir__queue_place(task->cursor);
    struct weir__queue *queue = task->control->queue;

    /* release: set before the claim, for the supervisor */
    atomic_store_explicit(&task->control->slots[task->slot].chunk, place, memory_order_release);
    task->attempt = weir__cell_claim(&queue->cells[place], task->slot, task->incarnation);
    task->cursor++;
    if (task->attempt == 0)
        return false;
    /* what others wrote last comes while this call runs */
    __builtin_prefetch(&queue->calls[weir__queue_place(task->cursor + CALLS_AHEAD)], 0);
    __builtin_prefetch(&queue->cells[weir__queue_place(task->cursor + CELLS_AHEAD)], 1);
    task->chunk = place;
    task->call = &queue->calls[place];
    return true;
}

static void run_claimed(struct weir_task *task)
{
    struct weir__queue *queue = task->control->queue;
    unsigned place = (unsigned)task->chunk;
    const int64_t begin_ns = weir__timeline_begin(task);
    bool done;

    task->cell = &queue->cells[place];
    task->failures = weir__queue_failures(queue, place);
    done = weir__task_run(task, run_queued_call, (weir_range){0, 1});
    if (__builtin_expect(begin_ns != 0, 0))
        weir__timeline_end(task, begin_ns, !done);
    task->call = NULL;
    /* pairs with calls.c, mark_call(): that sets the mark, then looks at the cell */
    atomic_thread_fence(memory_order_seq_cst);
    weir__queue_ring(task->control, place);
}

/* Claims a call, and sees to the next one. False: none is left, and the job is out of the ready
 * set. *claimed: there is one to be run. */
static bool take_one(struct weir_task *task, bool *claimed)
{
    struct weir__control *control = task->control;
    bool more;

    skip_passed(task);
    look_ahead(task);
    *claimed = false;
    while (!*claimed && find_call(task))
        *claimed = claim_call(task);
    do {
        more = find_call(task);
        if (!more) {
            task->tail = load_tail(control->queue);
            more = find_call(task);
        }
    } while (!more && !take_queue_out(task));
    return more;
}

void weir__work_calls(struct weir_task *task)
{
    struct weir__control *control = task->control;
    struct weir__slot *slot = &control->slots[task->slot];
    bool more = true, claimed;

    weir__end_spin(control, task->slot);
    task->job = &control->jobs[WEIR__QUEUE_JOB];
    /* release, before a claim: for the supervisor */
    atomic_store_explicit(&slot->job, WEIR__QUEUE_JOB + 1, memory_order_release);
    for (int i = 0; more && !weir__task_called_away(task); i++) {
        if (i >= TURN && weir__ready_other(control, WEIR__QUEUE_JOB))
            break;
        more = take_one(task, &claimed);
        weir__task_wake_next(task, more);
        if (claimed)
            run_claimed(task);
    }
    weir__announce_spin(control, task->slot);
    weir__timeline_pause(task);
    atomic_store_explicit(&slot->job, 0, memory_order_release);
}
