/* SPDX-License-Identifier: MIT
 *
 * The record of a job's first failure: a worker is killed at every few instructions from where it
 * claims the record to where its chunk is settled, while another worker's chunk fails. Whatever the
 * moment, the call must say which range failed, in which process and why.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "pool/control/failure.h"
#include "pool/host/state.h"

#define POINTS 24 /* of a kind */

struct board {
    _Atomic pid_t writer, other;
    _Atomic int writer_goes, other_goes;
    bool other_dies;
};

/* The first attempt at chunk 0 is the writer, who is killed; chunk 1 is the other one's. */
static int fail_in_turn(weir_task *task, weir_range range, void *arg)
{
    struct board *board = *(struct board **)arg;

    if (range.begin == 0 && weir_task_attempt(task) > 1)
        return 0;
    if (range.begin == 0) {
        board->writer = getpid();
        while (!board->writer_goes)
            usleep(50);
        return weir_task_fail(task, 5, "the writer's own");
    }
    board->other = getpid();
    while (!board->other_goes)
        usleep(50);
    if (board->other_dies)
        raise(SIGKILL);
    return weir_task_fail(task, 6, "the other one's own");
}

static int may_be_traced(void *arg)
{
    (void)arg;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* fails where any process may be traced */
    return 0;
}

/* Stops the process, and takes it over. False: that is not allowed here. */
static bool take_over(pid_t pid)
{
    int status;

    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
        return false;
    assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, __WALL), pid);
    assert_true(WIFSTOPPED(status));
    return true;
}

static void step(pid_t pid)
{
    int status;

    assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, __WALL), pid);
    assert_true(WIFSTOPPED(status));
}

static enum weir__cell_state state_of(struct weir__job *job, int chunk)
{
    return weir__cell_state_of(atomic_load(&job->cells[chunk]));
}

/* Steps until the process has claimed the record, and `more` instructions, or until its chunk is
 * settled. Returns how many it made of the latter. */
static int step_to(pid_t pid, struct weir__job *job, int more)
{
    int steps = 0;

    while (atomic_load(&job->failure.owner) == 0)
        step(pid);
    for (; steps < more && state_of(job, 0) == CELL_RUNNING; steps++)
        step(pid);
    return steps;
}

/* Of a task that failed, or of a worker that was killed: one of the two, and that one whole. */
static bool is_told(const weir_error *error, const struct board *board)
{
    bool writers = error->pid == board->writer, failed = error->code == WEIR_EFAILED;
    const char *word = !failed ? "was killed" : writers ? "writer's own" : "other one's own";

    return (writers || error->pid == board->other) && error->range.begin == (writers ? 0 : 1) &&
           error->range.end == error->range.begin + 1 && error->attempt == (failed ? 1 : 2) &&
           (failed || error->code == WEIR_EDIED) && (failed || board->other_dies) &&
           error->task_code == (!failed   ? 0
                                : writers ? 5
                                          : 6) &&
           error->signal == (failed ? 0 : SIGKILL) && strstr(error->message, word) != NULL;
}

/* Returns the instructions from the claim to where the writer was killed, or -1: not possible. */
static int kill_writer(weir_pool *pool, struct board *board, int point, bool dies)
{
    weir_error failures[2];
    weir_job_report report = {failures, 2};
    weir_future *future;
    struct weir__job *job;
    int steps, status;

    memset(board, 0, sizeof *board);
    board->other_dies = dies;
    future = weir_pool_for_async(pool, (weir_range){0, 2}, fail_in_turn, &board,
                                 OPTIONS(.chunks = 2, .arg_size = sizeof board, .retries = 1,
                                         .keep_going = point % 2 == 0, .report = &report));
    job = &pool->control->jobs[future->index];
    WAIT_UNTIL(board->writer != 0 && board->other != 0, 5000);
    if (!take_over(board->writer)) {
        board->writer_goes = board->other_goes = 1;
        weir_future_free(future);
        return -1;
    }
    board->writer_goes = 1;
    steps = step_to(board->writer, job, point);
    board->other_goes = 1;
    for (int i = 0; i < (dies ? 400 : 20) && state_of(job, 1) != CELL_FAILED; i++)
        usleep(500);
    kill(board->writer, SIGKILL);
    assert_int_equal(waitpid(board->writer, &status, __WALL), board->writer);
    if (weir_future_wait(future, -1) == 0 || !is_told(weir_last_error(), board))
        fail_msg("killed %d instructions after the claim: %s", steps, weir_last_error()->message);
    assert_true(report.failures_count > 0);
    assert_int_equal(report.failures_count, report.failed);
    for (size_t i = 0; i < report.failures_count; i++) {
        if (!is_told(&failures[i], board))
            fail_msg("killed %d instructions after the claim, all: %s", steps, failures[i].message);
    }
    weir_future_free(future);
    return steps;
}

static void kill_writer_at_points(bool dies)
{
    weir_scope *scope = begin();
    struct board *board = shared_memory(4096);
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .initializer = may_be_traced});
    int all = kill_writer(pool, board, INT32_MAX, dies);

    for (int i = 0; all > 0 && i < POINTS; i++) {
        /* each of the first and last ones, and some in between */
        int point = i < 10             ? i
                    : i >= POINTS - 10 ? all - (POINTS - 1 - i)
                                       : (int)((int64_t)all * (i - 9) / (POINTS - 19));

        kill_writer(pool, board, point, dies);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(board, 4096);
    if (all < 0) {
        printf("skipped: this program may not trace its workers\n");
        skip();
    }
    assert_true(all > 100);
}

static void
the_call_says_what_failed__when_the_writer_is_killed_and_another_task_fails(void **state)
{
    (void)state;
    kill_writer_at_points(false);
}

static void the_call_says_what_failed__when_the_writer_is_killed_and_another_worker(void **state)
{
    (void)state;
    kill_writer_at_points(true);
}

/* A worker was killed between its note and the cell; then the chunk fails in its next attempt. */
static void an_entry_says_nothing__when_its_writer_died_before_the_cell(void **state)
{
    struct weir__failure record = {0};
    struct weir__failure_log *log = calloc(1, sizeof *log + 3 * sizeof log->entries[0]);
    weir__cell cells[2] = {CELL_FREE, CELL_FREE};
    const struct weir__failures failures = {&record, log, cells, 2, 1};
    struct weir__failure_entry *first, *second;
    unsigned attempt;

    (void)state;
    assert_non_null(log);
    log->size = 3;
    assert_int_equal(weir__cell_claim(&cells[1], 0, 1), 1);
    first = weir__failure_log_take(failures);
    assert_non_null(first);
    weir__failure_log_note(failures, first);
    assert_false(weir__failure_log_counts(failures, first));
    weir__failure_withdraw(failures, 0);
    assert_int_equal(weir__cell_reclaim(&cells[1], 0, 1, 1, &attempt), CELL_FREE);
    assert_int_equal(weir__cell_claim(&cells[1], 1, 1), 2);
    second = weir__failure_log_take(failures);
    weir__failure_log_note(failures, second);
    weir__cell_settle(&cells[1], CELL_FAILED);
    assert_false(weir__failure_log_counts(failures, first));
    assert_true(weir__failure_log_counts(failures, second));
    assert_non_null(weir__failure_log_take(failures));
    assert_null(weir__failure_log_take(failures)); /* no entry is left */
    free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_call_says_what_failed__when_the_writer_is_killed_and_another_task_fails),
        UNIT(the_call_says_what_failed__when_the_writer_is_killed_and_another_worker),
        UNIT(an_entry_says_nothing__when_its_writer_died_before_the_cell),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
