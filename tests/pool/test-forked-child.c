/* SPDX-License-Identifier: MIT
 *
 * What a process may do with what it has inherited: a child that the program forks, and a worker of
 * a pool that was made later. Every public function about pools, futures, streams, processes,
 * tables and texts is called there; a table says what must come of it. The program's own futures
 * then have their results as if no child had been there.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <uv.h>

#include "child.h"

#define CALLS      24
#define RESULT     3000
#define CHILD_S    20
#define THREADS    3
#define FORKS      60
#define WORD_COUNT 2

/* All that is inherited. */
struct inherited {
    weir_scope *scope;
    weir_pool *pool;
    weir_future *calls[CALLS]; /* every other one is a job of its own; not all have ended */
    weir_future *ended;        /* whose end was seen */
    weir_future *words;        /* of a map-reduce */
    weir_stream *stream;       /* has calls in flight */
    weir_waiter *waiter;       /* has one of `calls` */
    weir_process *process;
    weir_table *table, *spare_table;
    weir_text *text, *spare_text;
    uv_loop_t *loop;
};

/* Shared: what went wrong in the child. */
static char *complaint;

static void complain(const char *name, const char *what)
{
    if (complaint[0] == '\0')
        snprintf(complaint, 400, "%s %s; last error %d: %.200s", name, what,
                 weir_last_error()->code, weir_last_error()->message);
}

/* ---- what the program does ------------------------------------------------------------------ */

static int give_letters(weir_task *task, void *arg)
{
    char text[RESULT];

    usleep(3000);
    memset(text, 'a' + *(int *)arg, sizeof text);
    return weir_task_result(task, text, sizeof text);
}

static int emit_two(weir_task *task, weir_range range, void *arg)
{
    (void)arg;
    for (int64_t i = range.begin; i < range.end; i++)
        weir_emit_int64(task, i % 2 == 0 ? "even" : "odd", i % 2 == 0 ? 4 : 3, 1);
    return 0;
}

static const weir_map_reduction word_count = {
    .map = emit_two, .value_size = 8, .combine = weir_sum_int64};
static const weir_range hundred = {0, 100};

static int sleep_long(void *arg)
{
    (void)arg;
    sleep(60);
    return 0;
}

static int no_call(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    abort();
}

static int no_task(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    abort();
}

static int no_map(weir_task *task, const void *in, void *out, void *arg)
{
    (void)task;
    (void)in;
    (void)out;
    (void)arg;
    abort();
}

static int no_fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)accumulator;
    return no_task(task, range, arg);
}

static void no_combine(void *into, const void *from, void *arg)
{
    (void)into;
    (void)from;
    (void)arg;
    abort();
}

static void no_callback(weir_future *future, void *arg)
{
    (void)future;
    (void)arg;
    abort();
}

static const weir_reduction reduction = {.size = 8, .fold = no_fold, .combine = no_combine};

/* ---- what a child does ---------------------------------------------------------------------- */

static int64_t try_cancel(struct inherited *it)
{
    weir_future_cancel(it->calls[CALLS - 1]);
    weir_future_cancel(it->calls[CALLS - 2]);
    return 0;
}

static int64_t try_free(struct inherited *it)
{
    for (int i = 0; i < CALLS; i++)
        weir_future_free(it->calls[i]);
    weir_future_free(it->ended);
    weir_future_free(it->words);
    return 0;
}

static int64_t try_wait(struct inherited *it)
{
    int64_t worst = -EDEADLK;

    for (int i = 0; i < CALLS; i++)
        worst = weir_future_wait(it->calls[i], -1) == -EDEADLK ? worst : 1;
    return weir_future_wait(it->ended, -1) == -EDEADLK ? worst : 1;
}

static int64_t try_done(struct inherited *it)
{
    for (int i = 0; i < CALLS; i++) {
        if (weir_future_done(it->calls[i]))
            return 1;
    }
    return weir_future_done(it->ended) ? 1 : 0;
}

static int64_t try_result(struct inherited *it)
{
    size_t size = 1;

    return weir_future_result(it->calls[0], &size) != NULL || size != 0 ||
           weir_future_result(it->ended, NULL) != NULL;
}

static int64_t try_stream_next(struct inherited *it)
{
    weir_item item;

    return weir_stream_next(it->stream, &item, -1);
}

static int64_t try_sorted(struct inherited *it)
{
    size_t count;
    weir_pair *pairs = weir_table_sorted(it->table, weir_pair_by_key, 0, &count);
    int64_t right = pairs != NULL && count == WORD_COUNT && pairs[0].key_size == 4;

    free(pairs);
    return right ? 0 : 1;
}

static int64_t try_next(struct inherited *it)
{
    weir_table_cursor cursor = {0};
    weir_pair pair;
    int64_t sum = 0;

    while (weir_table_next(it->table, &cursor, &pair) == 1)
        sum += *(int64_t *)pair.value;
    return sum == hundred.end ? 0 : 1;
}

static int64_t try_get(struct inherited *it)
{
    weir_pair pair;

    return weir_table_get(it->table, "odd", 3, &pair) == 0 && *(int64_t *)pair.value == 50 ? 0 : 1;
}

static int64_t count_words(struct inherited *it, bool at)
{
    weir_text_cursor cursor;
    weir_text_record record;
    int64_t words = 0;
    int result =
        at ? weir_text_slice_at(it->text, weir_text_range(it->text), " \n", &cursor)
           : weir_text_slice(it->text, weir_text_range(it->text), WEIR_TEXT_WORDS, &cursor);

    while (result == 0 && weir_text_next(&cursor, &record) == 1)
        words++;
    return words == 3 ? 0 : 1;
}

static int64_t open_text(struct inherited *it, bool many)
{
    const char *path = weir_text_path(it->text, 0);
    weir_text *text =
        many ? weir_text_open_many(it->scope, &path, 1) : weir_text_open(it->scope, path);

    weir_text_close(text);
    return text != NULL ? 0 : 1;
}

enum outcome {
    REFUSED, /* -EDEADLK, or NULL or false with that as last error */
    SILENT,  /* nothing happens */
    WORKS,   /* 0 */
};

#define ROW(name, outcome, expression)                                                             \
    static int64_t call_##name(struct inherited *it)                                               \
    {                                                                                              \
        (void)it;                                                                                  \
        return (int64_t)(expression);                                                              \
    }
#include "forked-child-rows.h"
#undef ROW

static const struct row {
    const char *name;
    enum outcome outcome;
    int64_t (*call)(struct inherited *it);
} rows[] = {
#define ROW(name, outcome, expression) {#name, outcome, call_##name},
#include "forked-child-rows.h"
#undef ROW
};

#define ROWS (sizeof rows / sizeof rows[0])

static void call_row(const struct row *row, struct inherited *it)
{
    int64_t result;

    weir_clear_error();
    result = row->call(it);
    if (row->outcome == REFUSED &&
        (result > 0 || weir_last_error()->code != -EDEADLK || (result < 0 && result != -EDEADLK)))
        complain(row->name, "is not refused");
    else if (row->outcome != REFUSED && result != 0)
        complain(row->name, "does not work");
}

/* `spares`: with the calls that free for all processes what the program does not need. */
static void call_all(struct inherited *it, bool spares)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (spares || (strcmp(rows[i].name, "weir_table_free") != 0 &&
                       strcmp(rows[i].name, "weir_text_close") != 0))
            call_row(&rows[i], it);
    }
}

/* ---- the program ---------------------------------------------------------------------------- */

static weir_table *count_table(weir_pool *pool)
{
    weir_table *table = weir_pool_map_reduce(pool, hundred, &word_count, NULL, NULL);

    assert_non_null(table);
    return table;
}

static const char *text_path(void)
{
    static char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/tmp/%s", leak_name("text"));
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("one two\nthree\n", file);
    fclose(file);
    return path;
}

static void submit_calls(struct inherited *it)
{
    for (int i = 0; i < CALLS; i++) {
        it->calls[i] = weir_pool_submit(it->pool, give_letters, &i, sizeof i,
                                        i % 2 == 0 ? NULL : OPTIONS(.retries = 1));
        assert_non_null(it->calls[i]);
    }
}

static void make_all(struct inherited *it)
{
    const weir_stream_options in_flight = {.in_flight = 8};
    const char *path = text_path();
    static uv_loop_t loop; /* it is not looked at */
    int letter = 0;

    it->scope = begin();
    it->pool = new_pool(it->scope, 2);
    it->table = count_table(it->pool);
    it->spare_table = count_table(it->pool);
    it->text = weir_text_open(it->scope, path);
    it->spare_text = weir_text_open(it->scope, path);
    assert_true(it->text != NULL && it->spare_text != NULL);
    it->process = weir_process_start(it->scope, sleep_long, NULL);
    it->ended = weir_pool_submit(it->pool, give_letters, &letter, sizeof letter, NULL);
    it->stream = weir_stream_new(it->pool, give_letters, &in_flight);
    it->waiter = weir_waiter_new(it->pool);
    it->words = weir_pool_map_reduce_async(it->pool, hundred, &word_count, NULL, NULL);
    it->loop = &loop;
    assert_true(it->process != NULL && it->ended != NULL && it->words != NULL);
    assert_int_equal(weir_future_wait(it->ended, -1), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(weir_stream_put(it->stream, &i, sizeof i), 0);
    submit_calls(it);
    assert_int_equal(weir_waiter_add(it->waiter, it->calls[0], NULL), 0);
}

static void assert_letters(const char *result, size_t size, int letter)
{
    assert_non_null(result);
    assert_int_equal(size, RESULT);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(result[i], 'a' + letter);
}

static void take_calls(struct inherited *it)
{
    for (int i = 0; i < CALLS; i++) {
        size_t size;
        const char *result = weir_future_result(it->calls[i], &size);

        if (result == NULL)
            fail_msg("call %d: %s", i, weir_last_error()->message);
        assert_letters(result, size, i);
        weir_future_free(it->calls[i]);
    }
}

static void check_and_end_all(struct inherited *it)
{
    weir_item item;

    if (complaint[0] != '\0')
        fail_msg("%s", complaint);
    take_calls(it);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(weir_stream_next(it->stream, &item, -1), 1);
        assert_letters(item.data, item.size, i);
    }
    assert_int_equal(weir_table_len(weir_future_table(it->words)), WORD_COUNT);
    assert_int_equal(weir_process_join(it->process, 0, NULL), -ETIMEDOUT);
    weir_stream_free(it->stream);
    weir_waiter_free(it->waiter);
    weir_table_free(weir_future_table(it->words));
    weir_future_free(it->words);
    weir_future_free(it->ended);
    weir_process_free(it->process);
    unlink(weir_text_path(it->text, 0));
    weir_pool_free(it->pool);
    assert_int_equal(weir_scope_end(it->scope), 0);
}

static void wait_for_child(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("the child's status is 0x%x%s: %s", status,
                 WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (it hung)" : "", complaint);
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* path: the library's version script, with a name a line. */
static bool names_stand(const char *path, char missing[128])
{
    static const char *const prefixes[] = {"weir_pool_",   "weir_future_",  "weir_stream_",
                                           "weir_waiter_", "weir_process_", "weir_table_",
                                           "weir_text_"};
    FILE *file = fopen(path, "r");
    bool all = file != NULL;
    char line[128];

    snprintf(missing, 128, "%s cannot be read", path);
    while (file != NULL && fgets(line, sizeof line, file) != NULL && all) {
        if (sscanf(line, " %127[a-z0-9_];", missing) != 1)
            continue;
        for (size_t p = 0; p < sizeof prefixes / sizeof prefixes[0]; p++) {
            if (strncmp(missing, prefixes[p], strlen(prefixes[p])) != 0)
                continue;
            all = false;
            for (size_t i = 0; i < ROWS; i++)
                all |= strcmp(rows[i].name, missing) == 0;
        }
        if (!all)
            break;
    }
    if (file != NULL)
        fclose(file);
    return all;
}

static void every_public_function_is_tried__when_there_are_new_ones(void **state)
{
    char missing[128];

    (void)state;
    if (!names_stand(SYMBOLS, missing))
        fail_msg("%s", missing);
}

static void calls_are_refused__in_a_forked_child(void **state)
{
    struct inherited it;
    pid_t child;

    (void)state;
    make_all(&it);
    child = fork();
    if (child == 0) {
        child_reset();
        alarm(CHILD_S);
        call_all(&it, true);
        _exit(0);
    }
    wait_for_child(child);
    check_and_end_all(&it);
}

static int call_all_in_worker(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    call_all(arg, true);
    return 0;
}

static void calls_are_refused__in_a_worker_that_has_inherited_them(void **state)
{
    static struct inherited it;
    weir_pool *later;

    (void)state;
    make_all(&it);
    later = new_pool(it.scope, 1);
    assert_int_equal(weir_pool_for(later, (weir_range){0, 1}, call_all_in_worker, &it,
                                   OPTIONS(.timeout_ms = CHILD_S * 1000)),
                     0);
    weir_pool_free(later);
    check_and_end_all(&it);
}

/* A pool whose end the program has seen before it forks. */
static void futures_are_refused__when_their_pool_had_ended_before_the_fork(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    int letter = 3;
    weir_future *future = weir_pool_submit(pool, give_letters, &letter, sizeof letter, NULL);
    weir_stream *stream = weir_stream_new(pool, give_letters, NULL);
    const char *result;
    size_t size;
    pid_t child;

    (void)state;
    assert_true(future != NULL && stream != NULL);
    weir_pool_free(pool);
    child = fork();
    if (child == 0) {
        child_reset();
        alarm(CHILD_S);
        if (weir_future_wait(future, 0) != -EDEADLK || weir_stream_put(stream, NULL, 0) != -EDEADLK)
            _exit(1);
        weir_future_free(future);
        weir_stream_free(stream);
        _exit(0);
    }
    wait_for_child(child);
    assert_int_equal(weir_stream_put(stream, NULL, 0), -ECANCELED);
    weir_stream_free(stream);
    result = weir_future_result(future, &size);
    assert_letters(result, size, letter);
    weir_future_free(future);
    weir_scope_end(scope);
}

struct submitter {
    struct inherited *it;
    int wrong;
};

static _Atomic bool stopped;

/* Holds the locks of pool and futures as often as it can. */
static void *submit_always(void *arg)
{
    struct submitter *submitter = arg;
    int number = 0;

    while (!stopped) {
        weir_future *future = weir_pool_submit(submitter->it->pool, give_letters, &number,
                                               sizeof number, OPTIONS(.retries = number % 2));
        weir_future *both[2] = {future, NULL};

        submitter->wrong += weir_future_wait_many(both, 2, WEIR_WHEN_ALL, -1) < 0 ||
                            weir_future_wait(future, -1) != 0;
        weir_future_free(future);
        number = (number + 1) % 26;
    }
    return NULL;
}

static void calls_are_refused__when_threads_have_locks_at_the_fork(void **state)
{
    static struct submitter submitters[THREADS];
    pthread_t threads[THREADS];
    struct inherited it;

    (void)state;
    make_all(&it);
    stopped = false;
    for (int i = 0; i < THREADS; i++) {
        submitters[i] = (struct submitter){.it = &it};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_always, &submitters[i]), 0);
    }
    for (int n = 0; n < FORKS; n++) {
        pid_t child = fork();

        if (child == 0) {
            child_reset();
            alarm(CHILD_S);
            call_all(&it, false);
            _exit(0);
        }
        wait_for_child(child);
    }
    stopped = true;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(submitters[i].wrong, 0);
    }
    check_and_end_all(&it);
}

/* The child's own pool has a number of its own. */
static void a_child_has_pools_of_its_own__when_it_begins_a_scope(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        weir_scope *own = weir_scope_begin(NULL);
        weir_pool *mine = weir_pool_new(own, &(weir_pool_options){.workers = 1});
        int letter = 1;
        weir_future *future = weir_pool_submit(mine, give_letters, &letter, sizeof letter, NULL);
        bool right = weir_future_wait(future, -1) == 0 && weir_pool_workers(pool) == -EDEADLK;

        weir_future_free(future);
        weir_pool_free(mine);
        _exit(weir_scope_end(own) == 0 && right ? 0 : 1);
    }
    wait_for_child(child);
    assert_int_equal(weir_pool_workers(pool), 1);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* A task's copy gives no result: the worker does. */
static int fork_and_give(weir_task *task, void *arg)
{
    const char wrong[] = "wrong", right[] = "right";
    pid_t copy;
    int status;

    (void)arg;
    if (weir_task_result(task, right, sizeof right) < 0)
        return 1;
    copy = fork();
    if (copy == 0)
        _exit(weir_task_result(task, wrong, sizeof wrong) == -EDEADLK ? 0 : 1);
    return waitpid(copy, &status, 0) != copy || status != 0;
}

static void a_call_gives_what_its_worker_gave__when_a_process_that_it_forked_gives_too(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 1);

    (void)state;
    for (int retries = 0; retries < 2; retries++) {
        weir_future *future =
            weir_pool_submit(pool, fork_and_give, NULL, 0, OPTIONS(.retries = retries));
        const char *result = weir_future_result(future, NULL);

        if (result == NULL)
            fail_msg("%s", weir_last_error()->message);
        assert_string_equal(result, "right");
        weir_future_free(future);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_public_function_is_tried__when_there_are_new_ones),
        UNIT(calls_are_refused__in_a_forked_child),
        UNIT(calls_are_refused__in_a_worker_that_has_inherited_them),
        UNIT(futures_are_refused__when_their_pool_had_ended_before_the_fork),
        UNIT(calls_are_refused__when_threads_have_locks_at_the_fork),
        UNIT(a_child_has_pools_of_its_own__when_it_begins_a_scope),
        UNIT(a_call_gives_what_its_worker_gave__when_a_process_that_it_forked_gives_too),
    };

    leak_isolate();
    complaint = shared_memory(4096);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
