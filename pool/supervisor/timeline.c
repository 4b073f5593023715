/* SPDX-License-Identifier: MIT
 *
 * timeline.c: starts and deaths of workers in a timeline, and the file of a traced pool.
 *
 * The file is written when no worker is left, and the program has ended its jobs or has died: all
 * that is read here stands still. Its head is written last, so a file that is cut short by a full
 * disk, or by a kill, is known for one. What has gone wrong is said on stderr.
 */
#include "pool/supervisor/timeline.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/internal.h"
#include "pool/control/calls.h"
#include "pool/control/log.h"
#include "pool/control/ring.h"
#include "pool/control/supervision.h"
#include "shm/clock.h"

#include "pool/control/no_malloc.h"

static void note(const struct weir__control *control, const struct weir__event *event)
{
    weir__ring_add(weir__ring_of(control, (unsigned)control->workers), control->ring_events, event);
}

void weir__timeline_started(struct weir__control *control, unsigned slot, pid_t pid)
{
    struct weir__event event = {.kind = EVENT_START,
                                .worker = {.slot = slot,
                                           .pid = pid,
                                           .life = atomic_load(&control->slots[slot].incarnation)}};

    if (!weir__is_traced(control))
        return;
    event.begin_ns = event.end_ns = weir__now_ns();
    note(control, &event);
}

/* When the slot's worker began its chunk of the job, as far as it has said so. */
static int64_t chunk_began(const struct weir__control *control, unsigned slot,
                           const struct weir__job *job)
{
    const int64_t started = atomic_load(&control->slots[slot].started_ns);
    int64_t first = job->opened_ns > control->traced_ns ? job->opened_ns : control->traced_ns;

    return started > first ? started : first;
}

static uint64_t number_of(const struct weir__job *job)
{
    return atomic_load(&job->stop) >> STOP_NUMBER_SHIFT;
}

/* A worker that is killed with its pool has not died of its chunk. */
static enum weir__event_kind kind_of(const struct weir__control *control)
{
    return atomic_load(&control->orders) & ORDER_KILL ? EVENT_CUT : EVENT_DEATH;
}

void weir__timeline_died(struct weir__control *control, const struct weir__timeline_death *death)
{
    struct weir__event event = {
        .kind = (uint8_t)kind_of(control),
        .flags = EVENT_IDLE,
        .attempt = (uint16_t)death->attempt,
        .worker = {.slot = death->slot,
                   .pid = death->pid,
                   .signal = WIFSIGNALED(death->status) ? WTERMSIG(death->status) : 0,
                   .exit_status = WIFEXITED(death->status) ? WEXITSTATUS(death->status) : 0,
                   .life = atomic_load(&control->slots[death->slot].incarnation)}};

    if (!weir__is_traced(control) || (death->job == NULL && event.kind == EVENT_CUT))
        return;
    event.begin_ns = event.end_ns = weir__now_ns();
    if (death->job != NULL) {
        event.begin_ns = chunk_began(control, death->slot, death->job);
        event.job = number_of(death->job);
        event.worker.chunk = death->chunk;
        event.flags = death->again ? EVENT_AGAIN : 0;
    }
    if (atomic_load(&control->slots[death->slot].killed) != KILLED_NOT)
        event.flags |= EVENT_LATE;
    note(control, &event);
}

/* The chunk that a worker still was at: it was killed as the program had died. */
static void note_cut(struct weir__control *control, unsigned slot)
{
    const uint32_t index = atomic_load(&control->slots[slot].job);
    const int64_t chunk = atomic_load(&control->slots[slot].chunk);
    const struct weir__job *job;
    uint64_t cell;

    if (index == 0 || index > WEIR__JOBS_MAX || chunk < 0)
        return;
    job = &control->jobs[index - 1];
    if (index - 1 == WEIR__QUEUE_JOB)
        cell = atomic_load(&control->queue->cells[weir__queue_place((uint64_t)chunk)]);
    else if (atomic_load(&job->state) == JOB_OPEN && chunk < job->count)
        cell = atomic_load(&job->cells[chunk]);
    else
        return;
    if (weir__cell_state_of(cell) != CELL_RUNNING || weir__cell_owner(cell) != slot)
        return;
    note(control,
         &(struct weir__event){.begin_ns = chunk_began(control, slot, job),
                               .end_ns = weir__now_ns(),
                               .job = number_of(job),
                               .kind = EVENT_CUT,
                               .attempt = (uint16_t)weir__cell_attempt(cell),
                               .worker = {.chunk = chunk,
                                          .slot = slot,
                                          .pid = atomic_load(&control->slots[slot].pid),
                                          .life = atomic_load(&control->slots[slot].incarnation)}});
}

/* ---- the file -------------------------------------------------------------------------------- */

struct out {
    int fd, error;
    off_t at;
};

static void put(struct out *out, const void *data, size_t size)
{
    const unsigned char *from = data;

    while (size > 0 && out->error == 0) {
        const ssize_t written = pwrite(out->fd, from, size, out->at);

        if (written < 0 && errno != EINTR)
            out->error = errno;
        if (written == 0)
            out->error = ENOSPC;
        if (written <= 0)
            continue;
        from += written;
        size -= (size_t)written;
        out->at += written;
    }
}

/* Records of jobs that have ended, and that the ring still has whole. */
static uint64_t count_jobs(const struct weir__control *control)
{
    /* pairs with host/timeline.c, weir__timeline_note_job() */
    const uint64_t noted = atomic_load_explicit(&control->jobs_noted, memory_order_acquire);

    return noted < WEIR__JOB_RECORDS ? noted : WEIR__JOB_RECORDS - 1;
}

/* Items of `item` bytes of a ring of `size`, those up to `end`. */
static void put_ring(struct out *out, const void *ring, size_t item, uint64_t size, uint64_t end,
                     uint64_t count)
{
    const unsigned char *items = ring;
    const uint64_t first = (end - count) & (size - 1);
    const uint64_t before_wrap = count < size - first ? count : size - first;

    put(out, items + first * item, before_wrap * item);
    put(out, items, (count - before_wrap) * item);
}

static uint64_t put_jobs(struct out *out, const struct weir__control *control)
{
    const uint32_t used = atomic_load(&control->jobs_used);
    uint64_t count = count_jobs(control);

    put_ring(out, control->job_records, sizeof(*control->job_records), WEIR__JOB_RECORDS,
             atomic_load(&control->jobs_noted), count);
    for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++) {
        struct weir__job_record record;

        if (i == WEIR__QUEUE_JOB || atomic_load(&control->jobs[i].state) != JOB_OPEN)
            continue;
        weir__job_record_fill(&record, &control->jobs[i], 0);
        put(out, &record, sizeof(record));
        count++;
    }
    return count;
}

static void put_events(struct out *out, const struct weir__ring *ring, uint32_t events)
{
    const uint64_t written = atomic_load(&ring->written), count = weir__ring_has(ring, events);
    const struct weir__ring_head head = {.events = count,
                                         .lost = written - count,
                                         .busy_ns = atomic_load(&ring->busy_ns),
                                         .chunks = atomic_load(&ring->chunks)};

    put(out, &head, sizeof(head));
    put_ring(out, ring->events, sizeof(ring->events[0]), events, written, count);
}

static void write_file(struct out *out, const struct weir__control *control, bool killed)
{
    struct weir__trace_head head = {
        .version = WEIR__TRACE_VERSION,
        .size = sizeof(head),
        .workers = (uint32_t)control->workers,
        .host_pid = control->status.host_pid,
        .supervisor_pid = control->status.supervisor_pid,
        .killed = killed,
        .began_mono_ns = control->status.began_mono_ns,
        .began_real_ns = control->status.began_real_ns,
        .traced_ns = control->traced_ns,
        .written_ns = weir__now_ns(),
    };

    memcpy(head.magic, WEIR__TRACE_MAGIC, sizeof(head.magic));
    memcpy(head.name, control->status.name, sizeof(head.name));
    out->at = sizeof(head);
    head.jobs = put_jobs(out, control);
    head.jobs_lost = atomic_load(&control->jobs_noted) - count_jobs(control);
    for (int i = 0; i <= control->workers; i++)
        put_events(out, weir__ring_of(control, (unsigned)i), control->ring_events);
    head.file_size = (uint64_t)out->at;
    out->at = 0;
    put(out, &head, sizeof(head));
}

void weir__timeline_write(struct weir__control *control, bool killed)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct out out = {.fd = control->trace_fd};

    if (control->trace_fd < 0 ||
        !weir__is_file(out.fd, control->trace_device, control->trace_inode))
        return;
    sigaction(SIGXFSZ, &ignore, NULL); /* what is too large for RLIMIT_FSIZE is an error */
    for (int i = 0; i < control->workers; i++)
        note_cut(control, (unsigned)i);
    write_file(&out, control, killed);
    if (out.error != 0)
        weir__log_line(control, "weir: %s (pid %d): the trace cannot be written to \"%s\": %s",
                       control->status.name, (int)control->status.host_pid, control->trace_path,
                       strerror(out.error));
}
