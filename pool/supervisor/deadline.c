/* SPDX-License-Identifier: MIT
 *
 * deadline.c: what the supervisor does about time: it looks when the earliest deadline comes.
 *
 * The next look is due at the earliest of: a job's deadline; the time of a chunk that runs; and the
 * time of a chunk that begins just now, because workers tell nobody when they begin one. Where a
 * process may be between two steps (a chunk claimed after its job was stopped, a worker that has
 * been sent its signal) it is due in LOOK_AGAIN_NS.
 *
 * It enters a job as a worker does before it reads anything of it, so the host cannot reuse the job
 * meanwhile. The time a chunk began was noted before it was claimed. Before a worker is killed its
 * chunk is condemned (ledger.h): if that fails, the worker has settled the chunk meanwhile, and is
 * left alone; if not, it cannot get beyond this chunk, and no other one dies with it.
 *
 * A deadline is later by the pauses since its job was opened, and a chunk's time is shorter by the
 * pauses since it began (pauses.h).
 */
#include "pool/supervisor/deadline.h"

#include "pool/control/bell.h"
#include "shm/clock.h"

#include "pool/control/no_malloc.h"

#define LOOK_AGAIN_NS  INT64_C(5000000)
#define LOOK_LONGER_NS INT64_C(1000000000) /* after a job's deadline, whoever is in it */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool weir__supervisor_enter(struct weir__control *control, uint32_t index)
{
    struct weir__job *job = &control->jobs[index];

    /* named before it is entered; see job.c, job_is_empty() */
    atomic_store(&control->slots[control->workers].job, index + 1);
    atomic_fetch_add(&job->activity, ACTIVITY_ENTER);
    return atomic_load(&job->state) == JOB_OPEN;
}

void weir__supervisor_leave(struct weir__control *control, uint32_t index)
{
    atomic_fetch_sub(&control->jobs[index].activity, ACTIVITY_LEAVE);
    atomic_store(&control->slots[control->workers].job, 0);
}

/* INT64_MAX: the job has none. */
static int64_t deadline_of(const struct weir__job *job, const struct weir__pauses *pauses)
{
    return job->deadline_ns > 0 ? job->deadline_ns + weir__pauses_since(pauses, job->opened_ns)
                                : INT64_MAX;
}

/* Both return when to look again. */
static int64_t look_at_deadline(struct weir__control *control, struct weir__job *job,
                                const struct weir__pauses *pauses, int64_t now)
{
    const int64_t deadline = deadline_of(job, pauses);

    if (now < deadline)
        return deadline;
    if (!(atomic_fetch_or(&job->stop, STOP_TIMEOUT) & STOP_TIMEOUT))
        weir__host_ring(control, job);
    /* A worker that did not see the stop has its chunk by then, and is seen by its slot. */
    return now - deadline < LOOK_LONGER_NS ? now + LOOK_AGAIN_NS : INT64_MAX;
}

static int64_t look_at_job(struct weir__control *control, uint32_t index,
                           const struct weir__pauses *pauses, int64_t now)
{
    struct weir__job *job = &control->jobs[index];
    int64_t next = INT64_MAX;

    if (weir__supervisor_enter(control, index)) {
        next = look_at_deadline(control, job, pauses, now);
        if (job->chunk_timeout_ns > 0)
            next =
                earlier(next, now + (job->chunk_timeout_ns > LOOK_AGAIN_NS ? job->chunk_timeout_ns
                                                                           : LOOK_AGAIN_NS));
    }
    weir__supervisor_leave(control, index);
    return next;
}

static uint32_t why_kill(const struct weir__job *job, const struct weir__pauses *pauses,
                         int64_t started, int64_t now)
{
    if (now >= deadline_of(job, pauses))
        return KILLED_JOB;
    if (job->chunk_timeout_ns > 0 &&
        now - started - weir__pauses_since(pauses, started) >= job->chunk_timeout_ns)
        return KILLED_CHUNK;
    return KILLED_NOT;
}

/* The slot names the job. Why its worker is to be killed, and in *next when to look again. */
static uint32_t look_at_worker(struct weir__control *control, unsigned slot_index, uint32_t index,
                               const struct weir__pauses *pauses, int64_t now, int64_t *next)
{
    struct weir__slot *slot = &control->slots[slot_index];
    struct weir__job *job = &control->jobs[index];
    uint32_t why = KILLED_NOT;

    if (weir__supervisor_enter(control, index)) {
        int64_t chunk = atomic_load(&slot->chunk), started = atomic_load(&slot->started_ns);
        uint64_t cell = chunk >= 0 && chunk < job->count ? atomic_load(&job->cells[chunk]) : 0;

        if (weir__cell_state_of(cell) == CELL_RUNNING && weir__cell_owner(cell) == slot_index) {
            why = why_kill(job, pauses, started, now);
            if (why != KILLED_NOT && !weir__cell_condemn(&job->cells[chunk], cell))
                why = KILLED_NOT;
            else if (why == KILLED_NOT && job->chunk_timeout_ns > 0)
                *next = earlier(*next, started + weir__pauses_since(pauses, started) +
                                           job->chunk_timeout_ns);
        }
        if (why != KILLED_NOT || now >= deadline_of(job, pauses))
            *next = earlier(*next, now + LOOK_AGAIN_NS);
    }
    weir__supervisor_leave(control, index);
    return why;
}

int64_t weir__deadlines_look(struct weir__control *control, const struct weir__pauses *pauses,
                             void (*kill_worker)(void *context, unsigned slot), void *context)
{
    uint32_t used = atomic_load(&control->jobs_used);
    int64_t now = weir__now_ns(), next = INT64_MAX;

    for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++) {
        if (atomic_load(&control->jobs[i].state) == JOB_OPEN)
            next = earlier(next, look_at_job(control, i, pauses, now));
    }
    for (int i = 0; i < control->workers; i++) {
        struct weir__slot *slot = &control->slots[i];
        uint32_t index = atomic_load(&slot->job), why;

        if (index == 0 || index > WEIR__JOBS_MAX || atomic_load(&slot->pid) == 0)
            continue;
        why = look_at_worker(control, (unsigned)i, index - 1, pauses, now, &next);
        if (why == KILLED_NOT)
            continue;
        atomic_store(&slot->killed, why);
        kill_worker(context, (unsigned)i);
    }
    return next;
}
