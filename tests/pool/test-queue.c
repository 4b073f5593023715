/* SPDX-License-Identifier: MIT
 *
 * What a worker passes over in the queue of calls: what another one has seen, and nothing else. The
 * workers are calls of one thread, over a record that no process has.
 */
#include "leak.h"

#include <stdlib.h>
#include <string.h>

#include "lone-control.h"
#include "pool/control/calls.h"
#include "pool/control/ready.h"
#include "pool/worker/work_calls.h"

#define WORKERS 3
#define PLACES  WEIR__QUEUE_CALLS
#define STEP    64 /* a worker may be so far ahead of what the others are told */

static struct weir__control *control;
static struct weir__queue *queue;
static unsigned ran[PLACES];
static struct weir_task workers[WORKERS];
static struct weir__tie ties[WORKERS];

static int count(weir_task *task, void *arg)
{
    (void)task;
    ++*(unsigned *)arg;
    return 0;
}

static void open_queue(void)
{
    control = lone_control_new(WORKERS, WEIR__QUEUE_JOB);
    queue = control->queue = map_memory(sizeof *queue);
    queue->tail = QUEUE_IDLE;
    for (unsigned i = 0; i < PLACES; i++)
        queue->cells[i] = CELL_DONE;
    memset(ran, 0, sizeof ran);
    for (unsigned slot = 0; slot < WORKERS; slot++)
        workers[slot] = lone_worker(control, slot, &ties[slot]);
}

static void close_queue(void)
{
    munmap(queue, sizeof *queue);
    lone_control_free(control);
}

static uint64_t tail(void)
{
    return queue->tail >> QUEUE_POSITION_SHIFT;
}

/* As the program does. */
static void put(unsigned calls)
{
    for (unsigned i = 0; i < calls; i++) {
        const unsigned place = weir__queue_place(tail());

        queue->calls[place].function = count;
        queue->calls[place].arg = &ran[place];
        queue->calls[place].position = tail();
        queue->cells[place] = CELL_FREE;
        queue->tail = (tail() + 1) << QUEUE_POSITION_SHIFT;
    }
    weir__ready_add(control, WEIR__QUEUE_JOB);
}

static unsigned sum(void)
{
    unsigned runs = 0;

    for (unsigned i = 0; i < PLACES; i++)
        runs += ran[i];
    return runs;
}

/* Cells that were passed are made FREE again, which never happens: so a worker that looks at them
 * gives itself away. */
static void what_one_worker_has_passed__no_other_one_looks_at(void **state)
{
    uint64_t passed;

    (void)state;
    open_queue();
    put(1000);
    weir__work_calls(&workers[0]);
    assert_int_equal(sum(), 1000);
    passed = queue->passed;
    assert_in_range(passed, 1000 - STEP, 1000);
    for (unsigned i = 0; i < passed; i++)
        queue->cells[i] = CELL_FREE;
    put(1);
    weir__work_calls(&workers[1]);
    assert_int_equal(ran[1000], 1);
    assert_int_equal(sum(), 1001);
    close_queue();
}

/* Three workers by turns, a few calls each, for several times round the queue. */
static void every_call_is_run_once__by_whoever_comes(void **state)
{
    unsigned all = 0;

    (void)state;
    open_queue();
    srandom(1);
    while (all < 5 * PLACES) {
        const long most = random() % 4 == 0 ? PLACES : 70;
        const unsigned calls = 1 + (unsigned)(random() % most);

        put(calls);
        all += calls;
        weir__work_calls(&workers[random() % WORKERS]);
        assert_int_equal(sum(), all);
    }
    close_queue();
}

/* A call that is cancelled stays FREE. */
static void cancelled_calls_are_passed__and_no_later_one(void **state)
{
    (void)state;
    open_queue();
    put(500);
    control->cancel_epoch++;
    weir__work_calls(&workers[0]);
    assert_int_equal(sum(), 0);
    for (unsigned i = 500; i < 600; i++)
        queue->calls[i].cancel_epoch = control->cancel_epoch;
    put(100);
    weir__work_calls(&workers[1]);
    weir__work_calls(&workers[2]);
    assert_int_equal(sum(), 100);
    close_queue();
}

/* It is shared memory, which a task may have written to. */
static void a_number_beyond_the_tail_is_not_believed(void **state)
{
    const uint64_t beyond[] = {101, 150, PLACES + 101, UINT64_MAX / 2, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        open_queue();
        queue->passed = beyond[i];
        put(100);
        weir__work_calls(&workers[0]);
        assert_int_equal(sum(), 100);
        close_queue();
    }
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(what_one_worker_has_passed__no_other_one_looks_at),
        UNIT(every_call_is_run_once__by_whoever_comes),
        UNIT(cancelled_calls_are_passed__and_no_later_one),
        UNIT(a_number_beyond_the_tail_is_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
