/* SPDX-License-Identifier: MIT
 *
 * ops_wait.c: waiting for several futures, all at once and as they end.
 */
#include "ops_future.h"

void wait_for_many(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    weir_future *futures[FUTURES];
    weir_when when = (weir_when)pick(op, 1, 3);
    int limit = pick(op, 2, 2) == 0 ? -1 : 2;
    int64_t got;

    if (pool == NULL)
        return;
    for (unsigned i = 0; i < FUTURES; i++) {
        struct future_place *place = usable_future(lane, i);

        futures[i] =
            place != NULL && place->job.pool == pool && !place->pool_gone ? place->future : NULL;
    }
    got = weir_future_wait_many(futures, FUTURES, when, limit);
    if (got == -ETIMEDOUT) {
        MUST(limit >= 0, "for ever");
        return;
    }
    MUST(got >= 0 && got <= FUTURES, "%d", (int)got);
    if (got < FUTURES)
        MUST(futures[got] != NULL && weir_future_done(futures[got]), "%d has not ended", (int)got);
    if (got < FUTURES && when == WEIR_WHEN_FIRST_ERROR)
        MUST(weir_future_error(futures[got]) != NULL, "%d has not failed", (int)got);
    MUST(got == FUTURES || when != WEIR_WHEN_ALL, "%d", (int)got);
    for (unsigned i = 0; i < FUTURES && got == FUTURES; i++)
        MUST(futures[i] == NULL || (weir_future_done(futures[i]) && when != WEIR_WHEN_ANY),
             "%u has not ended", i);
}

/* Gives the waiter the lane's futures of the pool; returns how many. */
static int fill_waiter(struct lane *lane, struct pool_place *pool, weir_waiter *waiter)
{
    int count = 0;

    for (unsigned i = 0; i < FUTURES; i++) {
        struct future_place *place = usable_future(lane, i);

        if (place == NULL || place->pool_gone)
            continue;
        if (place->job.pool != pool) {
            /* One that has ended belongs to no pool. */
            if (!weir_future_done(place->future))
                REFUSED("weir_waiter_add", weir_waiter_add(waiter, place->future, NULL), -EINVAL);
            continue;
        }
        SUCCEEDS(weir_waiter_add(waiter, place->future, place));
        REFUSED("weir_waiter_add", weir_waiter_add(waiter, place->future, place), -EBUSY);
        count++;
    }
    return count;
}

void wait_by_waiter(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    const int limit_ms = pick(op, 1, 3) == 0 ? 2 : -1;
    struct future_place *place = NULL;
    bool seen[FUTURES] = {false};
    weir_future *future = NULL;
    weir_waiter *waiter;
    int count, got = 1;

    REFUSED_NULL("weir_waiter_new", weir_waiter_new(NULL), -EINVAL);
    if (pool == NULL)
        return;
    waiter = weir_waiter_new(pool->pool);
    MUST(waiter != NULL, "waiter");
    count = fill_waiter(lane, pool, waiter);
    say(lane, "a waiter of %d futures, %d ms", count, limit_ms);
    while ((got = weir_waiter_next(waiter, &future, (void **)&place, limit_ms)) == 1) {
        const ptrdiff_t number = place - lane->futures;

        MUST(number >= 0 && number < FUTURES && !seen[number], "future %td comes again", number);
        MUST(place->future == future && weir_future_done(future), "it has not ended");
        seen[number] = true;
        settle_future(place, weir_future_wait(future, 0));
        count--;
    }
    if (got == 0)
        MUST(count == 0, "%d futures did not come", count);
    else
        REFUSED("weir_waiter_next", got, -ETIMEDOUT);
    MUST(got == 0 || limit_ms >= 0, "for ever");
    weir_waiter_free(waiter);
}
