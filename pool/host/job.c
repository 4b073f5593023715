/* SPDX-License-Identifier: MIT
 *
 * job.c: the host's side of a job: open, wait, result, close.
 *
 * Only the host opens and closes jobs, and it alone decides that one has ended, by looking at the
 * cells; what workers count in `activity` only tells it when looking is worth while. Each sleep is
 * bounded by TICK_MS, so a wake-up that a killed process owed is late at worst, never missing;
 * after each tick the supervisor's pidfd is looked at, because with it gone nobody else would
 * report anything.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "pool/control/chunk.h"
#include "pool/control/failure.h"
#include "pool/control/futex.h"
#include "pool/control/park.h"
#include "pool/control/ready.h"
#include "pool/control/supervision.h"
#include "pool/host/state.h"
#include "shm/clock.h"
#include "shm/error.h"

#define TICK_MS       50
#define SPIN_MAX_NS   20000 /* then the host sleeps */
#define SPIN_MIN_NS   2000
#define WORTH_NS      50000
#define IN_THE_WAY_NS 15000
#define SPIN_PAUSE_NS 50000000
#define WAKE_MORE_SPUN_NS                                                                          \
    3000 /* a job that lasts longer is worth waking more workers: spinning ones ... */
#define WAKE_MORE_WOKEN_NS 15000 /* ... and one that had to be woken up itself */
#define LAST_DEATHS_MS     2000

/* ---- memory --------------------------------------------------------------------------------- */

/* True when no live process is inside the job, which is closed. Those that were killed inside are
 * taken out: they are what is counted while no slot names the job. A process names the job before
 * it enters and until it has left; if one enters meanwhile the exchange fails, even if another one
 * left, because entries are counted too. */
static bool job_is_empty(struct weir__control *control, unsigned index)
{
    struct weir__job *job = &control->jobs[index];
    uint64_t seen = atomic_load(&job->activity);

    if ((seen & ACTIVITY_INSIDE) == 0)
        return true;
    for (int i = 0; i <= control->workers; i++) {
        if (atomic_load(&control->slots[i].job) == index + 1)
            return false;
    }
    return atomic_compare_exchange_strong(&job->activity, &seen, seen & ~ACTIVITY_INSIDE);
}

static void release_memory(weir_pool *pool, unsigned index)
{
    struct weir__job_private *private = &pool->job_private[index];

    weir__control_heap_free(&pool->heap, private->cells, private->cells_size);
    weir__control_heap_free(&pool->heap, private->memory, private->size);
    if (private->block != NULL) {
        weir_shm_unlink(private->block);
        weir_shm_close(private->block);
    }
    *private = (struct weir__job_private){0};
}

/* What is about to be written moves here from the last worker's CPU, all lines at once. */
static void fetch_job(struct weir__job *job)
{
    __builtin_prefetch(&job->activity, 1);
    __builtin_prefetch(&job->inline_cells[0], 1);
    __builtin_prefetch(&job->inline_cells[WEIR__CHUNKS_INLINE / 2], 1);
}

/* A vacant job that nobody is inside; -1: none. The one used last is taken first, for the caches.
 */
static int take_vacant(weir_pool *pool)
{
    if (pool->vacant_count > 0)
        fetch_job(&pool->control->jobs[pool->vacant[pool->vacant_count - 1]]);
    for (int i = pool->vacant_count - 1; i >= 0; i--) {
        unsigned index = pool->vacant[i];

        if (!job_is_empty(pool->control, index))
            continue;
        memmove(&pool->vacant[i], &pool->vacant[i + 1],
                (size_t)(pool->vacant_count - i - 1) * sizeof(*pool->vacant));
        pool->vacant_count--;
        release_memory(pool, index);
        return (int)index;
    }
    return -1;
}

/* Closed jobs keep their memory until they are reused; this gives back what can be. */
static void release_all(weir_pool *pool)
{
    for (int i = 0; i < pool->vacant_count; i++) {
        if (job_is_empty(pool->control, pool->vacant[i]))
            release_memory(pool, pool->vacant[i]);
    }
}

void weir__jobs_release(weir_pool *pool)
{
    const uint32_t used = atomic_load(&pool->control->jobs_used);

    for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++)
        release_memory(pool, i);
}

/* ---- open ----------------------------------------------------------------------------------- */

static void *get_heap(weir_pool *pool, size_t size)
{
    void *memory = weir__control_heap_alloc(&pool->heap, size);

    if (memory != NULL)
        return memory;
    release_all(pool);
    return weir__control_heap_alloc(&pool->heap, size);
}

static int give_cells(weir_pool *pool, struct weir__job_private *private, int64_t count)
{
    if (count <= WEIR__CHUNKS_INLINE)
        return 0;
    private->cells_size = weir__line_up((size_t)count * sizeof(weir__cell));
    private->cells = get_heap(pool, private->cells_size);
    if (private->cells == NULL)
        return weir__fail(-ENOMEM,
                          "no memory in the pool for a job of %lld chunks (%zu bytes of %zu; other "
                          "jobs in flight hold the rest)",
                          (long long)count, private->cells_size, pool->control->heap_size);
    return 0;
}

/* Argument and room. */
static int give_memory(weir_pool *pool, struct weir__job_private *private,
                       const struct weir__job_spec *spec, unsigned char **data)
{
    size_t arg = spec->arg_size > WEIR__ARG_INLINE ? weir__line_up(spec->arg_size) : 0, size;
    unsigned char *memory;

    if (arg < spec->arg_size && spec->arg_size > WEIR__ARG_INLINE)
        return weir__fail(-EINVAL, "arg_size is %zu", spec->arg_size);
    if (__builtin_add_overflow(spec->memory, arg, &size))
        return weir__fail(-ENOMEM, "a job needs %zu bytes and an argument of %zu", spec->memory,
                          spec->arg_size);
    if (size == 0)
        return 0;
    private->size = size;
    private->memory = memory = get_heap(pool, size);
    if (memory == NULL) {
        private->block = weir_scope_shm(pool->scope, size);
        if (private->block == NULL)
            return weir_last_error()->code;
        memory = weir_shm_buf(private->block);
    }
    private->arg = arg > 0 ? memory : NULL;
    *data = memory + arg;
    return 0;
}

static int take_job(weir_pool *pool, const struct weir__job_spec *spec, unsigned char **data)
{
    int index, result;

    pthread_mutex_lock(&pool->lock);
    index = take_vacant(pool);
    if (index < 0) {
        pthread_mutex_unlock(&pool->lock);
        return -EAGAIN;
    }
    result = give_cells(pool, &pool->job_private[index], spec->count);
    if (result == 0)
        result = give_memory(pool, &pool->job_private[index], spec, data);
    if (result < 0) {
        release_memory(pool, (unsigned)index);
        pool->vacant[pool->vacant_count++] = (uint16_t)index;
    } else {
        pool->open++;
    }
    if ((uint32_t)index >= atomic_load_explicit(&pool->control->jobs_used, memory_order_relaxed))
        atomic_store(&pool->control->jobs_used, (uint32_t)index + 1);
    pthread_mutex_unlock(&pool->lock);
    return result < 0 ? result : index;
}

/* Tells the supervisor when it has to look at the time from now on. */
static void watch_time(weir_pool *pool, unsigned index)
{
    pool->job_private[index].timed = true;
    if (atomic_fetch_add(&pool->control->timed_jobs, 1) > 0)
        return;
    weir__detached_order(&pool->supervisor, SUPERVISOR_WATCH);
}

static void fill_job(weir_pool *pool, unsigned index, const struct weir__job_spec *spec)
{
    struct weir__job *job = &pool->control->jobs[index];
    struct weir__job_private *private = &pool->job_private[index];
    uint64_t settled = weir__activity_settled(atomic_load(&job->activity));

    job->cancel_epoch = spec->cancel_epoch;
    /* seq_cst, after the call has read the epoch; pairs with weir_pool_interrupt(), which sets the
     * flag and then makes a step: this call sees the flag, or is cancelled by the step */
    if (atomic_load(&pool->control->interrupted))
        job->cancel_epoch--;
    job->retries = (uint16_t)spec->retries;
    job->keep_going = spec->keep_going;
    job->async = spec->async;
    job->kind = spec->kind;
    job->function = spec->function;
    job->arg = (void *)spec->arg;
    if (spec->arg_size > 0) {
        job->arg = private->arg != NULL ? private->arg : job->inline_arg;
        memcpy(job->arg, spec->arg, spec->arg_size);
    }
    job->cells = private->cells != NULL ? private->cells : job->inline_cells;
    job->count = spec->count;
    job->range = spec->range;
    job->data = spec->data;
    job->deadline_ns = spec->timeout_ns > 0 ? weir__now_ns() + spec->timeout_ns : 0;
    job->chunk_timeout_ns = spec->chunk_timeout_ns;
    job->result.size = 0;
    atomic_store_explicit(&job->result.block, NULL, memory_order_relaxed);
    weir__job_cut(job, spec->grain);
    /* Nobody is inside who could read this, but a worker may be entering and leaving, so only the
     * settled part is taken off. */
    atomic_fetch_sub(&job->activity, settled << ACTIVITY_SETTLED_SHIFT);
    atomic_store_explicit(&job->stop, 0, memory_order_relaxed);
    atomic_store_explicit(&job->waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&job->wake_more, spec->async, memory_order_relaxed);
    atomic_store_explicit(&job->recount, 0, memory_order_relaxed);
    weir__failure_reset(&job->failure);
    for (int64_t i = 0; i < spec->count; i++)
        atomic_store_explicit(&job->cells[i], CELL_FREE, memory_order_relaxed);
}

/* Makes an open job visible, and sees to it that somebody looks. Where other jobs are ready
 * somebody was woken for them, and wakes the next one when he takes one; that is why a job of a
 * future is taken out of the ready set when its last chunk is taken.
 *
 * Who waits for his job takes a spinning worker for it beforehand, so that this worker finds its
 * bit taken and need not write to the line; if it is a mistake (that worker had just found another
 * job), wake_more() mends it in a moment. Nobody does that for a job of a future: for it a worker
 * counts only if it is still spinning after the job is there, so it looks at the ready set, or
 * wakes the next one, later than that. tests/model/wake.pml has these steps. */
static void publish_and_wake(weir_pool *pool, unsigned index, bool async)
{
    struct weir__control *control = pool->control;
    int spinner = async ? -1 : weir__take_spinner(control);
    bool alone = weir__ready_add(control, index);

    if (spinner >= 0)
        weir__wake_spinner(control, spinner);
    else if (alone && !(async && weir__any_spinning(control)))
        pool->job_private[index].woke_sleeper = weir__wake_one(control);
}

int weir__job_open(weir_pool *pool, const struct weir__job_spec *spec)
{
    struct weir__control *control = pool->control;
    unsigned char *data = NULL;
    int index = take_job(pool, spec, &data);

    if (index < 0)
        return index;
    fill_job(pool, (unsigned)index, spec);
    if (spec->kind->prepare != NULL)
        spec->kind->prepare(spec, &control->jobs[index], data);
    pool->job_private[index].cursor = 0;
    /* pairs with worker.c, work_inside(): who sees OPEN sees all of the above */
    atomic_store(&control->jobs[index].state, JOB_OPEN);
    publish_and_wake(pool, (unsigned)index, spec->async);
    if (spec->timeout_ns > 0 || spec->chunk_timeout_ns > 0)
        watch_time(pool, (unsigned)index);
    return index;
}

/* ---- wait ----------------------------------------------------------------------------------- */

static bool must_stop(weir_pool *pool, const struct weir__job *job)
{
    struct weir__control *control = pool->control;

    return atomic_load(&job->stop) != 0 ||
           atomic_load(&control->cancel_epoch) != job->cancel_epoch ||
           atomic_load(&control->state) == POOL_BROKEN ||
           atomic_load_explicit(&pool->supervisor_gone, memory_order_relaxed);
}

/* Looks at the cells. With the supervisor gone and all workers with it, what still says RUNNING is
 * running no more. */
bool weir__job_settled(weir_pool *pool, int index)
{
    struct weir__job *job = &pool->control->jobs[index];

    if (must_stop(pool, job)) {
        if (atomic_load(&job->stop) == 0)
            atomic_fetch_or(&job->stop, STOP_CANCEL);
        weir__ledger_cancel_unstarted(job->cells, job->count);
    }
    if (atomic_load_explicit(&pool->supervisor_gone, memory_order_acquire))
        return true;
    return weir__ledger_settled(job->cells, job->count, &pool->job_private[index].cursor);
}

/* Cheap: whether weir__job_settled() may be true. */
static bool worth_a_look(weir_pool *pool, const struct weir__job *job)
{
    /* pairs with the counting in worker.c, work_on() */
    return weir__activity_settled(atomic_load(&job->activity)) >= (uint64_t)job->count ||
           must_stop(pool, job);
}

void weir__look_after_supervisor(weir_pool *pool)
{
    struct pollfd gone = {.fd = pool->supervisor.pidfd, .events = POLLIN};

    /* Without a pidfd it was gone before the pool was there; see fork.c. */
    if (gone.fd >= 0 && (poll(&gone, 1, 0) <= 0 || !(gone.revents & POLLIN)))
        return;
    /* The kernel has signalled its workers; wait until they are really gone. */
    weir__detached_wait(&pool->supervisor, LAST_DEATHS_MS);
    atomic_store_explicit(&pool->supervisor_gone, true, memory_order_release);
}

/* Wakes one more worker, who wakes the next, once the job has proved to be more than a few us. */
static void wake_more(struct weir__control *control, struct weir__job *job)
{
    if (atomic_load_explicit(&job->wake_more, memory_order_relaxed))
        return;
    atomic_store_explicit(&job->wake_more, 1, memory_order_relaxed);
    if (weir__ready_any(control))
        weir__wake_one(control);
}

/* A job that ended within WORTH_NS was worth spinning for, whether its end was met spinning or
 * asleep. But one that ended just when the whole spin was over and the host slept had been waiting
 * for the very CPU on which the host spun: then the host does not spin for a while. */
void weir__spin_learn(weir_pool *pool, int64_t spun_ns, int64_t slept_ns)
{
    int64_t budget = atomic_load_explicit(&pool->spin_ns, memory_order_relaxed);

    if (slept_ns > 0 && slept_ns <= IN_THE_WAY_NS && spun_ns >= SPIN_MAX_NS)
        atomic_store_explicit(&pool->spin_not_before_ns, weir__now_ns() + SPIN_PAUSE_NS,
                              memory_order_relaxed);
    budget = spun_ns + slept_ns <= WORTH_NS ? SPIN_MAX_NS : budget / 2;
    atomic_store_explicit(&pool->spin_ns, budget < SPIN_MIN_NS ? SPIN_MIN_NS : budget,
                          memory_order_relaxed);
}

int64_t weir__spin_budget(weir_pool *pool, int64_t now_ns)
{
    if (now_ns < atomic_load_explicit(&pool->spin_not_before_ns, memory_order_relaxed))
        return SPIN_MIN_NS;
    return atomic_load_explicit(&pool->spin_ns, memory_order_relaxed);
}

/* True when the job has settled. *spun_ns: how long it span, after the first looks. */
static bool spin_for_end(weir_pool *pool, int index, int64_t *spun_ns)
{
    struct weir__control *control = pool->control;
    struct weir__job *job = &control->jobs[index];
    int64_t wake_more_at =
                pool->job_private[index].woke_sleeper ? WAKE_MORE_WOKEN_NS : WAKE_MORE_SPUN_NS,
            start, budget;

    *spun_ns = 0;
    /* The shortest jobs end within a microsecond: not a pause nor a look at the clock for them. */
    for (int i = 0; i < WEIR__LOOKS_AT_FIRST; i++) {
        if (worth_a_look(pool, job) && weir__job_settled(pool, index))
            return true;
    }
    start = weir__now_ns();
    budget = weir__spin_budget(pool, start);
    do {
        for (int i = 0; i < WEIR__LOOKS_A_ROUND; i++) {
            if (worth_a_look(pool, job) && weir__job_settled(pool, index))
                return true;
            weir__pause();
        }
        *spun_ns = weir__now_ns() - start;
        if (*spun_ns >= wake_more_at)
            wake_more(control, job);
    } while (*spun_ns < budget);
    wake_more(control, job);
    return false;
}

bool weir__host_sleep(weir_pool *pool, uint32_t bell, int64_t limit_ns)
{
    int64_t tick = (int64_t)TICK_MS * 1000000, remaining = limit_ns - weir__now_ns();

    if (remaining < tick)
        tick = remaining > 0 ? remaining : 0;
    if (weir__futex_wait(&pool->control->host_bell, bell, tick) != -ETIMEDOUT)
        return false;
    weir__look_after_supervisor(pool);
    return true;
}

bool weir__job_wait(weir_pool *pool, int index, int64_t limit_ns)
{
    struct weir__control *control = pool->control;
    struct weir__job *job = &control->jobs[index];
    int64_t spun, asleep;

    if (spin_for_end(pool, index, &spun)) {
        weir__spin_learn(pool, spun, 0);
        return true;
    }
    asleep = weir__now_ns();
    for (;;) {
        uint32_t bell = atomic_load(&control->host_bell);

        /* seq_cst, then look once more; pairs with weir__host_ring() */
        atomic_fetch_or(&job->waiting, WAITING_ASLEEP);
        if (weir__job_settled(pool, index)) {
            weir__spin_learn(pool, spun, weir__now_ns() - asleep);
            return true;
        }
        if (limit_ns != INT64_MAX && weir__now_ns() >= limit_ns)
            return false;
        if (weir__host_sleep(pool, bell, limit_ns) && weir__ready_any(control))
            weir__wake_one(control);
    }
}

/* ---- result and close ----------------------------------------------------------------------- */

int weir__report_lost_supervisor(const weir_pool *pool)
{
    weir_error error = {
        .code = WEIR_EDIED,
        .worker = -1,
        .pid = pool->supervisor.pid,
        .exit_status = -1,
    };

    snprintf(
        error.message, sizeof(error.message),
        "the pool's supervisor (pid %d) is gone, and its workers with it; free this pool and make "
        "another one",
        (int)pool->supervisor.pid);
    return weir__fail_with(&error);
}

static int report_job_failure(struct weir__job *job, const struct weir__chunk_tally *tally)
{
    const weir_error *first = weir__failure_first(weir__job_failures(job, 0));
    weir_error error;

    if (first == NULL) /* the job's memory was overwritten */
        return weir__fail(WEIR_EFAILED, "%lld of %lld chunks failed", (long long)tally->failed,
                          (long long)job->count);
    error = *first;
    error.message[sizeof(error.message) - 1] = '\0';
    if (tally->failed > 1) {
        size_t used = strlen(error.message);

        snprintf(error.message + used, sizeof(error.message) - used,
                 " (%lld of %lld chunks failed)", (long long)tally->failed, (long long)job->count);
    }
    return weir__fail_with(&error);
}

int weir__job_result(weir_pool *pool, int index)
{
    struct weir__control *control = pool->control;
    struct weir__job *job = &control->jobs[index];
    struct weir__chunk_tally tally = weir__ledger_tally(job->cells, job->count);

    if (tally.done == job->count)
        return 0;
    if (tally.failed > 0)
        return report_job_failure(job, &tally);
    if (atomic_load(&pool->supervisor_gone))
        return weir__report_lost_supervisor(pool);
    if (atomic_load(&control->state) == POOL_BROKEN)
        return weir__fail_with(&control->broken);
    if (atomic_load(&job->stop) & STOP_TIMEOUT)
        return weir__fail(-ETIMEDOUT,
                          "the job on [%lld, %lld) passed its timeout_ms: %lld of %lld chunks done",
                          (long long)job->range.begin, (long long)job->range.end,
                          (long long)tally.done, (long long)job->count);
    return weir__fail(-ECANCELED, "the job on [%lld, %lld) was cancelled: %lld of %lld chunks done",
                      (long long)job->range.begin, (long long)job->range.end, (long long)tally.done,
                      (long long)job->count);
}

void weir__job_close(weir_pool *pool, int index)
{
    struct weir__control *control = pool->control;

    atomic_store(&control->jobs[index].state, JOB_VACANT);
    if (weir__ready_has(control, (unsigned)index))
        weir__ready_remove(control, (unsigned)index);
    if (pool->job_private[index].timed) {
        pool->job_private[index].timed = false;
        atomic_fetch_sub(&control->timed_jobs, 1);
    }
    pthread_mutex_lock(&pool->lock);
    pool->vacant[pool->vacant_count++] = (uint16_t)index;
    if (--pool->open == 0)
        pthread_cond_broadcast(&pool->idle);
    pthread_mutex_unlock(&pool->lock);
}
