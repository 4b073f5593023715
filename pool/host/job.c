/* SPDX-License-Identifier: MIT
 *
 * job.c: the host's side of a job: open, wait, result, close.
 *
 * Only the host opens and closes jobs, and it alone decides that one has ended, by looking at the
 * cells; what workers count in `activity` only tells it when looking is worth while. The host
 * killed: the supervisor ends the pool, and the control block goes with its last process.
 */
#include "pool/host/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pool/control/bell.h"
#include "pool/control/chunk.h"
#include "pool/control/failure.h"
#include "pool/control/park.h"
#include "pool/control/parts.h"
#include "pool/control/ready.h"
#include "pool/control/ring.h"
#include "pool/host/argument.h"
#include "pool/host/cold.h"
#include "pool/host/hold.h"
#include "pool/host/look.h"
#include "pool/host/result.h"
#include "pool/host/timeline.h"
#include "pool/host/wait.h"
#include "shm/block/lazy.h"
#include "shm/clock.h"
#include "shm/error.h"

#define LOG_SPARE    32
#define PRIVATE_SIZE (WEIR__JOBS_MAX * sizeof(struct weir__job_private))

/* A job that lasts longer is worth waking more workers: of a spinning worker, ... */
#define WAKE_MORE_SPUN_NS  3000
#define WAKE_MORE_WOKEN_NS 15000 /* ... and of one that had to be woken itself */

/* A worker leaves a job soon after it has settled the last chunk. */
#define LINGER_LOOKS      200
#define LINGERING_AT_ONCE 4

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

static void release_cells(weir_pool *pool, unsigned index)
{
    struct weir__job_private *private = &pool->jobs.private[index];

    weir__control_heap_free(&pool->jobs.heap, private->cells, private->cells_size);
    private->cells = NULL;
    private->lingers = false;
}

/* Gives back the argument, the kind's data and the log of failures: when all chunks are final no
 * process reads them any more. */
static void release_data(weir_pool *pool, unsigned index)
{
    struct weir__job_private *private = &pool->jobs.private[index];

    weir__control_heap_free(&pool->jobs.heap, private->memory, private->size);
    weir__control_heap_free(&pool->jobs.heap, private->log, private->log_size);
    private->memory = private->arg = NULL;
    private->log = NULL;
}

/* A process that is still inside reads the cells: it must not find one that says FREE. */
static void release_cells_if_empty(weir_pool *pool, unsigned index)
{
    struct weir__job_private *private = &pool->jobs.private[index];

    if (private->cells == NULL)
        return;
    for (int i = 0; i < LINGER_LOOKS && !job_is_empty(pool->control, index); i++)
        weir__pause();
    if (job_is_empty(pool->control, index)) {
        release_cells(pool, index);
        return;
    }
    if (!private->lingers && pool->jobs.lingering_count < WEIR__JOBS_MAX)
        pool->jobs.lingering[pool->jobs.lingering_count++] = (uint16_t)index;
    private->lingers = true;
}

/* Cells of closed jobs that could not be given back when the job was closed: up to `most` of
 * them. */
static void release_lingering(weir_pool *pool, int most)
{
    struct weir__jobs *jobs = &pool->jobs;

    for (int i = jobs->lingering_count - 1; i >= 0 && most > 0; i--, most--) {
        const unsigned index = jobs->lingering[i];

        if (jobs->private[index].lingers && !job_is_empty(pool->control, index))
            continue;
        if (jobs->private[index].lingers)
            release_cells(pool, index);
        jobs->lingering[i] = jobs->lingering[--jobs->lingering_count];
    }
}

/* What is about to be written moves here from the last worker's CPU, all lines at once. */
static void fetch_job(struct weir__job *job)
{
    __builtin_prefetch(&job->activity, 1);
    __builtin_prefetch(&job->inline_cells[0], 1);
    __builtin_prefetch(&job->inline_cells[WEIR__CHUNKS_INLINE / 2], 1);
}

/* A vacant job in which no process is; -1: none. The one used last is taken first, because of the
 * caches. */
static int take_vacant(weir_pool *pool)
{
    if (pool->jobs.vacant_count > 0)
        fetch_job(&pool->control->jobs[pool->jobs.vacant[pool->jobs.vacant_count - 1]]);
    for (int i = pool->jobs.vacant_count - 1; i >= 0; i--) {
        unsigned index = pool->jobs.vacant[i];

        if (!job_is_empty(pool->control, index))
            continue;
        memmove(&pool->jobs.vacant[i], &pool->jobs.vacant[i + 1],
                (size_t)(pool->jobs.vacant_count - i - 1) * sizeof(*pool->jobs.vacant));
        pool->jobs.vacant_count--;
        if (pool->jobs.private[index].lingers)
            release_cells(pool, index);
        return (int)index;
    }
    return -1;
}

int weir__jobs_init(weir_pool *pool)
{
    struct weir__jobs *jobs = &pool->jobs;

    jobs->private = weir__map_private(PRIVATE_SIZE);
    jobs->vacant = calloc(WEIR__JOBS_MAX, sizeof(*jobs->vacant));
    jobs->lingering = calloc(WEIR__JOBS_MAX, sizeof(*jobs->lingering));
    if (jobs->private == NULL || jobs->vacant == NULL || jobs->lingering == NULL ||
        weir__control_heap_init(&jobs->heap, pool->control->heap, pool->control->heap_size) < 0)
        return weir__fail(-ENOMEM, "no memory for a pool");
    /* all but that of the queue */
    jobs->vacant_count = WEIR__JOBS_MAX - 1;
    for (int i = 0; i < jobs->vacant_count; i++)
        jobs->vacant[i] = (uint16_t)(WEIR__JOBS_MAX - 1 - i);
    return 0;
}

void weir__jobs_destroy(weir_pool *pool)
{
    weir__control_heap_destroy(&pool->jobs.heap);
    if (pool->jobs.private != NULL)
        munmap(pool->jobs.private, PRIVATE_SIZE);
    free(pool->jobs.vacant);
    free(pool->jobs.lingering);
}

void weir__jobs_release(weir_pool *pool)
{
    const uint32_t used = atomic_load(&pool->control->jobs_used);

    for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++)
        weir__block_drop(pool->jobs.private[i].block);
}

/* ---- open ----------------------------------------------------------------------------------- */

static void *get_heap(weir_pool *pool, size_t size)
{
    void *memory = weir__control_heap_alloc(&pool->jobs.heap, size);

    if (memory != NULL)
        return memory;
    release_lingering(pool, WEIR__JOBS_MAX);
    return weir__control_heap_alloc(&pool->jobs.heap, size);
}

static int give_cells(weir_pool *pool, struct weir__job_private *private, int64_t count)
{
    if (count <= WEIR__CHUNKS_INLINE)
        return 0;
    private->cells_size =
        weir__line_up((size_t)count * sizeof(weir__cell) + weir__parts_size(count));
    private->cells = get_heap(pool, private->cells_size);
    if (private->cells == NULL)
        return weir__fail(-ENOMEM,
                          "no memory in the pool for a job of %lld chunks (%zu bytes of %zu; other "
                          "jobs in flight hold the rest)",
                          (long long)count, private->cells_size, pool->control->heap_size);
    return 0;
}

/* Room for as many failures as are asked for, and for some that do not count in the end. */
static int give_log(weir_pool *pool, struct weir__job_private *private,
                    const struct weir__job_spec *spec)
{
    size_t entries = spec->report != NULL ? spec->report->failures_most : 0;

    if (entries == 0)
        return 0;
    if (entries > WEIR_FAILURES_MAX)
        entries = WEIR_FAILURES_MAX;
    if (entries > (size_t)spec->count)
        entries = (size_t)spec->count;
    entries += LOG_SPARE;
    private->log_size =
        weir__line_up(sizeof(*private->log) + entries * sizeof(private->log->entries[0]));
    private->log = get_heap(pool, private->log_size);
    if (private->log == NULL)
        return weir__fail(-ENOMEM, "no memory in the pool for the failures of a job (%zu bytes)",
                          private->log_size);
    private->log->size = entries;
    atomic_store_explicit(&private->log->taken, 0, memory_order_relaxed);
    for (size_t i = 0; i < entries; i++)
        atomic_store_explicit(&private->log->entries[i].next, 0, memory_order_relaxed);
    return 0;
}

/* What argument and the kind's data need together. */
static int size_data(const struct weir__job_spec *spec, size_t *arg, size_t *size)
{
    *arg = spec->arg_size > WEIR__ARG_INLINE ? weir__line_up(spec->arg_size) : 0;
    if (*arg < spec->arg_size && spec->arg_size > WEIR__ARG_INLINE)
        return weir__fail(-EINVAL, "arg_size is %zu, which no memory can hold", spec->arg_size);
    if (__builtin_add_overflow(spec->memory, *arg, size))
        return weir__fail(-ENOMEM, "a job needs %zu bytes and an argument of %zu", spec->memory,
                          spec->arg_size);
    return 0;
}

/* With pool->lock. */
static int begin_call(weir_pool *pool, struct weir__job_spec *spec)
{
    int result = weir__pool_enter_locked(pool);

    if (result < 0)
        return result;
    spec->inside = true;
    /* seq_cst; pairs with pool.c, cancel_all(): a call has begun when it reads this */
    spec->cancel_epoch = atomic_load(&pool->control->cancel_epoch);
    return 0;
}

/* With pool->lock. A place, cells, and memory for the data if the heap has it. */
static int take_place(weir_pool *pool, struct weir__job_spec *spec, size_t size)
{
    struct weir__job_private *private;
    int result = spec->inside ? 0 : begin_call(pool, spec), index;

    if (result < 0)
        return result;
    if (pool->jobs.lingering_count > 0)
        release_lingering(pool, LINGERING_AT_ONCE);
    index = take_vacant(pool);
    if (index < 0)
        return -EAGAIN;
    private = &pool->jobs.private[index];
    *private = (struct weir__job_private){.number = ++pool->jobs.opened};
    result = give_cells(pool, private, spec->count);
    if (result == 0)
        result = give_log(pool, private, spec);
    if (result < 0) {
        release_cells(pool, (unsigned)index);
        pool->jobs.vacant[pool->jobs.vacant_count++] = (uint16_t)index;
        return result;
    }
    if (size > 0) {
        private->size = size;
        private->memory = get_heap(pool, size);
    }
    if ((uint32_t)index >= atomic_load_explicit(&pool->control->jobs_used, memory_order_relaxed))
        atomic_store(&pool->control->jobs_used, (uint32_t)index + 1);
    return index;
}

static void give_place_back(weir_pool *pool, unsigned index)
{
    pthread_mutex_lock(&pool->lock);
    release_cells(pool, index);
    release_data(pool, index);
    pool->jobs.vacant[pool->jobs.vacant_count++] = (uint16_t)index;
    pthread_mutex_unlock(&pool->lock);
}

/* The index, or a negative error. A block is made without the lock: it may be that the pool is
 * asked to give memory back for it. */
static int take_job(weir_pool *pool, struct weir__job_spec *spec, unsigned char **data)
{
    struct weir__job_private *private;
    size_t arg = 0, size = 0;
    unsigned char *memory;
    int index = size_data(spec, &arg, &size);

    if (index < 0)
        return index;
    pthread_mutex_lock(&pool->lock);
    index = take_place(pool, spec, size);
    pthread_mutex_unlock(&pool->lock);
    if (index < 0 || size == 0)
        return index;
    private = &pool->jobs.private[index];
    memory = private->memory;
    if (memory == NULL) {
        private->block = weir__scope_block(pool->scope, size, 0);
        if (private->block == NULL) {
            give_place_back(pool, (unsigned)index);
            return weir_last_error()->code;
        }
        memory = weir_shm_buf(private->block);
    }
    private->arg = arg > 0 ? memory : NULL;
    *data = memory + arg;
    return index;
}

/* Has the supervisor look at the time when the job's deadline comes, or that of the first chunk. */
static void watch_time(weir_pool *pool, unsigned index, const struct weir__job_spec *spec)
{
    int64_t first = spec->timeout_ns;

    if (pool->here) /* worker/here.c looks */
        return;
    if (first <= 0 || (spec->chunk_timeout_ns > 0 && spec->chunk_timeout_ns < first))
        first = spec->chunk_timeout_ns;
    pool->jobs.private[index].timed = true;
    atomic_fetch_add(&pool->control->timed_jobs, 1);
    weir__look_at(&pool->supervisor, weir__now_ns() + first);
}

/* A label is as long as the program likes. */
static void name_job(struct weir__job *job, const struct weir__job_spec *spec)
{
    const char *name = spec->name != NULL ? spec->name : spec->progress.label;

    job->named = name != NULL;
    if (name != NULL)
        weir__status_set_name(job->name, name);
}

static void fill_job(weir_pool *pool, unsigned index, const struct weir__job_spec *spec)
{
    struct weir__job *job = &pool->control->jobs[index];
    struct weir__job_private *private = &pool->jobs.private[index];
    uint64_t settled = weir__activity_settled(atomic_load(&job->activity));

    job->cancel_epoch = spec->cancel_epoch;
    /* seq_cst, after the call has read the epoch; pairs with pool.c, weir_pool_interrupt(), which
     * sets the flag and then makes a step: this call sees the flag, or is cancelled by the step */
    if (atomic_load(&pool->control->interrupted))
        job->cancel_epoch--;
    job->retries = (uint16_t)spec->retries;
    job->keep_going = spec->keep_going;
    job->async = spec->async;
    job->each = spec->each;
    job->does = (uint8_t)spec->kind->does;
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
    job->block = private->block;
    name_job(job, spec);
    job->opened_ns = spec->timeout_ns > 0 || weir__is_traced(pool->control) ? weir__now_ns()
                                                                            : weir__now_coarse_ns();
    job->deadline_ns = spec->timeout_ns > 0 ? job->opened_ns + spec->timeout_ns : 0;
    job->chunk_timeout_ns = spec->chunk_timeout_ns;
    job->failure_log = private->log;
    atomic_store_explicit(&job->deaths, 0, memory_order_relaxed);
    atomic_store_explicit(&job->retried, 0, memory_order_relaxed);
    job->result.size = 0;
    atomic_store_explicit(&job->result.place, 0, memory_order_relaxed);
    job->first_chunk = spec->first_chunk;
    weir__job_cut(job, spec->grain);
    /* No process is inside that could read this, but a worker may be entering and leaving, so only
     * the settled part is taken off. */
    atomic_fetch_sub(&job->activity, settled << ACTIVITY_SETTLED_SHIFT);
    atomic_store_explicit(&job->stop, private->number << STOP_NUMBER_SHIFT, memory_order_relaxed);
    atomic_store_explicit(&job->waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&job->wake_more, spec->async, memory_order_relaxed);
    atomic_store_explicit(&job->recount, 0, memory_order_relaxed);
    weir__failure_reset(&job->failure);
    for (int64_t i = 0; i < spec->count; i++)
        atomic_store_explicit(&job->cells[i], CELL_FREE, memory_order_relaxed);
    /* only the supervisor writes it, and only while the job is open */
    weir__parts_reset(job->cells, spec->count,
                      atomic_load_explicit(&job->retry_seq, memory_order_relaxed));
}

/* Makes an open job visible, and sees to it that a worker looks. Where other jobs are ready a
 * worker was woken for them, and wakes the next one when it takes one; that is why a job of a
 * future is taken out of the ready set when its last chunk is taken.
 *
 * A thread that waits for its job takes a spinning worker beforehand, so that this worker finds its
 * bit taken and need not write to the line. If that worker had just found another job, wake_more()
 * wakes another one in a moment. For a job of a future no worker's bit is taken: a worker counts
 * only if it is still spinning after the job is there, so it looks at the ready set, or
 * wakes the next one, later than that. tests/model/wake.pml has these steps. */
static void publish_and_wake(weir_pool *pool, unsigned index, bool async)
{
    struct weir__control *control = pool->control;
    int spinner = -1;
    bool alone;

    if (!async) {
        weir__cold_note_cpu(pool);
        spinner = weir__take_spinner(control);
    }
    alone = weir__ready_add(control, index);
    if (spinner >= 0)
        weir__wake_spinner(control, spinner);
    else if (alone && !(async && weir__any_spinning(control)))
        pool->jobs.private[index].woke_sleeper = weir__wake_one(control);
}

/* Makes a job of weir_pool_each() visible to every worker, and has each look. */
static void publish_to_each(weir_pool *pool, unsigned index)
{
    struct weir__control *control = pool->control;
    struct weir__job *job = &control->jobs[index];
    struct weir__each *each = &control->each[job->each - 1];

    pthread_mutex_lock(&pool->lock); /* numbers are published in their order */
    each->job = index;
    atomic_store(&each->state, EACH_OPEN);
    atomic_store(&each->number, atomic_load(&control->each_latest) + 1);
    /* seq_cst; pairs with control.h, weir__each_is_new(); pairs with work_each.c,
     * weir__work_each(): a worker that sees it sees the above */
    atomic_store(&control->each_latest, atomic_load(&each->number));
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < control->workers; i++) {
        /* seq_cst, after the job was opened; pairs with supervisor.c, pass_each(): that makes the
         * slot BROKEN, then looks for jobs */
        if (atomic_load(&control->slots[i].state) == SLOT_BROKEN)
            weir__cell_pass(&job->cells[i]);
    }
    weir__wake_all(control);
}

int weir__job_open(weir_pool *pool, struct weir__job_spec *spec)
{
    struct weir__control *control = pool->control;
    unsigned char *data = NULL;
    struct weir__argument argument;
    bool checked = false;
    int index = take_job(pool, spec, &data);

    if (index < 0)
        return index;
    if (pool->debug && weir__argument_examine(pool, spec, &argument, &checked) < 0) {
        weir__job_close(pool, index, false);
        return -EINVAL;
    }
    fill_job(pool, (unsigned)index, spec);
    control->jobs[index].checked = checked;
    if (checked)
        control->jobs[index].argument = argument;
    if (spec->kind->prepare != NULL)
        spec->kind->prepare(spec, &control->jobs[index], data);
    pool->jobs.private[index].cursor = 0;
    pool->jobs.private[index].missing = weir__found_missing(pool);
    /* seq_cst; pairs with work_jobs.c, work_inside(); pairs with work_each.c, run_as_chunk();
     * pairs with ledger.c, weir__cell_claim(): a worker that sees OPEN sees all of the above */
    atomic_store(&control->jobs[index].state, JOB_OPEN);
    if (spec->each > 0)
        publish_to_each(pool, (unsigned)index);
    else
        publish_and_wake(pool, (unsigned)index, spec->async);
    if (spec->timeout_ns > 0 || spec->chunk_timeout_ns > 0)
        watch_time(pool, (unsigned)index, spec);
    return index;
}

/* ---- wait ----------------------------------------------------------------------------------- */

static bool must_stop(weir_pool *pool, const struct weir__job *job)
{
    struct weir__control *control = pool->control;

    return (atomic_load(&job->stop) & STOP_ANY) != 0 ||
           atomic_load(&control->cancel_epoch) != job->cancel_epoch ||
           atomic_load(&control->state) == POOL_BROKEN ||
           atomic_load_explicit(&pool->supervisor_gone, memory_order_relaxed);
}

/* Looks at the cells, those below *cursor but. With the supervisor gone and all workers with it,
 * what still says RUNNING is running no more. */
static bool is_settled(weir_pool *pool, int index, int64_t *cursor)
{
    struct weir__job *job = &pool->control->jobs[index];

    if (must_stop(pool, job)) {
        /* seq_cst, then look at the cells; pairs with work_jobs.c, leave_job() */
        if ((atomic_load(&job->stop) & STOP_ANY) == 0)
            atomic_fetch_or(&job->stop, STOP_CANCEL);
        weir__ledger_cancel_unstarted(job->cells, job->count);
    }
    if (atomic_load_explicit(&pool->supervisor_gone, memory_order_acquire))
        return true;
    return weir__ledger_settled(job->cells, job->count, cursor);
}

bool weir__job_settled(weir_pool *pool, int index)
{
    return is_settled(pool, index, &pool->jobs.private[index].cursor);
}

bool weir__job_seen_settled(weir_pool *pool, int index)
{
    int64_t cursor = 0;

    return is_settled(pool, index, &cursor);
}

bool weir__jobs_running(weir_pool *pool)
{
    const uint32_t used = atomic_load(&pool->control->jobs_used);

    for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++) {
        if (i != WEIR__QUEUE_JOB && atomic_load(&pool->control->jobs[i].state) == JOB_OPEN &&
            !weir__job_seen_settled(pool, (int)i))
            return true;
    }
    return false;
}

/* Cheap: whether weir__job_settled() may be true. */
static bool worth_a_look(weir_pool *pool, const struct weir__job *job)
{
    /* seq_cst; pairs with work_jobs.c, leave_job() */
    return weir__activity_settled(atomic_load(&job->activity)) >= (uint64_t)job->count ||
           must_stop(pool, job);
}

/* Wakes one more worker, which wakes the next, once the job has proved to be more than a few us. */
static void wake_more(struct weir__control *control, struct weir__job *job)
{
    if (atomic_load_explicit(&job->wake_more, memory_order_relaxed))
        return;
    atomic_store_explicit(&job->wake_more, 1, memory_order_relaxed);
    if (weir__ready_any(control))
        weir__wake_one(control);
}

/* In the loops of weir__wait(). */
static inline __attribute__((always_inline)) bool is_job_over(weir_pool *pool, void *what)
{
    const int *index = what;

    return worth_a_look(pool, &pool->control->jobs[*index]) && weir__job_settled(pool, *index);
}

static void job_spun(weir_pool *pool, void *what, int64_t spun_ns)
{
    const int *index = what;
    const bool woken = pool->jobs.private[*index].woke_sleeper;

    if (spun_ns >= (woken ? WAKE_MORE_WOKEN_NS : WAKE_MORE_SPUN_NS))
        wake_more(pool->control, &pool->control->jobs[*index]);
}

bool weir__job_mark(weir_pool *pool, int index, uint32_t how)
{
    /* seq_cst, then look; pairs with bell.c, weir__host_ring() */
    atomic_fetch_or(&pool->control->jobs[index].waiting, how);
    return weir__job_settled(pool, index);
}

static bool mark_job_asleep(weir_pool *pool, void *what)
{
    const int *index = what;

    wake_more(pool->control, &pool->control->jobs[*index]);
    return weir__job_mark(pool, *index, WAITING_ASLEEP);
}

static const struct weir__wait_kind job_wait = {is_job_over, job_spun, mark_job_asleep};

/* Without processes: runs the chunks that are to be run. */
static bool run_here(weir_pool *pool, int index, int64_t limit_ns)
{
    if (weir__job_settled(pool, index))
        return true;
    pool->control->jobs[index].kind->here(pool->control, pool->scope, (unsigned)index, limit_ns);
    return weir__job_settled(pool, index);
}

static bool wait_cold(weir_pool *pool, int index, int64_t limit_ns)
{
    const struct weir__job *job = &pool->control->jobs[index];
    const int64_t began = weir__cold_begin(pool, job);
    const bool over = weir__wait(pool, &job_wait, &index, limit_ns);

    weir__cold_end(pool, job, began);
    return over;
}

bool weir__job_wait(weir_pool *pool, int index, int64_t limit_ns)
{
    if (__builtin_expect(pool->here, 0))
        return run_here(pool, index, limit_ns);
    if (pool->jobs.private[index].woke_sleeper && !pool->control->jobs[index].async)
        return wait_cold(pool, index, limit_ns);
    return weir__wait(pool, &job_wait, &index, limit_ns);
}

/* ---- result and close ----------------------------------------------------------------------- */

int weir__job_result(weir_pool *pool, int index)
{
    struct weir__job *job = &pool->control->jobs[index];
    struct weir__chunk_tally tally = weir__ledger_tally(job->cells, job->count);

    if (tally.done == job->count)
        return 0;
    if (tally.failed > 0)
        return weir__report_failure(weir__job_failures(job, 0), tally.failed);
    if (weir__is_without_workers(pool))
        return weir__report_no_workers(pool);
    if (atomic_load(&job->stop) & STOP_TIMEOUT)
        return weir__fail(-ETIMEDOUT,
                          "the job on [%lld, %lld) passed its timeout_ms: %lld of %lld chunks done",
                          (long long)job->range.begin, (long long)job->range.end,
                          (long long)tally.done, (long long)job->count);
    return weir__fail(-ECANCELED, "the job on [%lld, %lld) was cancelled: %lld of %lld chunks done",
                      (long long)job->range.begin, (long long)job->range.end, (long long)tally.done,
                      (long long)job->count);
}

void weir__job_close(weir_pool *pool, int index, bool leaves)
{
    struct weir__control *control = pool->control;
    weir_shm *block;

    atomic_store(&control->jobs[index].state, JOB_VACANT);
    if (weir__ready_has(control, (unsigned)index))
        weir__ready_remove(control, (unsigned)index);
    if (pool->jobs.private[index].timed) {
        pool->jobs.private[index].timed = false;
        atomic_fetch_sub(&control->timed_jobs, 1);
    }
    block = pool->jobs.private[index].block;
    pool->jobs.private[index].block = NULL;
    weir__block_drop(block);
    pthread_mutex_lock(&pool->lock);
    weir__timeline_note_job(pool, (unsigned)index);
    release_data(pool, (unsigned)index);
    release_cells_if_empty(pool, (unsigned)index);
    pool->jobs.vacant[pool->jobs.vacant_count++] = (uint16_t)index;
    if (leaves)
        weir__pool_leave_locked(pool);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- cancel --------------------------------------------------------------------------------- */

uint64_t weir__job_position(const weir_pool *pool, int index)
{
    return pool->jobs.private[index].number * WEIR__JOBS_MAX + (uint64_t)index;
}

void weir__job_cancel(weir_pool *pool, uint64_t position)
{
    struct weir__job *job = &pool->control->jobs[position % WEIR__JOBS_MAX];
    const uint64_t number = position / WEIR__JOBS_MAX;
    uint64_t seen = atomic_load(&job->stop);

    while (seen >> STOP_NUMBER_SHIFT == number) {
        if (!atomic_compare_exchange_weak(&job->stop, &seen, seen | STOP_CANCEL))
            continue;
        weir__host_ring(pool->control, job);
        return;
    }
}
