/* SPDX-License-Identifier: MIT
 *
 * ops_future.c: jobs that run while the sequence goes on, and their callbacks.
 *
 * A lane uses its futures until one gets a callback: from then on only operations that are alone
 * use it, in the main thread, which dispatches.
 */
#include "ops_future.h"

#include <poll.h>

#include "ops.h"

struct future_place *future_place_of(struct lane *lane, unsigned number)
{
    if (lane->futures == NULL)
        lane->futures = calloc(FUTURES, sizeof *lane->futures);
    if (lane->futures == NULL)
        abort();
    return &lane->futures[number % FUTURES];
}

/* The future there, if this thread may use it. */
struct future_place *usable_future(struct lane *lane, unsigned number)
{
    struct future_place *place = future_place_of(lane, number);

    return place->future != NULL && !place->called_back ? place : NULL;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* What the ended future gives must fit its code. */
static void check_given(struct future_place *place)
{
    const struct job *job = &place->job;
    const weir_error *error = weir_future_error(place->future);
    size_t size = 99;
    const void *data;

    MUST(weir_future_done(place->future), "it has ended");
    MUST(weir_future_wait(place->future, 0) == place->code, "another code at the second wait");
    MUST((error == NULL) == (place->code == 0), "code %d", place->code);
    MUST(error == NULL || (error->code == place->code && error->message[0] != '\0'), "error");
    data = weir_future_result(place->future, &size);
    if (place->code != 0 || job->form == FOR || job->form == MAP)
        MUST(data == NULL && size == 0, "a result of %zu bytes", size);
    else if (job->form == SUBMIT)
        MUST(is_result_of(&job->work, data, size), "%zu bytes, not %u", size,
             job->work.result_size);
    else
        MUST(size == sizeof job->result && data != NULL, "%zu bytes", size);
    MUST((uintptr_t)data % _Alignof(max_align_t) == 0, "not aligned");
}

/* The future has ended with the code: checked the first time. */
void settle_future(struct future_place *place, int code)
{
    size_t size;
    const void *data;

    if (!place->ended) {
        place->ended = true;
        place->code = code;
        data = code == 0 && place->job.form == REDUCE ? weir_future_result(place->future, &size)
                                                      : NULL;
        if (data != NULL)
            memcpy(&place->job.result, data, sizeof place->job.result);
        if (code != 0)
            code = weir_future_wait(place->future, 0); /* sets the last error */
        job_end(&place->job, code);
    }
    check_given(place);
}

static void forget_future(struct future_place *place)
{
    job_forget(&place->job);
    *place = (struct future_place){0};
}

static void free_place(struct future_place *place)
{
    place->job.cancelled = true;
    weir_future_free(place->future);
    if (!place->ended)
        job_abandon(&place->job);
    forget_future(place);
}

/* ---- starting -------------------------------------------------------------------------------- */

static void start(struct lane *lane, struct pool_place *pool, unsigned number)
{
    static const char *const calls[] = {"for_async", "map_async", "reduce_async", "submit"};
    struct future_place *place = future_place_of(lane, number);
    struct job *job = &place->job;
    weir_future *future;
    static const enum form forms[] = {FOR, MAP, REDUCE, SUBMIT, SUBMIT};

    if (place->future != NULL)
        return;
    job_draw(job, lane, pool, forms[draw(&lane->seed, 5)],
             &world.record->tallies[lane->number][number % FUTURES]);
    job_say(lane, calls[job->form], job);
    COUNT(futures);
    job_begin(job);
    if (job->form == FOR)
        future = weir_pool_for_async(pool->pool, job->range, job_for, &job->work, &job->options);
    else if (job->form == MAP)
        future = weir_pool_map_async(pool->pool, job_map, job->in, sizeof *job->in, job->out,
                                     sizeof *job->out, (size_t)job->work.length, &job->work,
                                     &job->options);
    else if (job->form == REDUCE)
        future =
            weir_pool_reduce_async(pool->pool, job->range, &stretches, &job->work, &job->options);
    else
        future = WEIR_SUBMIT(pool->pool, job_call, job->work, &job->options);
    *place = (struct future_place){.future = future, .job = *job, .lane = lane};
    if (future != NULL)
        return;
    if (atomic_load(&pool->supervisor_gone))
        ALLOW("submitting", weir_last_error()->code, WEIR_EDIED);
    else
        MUST(atomic_load(&pool->cancels.begun) != job->cancels &&
                 weir_last_error()->code == -ECANCELED,
             "no future");
    forget_future(place);
}

static void start_future(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[1]);

    if (pool != NULL)
        start(lane, pool, op->n[0]);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void wait_future(struct lane *lane, const struct op *op)
{
    static const int limits[] = {-1, -1, 0, 3};
    struct future_place *place = usable_future(lane, op->n[0]);
    int limit = limits[pick(op, 1, 4)], code;
    double begin_ms = now_ms();

    if (place == NULL)
        return;
    say(lane, "waits for future %u, %d ms", op->n[0] % FUTURES, limit);
    code = weir_future_wait(place->future, limit);
    if (code == -ETIMEDOUT && !weir_future_done(place->future)) {
        MUST(limit >= 0, "it has not ended");
        MUST(now_ms() - begin_ms >= limit, "too early");
        return;
    }
    if (code == -ETIMEDOUT && !place->ended)
        code = weir_future_wait(place->future, 0); /* it has ended since */
    settle_future(place, code);
}

static void look_at_future(struct lane *lane, const struct op *op)
{
    struct future_place *place = usable_future(lane, op->n[0]);

    if (place == NULL)
        return;
    if (!weir_future_done(place->future)) {
        MUST(!place->ended, "no longer done");
        if (pick(op, 1, 2) == 0)
            return;
        weir_future_result(place->future, NULL); /* waits */
    }
    settle_future(place, weir_future_wait(place->future, 0));
}

static void cancel_future(struct lane *lane, const struct op *op)
{
    struct future_place *place = usable_future(lane, op->n[0]);

    if (place == NULL)
        return;
    COUNT(cancels);
    place->job.cancelled = true;
    weir_future_cancel(place->future);
}

static void free_future(struct lane *lane, const struct op *op)
{
    struct future_place *place = usable_future(lane, op->n[0]);

    if (place == NULL)
        return;
    say(lane, "frees future %u", op->n[0] % FUTURES);
    free_place(place);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static void on_end(weir_future *future, void *arg)
{
    struct future_place *place = arg;
    struct lane *lane = place->lane;
    struct pool_place *pool = place->job.pool;

    MUST(future == place->future, "another future");
    MUST(++place->calls == 1, "called %d times", place->calls);
    MUST(weir_future_done(future), "called before its end");
    settle_future(place, weir_future_wait(future, 0));
    if (one_in(&lane->seed, 3))
        return; /* it is freed later */
    weir_future_free(future);
    forget_future(place);
    if (one_in(&lane->seed, 2) && pool->pool != NULL && !atomic_load(&pool->ending))
        start(lane, pool, (unsigned)(place - lane->futures));
}

static void set_callback(struct lane *lane, const struct op *op)
{
    struct future_place *place = usable_future(lane, op->n[0]);

    if (place == NULL)
        return;
    if (place->pool_gone) {
        REFUSED("weir_future_then", weir_future_then(place->future, on_end, place), -EINVAL);
        return;
    }
    say(lane, "callback of future %u", op->n[0] % FUTURES);
    place->called_back = true;
    SUCCEEDS(weir_future_then(place->future, on_end, place));
}

static int count_due(const struct pool_place *pool)
{
    int due = 0;

    for (unsigned l = 0; l < world.lane_count; l++)
        for (unsigned i = 0; i < FUTURES && world.lanes[l].futures != NULL; i++) {
            const struct future_place *place = &world.lanes[l].futures[i];

            due += place->future != NULL && place->job.pool == pool && !place->pool_gone &&
                   place->called_back && place->calls == 0;
        }
    return due;
}

/* As an event loop: until all callbacks have come. */
static void dispatch(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    double end_ms = now_ms() + 40000;
    struct pollfd poll_fd = {.events = POLLIN};
    int due;

    if (pool == NULL)
        return;
    poll_fd.fd = weir_pool_fd(pool->pool);
    MUST(poll_fd.fd >= 0 && poll_fd.fd == weir_pool_fd(pool->pool), "a descriptor");
    if (pick(op, 1, 3) == 0) {
        SUCCEEDS(weir_pool_dispatch(pool->pool));
        return;
    }
    while ((due = count_due(pool)) > 0) {
        MUST(now_ms() < end_ms, "%d callbacks do not come", due);
        say(lane, "dispatches pool %td: %d callbacks are due", pool - world.pools, due);
        poll(&poll_fd, 1, 100);
        if (poll_fd.revents & POLLIN)
            SUCCEEDS(weir_pool_dispatch(pool->pool));
    }
}

/* Of those that have a callback: before its call, or after. */
static void free_called_back(struct lane *lane, const struct op *op)
{
    struct lane *owner = &world.lanes[pick(op, 0, world.lane_count)];
    struct future_place *place = future_place_of(owner, op->n[1]);

    (void)lane;
    if (place->future != NULL && place->called_back)
        free_place(place);
}

/* ---- the family ------------------------------------------------------------------------------ */

static void misuse_futures(struct lane *lane, const struct op *op)
{
    struct future_place *place = usable_future(lane, op->n[0]);
    weir_future *futures[1] = {NULL};

    REFUSED("weir_future_wait", weir_future_wait(NULL, 0), -EINVAL);
    REFUSED("weir_future_then", weir_future_then(NULL, on_end, NULL), -EINVAL);
    REFUSED("weir_future_wait_many", weir_future_wait_many(NULL, 1, WEIR_WHEN_ALL, 0), -EINVAL);
    REFUSED("weir_future_wait_many", weir_future_wait_many(futures, 1, (weir_when)9, 0), -EINVAL);
    MUST(weir_future_wait_many(futures, 1, WEIR_WHEN_ANY, -1) == 1, "none");
    REFUSED_NULL("weir_pool_submit", weir_pool_submit(NULL, job_call, NULL, 0, NULL), -EINVAL);
    if (place != NULL && !place->pool_gone)
        REFUSED("weir_future_then", weir_future_then(place->future, NULL, NULL), -EINVAL);
    if (place != NULL)
        REFUSED_NULL("weir_future_table", weir_future_table(place->future), -EINVAL, WEIR_EFAILED,
                     WEIR_EDIED, -ETIMEDOUT, -ECANCELED);
}

static void in_child(struct lane *lane, uint64_t *seed)
{
    for (unsigned i = 0; lane->futures != NULL && i < FUTURES; i++) {
        weir_future *future = lane->futures[i].future;
        size_t size;

        if (future == NULL)
            continue;
        REFUSED("weir_future_wait", weir_future_wait(future, -1), -EDEADLK);
        weir_clear_error();
        MUST(!weir_future_done(future), "done");
        MUST(weir_last_error()->code == -EDEADLK, "weir_future_done");
        REFUSED_NULL("weir_future_result", weir_future_result(future, &size), -EDEADLK);
        REFUSED_NULL("weir_future_error", weir_future_error(future), -EDEADLK);
        REFUSED("weir_future_then", weir_future_then(future, on_end, NULL), -EDEADLK);
        REFUSED("weir_future_wait_many", weir_future_wait_many(&future, 1, WEIR_WHEN_ALL, -1),
                -EDEADLK);
        weir_future_cancel(future);
        if (one_in(seed, 2))
            weir_future_free(future);
    }
}

static void leave_pool(struct lane *lane, struct pool_place *pool, bool orderly)
{
    for (unsigned i = 0; lane->futures != NULL && i < FUTURES; i++) {
        struct future_place *place = &lane->futures[i];

        if (place->future != NULL && place->job.pool == pool && !place->pool_gone &&
            (orderly || i % 3 == 0))
            free_place(place);
    }
}

static void pool_ended(struct lane *lane, struct pool_place *pool)
{
    for (unsigned i = 0; lane->futures != NULL && i < FUTURES; i++) {
        struct future_place *place = &lane->futures[i];

        if (place->future == NULL || place->job.pool != pool || place->pool_gone)
            continue;
        MUST(!place->called_back || place->calls == 1, "the pool's end did not call");
        MUST(weir_future_done(place->future), "the pool's end did not end it");
        settle_future(place, weir_future_wait(place->future, i % 2 == 0 ? 0 : -1));
        place->pool_gone = true;
        if (i % 2 == 0)
            free_place(place);
    }
}

static void leave_scope(struct lane *lane, struct scope_place *scope, bool orderly)
{
    (void)orderly;
    for (unsigned i = 0; lane->futures != NULL && i < FUTURES; i++) {
        struct job *job = &lane->futures[i].job;

        if (lane->futures[i].future != NULL && job->pool->scope == scope && !job->private_out)
            job->in = job->out = NULL; /* elements that lie in the scope go with it */
    }
}

static void leave(struct lane *lane)
{
    for (unsigned i = 0; lane->futures != NULL && i < FUTURES; i++)
        if (lane->futures[i].future != NULL)
            free_place(&lane->futures[i]);
    free(lane->futures);
    lane->futures = NULL;
}

static const struct kind kinds[] = {
    {"start_future", 10, false, false, start_future},
    {"wait_future", 4, false, false, wait_future},
    {"look_at_future", 2, false, false, look_at_future},
    {"cancel_future", 1, false, false, cancel_future},
    {"free_future", 2, false, false, free_future},
    {"wait_for_many", 2, false, false, wait_for_many},
    {"wait_by_waiter", 2, false, false, wait_by_waiter},
    {"set_callback", 2, false, false, set_callback},
    {"dispatch", 1, true, false, dispatch},
    {"free_called_back", 1, true, false, free_called_back},
    {"misuse_futures", 1, false, false, misuse_futures},
    {0},
};

const struct family future_family = {
    .name = "future",
    .kinds = kinds,
    .weight = 2,
    .leave_pool = leave_pool,
    .pool_ended = pool_ended,
    .leave_scope = leave_scope,
    .in_child = in_child,
    .leave = leave,
};
