/* SPDX-License-Identifier: MIT
 *
 * The trace of a pool: what its processes note, and the file that the supervisor writes.
 */
#include "ear.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "pool/control/trace.h"
#include "shm/clock.h"

/* ---- reading a file -------------------------------------------------------------------------- */

#define RINGS_MAX 4

struct trace {
    char path[64], *bytes;
    size_t size;
    const struct weir__trace_head *head;
    const struct weir__job_record *jobs;
    const struct weir__ring_head *rings[RINGS_MAX];
    const struct weir__event *events[RINGS_MAX];
};

/* A file that is not there yet. */
static void name_file(struct trace *trace)
{
    *trace = (struct trace){.size = 0};
    snprintf(trace->path, sizeof trace->path, "/tmp/weir-test-trace-%d", (int)getpid());
    unlink(trace->path);
}

static void slurp(struct trace *trace)
{
    int fd = open(trace->path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    trace->size = (size_t)st.st_size;
    trace->bytes = malloc(trace->size + 1);
    assert_non_null(trace->bytes);
    assert_int_equal(read(fd, trace->bytes, trace->size), (ssize_t)trace->size);
    close(fd);
    unlink(trace->path);
}

/* The whole file is what its head says. */
static void read_trace(struct trace *trace)
{
    const char *at;

    slurp(trace);
    assert_true(trace->size > sizeof *trace->head);
    trace->head = (const struct weir__trace_head *)trace->bytes;
    assert_memory_equal(trace->head->magic, WEIR__TRACE_MAGIC, 8);
    assert_int_equal(trace->head->version, WEIR__TRACE_VERSION);
    assert_int_equal(trace->head->file_size, trace->size);
    assert_true(trace->head->workers < RINGS_MAX);
    assert_string_equal(trace->head->name, "traced");
    trace->jobs = (const struct weir__job_record *)(trace->bytes + trace->head->size);
    at = (const char *)(trace->jobs + trace->head->jobs);
    for (unsigned i = 0; i <= trace->head->workers; i++) {
        trace->rings[i] = (const struct weir__ring_head *)at;
        trace->events[i] = (const struct weir__event *)(trace->rings[i] + 1);
        at = (const char *)(trace->events[i] + trace->rings[i]->events);
    }
    assert_ptr_equal(at, trace->bytes + trace->size);
}

static void forget(struct trace *trace)
{
    free(trace->bytes);
}

static weir_pool *new_traced(weir_scope *scope, const struct trace *trace, int workers)
{
    weir_pool *pool = weir_pool_new(
        scope, &(weir_pool_options){.workers = workers, .name = "traced", .trace = trace->path});

    if (pool == NULL)
        fail_msg("weir_pool_new: %s", weir_last_error()->message);
    return pool;
}

static const struct weir__job_record *find_job(const struct trace *trace, const char *name)
{
    for (uint64_t i = 0; i < trace->head->jobs; i++) {
        if (strcmp(trace->jobs[i].name, name) == 0)
            return &trace->jobs[i];
    }
    fail_msg("there is no job \"%s\"", name);
    return NULL;
}

/* What the events of a kind and a job add up to, over all rings. */
struct sum {
    uint64_t events, count;
    int64_t ns;
    const struct weir__event *last;
};

static struct sum sum_of(const struct trace *trace, enum weir__event_kind kind, uint64_t job)
{
    struct sum sum = {0};

    for (unsigned i = 0; i <= trace->head->workers; i++) {
        for (uint64_t e = 0; e < trace->rings[i]->events; e++) {
            const struct weir__event *event = &trace->events[i][e];

            assert_true(event->begin_ns <= event->end_ns);
            if (event->kind != kind || event->job != job)
                continue;
            sum.events++;
            sum.count += event->count;
            sum.ns += event->end_ns - event->begin_ns;
            sum.last = event;
        }
    }
    return sum;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static int nothing(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int sleep_ms(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)arg;
    usleep((useconds_t)(1000 * (range.end - range.begin)));
    return 0;
}

static int call_nothing(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static void each_chunk_is_an_event__when_it_is_long(void **state)
{
    weir_scope *scope = begin();
    const struct weir__job_record *job;
    struct trace trace;
    struct sum chunks;
    weir_pool *pool;
    int64_t before;

    (void)state;
    name_file(&trace);
    pool = new_traced(scope, &trace, 2);
    before = weir__now_ns();
    assert_int_equal(weir_pool_for(pool, (weir_range){100, 160}, sleep_ms, NULL,
                                   OPTIONS(.chunks = 12, .name = "sleep")),
                     0);
    weir_pool_free(pool);
    read_trace(&trace);
    assert_int_equal(trace.head->killed, 0);
    assert_int_equal(trace.head->host_pid, getpid());
    assert_int_equal(trace.head->workers, 2);
    job = find_job(&trace, "sleep");
    assert_true(before <= job->opened_ns && job->opened_ns < job->closed_ns);
    assert_true(job->closed_ns <= weir__now_ns());
    assert_int_equal(job->range_begin, 100);
    assert_int_equal(job->range_end, 160);
    assert_int_equal(job->count, 12);
    assert_int_equal(job->failed + job->stopped + job->deaths, 0);
    chunks = sum_of(&trace, EVENT_CHUNK, job->number);
    assert_int_equal(chunks.events, 12);
    assert_int_equal(chunks.count, 12);
    assert_true(chunks.ns >= 60 * INT64_C(1000000));
    assert_int_equal(trace.rings[0]->busy_ns + trace.rings[1]->busy_ns, chunks.ns);
    assert_int_equal(trace.rings[0]->chunks + trace.rings[1]->chunks, 12);
    assert_int_equal(sum_of(&trace, EVENT_START, 0).events, 2);
    forget(&trace);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void short_chunks_and_calls_share_events(void **state)
{
    weir_scope *scope = begin();
    const struct weir__job_record *job;
    weir_future *calls[1000];
    struct trace trace;
    struct sum chunks;
    weir_pool *pool;

    (void)state;
    name_file(&trace);
    pool = new_traced(scope, &trace, 1);
    assert_int_equal(weir_pool_for(pool, weir_range_of(100000), nothing, NULL,
                                   OPTIONS(.chunks = 100000, .name = "short")),
                     0);
    for (size_t i = 0; i < 1000; i++) {
        calls[i] = weir_pool_submit(pool, call_nothing, NULL, 0, NULL);
        assert_non_null(calls[i]);
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(weir_future_wait(calls[i], -1), 0);
        weir_future_free(calls[i]);
    }
    weir_pool_free(pool);
    read_trace(&trace);
    job = find_job(&trace, "short");
    chunks = sum_of(&trace, EVENT_CHUNK, job->number);
    assert_int_equal(chunks.count, 100000);
    assert_in_range(chunks.events, 1, 20000); /* one would do, if nothing came in between */
    assert_true(chunks.last->chunk.longest_ns <= chunks.last->chunk.busy_ns);
    assert_true(chunks.last->chunk.busy_ns <= chunks.last->end_ns - chunks.last->begin_ns);
    assert_int_equal(sum_of(&trace, EVENT_CHUNK, 0).count, 1000);
    assert_int_equal(trace.rings[0]->chunks, 101000);
    forget(&trace);
    assert_int_equal(weir_scope_end(scope), 0);
}

static int fail_late(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    return range.begin == 3 ? weir_task_fail(task, 9, "no") : 0;
}

static void failures_and_each_are_there(void **state)
{
    weir_scope *scope = begin();
    const struct weir__job_record *job;
    struct trace trace;
    weir_pool *pool;
    unsigned failed = 0;

    (void)state;
    name_file(&trace);
    pool = new_traced(scope, &trace, 2);
    assert_int_equal(weir_pool_for(pool, weir_range_of(5), fail_late, NULL,
                                   OPTIONS(.chunks = 5, .keep_going = true, .name = "fail")),
                     WEIR_EFAILED);
    assert_int_equal(weir_pool_each(pool, call_nothing, NULL, NULL), 0);
    weir_pool_free(pool);
    read_trace(&trace);
    job = find_job(&trace, "fail");
    assert_int_equal(job->failed, 1);
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t e = 0; e < trace.rings[i]->events; e++) {
            const struct weir__event *event = &trace.events[i][e];

            if (event->flags & EVENT_FAILED) {
                assert_int_equal(event->chunk.first, 3);
                assert_int_equal(event->job, job->number);
                failed++;
            }
        }
    }
    assert_int_equal(failed, 1);
    assert_int_equal(trace.head->jobs, 2);
    assert_int_equal(sum_of(&trace, EVENT_CHUNK, trace.jobs[1].number).count, 2);
    forget(&trace);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- deaths ---------------------------------------------------------------------------------- */

static int die_once(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    usleep(20000);
    return range.begin > 0 && weir_task_attempt(task) == 1 ? raise(SIGKILL) : 0;
}

static void a_death_has_its_chunk__and_so_has_the_retry(void **state)
{
    weir_scope *scope = begin();
    const struct weir__event *death;
    struct trace trace;
    struct sum chunks;
    weir_pool *pool;

    (void)state;
    name_file(&trace);
    pool = new_traced(scope, &trace, 1);
    assert_int_equal(weir_pool_for(pool, weir_range_of(4), die_once, NULL,
                                   OPTIONS(.chunks = 2, .retries = 1, .name = "die")),
                     0);
    weir_pool_free(pool);
    read_trace(&trace);
    assert_int_equal(trace.jobs[0].deaths, 1);
    assert_int_equal(trace.jobs[0].retried, 1);
    death = sum_of(&trace, EVENT_DEATH, trace.jobs[0].number).last;
    assert_non_null(death);
    assert_int_equal(death->flags, EVENT_AGAIN);
    assert_int_equal(death->attempt, 1);
    assert_int_equal(death->worker.chunk, 1);
    assert_int_equal(death->worker.slot, 0);
    assert_int_equal(death->worker.signal, SIGKILL);
    assert_true(death->end_ns - death->begin_ns >= 20 * INT64_C(1000000));
    assert_int_equal(trace.events[0][0].chunk.first, 0);
    assert_true(death->begin_ns >= trace.events[0][0].end_ns);
    chunks = sum_of(&trace, EVENT_CHUNK, trace.jobs[0].number);
    assert_int_equal(chunks.events, 2);
    assert_int_equal(chunks.last->attempt, 2);
    assert_true(chunks.last->begin_ns >= death->end_ns);
    assert_int_equal(sum_of(&trace, EVENT_START, 0).events, 2);
    assert_int_equal(sum_of(&trace, EVENT_START, 0).last->worker.life, 2);
    forget(&trace);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void run_until_killed(const struct trace *trace, struct gate *gate)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool =
        scope != NULL
            ? weir_pool_new(
                  scope, &(weir_pool_options){.workers = 2, .name = "traced", .trace = trace->path})
            : NULL;

    if (pool != NULL && weir_pool_for(pool, weir_range_of(10), nothing, NULL,
                                      OPTIONS(.chunks = 10, .name = "before")) == 0)
        (void)!weir_pool_for(pool, weir_range_of(2), wait_at_gate, &gate,
                             OPTIONS(.chunks = 2, .name = "killed"));
    _exit(1);
}

static bool is_complete(const char *path)
{
    char magic[8] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const bool read_it = fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic;

    if (fd >= 0)
        close(fd);
    return read_it && memcmp(magic, WEIR__TRACE_MAGIC, sizeof magic) == 0;
}

static void the_file_is_written__when_the_program_is_killed(void **state)
{
    struct gate *gate = shared_memory(sizeof *gate);
    struct trace trace;
    struct sum cut;
    pid_t program;

    (void)state;
    name_file(&trace);
    program = fork();
    if (program == 0)
        run_until_killed(&trace, gate);
    WAIT_UNTIL(gate->waiting == 2, 60000);
    kill(program, SIGKILL);
    assert_int_equal(waitpid(program, NULL, 0), program);
    WAIT_UNTIL(is_complete(trace.path), 10000);
    read_trace(&trace);
    assert_int_equal(trace.head->killed, 1);
    assert_int_equal(sum_of(&trace, EVENT_CHUNK, find_job(&trace, "before")->number).count, 10);
    assert_int_equal(find_job(&trace, "killed")->closed_ns, 0);
    cut = sum_of(&trace, EVENT_CUT, find_job(&trace, "killed")->number);
    assert_int_equal(cut.events, 2);
    assert_int_equal(cut.last->attempt, 1);
    forget(&trace);
    munmap(gate, sizeof *gate);
}

static void chunks_that_ran_are_cut__when_the_pool_is_killed(void **state)
{
    struct gate *gate = shared_memory(sizeof *gate);
    weir_scope *scope = begin();
    struct trace trace;
    weir_future *job;
    weir_pool *pool;

    (void)state;
    name_file(&trace);
    pool = new_traced(scope, &trace, 2);
    job = weir_pool_for_async(pool, weir_range_of(2), wait_at_gate, &gate,
                              OPTIONS(.chunks = 2, .name = "killed"));
    assert_non_null(job);
    WAIT_UNTIL(gate->waiting == 2, 60000);
    weir_pool_kill(pool);
    weir_future_free(job);
    read_trace(&trace);
    assert_int_equal(trace.head->killed, 0);
    assert_int_equal(sum_of(&trace, EVENT_CUT, find_job(&trace, "killed")->number).events, 2);
    assert_int_equal(sum_of(&trace, EVENT_DEATH, find_job(&trace, "killed")->number).events, 0);
    forget(&trace);
    munmap(gate, sizeof *gate);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- spans and counts ------------------------------------------------------------------------ */

/* The trace of a pool of one worker, which runs one chunk. */
static void trace_chunk(struct trace *trace, weir_task_fn task, int64_t items)
{
    weir_scope *scope = begin();
    weir_pool *pool;

    name_file(trace);
    pool = new_traced(scope, trace, 1);
    assert_int_equal(weir_pool_for(pool, weir_range_of(items), task, NULL, OPTIONS(.chunks = 1)),
                     0);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
    read_trace(trace);
}

static int leave_spans(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    WEIR_SPAN (task, "outer") {
        WEIR_SPAN (task, "a label that is longer than it may be") {
            usleep(2000);
        }
        weir_task_count(task, "items", range.end - range.begin);
        if (range.begin >= 0)
            return 0; /* and the span ends */
    }
    return 1;
}

static void spans_and_counts_are_there__however_the_block_is_left(void **state)
{
    const struct weir__event *events;
    struct trace trace;
    uint64_t job;

    (void)state;
    trace_chunk(&trace, leave_spans, 70);
    job = trace.jobs[0].number;
    events = trace.events[0];
    assert_int_equal(trace.rings[0]->events, 4);
    assert_int_equal(events[0].kind, EVENT_SPAN);
    assert_string_equal(events[0].user.text, "a label that is longer ");
    assert_true(events[0].end_ns - events[0].begin_ns >= 2 * INT64_C(1000000));
    assert_int_equal(events[1].kind, EVENT_COUNT);
    assert_string_equal(events[1].user.text, "items");
    assert_int_equal(events[1].user.number, 70);
    assert_int_equal(events[2].kind, EVENT_SPAN);
    assert_string_equal(events[2].user.text, "outer");
    assert_true(events[2].begin_ns <= events[0].begin_ns && events[0].end_ns <= events[2].end_ns);
    assert_int_equal(events[3].kind, EVENT_CHUNK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(events[i].job, job);
    forget(&trace);
}

static int count_often(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++)
        weir_task_count(task, "n", i);
    return 0;
}

static void the_oldest_are_lost_and_counted__when_a_ring_is_full(void **state)
{
    struct trace trace;
    uint64_t kept;

    (void)state;
    trace_chunk(&trace, count_often, 40000);
    kept = trace.rings[0]->events;
    assert_int_equal(kept, 16383);
    assert_int_equal(trace.rings[0]->lost, 40001 - kept);
    for (uint64_t i = 0; i + 1 < kept; i++)
        assert_int_equal(trace.events[0][i].user.number, (int64_t)(40001 - kept + i));
    assert_int_equal(trace.events[0][kept - 1].kind, EVENT_CHUNK);
    forget(&trace);
}

static int count_in_a_fork(weir_task *task, weir_range range, void *arg)
{
    const pid_t child = fork();

    (void)range;
    (void)arg;
    if (child == 0) {
        weir_task_count(task, "forked", 1);
        WEIR_SPAN (task, "forked") {
        }
        _exit(0);
    }
    return waitpid(child, NULL, 0) == child ? 0 : 1;
}

static void a_process_that_a_task_forked_notes_nothing(void **state)
{
    struct trace trace;

    (void)state;
    trace_chunk(&trace, count_in_a_fork, 1);
    assert_int_equal(trace.rings[0]->events, 1);
    assert_int_equal(trace.events[0][0].kind, EVENT_CHUNK);
    forget(&trace);
}

static void nothing_is_noted__when_the_pool_is_not_traced(void **state)
{
    weir_scope *scope = begin();
    weir_span none;
    weir_pool *pool;

    (void)state;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    assert_non_null(pool);
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(70), leave_spans, NULL, OPTIONS(.chunks = 1)), 0);
    weir_pool_free(pool);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = WEIR_WORKERS_NONE});
    assert_non_null(pool);
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(70), leave_spans, NULL, OPTIONS(.chunks = 1)), 0);
    weir_pool_free(pool);
    none = weir_span_begin(NULL, "none");
    assert_null(none.task);
    weir_span_end(&none);
    weir_span_end(NULL);
    weir_task_count(NULL, "none", 1);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool exists(const char *format, const char *path, int number)
{
    char name[128];

    snprintf(name, sizeof name, format, path, number);
    return unlink(name) == 0;
}

static void each_pool_has_a_file__when_the_environment_names_one(void **state)
{
    weir_scope *scope = begin();
    weir_pool *one, *two;
    struct trace trace;
    char said[80];

    (void)state;
    name_file(&trace);
    snprintf(said, sizeof said, "%s-%%p", trace.path);
    setenv("WEIR_TRACE", said, 1);
    one = new_pool(scope, 1);
    two = new_pool(scope, 1);
    setenv("WEIR_TRACE", "", 1);
    weir_pool_free(new_pool(scope, 1));
    unsetenv("WEIR_TRACE");
    weir_pool_free(one);
    weir_pool_free(two);
    assert_true(exists("%s-%d", trace.path, (int)getpid()));
    assert_true(exists("%s-%d.2", trace.path, (int)getpid()));
    assert_false(exists("%s-%d.3", trace.path, (int)getpid()));
    assert_int_equal(weir_scope_end(scope), 0);
}

static void the_pool_is_not_made__when_its_file_cannot_be(void **state)
{
    weir_scope *scope = begin();

    (void)state;
    assert_null(
        weir_pool_new(scope, &(weir_pool_options){.workers = 1, .trace = "/nowhere/at/all/trace"}));
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_message_has("\"/nowhere/at/all/trace\"");
    assert_null(weir_pool_new(scope, &(weir_pool_options){.workers = 1, .trace = "/dev/null"}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_message_has("no regular file");
    setenv("WEIR_TRACE", "/nowhere/%", 1);
    assert_null(weir_pool_new(scope, &(weir_pool_options){.workers = 1}));
    unsetenv("WEIR_TRACE");
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_message_has("\"/nowhere/%");
    assert_int_equal(weir_scope_end(scope), 0);
}

static void the_end_is_no_error__when_the_file_cannot_be_written(void **state)
{
    const struct rlimit little = {4096, 4096};
    weir_scope *scope = begin();
    struct trace trace;
    weir_pool *pool;
    struct ear ear;

    (void)state;
    name_file(&trace);
    ear_open(&ear);
    pool = new_traced(scope, &trace, 2);
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(1000), count_often, NULL, OPTIONS(.chunks = 2)), 0);
    assert_int_equal(prlimit(weir_pool_supervisor_pid(pool), RLIMIT_FSIZE, &little, NULL), 0);
    weir_pool_free(pool);
    ear_close(&ear);
    assert_non_null(strstr(ear_read(&ear), trace.path));
    assert_false(is_complete(trace.path));
    unlink(trace.path);
    assert_int_equal(weir_scope_end(scope), 0);
}

static int has_file(weir_task *task, weir_range range, void *arg)
{
    const char *path = arg;
    struct stat wanted, st;

    (void)task;
    (void)range;
    if (stat(path, &wanted) < 0)
        return 2;
    for (int fd = 0; fd < 256; fd++) {
        if (fstat(fd, &st) == 0 && st.st_ino == wanted.st_ino && st.st_dev == wanted.st_dev)
            return 1;
    }
    return 0;
}

static void neither_program_nor_workers_have_the_file_open(void **state)
{
    static struct trace trace;
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    name_file(&trace);
    pool = new_traced(scope, &trace, 1);
    assert_int_equal(has_file(NULL, weir_range_of(1), trace.path), 0);
    assert_int_equal(weir_pool_for(pool, weir_range_of(1), has_file, trace.path, NULL), 0);
    weir_pool_free(pool);
    unlink(trace.path);
    assert_int_equal(weir_scope_end(scope), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(each_chunk_is_an_event__when_it_is_long),
        UNIT(short_chunks_and_calls_share_events),
        UNIT(failures_and_each_are_there),
        UNIT(a_death_has_its_chunk__and_so_has_the_retry),
        UNIT(the_file_is_written__when_the_program_is_killed),
        UNIT(chunks_that_ran_are_cut__when_the_pool_is_killed),
        UNIT(spans_and_counts_are_there__however_the_block_is_left),
        UNIT(the_oldest_are_lost_and_counted__when_a_ring_is_full),
        UNIT(a_process_that_a_task_forked_notes_nothing),
        UNIT(nothing_is_noted__when_the_pool_is_not_traced),
        UNIT(each_pool_has_a_file__when_the_environment_names_one),
        UNIT(the_pool_is_not_made__when_its_file_cannot_be),
        UNIT(the_end_is_no_error__when_the_file_cannot_be_written),
        UNIT(neither_program_nor_workers_have_the_file_open),
    };

    unsetenv("WEIR_TRACE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
