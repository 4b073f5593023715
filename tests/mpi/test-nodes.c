/* SPDX-License-Identifier: MIT
 *
 * Calls on a cluster of real processes with real pools, joined by sockets in place of MPI.
 */
#include "leak.h"
#include "nodes.h"
#include "now.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNIT(test)   cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)
#define OPTIONS(...) (&(weir_job_options){__VA_ARGS__})
#define JOB(...)     (&(weir_cluster_job){__VA_ARGS__})

#define ITEMS 20000

/* Shared by all nodes and workers of a test. */
static struct shared {
    atomic_int ran[ITEMS];
    _Atomic int64_t chunk_of[ITEMS]; /* and one more */
    atomic_int node_of[ITEMS];
    atomic_int deaths;
} * shared;

static int make_shared(void **state)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : leak_setup(state);
}

static int drop_shared(void **state)
{
    const int result = leak_teardown(state);

    munmap(shared, sizeof *shared);
    return result;
}

#define SHARED(test) cmocka_unit_test_setup_teardown(test, make_shared, drop_shared)

static void assert_has(const char *message, const char *part)
{
    if (strstr(message, part) == NULL)
        fail_msg("the message does not have \"%s\": %s", part, message);
}

static void assert_all_ended(const struct nodes_seen *seen, int nodes, int goodbye)
{
    for (int i = 0; i < nodes; i++) {
        assert_true(seen[i].ended);
        assert_int_equal(seen[i].goodbye, goodbye);
    }
}

/* ---- a reduction whose bits depend on the order ---- */

struct sum {
    double sum;
    uint64_t order;
};

static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    struct sum *sum = accumulator;

    (void)arg;
    WEIR_EACH (i, range)
        sum->sum += 1.0 / (double)(i + 1);
    sum->order = (uint64_t)(weir_task_chunk(task) + 1) * UINT64_C(0xd1342543de82ef95);
    return 0;
}

/* Now and then the worker dies, once. */
static int fold_and_die(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    if (weir_task_attempt(task) == 1 && weir_task_chunk(task) % 61 == 7) {
        atomic_fetch_add(&shared->deaths, 1);
        raise(SIGKILL);
    }
    return fold(task, range, accumulator, arg);
}

static void combine(void *into, const void *from, void *arg)
{
    struct sum *a = into;
    const struct sum *b = from;

    (void)arg;
    a->sum = a->sum * 1.0000001 + b->sum;
    a->order = (a->order * UINT64_C(0x9e3779b97f4a7c15)) ^ (b->order + (a->order >> 29));
}

static const weir_reduction plain = {.size = sizeof(struct sum), .fold = fold, .combine = combine};
static const weir_reduction deadly = {
    .size = sizeof(struct sum), .fold = fold_and_die, .combine = combine};

static const struct cut {
    int64_t length, chunks, grain, block;
    bool stay;
} cuts[] = {
    {ITEMS, 300, 0, 4, false},  {ITEMS, 0, 77, 8, false}, {ITEMS, 300, 0, 1, true},
    {ITEMS, 0, 0, 0, false},    {5, 0, 0, 1, false},      {0, 0, 0, 0, false},
    {ITEMS, 301, 0, 64, false},
};
#define CUTS (int)(sizeof cuts / sizeof cuts[0])

static const weir_reduction *reduction = &plain;

static void reduce_all(weir_cluster *cluster, struct nodes_seen *seen)
{
    for (int i = 0; i < CUTS; i++) {
        struct sum sum = {1, 1}, alone = {2, 2};
        const weir_job_options options = {.chunks = cuts[i].chunks, .grain = cuts[i].grain};
        weir_job_options same = options;
        int code =
            weir_cluster_reduce(cluster, weir_range_of(cuts[i].length), reduction, &sum, NULL,
                                &options, JOB(.block = cuts[i].block, .stay = cuts[i].stay));

        if (options.chunks == 0 && options.grain == 0)
            same.chunks = 65536;
        if (code == 0 &&
            weir_pool_reduce(weir_cluster_pool(cluster), weir_range_of(cuts[i].length), &plain,
                             &alone, NULL, &same) == 0 &&
            memcmp(&sum, &alone, sizeof sum) != 0)
            code = 1;
        nodes_note(seen, code, sum.sum);
    }
}

static void bits_are_the_same__on_any_number_of_nodes_and_workers(void **state)
{
    static const int workers[][NODES_MAX] = {{1, 1, 1, 1}, {3, 2, 1, 2}};

    (void)state;
    for (int nodes = 1; nodes <= NODES_MAX; nodes++)
        for (int w = 0; w < 2; w++)
            for (int dies = 0; dies < 2; dies++) {
                struct nodes_seen *seen;

                reduction = dies ? &deadly : &plain;
                atomic_store(&shared->deaths, 0);
                seen = nodes_run(&(struct nodes_config){
                    .nodes = nodes, .workers = workers[w], .program = reduce_all});
                assert_all_ended(seen, nodes, 0);
                assert_true(dies ? atomic_load(&shared->deaths) > 10
                                 : atomic_load(&shared->deaths) == 0);
                for (int i = 0; i < nodes; i++)
                    for (int k = 0; k < CUTS; k++)
                        if (seen[i].codes[k] != 0)
                            fail_msg("%d nodes, node %d, cut %d: code %d, %s", nodes, i, k,
                                     seen[i].codes[k], seen[i].messages[k]);
                nodes_free(seen);
            }
}

/* ---- for ---- */

static int mark(weir_task *task, weir_range range, void *arg)
{
    WEIR_EACH (i, range) {
        atomic_fetch_add(&shared->ran[i], 1);
        atomic_store(&shared->chunk_of[i], weir_task_chunk(task) + 1);
        atomic_store(&shared->node_of[i], *(const int *)arg);
    }
    return 0;
}

static weir_range part_of[NODES_MAX];

static void mark_all(weir_cluster *cluster, struct nodes_seen *seen)
{
    const weir_job_options options = {.chunks = 500, .arg_size = sizeof(int)};
    int node = weir_cluster_node(cluster);

    nodes_note(seen,
               weir_cluster_for(cluster, weir_range_of(ITEMS), mark, &node, &options,
                                JOB(.block = 8, .stay = true)),
               0);
    for (int i = 0; i < weir_cluster_nodes(cluster); i++) {
        const weir_range part =
            weir_cluster_part(cluster, weir_range_of(ITEMS), &options, JOB(.block = 8), i);

        nodes_note(seen, (int)part.begin, (double)part.end);
    }
}

static void each_item_is_run_once_where_it_belongs__with_stay(void **state)
{
    struct nodes_seen *seen = nodes_run(&(struct nodes_config){.nodes = 3, .program = mark_all});
    int node = 0;

    (void)state;
    assert_all_ended(seen, 3, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i].codes[0], 0);
        for (int k = 0; k < 3; k++)
            part_of[k] = (weir_range){seen[i].codes[k + 1], (int64_t)seen[i].values[k + 1]};
    }
    assert_int_equal(part_of[0].begin, 0);
    assert_int_equal(part_of[2].end, ITEMS);
    for (int i = 0; i < ITEMS; i++) {
        if (i == part_of[node].end)
            node++;
        assert_int_equal(shared->ran[i], 1);
        assert_int_equal(shared->node_of[i], node);
        assert_int_equal(shared->chunk_of[i], i / (ITEMS / 500) + 1);
    }
    nodes_free(seen);
}

static int mark_slowly(weir_task *task, weir_range range, void *arg)
{
    if (*(const int *)arg == 0)
        usleep(3000);
    return mark(task, range, arg);
}

static void share_out(weir_cluster *cluster, struct nodes_seen *seen)
{
    int node = weir_cluster_node(cluster);

    nodes_note(seen,
               weir_cluster_for(cluster, weir_range_of(ITEMS), mark_slowly, &node,
                                OPTIONS(.chunks = 1000, .arg_size = sizeof(int)), JOB(.block = 2)),
               0);
}

static void a_fast_node_does_what_a_slow_one_has_left(void **state)
{
    struct nodes_seen *seen = nodes_run(&(struct nodes_config){.nodes = 2, .program = share_out});
    int slow = 0;

    (void)state;
    assert_all_ended(seen, 2, 0);
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(shared->ran[i], 1);
        slow += shared->node_of[i] == 0;
    }
    assert_in_range(slow, 1, ITEMS * 3 / 10); /* its region is half */
    nodes_free(seen);
}

/* ---- failures ---- */

static int fail_at(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    if (range.begin <= 15000 && 15000 < range.end)
        return weir_task_fail(task, 42, "row %d is bad", 15000);
    usleep(200);
    return 0;
}

static int die_at(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    if (range.begin <= 15000 && 15000 < range.end)
        raise(SIGSEGV);
    usleep(200);
    return 0;
}

static int do_nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int take_long(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    for (int i = 0; i < 200 && !weir_task_cancelled(task); i++)
        usleep(1000);
    return 0;
}

static void call_for(weir_cluster *cluster, struct nodes_seen *seen, weir_task_fn function,
                     const weir_job_options *options)
{
    nodes_note(
        seen,
        weir_cluster_for(cluster, weir_range_of(ITEMS), function, NULL, options, JOB(.block = 4)),
        0);
}

static void fail_and_go_on(weir_cluster *cluster, struct nodes_seen *seen)
{
    call_for(cluster, seen, fail_at, OPTIONS(.chunks = 200));
    call_for(cluster, seen, do_nothing, NULL);
    call_for(cluster, seen, die_at, OPTIONS(.chunks = 200));
    call_for(cluster, seen, do_nothing, NULL);
    call_for(cluster, seen, fail_at, OPTIONS(.chunks = 200, .keep_going = true));
    call_for(cluster, seen, do_nothing, NULL);
}

static void all_nodes_have_the_same_error__when_a_task_fails_or_a_worker_dies(void **state)
{
    struct nodes_seen *seen =
        nodes_run(&(struct nodes_config){.nodes = 3, .program = fail_and_go_on});

    (void)state;
    assert_all_ended(seen, 3, 0);
    for (int i = 0; i < 3; i++) {
        static const int codes[] = {WEIR_EFAILED, 0, WEIR_EDIED, 0, WEIR_EFAILED, 0};

        for (int k = 0; k < 6; k++) {
            assert_int_equal(seen[i].codes[k], codes[k]);
            if (codes[k] == 0)
                continue;
            assert_memory_equal(&seen[i].errors[k], &seen[0].errors[k], sizeof seen[0].errors[k]);
            assert_int_equal(seen[i].errors[k].error.range.begin, 15000);
            assert_true(seen[i].errors[k].error.pid > 0);
            assert_in_range(seen[i].errors[k].node, 0, 2);
            assert_int_equal(seen[i].errors[k].host[4], 'a' + seen[i].errors[k].node);
            assert_has(seen[i].messages[k], " (host");
        }
        assert_has(seen[i].messages[0], "row 15000 is bad");
        assert_int_equal(seen[i].errors[0].error.task_code, 42);
        assert_int_equal(seen[i].errors[2].error.signal, SIGSEGV);
    }
    nodes_free(seen);
}

static void differ(weir_cluster *cluster, struct nodes_seen *seen)
{
    const bool odd = weir_cluster_node(cluster) == 1;
    struct sum sum;
    char bytes[16] = {0};

    nodes_note(
        seen,
        weir_cluster_for(cluster, weir_range_of(odd ? 100 : 101), do_nothing, NULL, NULL, NULL), 0);
    nodes_note(seen,
               odd ? weir_cluster_barrier(cluster)
                   : weir_cluster_for(cluster, weir_range_of(100), do_nothing, NULL, NULL, NULL),
               0);
    nodes_note(seen, weir_cluster_broadcast(cluster, 0, bytes, odd ? 8 : 16), 0);
    nodes_note(seen,
               weir_cluster_reduce(cluster, weir_range_of(100), odd ? NULL : &plain, &sum, NULL,
                                   NULL, NULL),
               0);
    nodes_note(
        seen, weir_cluster_for(cluster, (weir_range){odd ? 5 : 0, 4}, do_nothing, NULL, NULL, NULL),
        0);
    nodes_note(seen,
               weir_cluster_for(cluster, weir_range_of(9), do_nothing, NULL,
                                OPTIONS(.retries = odd ? 99 : 0), NULL),
               0);
    nodes_note(seen, weir_cluster_for(cluster, weir_range_of(9), NULL, NULL, NULL, NULL), 0);
    nodes_note(seen,
               weir_cluster_for(cluster, weir_range_of(9), do_nothing, NULL, NULL,
                                JOB(.block = odd ? 3 : 2)),
               0);
    nodes_note(seen, weir_cluster_broadcast(cluster, 7, bytes, 16), 0);
    nodes_note(seen, weir_cluster_barrier(cluster), 0);
}

static void all_nodes_have_an_error__when_their_calls_differ(void **state)
{
    static const struct {
        int code;
        const char *part;
    } expected[] = {
        {-EPROTO, "of node 0 (hosta) and node 1 (hostb), the range's end is 101 and 100"},
        {-EPROTO, "the function is weir_cluster_for() and weir_cluster_barrier()"},
        {-EPROTO, "the size is 16 and 8"},
        {-EINVAL, "node 1 (hostb): the reduction is NULL"},
        {-EINVAL, "node 1 (hostb): the range [5, 4) ends before it begins"},
        {-EINVAL, "node 1 (hostb): retries is 99"},
        {-EINVAL, "the task's function is NULL"},
        {-EINVAL, "node 1 (hostb): block is 3"},
        {-EINVAL, "from is 7; there are 3 nodes"},
    };
    struct nodes_seen *seen = nodes_run(&(struct nodes_config){.nodes = 3, .program = differ});

    (void)state;
    assert_all_ended(seen, 3, 0);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 9; k++) {
            assert_int_equal(seen[i].codes[k], expected[k].code);
            assert_has(seen[i].messages[k], expected[k].part);
        }
        assert_int_equal(seen[i].codes[9], 0);
    }
    nodes_free(seen);
}

static void go_on_for_long(weir_cluster *cluster, struct nodes_seen *seen)
{
    call_for(cluster, seen, take_long, OPTIONS(.chunks = 200));
    call_for(cluster, seen, do_nothing, NULL);
}

static void other_nodes_are_told__when_one_is_killed(void **state)
{
    (void)state;
    for (int killed = 0; killed < 3; killed++) {
        struct nodes_seen *seen = nodes_run(&(struct nodes_config){.nodes = 3,
                                                                   .program = go_on_for_long,
                                                                   .silence_ms = (int)at_most(1000),
                                                                   .goodbye_ms = (int)at_most(3000),
                                                                   .killed_node = killed,
                                                                   .kill_ms = 400});

        for (int i = 0; i < 3; i++) {
            if (i == killed)
                continue;
            assert_true(seen[i].ended);
            assert_int_equal(seen[i].codes[0], -EHOSTDOWN);
            assert_int_equal(seen[i].errors[0].node, killed);
            assert_int_equal(seen[i].codes[1], -EHOSTDOWN);
            assert_int_equal(seen[i].goodbye, -EHOSTDOWN);
        }
        nodes_free(seen);
    }
}

static int send_nothing(struct weir__port *port, int to, const void *data, size_t size)
{
    (void)port;
    (void)to;
    (void)data;
    (void)size;
    return 0;
}

static int receive_nothing(struct weir__port *port, struct weir__port_message *message)
{
    (void)port;
    (void)message;
    return 0;
}

static size_t something_unsent(const struct weir__port *port)
{
    (void)port;
    return 1;
}

static void goodbye_does_not_wait__for_what_was_sent_to_a_lost_node(void **state)
{
    static const struct weir__port_functions functions = {
        .send = send_nothing, .receive = receive_nothing, .unsent = something_unsent};

    (void)state;
    for (int node = 0; node < 2; node++) {
        struct weir__port port = {&functions, node, 3};
        struct weir_cluster cluster = {.port = &port, .silence_ms = 1000};
        const double begin_ms = now_ms();

        assert_int_equal(weir__cluster_init(&cluster), 0);
        cluster.link.broken = (weir_cluster_error){.node = 2, .error = {.code = -EHOSTDOWN}};
        cluster.link.gone = cluster.link.lost = 1;
        cluster.link.all_gone = node == 1;
        assert_int_equal(weir__cluster_goodbye(&cluster, 20000), -EHOSTDOWN);
        assert_true(now_ms() - begin_ms < 10000);
        weir__cluster_release(&cluster);
    }
}

static weir_cluster *cancelled;

static void on_alarm(int number)
{
    (void)number;
    weir_cluster_cancel(cancelled);
}

static void cancel_by_signal(weir_cluster *cluster, struct nodes_seen *seen)
{
    cancelled = cluster;
    weir_cluster_cancel(cluster); /* no call lasts: no effect */
    call_for(cluster, seen, do_nothing, NULL);
    if (weir_cluster_node(cluster) == 1) {
        signal(SIGALRM, on_alarm);
        ualarm(100000, 0);
    }
    call_for(cluster, seen, take_long, OPTIONS(.chunks = 1000));
    call_for(cluster, seen, do_nothing, NULL);
}

static void all_nodes_are_cancelled__when_one_is(void **state)
{
    struct nodes_seen *seen =
        nodes_run(&(struct nodes_config){.nodes = 2, .program = cancel_by_signal});

    (void)state;
    assert_all_ended(seen, 2, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen[i].codes[0], 0);
        assert_int_equal(seen[i].codes[1], -ECANCELED);
        assert_int_equal(seen[i].errors[1].node, 1);
        assert_int_equal(seen[i].codes[2], 0);
    }
    nodes_free(seen);
}

static void be_late(weir_cluster *cluster, struct nodes_seen *seen)
{
    call_for(cluster, seen, take_long, OPTIONS(.chunks = 1000, .timeout_ms = 100));
    if (weir_cluster_node(cluster) == 1)
        usleep(400000);
    call_for(cluster, seen, do_nothing, OPTIONS(.chunks = 1000, .timeout_ms = 100));
    call_for(cluster, seen, do_nothing, NULL);
}

static void all_nodes_time_out__when_the_deadline_has_passed(void **state)
{
    struct nodes_seen *seen = nodes_run(&(struct nodes_config){.nodes = 2, .program = be_late});

    (void)state;
    assert_all_ended(seen, 2, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen[i].codes[0], -ETIMEDOUT);
        assert_int_equal(seen[i].codes[1], -ETIMEDOUT);
        assert_has(seen[i].messages[1], "1 of 2 nodes had made it");
        assert_int_equal(seen[i].codes[2], 0);
    }
    nodes_free(seen);
}

static int leaver;

static void leave_early(weir_cluster *cluster, struct nodes_seen *seen)
{
    nodes_note(seen, weir_cluster_barrier(cluster), 0);
    if (weir_cluster_node(cluster) == leaver) {
        weir_clear_error();
        if (weir_pool_for(weir_cluster_pool(cluster), weir_range_of(1), NULL, NULL, NULL) == 0)
            seen->calls = 0;
        return;
    }
    call_for(cluster, seen, do_nothing, NULL);
    call_for(cluster, seen, do_nothing, NULL);
}

static void other_nodes_are_told__when_one_ends_early(void **state)
{
    (void)state;
    for (leaver = 0; leaver < 3; leaver++) {
        struct nodes_seen *seen =
            nodes_run(&(struct nodes_config){.nodes = 3, .program = leave_early});

        assert_all_ended(seen, 3, 0);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(seen[i].codes[0], 0);
            if (i == leaver)
                continue;
            assert_int_equal(seen[i].codes[1], -ECONNABORTED);
            assert_int_equal(seen[i].errors[1].node, leaver);
            assert_has(seen[i].messages[1],
                       "has ended the cluster after: the task's function is NULL");
            assert_int_equal(seen[i].codes[2], -ECONNABORTED);
        }
        nodes_free(seen);
    }
}

/* ---- what else there is ---- */

static void broadcast_all(weir_cluster *cluster, struct nodes_seen *seen)
{
    const size_t size = 5000001;
    unsigned char *data = malloc(size);

    for (int from = 0; from < weir_cluster_nodes(cluster); from++) {
        const int node = weir_cluster_node(cluster);
        int code;

        for (size_t i = 0; i < size; i++)
            data[i] = node == from ? (unsigned char)(i + (size_t)from) : 0;
        code = weir_cluster_broadcast(cluster, from, data, size);
        for (size_t i = 0; i < size; i++)
            if (data[i] != (unsigned char)(i + (size_t)from))
                code = 1;
        nodes_note(seen, code, 0);
    }
    free(data);
    nodes_note(seen, weir_cluster_broadcast(cluster, 0, NULL, 0), 0);
    nodes_note(seen, weir_cluster_barrier(cluster), 0);
}

static void all_nodes_have_the_bytes__after_a_broadcast(void **state)
{
    struct nodes_seen *seen =
        nodes_run(&(struct nodes_config){.nodes = 4, .program = broadcast_all});

    (void)state;
    assert_all_ended(seen, 4, 0);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 6; k++)
            assert_int_equal(seen[i].codes[k], 0);
    nodes_free(seen);
}

static void note_progress(const weir_progress *progress, void *arg)
{
    struct nodes_seen *seen = arg;

    nodes_note(seen, progress->ended, (double)progress->done);
}

static void show(weir_cluster *cluster, struct nodes_seen *seen)
{
    const int code = weir_cluster_for(
        cluster, weir_range_of(400), take_long, NULL,
        OPTIONS(.grain = 100, .on_progress = note_progress, .on_progress_arg = seen),
        JOB(.block = 1));

    nodes_note(seen, code, -1);
}

static void node_0_shows_progress_of_all(void **state)
{
    static const int workers[] = {1, 1};
    struct nodes_seen *seen =
        nodes_run(&(struct nodes_config){.nodes = 2, .workers = workers, .program = show});

    (void)state;
    assert_all_ended(seen, 2, 0);
    assert_int_equal(seen[1].calls, 1);
    assert_true(seen[0].calls >= 3);
    for (int k = 1; k < seen[0].calls - 1; k++)
        assert_true(seen[0].values[k] >= seen[0].values[k - 1]);
    assert_int_equal(seen[0].codes[seen[0].calls - 2], 1);
    assert_true(seen[0].values[seen[0].calls - 2] == 400);
    nodes_free(seen);
}

static weir_cluster *nesting;

static void combine_by_a_call(void *into, const void *from, void *arg)
{
    struct nodes_seen *seen = arg;

    if (seen->calls == 0)
        nodes_note(seen, weir_cluster_barrier(nesting), 0);
    combine(into, from, NULL);
}

static void misuse(weir_cluster *cluster, struct nodes_seen *seen)
{
    const weir_reduction nested = {
        .size = sizeof(struct sum), .fold = fold, .combine = combine_by_a_call};
    struct sum sum;
    int status = 1;

    nesting = cluster;
    nodes_note(
        seen, weir_cluster_reduce(cluster, weir_range_of(100), &nested, &sum, seen, NULL, NULL), 0);
    if (fork() == 0)
        _exit(weir_cluster_barrier(cluster) == -EDEADLK ? 0 : 1);
    wait(&status);
    nodes_note(seen, status, 0);
    nodes_note(seen, weir_cluster_barrier(NULL), 0);
    nodes_note(seen,
               weir_cluster_for(cluster, weir_range_of(4), do_nothing, NULL,
                                OPTIONS(.report = &(weir_job_report){0}), NULL),
               0);
    nodes_note(seen, weir_cluster_barrier(cluster), 0);
}

static void calls_are_refused__where_they_cannot_be_made(void **state)
{
    static const int codes[] = {-EBUSY, 0, 0, -EINVAL, -EINVAL, 0};
    struct nodes_seen *seen = nodes_run(&(struct nodes_config){.nodes = 1, .program = misuse});

    (void)state;
    assert_all_ended(seen, 1, 0);
    for (int k = 0; k < 6; k++)
        assert_int_equal(seen[0].codes[k], codes[k]);
    nodes_free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARED(bits_are_the_same__on_any_number_of_nodes_and_workers),
        SHARED(each_item_is_run_once_where_it_belongs__with_stay),
        SHARED(a_fast_node_does_what_a_slow_one_has_left),
        UNIT(all_nodes_have_the_same_error__when_a_task_fails_or_a_worker_dies),
        UNIT(all_nodes_have_an_error__when_their_calls_differ),
        UNIT(other_nodes_are_told__when_one_is_killed),
        UNIT(goodbye_does_not_wait__for_what_was_sent_to_a_lost_node),
        UNIT(all_nodes_are_cancelled__when_one_is),
        UNIT(all_nodes_time_out__when_the_deadline_has_passed),
        UNIT(other_nodes_are_told__when_one_ends_early),
        UNIT(all_nodes_have_the_bytes__after_a_broadcast),
        UNIT(node_0_shows_progress_of_all),
        UNIT(calls_are_refused__where_they_cannot_be_made),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
