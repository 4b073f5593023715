/* SPDX-License-Identifier: MIT
 *
 * ops_crowd.c: more jobs in flight than there are places, from several threads at once.
 */
#include <pthread.h>
#include <signal.h>

#include "job.h"
#include "ops.h"

#define THREADS 4
#define MOST    2500 /* in flight of a thread; there are 4,096 places of each kind */

enum manner { JOBS, CALLS, RANGES, WAITED, MANNERS };

struct member {
    enum manner manner;
    struct pool_place *pool;
    unsigned count;
    bool cancels; /* every tenth of its futures */
    uint64_t seed;
    struct tally *tally;
    weir_future *futures[MOST];
};

/* Gives its argument back. */
static int echo(weir_task *task, void *arg)
{
    return weir_task_result(task, arg, sizeof(int64_t));
}

static int add_range(weir_task *task, weir_range range, void *arg)
{
    struct tally *tally = *(struct tally **)arg;

    (void)task;
    atomic_fetch_add(&tally->running, (int)(range.end - range.begin));
    return 0;
}

static weir_future *submit_one(struct member *member, int64_t number)
{
    weir_job_options as_job = {.retries = 1},
                     range = {.arg_size = sizeof member->tally, .chunks = 2};

    if (member->manner == JOBS)
        return WEIR_SUBMIT(member->pool->pool, echo, number, &as_job);
    if (member->manner == CALLS)
        return WEIR_SUBMIT(member->pool->pool, echo, number, NULL);
    return weir_pool_for_async(member->pool->pool, weir_range_of(3), add_range, &member->tally,
                               &range);
}

static void finish_one(struct member *member, weir_future *future, int64_t number)
{
    const bool cancelled = member->cancels && number % 10 == 0;
    const int64_t *result;
    size_t size;
    int code;

    MUST(future != NULL, "future %d of manner %d", (int)number, member->manner);
    if (cancelled)
        weir_future_cancel(future);
    if (one_in(&member->seed, 5))
        weir_future_done(future);
    code = weir_future_wait(future, -1);
    MUST(code == 0 || (cancelled && code == -ECANCELED), "future %d of manner %d: %d", (int)number,
         member->manner, code);
    result = weir_future_result(future, &size);
    if (code == 0 && member->manner != RANGES)
        MUST(size == sizeof number && result != NULL && *result == number,
             "the result of future %d: %zu bytes, %lld", (int)number, size,
             result != NULL ? (long long)*result : -1);
    weir_future_free(future);
}

static void *run_member(void *arg)
{
    struct member *member = arg;
    weir_job_options options = {.arg_size = sizeof member->tally};
    int items = 0;

    for (unsigned i = 0; member->manner == WAITED && i < member->count; i++) {
        SUCCEEDS(weir_pool_for(member->pool->pool, weir_range_of(5), add_range, &member->tally,
                               &options));
        items += 5;
    }
    for (unsigned i = 0; member->manner != WAITED && i < member->count; i++) {
        member->futures[i] = submit_one(member, i);
        COUNT(futures);
    }
    for (unsigned i = 0; member->manner != WAITED && i < member->count; i++)
        finish_one(member, member->futures[i], i);
    if (member->manner == RANGES && !member->cancels)
        items = 3 * (int)member->count;
    if (items > 0)
        MUST(atomic_load(&member->tally->running) == items, "%d items, not %d",
             atomic_load(&member->tally->running), items);
    return NULL;
}

static void crowd(struct lane *lane, const struct op *op)
{
    static struct member members[THREADS];
    struct pool_place *pool = pool_of(op->n[0]);
    unsigned threads = 2 + pick(op, 1, THREADS - 1);
    pthread_t ids[THREADS];

    if (pool == NULL || atomic_load(&pool->supervisor_gone) || pool->fresh_workers)
        return;
    for (unsigned t = 0; t < threads; t++) {
        struct member *member = &members[t];

        *member = (struct member){.pool = pool, .seed = op_seed(op) + t};
        member->manner = (enum manner)draw(&lane->seed, MANNERS);
        member->count = member->manner == WAITED ? 200 : MOST - draw(&lane->seed, 1000);
        member->cancels = one_in(&lane->seed, 4);
        /* The last place of a lane: no future has it. */
        member->tally = &world.record->tallies[t][TALLIES - 1];
        memset(member->tally, 0, sizeof *member->tally);
        say(lane, "thread %u: %u in the manner %d%s", t, member->count, member->manner,
            member->cancels ? ", some cancelled" : "");
    }
    for (unsigned t = 0; t < threads; t++)
        MUST(pthread_create(&ids[t], NULL, run_member, &members[t]) == 0, "no thread");
    for (unsigned t = 0; t < threads; t++)
        pthread_join(ids[t], NULL);
    for (unsigned t = 0; t < threads; t++)
        memset(members[t].tally, 0, sizeof *members[t].tally);
}

static const struct kind kinds[] = {
    {"crowd", 1, true, false, crowd},
    {0},
};

const struct family crowd_family = {.name = "crowd", .kinds = kinds, .weight = 1};
