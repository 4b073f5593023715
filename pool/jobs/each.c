/* SPDX-License-Identifier: MIT
 *
 * each.c: a function once in each worker, and in those that come later.
 *
 * The call is a job of one chunk a slot, which only the worker of that slot may claim
 * (worker/work_each.c). Its function has a place in control.each, with a copy of the argument in
 * the control heap, which a job that has ended does not keep. If the call succeeds the place is
 * kept as long as the pool, for replacements; else it is dropped, and used again when no worker
 * names it any more. There are more places than functions that can be kept: a worker may name one
 * for some time after its call has failed.
 *
 * Failure modes: all places are kept, or named; the control heap has no room for the argument. The
 * host killed: the pool ends with it.
 */
#include <errno.h>
#include <string.h>

#include "pool/control/self.h"
#include "pool/host/hold.h"
#include "pool/host/job_future.h"
#include "pool/worker/here.h"
#include "shm/error.h"

static int run_each(weir_task *task, weir_range range)
{
    (void)range;
    return ((weir_each_fn)task->job->function)(task, task->job->arg);
}

/* Before the job is closed: a worker that finds it closed looks here. */
static int finish_each(weir_future *future, struct weir__job *job)
{
    atomic_store(&future->pool->control->each[job->each - 1].state,
                 future->code == 0 ? EACH_KEPT : EACH_DROPPED);
    return 0;
}

static const struct weir__job_kind each_kind = {
    .does = DOES_EACH, .run = run_each, .finish = finish_each, .here = weir__run_here};

/* ---- places, with pool->lock ---------------------------------------------------------------- */

/* Whether a worker may be reading there. */
static bool is_named(const struct weir__control *control, unsigned place)
{
    for (int i = 0; i < control->workers; i++) {
        /* seq_cst, after it was dropped; pairs with work_each.c, weir__work_each() */
        if (atomic_load(&control->slots[i].each) == place + 1)
            return true;
    }
    return false;
}

static void reclaim_dropped(weir_pool *pool)
{
    for (unsigned i = 0; i < WEIR__EACH_PLACES; i++) {
        struct weir__each *each = &pool->control->each[i];

        if (atomic_load(&each->state) != EACH_DROPPED || is_named(pool->control, i))
            continue;
        if (each->arg_size > 0)
            weir__control_heap_free(&pool->jobs.heap, each->arg, each->arg_size);
        atomic_store(&each->number, 0);
        atomic_store(&each->state, EACH_VACANT);
    }
}

/* A place for one function more, or a negative error. */
static int find_vacant(const struct weir__control *control)
{
    int vacant = -1, kept = 0;

    for (int i = 0; i < WEIR__EACH_PLACES; i++) {
        const uint32_t state = atomic_load(&control->each[i].state);

        kept += state != EACH_VACANT && state != EACH_DROPPED;
        if (state == EACH_VACANT)
            vacant = i;
    }
    if (kept >= WEIR_EACH_MAX)
        return weir__fail(-E2BIG, "%d functions are kept already; a pool keeps at most %d", kept,
                          WEIR_EACH_MAX);
    if (vacant < 0)
        return weir__fail(-EBUSY,
                          "workers are still in functions of earlier calls of weir_pool_each(), "
                          "which have failed; a pool has %d places for both",
                          WEIR__EACH_PLACES);
    return vacant;
}

/* The spec's argument is then the copy. Returns the place, or a negative error. */
static int take_vacant(weir_pool *pool, struct weir__job_spec *spec)
{
    int place = find_vacant(pool->control);
    void *copy = NULL;

    if (place < 0)
        return place;
    if (spec->arg_size > 0) {
        copy = weir__control_heap_alloc(&pool->jobs.heap, spec->arg_size);
        if (copy == NULL)
            return weir__fail(-ENOMEM,
                              "no memory in the pool for an argument of %zu bytes (of %zu; other "
                              "jobs hold the rest)",
                              spec->arg_size, pool->control->heap_size);
        memcpy(copy, spec->arg, spec->arg_size);
    }
    pool->control->each[place].kind = &each_kind;
    pool->control->each[place].function = (weir_each_fn)spec->function;
    pool->control->each[place].arg = copy != NULL ? copy : (void *)(uintptr_t)spec->arg;
    pool->control->each[place].arg_size = spec->arg_size;
    atomic_store(&pool->control->each[place].state, EACH_OPENING);
    spec->arg = pool->control->each[place].arg;
    spec->arg_size = 0;
    return place;
}

/* ---- the call ------------------------------------------------------------------------------- */

/* A call's place, of a pool that another thread may end. */
struct taken {
    weir_pool *pool;
    int place; /* negative: none */
};

static int take_place(weir_pool *pool, struct weir__job_spec *spec)
{
    int place;

    pthread_mutex_lock(&pool->lock);
    place = pool->ended ? weir__check_pool(pool) : 0;
    if (place == 0) {
        reclaim_dropped(pool);
        place = take_vacant(pool, spec);
    }
    pthread_mutex_unlock(&pool->lock);
    return place;
}

/* A cleanup, also if on_progress was left by an exception. What was not kept is dropped. */
static void give_place_back(const struct taken *taken)
{
    struct weir__each *each;

    if (taken->place < 0)
        return;
    pthread_mutex_lock(&taken->pool->lock);
    if (!taken->pool->ended) {
        each = &taken->pool->control->each[taken->place];
        if (atomic_load(&each->state) != EACH_KEPT)
            atomic_store(&each->state, EACH_DROPPED);
        reclaim_dropped(taken->pool);
    }
    pthread_mutex_unlock(&taken->pool->lock);
}

int weir_pool_each(weir_pool *pool, weir_each_fn function, const void *arg,
                   const weir_job_options *options)
{
    weir_job_options own = options != NULL ? *options : (weir_job_options){0};
    struct taken taken __attribute__((cleanup(give_place_back))) = {pool, -1};
    struct weir__job_spec spec;
    int workers = weir_pool_workers(pool);

    if (workers < 0)
        return workers;
    if (weir__here.depth > 0)
        return weir__fail(-EDEADLK, "a task cannot call weir_pool_each()");
    own.chunks = 0;
    own.grain = 1;
    own.first_chunk = 0;
    if (weir__spec_init(&spec, pool, (weir_range){0, workers}, (void (*)(void))function,
                        (void *)(uintptr_t)arg, &own, 0) < 0)
        return weir_last_error()->code;
    taken.place = take_place(pool, &spec);
    if (taken.place < 0)
        return taken.place;
    spec.kind = &each_kind;
    spec.each = (uint8_t)(taken.place + 1);
    return weir__run(pool, &spec, NULL);
}
