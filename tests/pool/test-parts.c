/* SPDX-License-Identifier: MIT
 *
 * The parts of a job of many chunks: what a worker passes over, and that no chunk is lost by it.
 * Workers are threads here, over a record that no process has.
 */
#include "leak.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "lone-control.h"
#include "pool/control/parts.h"
#include "pool/control/ready.h"
#include "pool/worker/work_jobs.h"

#define JOB         1
#define WORKERS     5
#define DEAD        4 /* a worker that is not there any more */
#define CHUNKS_MOST 100000

static struct weir__control *control;
static struct weir__job *job;
static _Atomic int ran[CHUNKS_MOST];

static int run(struct weir_task *task, weir_range range)
{
    (void)task;
    ran[range.begin]++;
    return 0;
}

static const struct weir__job_kind kind = {.run = run};

static size_t cells_size(int64_t count)
{
    return (size_t)count * sizeof *job->cells + weir__parts_size(count);
}

static void open_job(int64_t count)
{
    control = lone_control_new(WORKERS, JOB);
    job = &control->jobs[JOB];
    job->kind = &kind;
    job->count = count;
    job->range = (weir_range){0, count};
    job->grain = 1;
    job->cells = map_memory(cells_size(count));
    weir__parts_reset(job->cells, count, job->retry_seq);
    job->state = JOB_OPEN;
    memset(ran, 0, sizeof ran);
}

static void close_job(void)
{
    munmap(job->cells, cells_size(job->count));
    lone_control_free(control);
}

static void work(unsigned slot)
{
    struct weir__tie tie;
    struct weir_task task = lone_worker(control, slot, &tie);

    weir__work_on_job(&task, JOB);
}

/* As the supervisor does, of the worker that is dead. */
static void reclaim(int64_t chunk)
{
    unsigned attempt;

    assert_int_equal(weir__cell_reclaim(&job->cells[chunk], DEAD, 1, 30, &attempt), CELL_FREE);
    job->retry_seq++;
    weir__ready_add(control, JOB);
}

static int64_t count_of(enum weir__cell_state state)
{
    int64_t count = 0;

    for (int64_t i = 0; i < job->count; i++)
        count += weir__cell_state_of(job->cells[i]) == state;
    return count;
}

static bool all_are_spent(void)
{
    const struct weir__parts parts = weir__parts_of(job->cells, job->count, job->retry_seq);
    int64_t i = 0;

    while (i < parts.count && weir__part_is_spent(&parts, i))
        i++;
    return i == parts.count;
}

static const int64_t counts[] = {1, 16, 1023, 1024, 1025, 2047, 4096, 5000, CHUNKS_MOST};

static void every_free_chunk_is_run_once__wherever_its_worker_begins(void **state)
{
    (void)state;
    srandom(1);
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        for (unsigned slot = 0; slot < WORKERS; slot++) {
            int64_t free_ones = 0, runs = 0;

            open_job(counts[c]);
            for (int64_t i = 0; i < job->count; i++) {
                job->cells[i] = random() % (slot + 1) == 0 ? CELL_FREE : CELL_DONE;
                free_ones += job->cells[i] == CELL_FREE;
            }
            weir__ready_add(control, JOB);
            work(slot);
            for (int64_t i = 0; i < job->count; i++)
                runs += ran[i];
            assert_int_equal(runs, free_ones);
            assert_int_equal(count_of(CELL_DONE), job->count);
            assert_false(weir__ready_has(control, JOB));
            close_job();
        }
    }
}

static void parts_are_passed_over__when_a_worker_has_seen_no_free_chunk_there(void **state)
{
    (void)state;
    open_job(5000);
    for (int64_t i = 0; i < job->count; i++)
        job->cells[i] = CELL_DONE;
    work(0);
    assert_true(all_are_spent());
    /* This never happens: it shows that a worker does not look. */
    job->cells[4321] = CELL_FREE;
    work(1);
    assert_int_equal(count_of(CELL_FREE), 1);
    weir__parts_reset(job->cells, job->count, job->retry_seq);
    work(1);
    assert_int_equal(count_of(CELL_FREE), 0);
    close_job();
}

static void a_chunk_is_run_again__when_its_worker_died_in_a_spent_part(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        open_job(5000);
        for (int64_t i = 0; i < job->count; i++)
            job->cells[i] = CELL_DONE;
        job->cells[2345] = CELL_FREE;
        assert_int_equal(weir__cell_claim(&job->cells[2345], DEAD, 1), 1);
        weir__ready_add(control, JOB);
        work(0);
        assert_true(all_are_spent());
        assert_false(weir__ready_has(control, JOB));
        reclaim(2345);
        assert_false(all_are_spent());
        work(slot);
        assert_int_equal(ran[2345], 1);
        assert_int_equal(count_of(CELL_DONE), job->count);
        assert_false(weir__ready_has(control, JOB));
        close_job();
    }
}

static _Atomic bool over;

static void *be_worker(void *slot)
{
    while (!over || weir__ready_has(control, JOB)) {
        if (weir__ready_has(control, JOB))
            work((unsigned)(uintptr_t)slot);
        else
            sched_yield();
    }
    return NULL;
}

static void no_chunk_is_lost__when_others_become_free_again_meanwhile(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        pthread_t threads[DEAD];

        open_job(20000);
        for (int64_t i = 0; i < job->count; i += 7)
            weir__cell_claim(&job->cells[i], DEAD, 1);
        over = false;
        weir__ready_add(control, JOB);
        for (uintptr_t i = 0; i < DEAD; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, be_worker, (void *)i), 0);
        for (int64_t i = 0; i < job->count; i += 7) {
            reclaim(i);
            if (i % 5 == 0)
                sched_yield();
        }
        over = true;
        for (int i = 0; i < DEAD; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(count_of(CELL_DONE), job->count);
        for (int64_t i = 0; i < job->count; i++)
            assert_int_equal(ran[i], 1);
        close_job();
    }
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(every_free_chunk_is_run_once__wherever_its_worker_begins),
        UNIT(parts_are_passed_over__when_a_worker_has_seen_no_free_chunk_there),
        UNIT(a_chunk_is_run_again__when_its_worker_died_in_a_spent_part),
        UNIT(no_chunk_is_lost__when_others_become_free_again_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
