/* SPDX-License-Identifier: MIT
 *
 * What a call that waits says when no chunk of its job ends: which worker, process and chunk; that
 * it says nothing otherwise. Tasks wait at gates that the callback, or the reader of the line,
 * opens: so nothing depends on how fast the machine is.
 */
#include "child.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#define STALL_MS  100
#define SEEN_MOST 64

/* What a callback has been told, and when it opens the gates. */
struct seen {
    int calls;
    weir_stall at[SEEN_MOST]; /* without the texts */
    char message[SEEN_MOST][1024];
    char pool[64], job[64];
    bool has_job;
    struct gate *gates; /* opened one after the other, ... */
    int gates_count;
    int every; /* ... each after so many calls */
    /* On a machine that is busy it may be said before tasks have come to their gates: calls with
     * fewer chunks that have ended, or are run, do not count. */
    int64_t ended_least, running_least;
    weir_pool *cancel;
    int signal; /* sent to the first worker at the first call; 0: none */
    pthread_t thread;
    bool other_thread;
};

static void open_gates_in_time(struct seen *seen)
{
    for (int i = 0; i < seen->gates_count && (i + 1) * seen->every <= seen->calls; i++)
        atomic_store(&seen->gates[i].open, true);
}

static void look(const weir_stall *stall, void *arg)
{
    struct seen *seen = arg;

    if (stall->ended < seen->ended_least || stall->running < seen->running_least)
        return;
    seen->other_thread |= !pthread_equal(seen->thread, pthread_self());
    if (seen->calls < SEEN_MOST) {
        seen->at[seen->calls] = *stall;
        snprintf(seen->message[seen->calls], sizeof seen->message[0], "%s", stall->message);
    }
    snprintf(seen->pool, sizeof seen->pool, "%s", stall->pool);
    seen->has_job = stall->job != NULL;
    snprintf(seen->job, sizeof seen->job, "%s", stall->job != NULL ? stall->job : "");
    if (seen->calls++ == 0 && seen->signal != 0 && stall->workers_count > 0)
        kill(stall->workers[0].pid, seen->signal);
    if (seen->cancel != NULL)
        weir_pool_cancel(seen->cancel);
    open_gates_in_time(seen);
}

static struct seen *new_seen(struct gate *gates, int count, int every)
{
    struct seen *seen = calloc(1, sizeof *seen);

    assert_non_null(seen);
    seen->thread = pthread_self();
    seen->gates = gates;
    seen->gates_count = count;
    seen->every = every;
    return seen;
}

#define STALLS(...) OPTIONS(.stall_ms = STALL_MS, .on_stall = look, .on_stall_arg = __VA_ARGS__)

static void assert_said(const struct seen *seen, int call, const char *part)
{
    if (strstr(seen->message[call], part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, seen->message[call]);
}

static struct gate *gates; /* in shared memory */

static void open_gate(int gate)
{
    atomic_store(&gates[gate].open, true);
}

/* Item i, if `gates` has one for it, waits there. */
struct plan {
    int64_t item[4];
    int count;
};

static int pass_gates(weir_task *task, weir_range range, void *arg)
{
    const struct plan *plan = arg;
    int failed = 0;

    (void)task;
    for (int i = 0; i < plan->count; i++) {
        if (plan->item[i] >= range.begin && plan->item[i] < range.end)
            failed |= pass(&gates[i]);
    }
    return failed;
}

static struct plan plan_of(int64_t item)
{
    return (struct plan){{item}, 1};
}

/* ---- what is said ---------------------------------------------------------------------------- */

static void the_worker_and_its_chunk_are_named__when_no_chunk_ends(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct plan plan = plan_of(12);
    struct seen *seen;
    char part[128];

    (void)state;
    gates = shared_memory(sizeof *gates);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2, .name = "mill"});
    seen = new_seen(gates, 1, 1);
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 40}, pass_gates, &plan,
                      STALLS(seen, .grain = 5, .arg_size = sizeof plan, .name = "sum")),
        0);
    assert_int_equal(seen->calls, 1);
    assert_false(seen->other_thread);
    assert_string_equal(seen->pool, "mill");
    assert_string_equal(seen->job, "sum");
    assert_true(seen->at[0].stalled_ms >= STALL_MS);
    assert_int_equal(seen->at[0].chunks, 8);
    assert_int_equal(seen->at[0].ended, 7);
    assert_int_equal(seen->at[0].running, 1);
    assert_false(seen->at[0].supervisor_stopped);
    assert_int_equal(seen->at[0].workers_count, 1);
    assert_in_range(seen->at[0].workers[0].worker, 0, 1);
    assert_int_equal(seen->at[0].workers[0].pid,
                     weir_pool_worker_pid(pool, seen->at[0].workers[0].worker));
    assert_int_equal(seen->at[0].workers[0].chunk, 2);
    assert_int_equal(seen->at[0].workers[0].range.begin, 10);
    assert_int_equal(seen->at[0].workers[0].range.end, 15);
    assert_int_equal(seen->at[0].workers[0].attempt, 1);
    assert_true(seen->at[0].workers[0].for_ms >= STALL_MS / 2); /* the clock is coarse */
    assert_non_null(strchr("RSD", seen->at[0].workers[0].state));
    assert_said(seen, 0, "pool mill, job sum: no chunk has ended for 0.");
    assert_said(seen, 0, " s (7 of 8 have); worker ");
    snprintf(part, sizeof part, "; worker %d (pid %d", seen->at[0].workers[0].worker,
             (int)seen->at[0].workers[0].pid);
    assert_said(seen, 0, part);
    assert_said(seen, 0, ") has been at chunk 2 [10, 15) for 0.");
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

/* It is said at S, 2 S and 4 S; after a chunk has ended all begins anew. */
static void it_is_said_at_doubling_distance__until_a_chunk_ends(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct plan plan = {{0, 1}, 2};
    struct seen *seen;

    (void)state;
    gates = shared_memory(2 * sizeof *gates);
    pool = new_pool(scope, 1);
    seen = new_seen(gates, 2, 3);
    seen->running_least = 1;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 2}, pass_gates, &plan,
                                   STALLS(seen, .arg_size = sizeof plan)),
                     0);
    assert_int_equal(seen->calls, 6);
    assert_false(seen->has_job);
    for (int i = 0; i < 6; i++) {
        assert_true(seen->at[i].stalled_ms >= STALL_MS << i % 3);
        assert_int_equal(seen->at[i].workers[0].chunk, i / 3);
        assert_int_equal(seen->at[i].ended, i / 3);
        assert_said(seen, i, "job on [0, 2): no chunk");
    }
    /* a look is late by less than 500 ms, or that does not count */
    assert_true(seen->at[3].stalled_ms < 8 * STALL_MS);
    assert_said(seen, 0, "; 1 chunk waits for a worker");
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, 2 * sizeof *gates);
}

static int nap(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    usleep(*(const useconds_t *)arg);
    return 0;
}

static void nothing_is_said__while_chunks_end(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    struct seen *seen = new_seen(NULL, 0, 0);
    useconds_t nap_us = 200000;

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 16}, nap, &nap_us,
                                   OPTIONS(.arg_size = sizeof nap_us, .stall_ms = 2500,
                                           .on_stall = look, .on_stall_arg = seen)),
                     0);
    assert_int_equal(seen->calls, 0);
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* Chunk i waits until i others have come. */
static int come_one_by_one(weir_task *task, weir_range range, void *arg)
{
    struct gate *gate = arg;

    (void)task;
    while (atomic_load(&gate->waiting) < (int)range.begin)
        usleep(200);
    return pass(gate);
}

static void some_workers_are_named_and_all_counted__when_many_are_at_the_job(void **state)
{
    enum { WORKERS = WEIR_STALL_WORKERS_MAX + 3 };
    weir_scope *scope = begin();
    weir_pool *pool;
    struct seen *seen;

    (void)state;
    gates = shared_memory(sizeof *gates);
    pool = new_pool(scope, WORKERS);
    seen = new_seen(gates, 1, 1);
    seen->running_least = WORKERS;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, WORKERS}, come_one_by_one, gates,
                                   STALLS(seen, .grain = 1)),
                     0);
    assert_int_equal(seen->calls, 1);
    assert_int_equal(seen->at[0].running, WORKERS);
    assert_int_equal(seen->at[0].ended, 0);
    assert_int_equal(seen->at[0].workers_count, WEIR_STALL_WORKERS_MAX);
    assert_said(seen, 0, "; and 15 more");
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

static int nap_first(weir_task *task, weir_range range, void *arg)
{
    if (range.begin > 0)
        return pass(arg);
    usleep(200000);
    (void)task;
    return 0;
}

/* The first worker comes to its second chunk when the other one has long been at its first. */
static void the_longest_at_its_chunk_comes_first__whichever_worker_that_is(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct seen *seen;

    (void)state;
    gates = shared_memory(sizeof *gates);
    pool = new_pool(scope, 2);
    seen = new_seen(gates, 1, 1);
    seen->running_least = 2;
    seen->ended_least = 1;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 3}, nap_first, gates, STALLS(seen, .grain = 1)), 0);
    assert_int_equal(seen->calls, 1);
    assert_int_equal(seen->at[0].workers_count, 2);
    assert_true(seen->at[0].workers[0].for_ms >= seen->at[0].workers[1].for_ms);
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

/* ---- who is waited for ----------------------------------------------------------------------- */

static void the_other_job_is_said__when_its_workers_are_waited_for(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct plan plan = plan_of(0), none = {.count = 0};
    struct seen *seen;
    weir_future *other;

    (void)state;
    gates = shared_memory(sizeof *gates);
    pool = new_pool(scope, 1);
    seen = new_seen(gates, 1, 1);
    other = weir_pool_for_async(pool, (weir_range){0, 1}, pass_gates, &plan,
                                OPTIONS(.arg_size = sizeof plan));
    assert_non_null(other);
    WAIT_UNTIL(gates->waiting == 1, 60000);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 3}, pass_gates, &none,
                                   STALLS(seen, .arg_size = sizeof none)),
                     0);
    assert_int_equal(seen->calls, 1);
    assert_int_equal(seen->at[0].running, 0);
    assert_int_equal(seen->at[0].workers_count, 0);
    assert_int_equal(seen->at[0].chunks, 3);
    assert_said(seen, 0, "; 3 chunks wait for a worker; worker 0 (pid ");
    assert_said(seen, 0, ") is at another job");
    assert_int_equal(weir_future_wait(other, -1), 0);
    weir_future_free(other);
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

static int initialize_at_gate(void *arg)
{
    return pass(arg);
}

static void the_start_is_said__when_an_initializer_does_not_return(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct plan none = {.count = 0};
    struct seen *seen;

    (void)state;
    gates = shared_memory(sizeof *gates);
    pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = 2, .initializer = initialize_at_gate, .arg = gates});
    seen = new_seen(gates, 1, 2);
    WAIT_UNTIL(gates->waiting == 2, 60000);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 3}, pass_gates, &none,
                                   STALLS(seen, .arg_size = sizeof none)),
                     0);
    assert_int_equal(seen->calls, 2);
    assert_said(seen, 0, "; worker 1 (pid ");
    assert_said(seen, 0, ") is starting: its initializer has not returned");
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

/* A supervisor that owes something is sent SIGCONT once a second; here it is stopped again. */
struct stopper {
    pid_t supervisor, worker;
    _Atomic bool over;
    struct gate *gate;
};

static void *keep_stopped(void *arg)
{
    struct stopper *stopper = arg;

    while (atomic_load(&stopper->gate->waiting) == 0)
        usleep(200);
    kill(stopper->supervisor, SIGSTOP);
    while (!atomic_load(&stopper->over)) {
        kill(stopper->supervisor, SIGSTOP);
        usleep(100);
    }
    kill(stopper->supervisor, SIGCONT);
    return NULL;
}

static void look_for_stopped(const weir_stall *stall, void *arg)
{
    struct seen *seen = arg;

    look(stall, arg);
    if (!stall->supervisor_stopped)
        return;
    seen->at[0] = *stall;
    snprintf(seen->message[0], sizeof seen->message[0], "%s", stall->message);
}

static void stopped_and_dead_processes_are_said__as_the_kernel_has_them(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct stopper stopper = {.gate = NULL};
    struct plan plan = plan_of(0);
    struct seen *seen;
    pthread_t thread;
    weir_future *future;

    (void)state;
    gates = shared_memory(sizeof *gates);
    pool = new_pool(scope, 1);
    seen = new_seen(NULL, 0, 0);
    stopper = (struct stopper){weir_pool_supervisor_pid(pool), weir_pool_worker_pid(pool, 0), false,
                               gates};
    future = weir_pool_for_async(pool, (weir_range){0, 1}, pass_gates, &plan,
                                 OPTIONS(.arg_size = sizeof plan, .stall_ms = STALL_MS,
                                         .on_stall = look_for_stopped, .on_stall_arg = seen));
    pthread_create(&thread, NULL, keep_stopped, &stopper);
    for (int i = 0; i < 300 && !seen->at[0].supervisor_stopped; i++)
        assert_int_equal(weir_future_wait(future, 200), -ETIMEDOUT);
    assert_true(seen->at[0].supervisor_stopped);
    assert_said(seen, 0, "; the supervisor (pid ");
    assert_said(seen, 0, ") is stopped");
    seen->at[0].supervisor_stopped = false;
    kill(stopper.worker, SIGKILL);
    for (int i = 0; i < 300 && strstr(seen->message[0], ", dead)") == NULL; i++)
        if (weir_future_wait(future, 200) != -ETIMEDOUT)
            break;
    atomic_store(&stopper.over, true);
    pthread_join(thread, NULL);
    assert_said(seen, 0, ", dead) has been at chunk 0 [0, 1) for ");
    assert_int_equal(seen->at[0].workers[0].state, 'Z');
    assert_int_equal(seen->at[0].workers[0].pid, stopper.worker);
    assert_int_equal(weir_future_wait(future, -1), WEIR_EDIED);
    weir_future_free(future);
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

/* ---- what a callback may do ------------------------------------------------------------------ */

static int wait_at_first(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    return pass(&gates[weir_task_attempt(task) - 1]);
}

static void a_callback_may_kill_the_worker__whose_chunk_is_run_again(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct seen *seen;
    weir_future *future;

    (void)state;
    gates = shared_memory(2 * sizeof *gates);
    pool = new_pool(scope, 1);
    seen = new_seen(NULL, 0, 0);
    seen->running_least = 1;
    seen->signal = SIGKILL;
    future = weir_pool_for_async(pool, (weir_range){0, 1}, wait_at_first, NULL,
                                 STALLS(seen, .retries = 1));
    while (weir_future_wait(future, 100) == -ETIMEDOUT) {
        assert_true(seen->calls < SEEN_MOST);
        if (seen->calls > 0 && seen->at[seen->calls - 1].workers[0].attempt == 2)
            open_gate(1);
    }
    assert_int_equal(weir_future_wait(future, -1), 0);
    assert_true(seen->calls >= 2);
    assert_int_equal(seen->at[0].workers[0].attempt, 1);
    assert_said(seen, seen->calls - 1, ", attempt 2");
    weir_future_free(future);
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, 2 * sizeof *gates);
}

static void a_callback_may_cancel__the_job_that_it_is_about(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct slow *slow = shared_memory(sizeof *slow);
    struct seen *seen = new_seen(NULL, 0, 0);

    (void)state;
    pool = new_pool(scope, 2);
    seen->cancel = pool;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 2}, until_cancelled, slow, STALLS(seen)),
                     -ECANCELED);
    assert_int_equal(seen->calls, 1);
    assert_int_equal(slow->cancelled, slow->started);
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(slow, sizeof *slow);
}

/* ---- which calls ----------------------------------------------------------------------------- */

static int map_at_gate(weir_task *task, weir_range range, void *arg)
{
    const int64_t one = 1;

    if (range.begin == 0 && pass_gates(task, range, arg) != 0)
        return 1;
    return weir_emit_int64(task, &one, sizeof one, 1);
}

static int reduce_at_gate(weir_task *task, weir_pair *pair, void *arg)
{
    (void)task;
    (void)pair;
    (void)arg;
    return pass(&gates[1]);
}

static void both_jobs_of_a_map_reduce_say_it__also_to_a_wait_for_many(void **state)
{
    const weir_map_reduction reduction = {.map = map_at_gate,
                                          .value_size = sizeof(int64_t),
                                          .combine = weir_sum_int64,
                                          .reduce = reduce_at_gate};
    weir_scope *scope = begin();
    weir_pool *pool;
    struct plan plan = plan_of(0);

    (void)state;
    gates = shared_memory(2 * sizeof *gates);
    pool = new_pool(scope, 2);
    for (int many = 0; many < 2; many++) {
        struct seen *seen = new_seen(gates, 2, 3);
        weir_future *future;

        memset(gates, 0, 2 * sizeof *gates);
        seen->running_least = 1;
        future = weir_pool_map_reduce_async(pool, (weir_range){0, 1}, &reduction, &plan,
                                            STALLS(seen, .arg_size = sizeof plan));
        assert_non_null(future);
        if (many)
            assert_int_equal(weir_future_wait_many(&future, 1, WEIR_WHEN_ALL, -1), 1);
        assert_int_equal(weir_future_wait(future, -1), 0);
        assert_int_equal(seen->calls, 6);
        for (int i = 0; i < 6; i++)
            assert_true(seen->at[i].stalled_ms >= STALL_MS << i % 3);
        assert_int_equal(seen->at[2].chunks, 1);
        /* the second one begins anew: a look is late by less than 500 ms */
        assert_true(seen->at[3].stalled_ms < 8 * STALL_MS);
        weir_table_free(weir_future_table(future));
        weir_future_free(future);
        free(seen);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, 2 * sizeof *gates);
}

/* The time that a future was waited for counts, also in pieces. */
static void short_waits_add_up__for_a_future(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct plan plan = plan_of(0);
    struct seen *seen;
    weir_future *future;

    (void)state;
    gates = shared_memory(sizeof *gates);
    pool = new_pool(scope, 1);
    seen = new_seen(gates, 1, 1);
    future = weir_pool_for_async(pool, (weir_range){0, 1}, pass_gates, &plan,
                                 STALLS(seen, .arg_size = sizeof plan));
    usleep(900000); /* nobody waits, and that is more than half a second */
    assert_int_equal(weir_future_wait(future, 1), -ETIMEDOUT);
    assert_int_equal(seen->calls, 0);
    for (int i = 0; i < 10000 && seen->calls == 0; i++)
        (void)!weir_future_wait(future, 10);
    assert_int_equal(seen->calls, 1);
    assert_int_equal(weir_future_wait(future, -1), 0);
    weir_future_free(future);
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

static void it_is_said_once_for_all_calls__of_a_stream(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = gates = shared_memory(sizeof *gates);
    struct seen *seen = new_seen(gates, 1, 3), *of_calls = new_seen(NULL, 0, 0);
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .job = STALLS(of_calls)});
    weir_stream *stream = weir_stream_new(
        pool, call_at_gate,
        &(weir_stream_options){.in_flight = 6, .job = STALLS(seen, .name = "feed")});
    weir_item item;

    (void)state;
    assert_non_null(stream);
    for (int i = 0; i < 6; i++)
        assert_int_equal(weir_stream_put(stream, &gate, sizeof gate), 0);
    WAIT_UNTIL(gates->waiting == 2, 60000);
    while (weir_stream_next(stream, &item, -1) == 1)
        assert_int_equal(item.code, 0);
    assert_int_equal(seen->calls, 3);
    assert_string_equal(seen->job, "feed");
    for (int i = 0; i < 3; i++) {
        assert_true(seen->at[i].stalled_ms >= STALL_MS << i);
        assert_int_equal(seen->at[i].chunks, 6);
        assert_int_equal(seen->at[i].ended, 0);
        assert_int_equal(seen->at[i].running, 2);
        assert_int_equal(seen->at[i].workers[0].chunk, -1);
        assert_int_equal(seen->at[i].workers[1].worker, 1);
    }
    assert_said(seen, 0, ", stream feed: no item has ended for 0.");
    assert_said(seen, 0, "; 4 items wait for a worker");
    assert_int_equal(of_calls->calls, 0);
    weir_stream_free(stream);
    free(seen);
    free(of_calls);
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

static void a_pools_default_holds__unless_a_call_says_otherwise(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    struct plan plan = plan_of(0);
    struct seen *seen, *own;
    useconds_t nap_us = 300000;
    weir_future *call;

    (void)state;
    gates = shared_memory(sizeof *gates);
    seen = new_seen(gates, 1, 1);
    own = new_seen(gates, 1, 1);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1, .job = STALLS(seen)});
    assert_non_null(pool);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, nap, &nap_us,
                                   OPTIONS(.arg_size = sizeof nap_us, .stall_ms = WEIR_STALL_NONE)),
                     0);
    assert_int_equal(seen->calls, 0);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 1}, pass_gates, &plan,
                                   OPTIONS(.arg_size = sizeof plan)),
                     0);
    assert_int_equal(seen->calls, 1);
    gates->open = false;
    assert_int_equal(
        weir_pool_for(pool, (weir_range){0, 1}, pass_gates, &plan,
                      OPTIONS(.arg_size = sizeof plan, .on_stall = look, .on_stall_arg = own)),
        0);
    assert_int_equal(seen->calls, 1);
    assert_int_equal(own->calls, 1);
    gates->open = false;
    call = weir_pool_submit(pool, call_at_gate, &gates, sizeof gates, NULL);
    assert_int_equal(weir_future_wait(call, -1), 0);
    assert_int_equal(seen->calls, 2);
    weir_future_free(call);
    weir_pool_free(pool);
    free(seen);
    free(own);
    weir_scope_end(scope);
    munmap(gates, sizeof *gates);
}

static void nothing_is_said__by_a_pool_without_processes(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, WEIR_WORKERS_NONE);
    struct seen *seen = new_seen(NULL, 0, 0);
    useconds_t nap_us = 20000;

    (void)state;
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 4}, nap, &nap_us,
                                   OPTIONS(.arg_size = sizeof nap_us, .stall_ms = 1,
                                           .on_stall = look, .on_stall_arg = seen)),
                     0);
    assert_int_equal(seen->calls, 0);
    free(seen);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void wrong_options_are_refused__with_their_names(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    struct plan none = {.count = 0};
    const weir_range one = {0, 1};

    (void)state;
    assert_int_equal(weir_pool_for(pool, one, pass_gates, &none, OPTIONS(.stall_ms = -2)), -EINVAL);
    assert_message_has("stall_ms is -2");
    assert_int_equal(weir_pool_for(pool, one, pass_gates, &none, OPTIONS(.on_stall = look)),
                     -EINVAL);
    assert_message_has("on_stall needs stall_ms");
    assert_null(weir_pool_submit(pool, call_at_gate, NULL, 0, OPTIONS(.on_stall = look)));
    assert_message_has("on_stall needs stall_ms");
    assert_null(weir_pool_new(scope, &(weir_pool_options){.job = OPTIONS(.stall_ms = -2)}));
    assert_message_has("stall_ms is -2");
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- the line -------------------------------------------------------------------------------- */

static int program_that_waits(void)
{
    struct plan plan = {{0, 5}, 2};
    int result = -1;

    WEIR_SCOPE (scope, NULL) {
        weir_pool *pool =
            weir_pool_new(scope, &(weir_pool_options){.workers = 2, .name = "mi\033ll"});

        result = weir_pool_for(
            pool, (weir_range){0, 10}, pass_gates, &plan,
            OPTIONS(.grain = 1, .arg_size = sizeof plan, .stall_ms = STALL_MS, .progress = "sum"));
    }
    return result != 0;
}

/* The gates are opened when the line is there. */
static void it_is_a_line_on_stderr__without_a_callback(void **state)
{
    char line[2048];
    int ends[2], status, lines = 0;
    FILE *file;
    pid_t pid;

    (void)state;
    gates = shared_memory(2 * sizeof *gates);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        child_reset();
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        _exit(program_that_waits());
    }
    close(ends[1]);
    file = fdopen(ends[0], "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "weir: pool mi?ll, job sum: no chunk has ended for ", 50) != 0)
            fail_msg("not the line: %s", line);
        if (strstr(line, " at chunk 0 [0, 1) for ") == NULL ||
            strstr(line, " at chunk 5 [5, 6) for ") == NULL)
            continue; /* they were still on their way */
        lines++;
        assert_non_null(strstr(line, "(0 of 10 have); worker "));
        assert_non_null(strstr(line, "; 8 chunks wait for a worker\n"));
        open_gate(0);
        open_gate(1);
    }
    fclose(file);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(lines, 1);
    munmap(gates, 2 * sizeof *gates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_worker_and_its_chunk_are_named__when_no_chunk_ends),
        UNIT(it_is_said_at_doubling_distance__until_a_chunk_ends),
        UNIT(nothing_is_said__while_chunks_end),
        UNIT(some_workers_are_named_and_all_counted__when_many_are_at_the_job),
        UNIT(the_longest_at_its_chunk_comes_first__whichever_worker_that_is),
        UNIT(the_other_job_is_said__when_its_workers_are_waited_for),
        UNIT(the_start_is_said__when_an_initializer_does_not_return),
        UNIT(stopped_and_dead_processes_are_said__as_the_kernel_has_them),
        UNIT(a_callback_may_kill_the_worker__whose_chunk_is_run_again),
        UNIT(a_callback_may_cancel__the_job_that_it_is_about),
        UNIT(both_jobs_of_a_map_reduce_say_it__also_to_a_wait_for_many),
        UNIT(short_waits_add_up__for_a_future),
        UNIT(it_is_said_once_for_all_calls__of_a_stream),
        UNIT(a_pools_default_holds__unless_a_call_says_otherwise),
        UNIT(nothing_is_said__by_a_pool_without_processes),
        UNIT(wrong_options_are_refused__with_their_names),
        UNIT(it_is_a_line_on_stderr__without_a_callback),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
