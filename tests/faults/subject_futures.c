/* SPDX-License-Identifier: MIT
 *
 * subject_futures.c: futures, streams and pools in several threads, and in children that the
 * program forks meanwhile.
 *
 *     subject fork SEED FORKS            children use what they have inherited, and exit
 *     subject crowd SEED COUNT TOTAL     COUNT of TOTAL futures in flight, of each thread
 */
#include "subject.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define THREADS 4

static bool one_in(unsigned *seed, int n)
{
    return rand_r(seed) % n == 0;
}

/* ---- a forked child ------------------------------------------------------------------------- */

#define FUTURES 40
#define ITEMS   10
#define SIZE    3000
#define CHILD_S 15

/* What the child has a copy of, and would free at its exit. */
static struct {
    weir_scope *scope;
    weir_pool *pool;
    weir_dict *dict;
    weir_future *futures[FUTURES];
    weir_stream *stream;
} all;

/* Of a thread that works on: what it is using now. */
struct user {
    _Atomic(weir_future *) future;
    weir_stream *stream;
    unsigned seed;
};

static pid_t program;
static struct user users[THREADS];
static _Atomic bool stopped;

static int give_letters(weir_task *task, void *arg)
{
    char text[SIZE];

    memset(text, 'a' + *(const int *)arg % 26, sizeof text);
    return weir_task_result(task, text, sizeof text);
}

static int give_letters_late(weir_task *task, void *arg)
{
    sleep_ms(5);
    return give_letters(task, arg);
}

static bool are_letters(const char *text, size_t size, int number)
{
    bool right = text != NULL && size == SIZE;

    for (size_t i = 0; right && i < size; i++)
        right = text[i] == 'a' + number % 26;
    return right;
}

static bool gives_letters(weir_future *future, int number)
{
    size_t size;
    const char *text = weir_future_result(future, &size);

    return are_letters(text, size, number);
}

static int end_all(void)
{
    weir_scope *scope = all.scope;
    int result;

    for (int i = 0; i < FUTURES; i++)
        weir_future_free(all.futures[i]);
    weir_stream_free(all.stream);
    weir_pool_free(all.pool);
    weir_dict_close(all.dict);
    memset(&all, 0, sizeof all);
    result = weir_scope_end(scope);
    if (result != 0)
        give_up("weir_scope_end");
    return result;
}

/* What a program that fails in the middle of all does not do. */
static void at_exit(void)
{
    if (getpid() != program && end_all() != 0)
        _exit(1);
}

#define REFUSED(call) MUST((call) == -EDEADLK)
/* Of a call that returns a pointer or a bool. */
#define REFUSED_NULL(call) MUST(!(call) && weir_last_error()->code == -EDEADLK)

static void called(weir_future *future, void *arg)
{
    (void)future;
    (void)arg;
    _exit(1);
}

static void use_future(weir_future *future)
{
    weir_future *both[2] = {future, NULL};

    REFUSED_NULL(weir_future_done(future));
    REFUSED_NULL(weir_future_result(future, NULL));
    REFUSED_NULL(weir_future_error(future));
    REFUSED(weir_future_wait(future, -1));
    REFUSED(weir_future_wait_many(both, 2, WEIR_WHEN_ALL, -1));
    REFUSED(weir_future_then(future, called, NULL));
    weir_future_cancel(future);
}

static void use_stream(weir_stream *stream)
{
    const int number = 1;
    weir_item item;

    REFUSED(weir_stream_put(stream, &number, sizeof number));
    REFUSED(weir_stream_next(stream, &item, -1));
}

static int add_one(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    atomic_fetch_add((_Atomic int64_t *)arg, range.end - range.begin);
    return 0;
}

static void use_pool(bool kills)
{
    const int number = 1;

    REFUSED(weir_pool_for(all.pool, (weir_range){0, 4}, add_one, NULL, NULL));
    REFUSED_NULL(weir_pool_submit(all.pool, give_letters, &number, sizeof number, NULL));
    REFUSED_NULL(weir_stream_new(all.pool, give_letters, NULL));
    REFUSED(weir_pool_workers(all.pool));
    REFUSED(weir_pool_dispatch(all.pool));
    weir_pool_cancel(all.pool);
    if (kills) {
        weir_pool_kill(all.pool);
        all.pool = NULL;
    }
}

/* A child may use the scope's objects, and make some. Its number is one more in the dictionary. */
static void use_scope(void)
{
    weir_shm *block = weir_scope_shm(all.scope, 50);

    MUST(block != NULL);
    weir_shm_unlink(block);
    weir_shm_close(block);
    MUST(weir_dict_add(all.dict, weir_str("children"), 1, NULL) == 0);
}

/* In the child; at_exit() frees what it inherited. */
static void live_as_child(unsigned ways)
{
    signal(SIGALRM, SIG_DFL);
    alarm(CHILD_S);
    for (int i = 0; ways & 1 && i < FUTURES; i++)
        use_future(all.futures[i]);
    for (int i = 0; ways & 2 && i < THREADS; i++) {
        weir_future *future = users[i].future;

        if (future != NULL) {
            use_future(future);
            weir_future_free(future);
        }
        use_stream(users[i].stream);
        weir_stream_free(users[i].stream);
    }
    if (ways & 4)
        use_stream(all.stream);
    if (ways & 8)
        use_pool(ways & 16);
    use_scope();
    exit(0);
}

/* In a thread: the locks of pool, futures and stream are taken as often as can be. */
static void *use_always(void *arg)
{
    struct user *user = arg;
    const weir_job_options as_job = {.retries = 1};
    weir_future *both[2] = {NULL, NULL};
    int64_t put = 0;
    weir_item item;

    while (!stopped) {
        int number = rand_r(&user->seed) % 26, next = (int)(put++ % 26);

        MUST(weir_stream_put(user->stream, &next, sizeof next) == 0);
        both[0] = weir_pool_submit(all.pool, give_letters, &number, sizeof number,
                                   one_in(&user->seed, 2) ? &as_job : NULL);
        MUST(both[0] != NULL);
        user->future = both[0];
        MUST(weir_future_wait_many(both, 2, WEIR_WHEN_ALL, -1) == 2);
        MUST(gives_letters(both[0], number));
        user->future = NULL;
        weir_future_free(both[0]);
        while (weir_stream_next(user->stream, &item, 0) == 1)
            MUST(item.code == 0 && are_letters(item.data, item.size, (int)(item.index % 26)));
    }
    while (weir_stream_next(user->stream, &item, -1) == 1)
        MUST(item.code == 0 && are_letters(item.data, item.size, (int)(item.index % 26)));
    return NULL;
}

static void make_all(void)
{
    const weir_job_options as_job = {.retries = 1};

    all.scope = weir_scope_begin(NULL);
    MUST(all.scope != NULL);
    all.dict = weir_scope_dict(all.scope, NULL);
    all.pool = new_pool(all.scope, 3);
    MUST(all.dict != NULL && all.pool != NULL);
    for (int i = 0; i < FUTURES; i++) {
        all.futures[i] =
            weir_pool_submit(all.pool, give_letters_late, &i, sizeof i, i % 2 ? &as_job : NULL);
        MUST(all.futures[i] != NULL);
    }
    all.stream = weir_stream_new(all.pool, give_letters_late, NULL);
    MUST(all.stream != NULL);
    for (int i = 0; i < ITEMS; i++)
        MUST(weir_stream_put(all.stream, &i, sizeof i) == 0);
}

/* The program's results are as if no child had been there. */
static void check_all(int children)
{
    weir_value value;
    weir_item item;

    for (int i = 0; i < FUTURES; i++)
        MUST(gives_letters(all.futures[i], i));
    for (int i = 0; i < ITEMS; i++) {
        MUST(weir_stream_next(all.stream, &item, -1) == 1 && item.index == i && item.code == 0);
        MUST(are_letters(item.data, item.size, i));
    }
    MUST(weir_dict_get(all.dict, weir_str("children"), &value, NULL, 0) == 0 &&
         value.integer == children);
    MUST(work(all.pool, NULL) == 0);
}

static void fork_child(unsigned ways)
{
    const pid_t child = fork();
    int status = 0;

    if (child == 0)
        live_as_child(ways);
    MUST(child > 0 && waitpid(child, &status, 0) == child);
    if (status != 0)
        fprintf(stderr, "a child that does %u %s, status 0x%x\n", ways,
                WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "hangs" : "fails", status);
    MUST(status == 0);
}

static int fork_children(int argc, char **argv)
{
    pthread_t threads[THREADS];
    unsigned seed;

    MUST(argc == 2);
    seed = (unsigned)strtoul(argv[0], NULL, 10);
    program = getpid();
    make_all();
    atexit(at_exit);
    for (int i = 0; i < THREADS; i++) {
        users[i].seed = seed + (unsigned)i;
        users[i].stream =
            weir_stream_new(all.pool, give_letters, &(weir_stream_options){.unordered = i % 2});
        MUST(users[i].stream != NULL);
        MUST(pthread_create(&threads[i], NULL, use_always, &users[i]) == 0);
    }
    for (int i = 0; i < atoi(argv[1]); i++)
        fork_child(one_in(&seed, 4) ? 31 : (unsigned)rand_r(&seed) % 32);
    stopped = true;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        weir_stream_free(users[i].stream);
    }
    check_all(atoi(argv[1]));
    return end_all();
}

/* ---- a crowd -------------------------------------------------------------------------------- */

enum manner { JOB, CALL, RANGE };

struct member {
    weir_pool *pool;
    pthread_barrier_t *filled;
    unsigned seed;
    int count, total;      /* of futures: in flight, and in all */
    _Atomic int64_t *done; /* items of ranges; shared with the workers */
    int64_t expected;
    weir_future **futures;
    enum manner *manners;
    weir_stream *stream;
    int64_t put, taken;
};

static int give_back(weir_task *task, void *arg)
{
    return weir_task_result(task, arg, sizeof(int64_t));
}

static void submit_one(struct member *member, int64_t number)
{
    const weir_job_options as_job = {.retries = 1 + rand_r(&member->seed) % 3},
                           in_chunks = {.chunks = 2, .retries = 1};
    weir_future **future = &member->futures[number % member->count];
    const enum manner manner = one_in(&member->seed, 8)   ? CALL
                               : one_in(&member->seed, 4) ? RANGE
                                                          : JOB;

    member->manners[number % member->count] = manner;
    if (manner == RANGE) {
        *future = weir_pool_for_async(member->pool, (weir_range){0, 3}, add_one, member->done,
                                      &in_chunks);
        member->expected += 3;
    } else {
        *future = WEIR_SUBMIT(member->pool, give_back, number, manner == JOB ? &as_job : NULL);
    }
    MUST(*future != NULL);
}

/* Takes an item, if one is there. */
static bool take(struct member *member, int timeout_ms)
{
    weir_item item;
    const int got = weir_stream_next(member->stream, &item, timeout_ms);

    if (got != 1) {
        MUST(got == 0 || timeout_ms == 0);
        return false;
    }
    MUST(item.index == member->taken++ && item.code == 0 && item.size == sizeof item.index);
    MUST(*(const int64_t *)item.data == item.index);
    return true;
}

/* What ends by itself, beside the futures. */
static void do_besides(struct member *member)
{
    if (one_in(&member->seed, 8)) {
        MUST(weir_stream_put(member->stream, &member->put, sizeof member->put) == 0);
        member->put++;
    }
    while (one_in(&member->seed, 2) && take(member, 0))
        ;
    if (one_in(&member->seed, 50)) {
        MUST(weir_pool_for(member->pool, (weir_range){0, 5}, add_one, member->done, NULL) == 0);
        member->expected += 5;
    }
}

static void finish_one(struct member *member, int number)
{
    weir_future *future = member->futures[number % member->count], *both[2] = {future, NULL};
    const int64_t *result;
    size_t size = 0;

    if (one_in(&member->seed, 5))
        MUST(weir_future_wait_many(both, 2, WEIR_WHEN_ANY, -1) == 0);
    MUST(weir_future_wait(future, -1) == 0);
    result = weir_future_result(future, &size);
    if (member->manners[number % member->count] == RANGE)
        MUST(size == 0);
    else
        MUST(result != NULL && size == sizeof *result && *result == number);
    weir_future_free(future);
}

/* With `count` futures in flight the oldest is waited for before one more is submitted: at the same
 * time other threads end just those, to have their places. */
static void run_futures(struct member *member)
{
    for (int i = 0; i < member->total + member->count; i++) {
        if (i == member->count) /* all threads' futures are there */
            pthread_barrier_wait(member->filled);
        if (i >= member->count)
            finish_one(member, i - member->count);
        if (i >= member->total)
            continue;
        submit_one(member, i);
        do_besides(member);
    }
}

static void *run_member(void *arg)
{
    struct member *member = arg;
    const weir_job_options as_job = {.retries = 1};
    const weir_stream_options options = {.in_flight = 50,
                                         .job = one_in(&member->seed, 2) ? &as_job : NULL};

    member->futures = calloc((size_t)member->count, sizeof(weir_future *));
    member->manners = calloc((size_t)member->count, sizeof(enum manner));
    member->stream = weir_stream_new(member->pool, give_back, &options);
    MUST(member->futures != NULL && member->manners != NULL && member->stream != NULL);
    run_futures(member);
    while (take(member, -1))
        ;
    MUST(member->taken == member->put);
    MUST(atomic_load(member->done) == member->expected);
    weir_stream_free(member->stream);
    free(member->futures);
    free(member->manners);
    return NULL;
}

static int crowd(int argc, char **argv)
{
    _Atomic int64_t *done =
        mmap(NULL, 64 * THREADS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    weir_scope *scope = weir_scope_begin(NULL);
    struct member members[THREADS];
    pthread_barrier_t filled;
    pthread_t threads[THREADS];
    weir_pool *pool;

    MUST(argc == 3 && done != MAP_FAILED && scope != NULL);
    pool = new_pool(scope, 2);
    MUST(pool != NULL && pthread_barrier_init(&filled, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++) {
        members[i] = (struct member){.pool = pool,
                                     .filled = &filled,
                                     .seed = (unsigned)strtoul(argv[0], NULL, 10) + (unsigned)i,
                                     .count = atoi(argv[1]),
                                     .total = atoi(argv[2]),
                                     .done = done + 8 * i};
        MUST(pthread_create(&threads[i], NULL, run_member, &members[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&filled);
    weir_pool_free(pool);
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

const struct mode of_futures[] = {{"fork", fork_children}, {"crowd", crowd}, {NULL, NULL}};
