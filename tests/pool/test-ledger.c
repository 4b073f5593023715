/* SPDX-License-Identifier: MIT
 *
 * The ledger: which changes of a cell are allowed, and that one chunk has one owner. And how a
 * range is cut into chunks.
 */
#include "leak.h"

#include <pthread.h>
#include <stdlib.h>

#include "pool/control/chunk.h"
#include "pool/control/mapping.h"
#include "pool/supervisor/deadline.h"
#include "shm/clock.h"

static void cell_names_its_owner__when_claimed(void **state)
{
    weir__cell cell = CELL_FREE;
    uint64_t value;

    (void)state;
    assert_int_equal(weir__cell_claim(&cell, CELL_OWNER_MAX, UINT32_MAX), 1);
    value = cell;
    assert_int_equal(weir__cell_state_of(value), CELL_RUNNING);
    assert_int_equal(weir__cell_owner(value), CELL_OWNER_MAX);
    assert_int_equal(weir__cell_incarnation(value), UINT32_MAX);
    assert_int_equal(weir__cell_attempt(value), 1);
    assert_int_equal(weir__cell_claim(&cell, 3, 1), 0);
    assert_true(cell == value);
    weir__cell_settle(&cell, CELL_DONE);
    assert_int_equal(weir__cell_state_of(cell), CELL_DONE);
    assert_int_equal(weir__cell_owner(cell), CELL_OWNER_MAX);
    assert_int_equal(weir__cell_claim(&cell, 3, 1), 0);
}

static void nothing_is_taken_back__unless_this_worker_was_running_it(void **state)
{
    static const enum weir__cell_state others[] = {CELL_FREE, CELL_DONE, CELL_FAILED,
                                                   CELL_CANCELLED};
    weir__cell cell = CELL_FREE;
    unsigned attempt = 77;

    (void)state;
    weir__cell_claim(&cell, 5, 9);
    assert_int_equal(weir__cell_reclaim(&cell, 4, 9, 3, &attempt), CELL_RUNNING);
    assert_int_equal(weir__cell_reclaim(&cell, 5, 8, 3, &attempt), CELL_RUNNING);
    assert_int_equal(weir__cell_state_of(cell), CELL_RUNNING);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        weir__cell_settle(&cell, others[i]);
        assert_int_equal(weir__cell_reclaim(&cell, 5, 9, 3, &attempt), CELL_RUNNING);
        assert_int_equal(weir__cell_state_of(cell), others[i]);
    }
    assert_int_equal(attempt, 77);
}

static void a_chunk_fails__when_its_workers_died_once_more_than_it_may_be_retried(void **state)
{
    (void)state;
    for (unsigned retries = 0; retries <= 30; retries++) {
        weir__cell cell = CELL_FREE;
        unsigned attempt = 0;

        for (unsigned died = 1; died <= retries; died++) {
            assert_int_equal(weir__cell_claim(&cell, died, died), died);
            assert_int_equal(weir__cell_reclaim(&cell, died, died, retries, &attempt), CELL_FREE);
            assert_int_equal(attempt, died);
        }
        assert_int_equal(weir__cell_claim(&cell, 1, 1), retries + 1);
        assert_int_equal(weir__cell_reclaim(&cell, 1, 1, retries, &attempt), CELL_FAILED);
        assert_int_equal(attempt, retries + 1);
        assert_int_equal(weir__cell_claim(&cell, 1, 2), 0);
    }
}

static void only_free_cells_are_cancelled__when_a_ledger_is_sealed(void **state)
{
    weir__cell cells[5] = {0};
    unsigned attempt;
    struct weir__chunk_tally tally;
    int64_t cursor = 0;

    (void)state;
    for (int i = 1; i < 5; i++)
        weir__cell_claim(&cells[i], 1, 1);
    weir__cell_settle(&cells[1], CELL_DONE);
    weir__cell_settle(&cells[2], CELL_FAILED);
    weir__cell_reclaim(&cells[3], 1, 1, 5, &attempt); /* free again, on its second attempt */
    weir__ledger_cancel_unstarted(cells, 5);
    tally = weir__ledger_tally(cells, 5);
    assert_int_equal(tally.done, 1);
    assert_int_equal(tally.failed, 1);
    assert_int_equal(tally.cancelled, 2);
    assert_int_equal(tally.open, 1);
    assert_false(weir__ledger_settled(cells, 5, &cursor));
    assert_int_equal(cursor, 4);
    weir__cell_settle(&cells[4], CELL_DONE);
    assert_true(weir__ledger_settled(cells, 5, &cursor));
    assert_int_equal(weir__cell_claim(&cells[0], 1, 2), 0);
}

/* ---- many at once --------------------------------------------------------------------------- */

#define CELLS   20000
#define THREADS 4

static weir__cell shared[CELLS];
static int runs[CELLS]; /* not atomic: only the owner of the cell may write */
static pthread_barrier_t start;

static void *claim_all(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;

    pthread_barrier_wait(&start);
    for (int i = 0; i < CELLS; i++) {
        int cell = self % 2 ? i : CELLS - 1 - i;
        unsigned attempt = weir__cell_claim(&shared[cell], self, 1);

        if (attempt == 0)
            continue;
        runs[cell]++;
        if (attempt == 1 && cell % 7 == 0) /* as if it had died here */
            weir__cell_reclaim(&shared[cell], self, 1, 1, &attempt);
        else
            weir__cell_settle(&shared[cell], CELL_DONE);
    }
    return NULL;
}

static void every_chunk_is_run_as_often_as_it_was_claimed__when_threads_race(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (int round = 0; round < 20; round++) {
        pthread_barrier_init(&start, NULL, THREADS);
        for (int i = 0; i < CELLS; i++) {
            shared[i] = CELL_FREE;
            runs[i] = 0;
        }
        for (uintptr_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, claim_all, (void *)i), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < CELLS; i++) {
            unsigned attempt = weir__cell_attempt(shared[i]);

            assert_int_equal(runs[i], attempt);
            if (i % 7 != 0) {
                assert_int_equal(attempt, 1);
                assert_int_equal(weir__cell_state_of(shared[i]), CELL_DONE);
            }
        }
        pthread_barrier_destroy(&start);
    }
}

/* ---- chunks --------------------------------------------------------------------------------- */

/* The chunks in order: without gap or overlap from begin to end, none of them empty. */
static void assert_covered(weir_range range, int64_t count, int64_t grain)
{
    struct weir__job job = {.range = range, .count = count};
    int64_t at = range.begin;
    uint64_t shortest = UINT64_MAX, longest = 0;

    weir__job_cut(&job, grain);
    for (int64_t i = 0; i < count; i++) {
        weir_range chunk = weir__job_chunk(&job, i);
        uint64_t size = (uint64_t)chunk.end - (uint64_t)chunk.begin;

        assert_true(chunk.begin == at && chunk.end > chunk.begin && chunk.end <= range.end);
        at = chunk.end;
        if (grain > 0 && i < count - 1)
            assert_true(size == (uint64_t)grain);
        shortest = size < shortest ? size : shortest;
        longest = size > longest ? size : longest;
    }
    assert_true(at == range.end);
    if (grain == 0)
        assert_true(longest - shortest <= 1);
    else
        assert_true(longest <= (uint64_t)grain);
}

static void a_range_is_covered_once__whatever_its_ends(void **state)
{
    static const weir_range ranges[] = {
        {INT64_MIN, INT64_MAX},
        {INT64_MIN, 0},
        {INT64_MIN, INT64_MIN + 70},
        {-1, INT64_MAX},
        {0, INT64_MAX},
        {INT64_MAX - 65, INT64_MAX},
        {-50, 50},
        {-7, INT64_MAX - 10},
        {0, 64},
    };

    (void)state;
    for (size_t r = 0; r < sizeof ranges / sizeof ranges[0]; r++) {
        uint64_t length = (uint64_t)ranges[r].end - (uint64_t)ranges[r].begin;

        for (int64_t count = 1; count <= 64; count++)
            assert_covered(ranges[r], count, 0);
        for (uint64_t count = 1; count <= 64; count++) {
            uint64_t grain = (length - 1) / count + 1;

            if (grain <= INT64_MAX)
                assert_covered(ranges[r], (int64_t)((length - 1) / grain + 1), (int64_t)grain);
        }
    }
}

static void a_range_is_covered_once__when_it_is_random(void **state)
{
    (void)state;
    srand(3);
    for (int round = 0; round < 3000; round++) {
        int64_t begin = (int64_t)rand() - RAND_MAX / 2, length = rand() % 5000 + 1;
        int64_t grain = rand() % 100 + 1;
        weir_range range = {begin, begin + length};

        assert_covered(range, rand() % length + 1, 0);
        assert_covered(range, (length - 1) / grain + 1, grain);
    }
}

static void a_chunk_is_settled_or_condemned__whichever_comes_first(void **state)
{
    weir__cell cell = CELL_FREE;
    unsigned attempt;
    uint64_t seen;

    (void)state;
    assert_int_equal(weir__cell_claim(&cell, 5, 9), 1);
    seen = cell;
    assert_true(weir__cell_settle_in_time(&cell, CELL_DONE));
    assert_int_equal(weir__cell_state_of(cell), CELL_DONE);
    assert_false(weir__cell_condemn(&cell, seen));
    assert_int_equal(weir__cell_state_of(cell), CELL_DONE);

    cell = CELL_FREE;
    assert_int_equal(weir__cell_claim(&cell, 5, 9), 1);
    assert_true(weir__cell_condemn(&cell, cell));
    assert_true(weir__cell_condemn(&cell, cell)); /* again, until the worker is dead */
    assert_false(weir__cell_settle_in_time(&cell, CELL_DONE));
    assert_int_equal(weir__cell_state_of(cell), CELL_RUNNING);
    assert_int_equal(weir__cell_reclaim(&cell, 5, 9, 1, &attempt), CELL_FREE);
    assert_int_equal(weir__cell_claim(&cell, 6, 1), 2); /* the next attempt is not condemned */
    assert_true(weir__cell_settle_in_time(&cell, CELL_FAILED));
    assert_int_equal(weir__cell_state_of(cell), CELL_FAILED);
}

/* What the worker tries between the look at its time and its death. */
static void settle_before_death(void *context, unsigned slot)
{
    struct weir__control *control = context;
    struct weir__job *job = &control->jobs[1];

    assert_int_equal(control->slots[slot].killed, KILLED_CHUNK);
    assert_false(weir__cell_settle_in_time(&job->cells[0], CELL_DONE));
    job->count = 0; /* it was called */
}

static void a_worker_does_not_get_beyond_its_chunk__when_that_is_late(void **state)
{
    struct weir__control *control = weir__control_new(1, true, NULL);
    struct weir__pauses pauses = {.count = 0};
    struct weir__job *job;

    (void)state;
    assert_non_null(control);
    job = &control->jobs[1];
    job->cells = job->inline_cells;
    job->count = 1;
    job->chunk_timeout_ns = 500000000;
    job->state = JOB_OPEN;
    control->jobs_used = 2;
    control->slots[0].pid = 1;
    control->slots[0].job = 2;
    control->slots[0].started_ns = weir__now_ns() - 1000000000;
    assert_int_equal(weir__cell_claim(&job->cells[0], 0, 0), 1);
    weir__pauses_add(&pauses, weir__now_ns() - 1000000000, weir__now_ns());
    weir__deadlines_look(control, &pauses, settle_before_death, control);
    assert_int_equal(job->count, 1); /* nothing of that was its time */
    pauses.count = 0;
    weir__deadlines_look(control, &pauses, settle_before_death, control);
    assert_int_equal(job->count, 0);
    weir__control_free(control);
}

static void pauses_count_for_what_was_there__however_many_there_are(void **state)
{
    struct weir__pauses pauses = {.count = 0};

    (void)state;
    assert_int_equal(weir__pauses_since(&pauses, 0), 0);
    for (int i = 1; i <= 1000; i++)
        weir__pauses_add(&pauses, 1000 * i, 1000 * i + 10);
    assert_int_equal(weir__pauses_since(&pauses, 500), 1000 * 10);
    assert_int_equal(weir__pauses_since(&pauses, 998 * 1000 + 4), 6 + 2 * 10);
    assert_int_equal(weir__pauses_since(&pauses, 1000 * 1000 + 9), 1);
    assert_int_equal(weir__pauses_since(&pauses, 1000 * 1000 + 10), 0);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(cell_names_its_owner__when_claimed),
        UNIT(nothing_is_taken_back__unless_this_worker_was_running_it),
        UNIT(a_chunk_fails__when_its_workers_died_once_more_than_it_may_be_retried),
        UNIT(only_free_cells_are_cancelled__when_a_ledger_is_sealed),
        UNIT(a_chunk_is_settled_or_condemned__whichever_comes_first),
        UNIT(a_worker_does_not_get_beyond_its_chunk__when_that_is_late),
        UNIT(pauses_count_for_what_was_there__however_many_there_are),
        UNIT(every_chunk_is_run_as_often_as_it_was_claimed__when_threads_race),
        UNIT(a_range_is_covered_once__whatever_its_ends),
        UNIT(a_range_is_covered_once__when_it_is_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
