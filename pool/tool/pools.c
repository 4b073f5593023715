/* SPDX-License-Identifier: MIT
 *
 * pools.c: reading the status pages of pools.
 *
 * The files are read, not mapped: who made one may shrink it at any time. A record is read twice,
 * and counts if it is of the same job, or of the same process, both times: the program goes on
 * meanwhile. These are copies, which nobody else writes. What a page says is anybody's: each place
 * is compared with the size of the file, each count with what weir allows, and a process's number
 * is shown and looked up, but nothing is done to that process.
 *
 * Failure modes. A page of another build of weir is known, but not what lies behind it. A pool that
 * ends while it is looked at is left out, or has workers without a process.
 */
#include "pool/tool/pools.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/control/calls.h"
#include "pool/control/chunk.h"
#include "pool/control/control.h"
#include "pool/control/mapping.h"
#include "pool/tool/text.h"
#include "shm/clock.h"

bool tool_page_read(const struct tool_page *page, void *to, size_t size, uint64_t at)
{
    return at <= page->size && size <= page->size - at &&
           pread(page->fd, to, size, (off_t)at) == (ssize_t)size;
}

bool tool_page_place(const struct tool_page *page, const struct weir__status *status,
                     const void *pointer, uint64_t size, uint64_t *at)
{
    *at = (uintptr_t)pointer - status->base;
    return (uintptr_t)pointer >= status->base && *at <= page->size && size <= page->size - *at;
}

const char *tool_work_name(enum tool_work work)
{
    static const char *const names[] = {
        [TOOL_NO_PROCESS] = "none", [TOOL_BROKEN] = "broken", [TOOL_STARTING] = "start",
        [TOOL_IDLE] = "idle",       [TOOL_RUNNING] = "run",   [TOOL_STOPPED] = "stop",
        [TOOL_WAITING] = "disk"};

    return names[work];
}

/* ---- jobs ----------------------------------------------------------------------------------- */

const char *tool_kind_name(uint8_t does)
{
    static const char *const names[] = {[DOES_CALL] = "call",
                                        [DOES_FOR] = "for",
                                        [DOES_EACH] = "each",
                                        [DOES_MAP] = "map",
                                        [DOES_REDUCE] = "reduce",
                                        [DOES_MAP_REDUCE_MAP] = "map_reduce",
                                        [DOES_MAP_REDUCE_MERGE] = "merge"};

    return does < sizeof(names) / sizeof(names[0]) && names[does] != NULL ? names[does] : "?";
}

static char *name_of(struct tool_heap *heap, const char name[WEIR__STATUS_NAME])
{
    return tool_escape_bytes(heap, name, strnlen(name, WEIR__STATUS_NAME));
}

/* The cells that lie in the job's own record; others are where nobody else sees them. */
static bool has_own_cells(const struct weir__job *job, uint64_t job_at, uint64_t base)
{
    return (uintptr_t)job->cells == base + job_at + offsetof(struct weir__job, inline_cells) &&
           job->count <= WEIR__CHUNKS_INLINE;
}

/* Between the first of them and the last, calls wait or run. */
static void count_calls(struct tool_job *out, const struct tool_page *page, uint64_t queue_at)
{
    static _Atomic uint64_t cells[WEIR__QUEUE_CALLS];
    uint64_t tail, first;

    if (!tool_page_read(page, &tail, sizeof(tail), queue_at + offsetof(struct weir__queue, tail)) ||
        !tool_page_read(page, cells, sizeof(cells), queue_at + offsetof(struct weir__queue, cells)))
        return;
    tail >>= QUEUE_POSITION_SHIFT;
    first = tail > WEIR__QUEUE_CALLS ? tail - WEIR__QUEUE_CALLS : 0;
    for (uint64_t position = first; position < tail; position++) {
        const uint64_t cell = cells[weir__queue_place(position)];

        out->waiting += weir__cell_state_of(cell) == CELL_FREE;
        out->running += weir__cell_state_of(cell) == CELL_RUNNING;
    }
    out->total = tail > INT64_MAX ? INT64_MAX : (int64_t)tail;
    out->done = out->total - out->waiting - out->running;
}

static int64_t positive(int64_t number)
{
    return number > 0 ? number : 0;
}

/* Saturates: what a page says may be anything. */
static int64_t since(int64_t now, int64_t then)
{
    int64_t difference;

    return then > 0 && !__builtin_sub_overflow(now, then, &difference) ? positive(difference) : -1;
}

/* A truth value that may be any byte. */
static bool is_set(const bool *value)
{
    unsigned char byte;

    memcpy(&byte, value, 1);
    return byte != 0;
}

/* Of a task, or of a worker's death; it may be written at this moment. */
static const char *failure_of(struct tool_heap *heap, const struct weir__failure *failure)
{
    const weir_error *error = failure->task_next > 0    ? &failure->task
                              : failure->death_next > 0 ? &failure->death
                                                        : NULL;

    if (error == NULL || error->message[0] == '\0')
        return NULL;
    return tool_escape_bytes(heap, error->message, strnlen(error->message, sizeof(error->message)));
}

static void describe_job(struct tool_job *out, struct tool_heap *heap, const struct weir__job *job,
                         int64_t now)
{
    const uint64_t stop = job->stop;

    *out = (struct tool_job){
        .number = stop >> STOP_NUMBER_SHIFT,
        .name = is_set(&job->named) ? name_of(heap, job->name) : "",
        .kind = tool_kind_name(job->does),
        .stopping = (stop & STOP_ANY) != 0,
        .failed =
            (stop & STOP_FAILED) != 0 || job->failure.task_next > 0 || job->failure.death_next > 0,
        .failure = failure_of(heap, &job->failure),
        .deaths = job->deaths,
        .retried = job->retried,
        .for_ns = since(now, job->opened_ns),
        .chunk_timeout_ns = positive(job->chunk_timeout_ns),
        .range = job->range,
    };
    if (job->deadline_ns > now)
        out->left_ns = job->deadline_ns - positive(now);
}

/* False: it is not open, or another one by now. */
static bool read_job(struct tool_pool *pool, struct tool_heap *heap, const struct tool_page *page,
                     uint64_t jobs_at, uint64_t queue_at, uint32_t place)
{
    const uint64_t at = jobs_at + (uint64_t)place * sizeof(struct weir__job);
    struct weir__job job, again;
    struct tool_job *out;
    uint64_t activity;

    if (!tool_page_read(page, &again, sizeof(again), at) || again.state != JOB_OPEN ||
        !tool_page_read(page, &job, sizeof(job), at) || job.state != JOB_OPEN ||
        job.stop >> STOP_NUMBER_SHIFT != again.stop >> STOP_NUMBER_SHIFT)
        return false;
    pool->jobs = tool_grow(heap, pool->jobs, &pool->jobs_capacity, pool->jobs_count + 1,
                           sizeof(*pool->jobs));
    out = &pool->jobs[pool->jobs_count++];
    describe_job(out, heap, &job, weir__now_ns());
    out->place = place;
    if (place == WEIR__QUEUE_JOB) {
        out->queue = true;
        out->for_ns = -1;
        count_calls(out, page, queue_at);
        return true;
    }
    activity = weir__activity_settled(job.activity);
    out->total = job.count > 0 && job.count <= WEIR__CHUNKS_MAX ? job.count : 0;
    out->done = (int64_t)activity < out->total ? (int64_t)activity : out->total;
    return true;
}

/* ---- workers -------------------------------------------------------------------------------- */

struct worker_reader {
    const struct tool_page *page;
    struct tool_pool *pool;
    uint64_t base, jobs_at, queue_at;
};

static int compare_places(const void *a, const void *b)
{
    const struct tool_job *x = a, *y = b;

    return (x->place > y->place) - (x->place < y->place);
}

/* They were read in the order of their places. */
static int64_t find_job(const struct tool_pool *pool, uint32_t place)
{
    const struct tool_job wanted = {.place = place},
                          *found = pool->jobs_count > 0
                                       ? bsearch(&wanted, pool->jobs, pool->jobs_count,
                                                 sizeof(wanted), compare_places)
                                       : NULL;

    return found != NULL ? found - pool->jobs : -1;
}

static bool is_at(uint64_t cell, size_t worker, uint32_t life)
{
    return weir__cell_state_of(cell) == CELL_RUNNING && weir__cell_owner(cell) == worker &&
           weir__cell_incarnation(cell) == life;
}

/* The worker is in that job. What the job is has been read before; if it is another one by now,
 * the next look shows it. */
static void read_chunk(const struct worker_reader *reader, struct tool_worker *worker,
                       const struct weir__slot *slot, size_t number)
{
    struct tool_job *job = &reader->pool->jobs[worker->job];
    const uint64_t at = reader->jobs_at + (uint64_t)job->place * sizeof(struct weir__job);
    const int64_t started = slot->started_ns;
    struct weir__job record;
    uint64_t cell;

    if (job->queue) {
        const unsigned place = weir__queue_place((uint64_t)worker->chunk);

        if (!tool_page_read(reader->page, &cell, sizeof(cell),
                            reader->queue_at + offsetof(struct weir__queue, cells) +
                                place * sizeof(cell)) ||
            !is_at(cell, number, worker->life))
            worker->work = TOOL_IDLE;
        return;
    }
    if (!tool_page_read(reader->page, &record, sizeof(record), at) ||
        record.stop >> STOP_NUMBER_SHIFT != job->number || worker->chunk < 0 ||
        worker->chunk >= job->total) {
        worker->job = -1;
        return;
    }
    worker->range = weir__job_chunk(&record, worker->chunk);
    worker->for_ns = since(weir__now_ns(), started > record.opened_ns ? started : record.opened_ns);
    if (has_own_cells(&record, at, reader->base)) {
        cell = record.inline_cells[worker->chunk];
        if (is_at(cell, number, worker->life))
            worker->attempt = weir__cell_attempt(cell);
    }
    job->done += slot->uncounted;
    job->running++;
}

static void read_worker(const struct worker_reader *reader, struct tool_worker *worker,
                        uint64_t slots_at, size_t number)
{
    const uint64_t at = slots_at + number * sizeof(struct weir__slot);
    struct weir__slot slot, again;
    uint32_t job, state;

    *worker = (struct tool_worker){.job = -1, .for_ns = -1};
    if (!tool_page_read(reader->page, &again, sizeof(again), at) ||
        !tool_page_read(reader->page, &slot, sizeof(slot), at))
        return;
    worker->pid = slot.pid;
    worker->life = slot.incarnation;
    if (worker->life != again.incarnation) {
        worker->work = TOOL_STARTING;
        return;
    }
    state = slot.state;
    switch (state) {
    case SLOT_STARTING:
        worker->work = TOOL_STARTING;
        return;
    case SLOT_BROKEN:
        worker->work = TOOL_BROKEN;
        return;
    case SLOT_READY:
        worker->work = TOOL_IDLE;
        break;
    default:
        return;
    }
    job = slot.job;
    if (job == 0)
        return;
    worker->job = find_job(reader->pool, job - 1);
    worker->chunk = slot.chunk;
    worker->work = TOOL_RUNNING;
    if (worker->job >= 0)
        read_chunk(reader, worker, &slot, number);
}

/* ---- the page ------------------------------------------------------------------------------- */

static void count_spinning(struct tool_pool *pool, const struct tool_page *page)
{
    struct weir__meeting meeting[WEIR_WORKERS_MAX / 64];

    if (!tool_page_read(page, meeting, sizeof(meeting), offsetof(struct weir__control, meeting)))
        return;
    for (size_t i = 0; i < sizeof(meeting) / sizeof(meeting[0]); i++)
        pool->spinning += __builtin_popcountll(meeting[i].spinning);
}

/* While they were read the job went on: no number is larger than it can be. */
static void settle_numbers(struct tool_job *job)
{
    if (job->queue)
        return;
    if (job->running > job->total)
        job->running = job->total;
    if (job->done > job->total - job->running)
        job->done = job->total - job->running;
    job->waiting = job->total - job->done - job->running;
}

static const char *read_records(struct tool_pool *pool, struct tool_heap *heap,
                                const struct tool_page *page)
{
    static struct weir__control control; /* large; the slots are not a part of it */
    struct worker_reader reader = {.page = page, .pool = pool, .base = pool->status.base};
    uint32_t used, state;

    if (!tool_page_read(page, &control, offsetof(struct weir__control, slots), 0))
        return "its file is cut short";
    if (control.workers < 1 || control.workers > WEIR_WORKERS_MAX)
        return "its page is damaged";
    state = control.state;
    pool->broken = state == POOL_BROKEN;
    pool->draining = state == POOL_DRAINING;
    count_spinning(pool, page);
    if (control.jobs != NULL) {
        if (!tool_page_place(page, &pool->status, control.jobs, 1, &reader.jobs_at) ||
            !tool_page_place(page, &pool->status, control.queue, 1, &reader.queue_at))
            return "its page is damaged";
        used = control.jobs_used;
        for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++)
            read_job(pool, heap, page, reader.jobs_at, reader.queue_at, i);
    }
    pool->workers_count = (size_t)control.workers; /* they add what they have not counted yet */
    pool->workers = tool_take(heap, pool->workers_count, sizeof(*pool->workers));
    for (size_t i = 0; i < pool->workers_count; i++)
        read_worker(&reader, &pool->workers[i], offsetof(struct weir__control, slots), i);
    for (size_t i = 0; i < pool->jobs_count; i++)
        settle_numbers(&pool->jobs[i]);
    return NULL;
}

bool tool_pool_read(struct tool_pool *pool, struct tool_heap *heap, int fd, bool records)
{
    struct tool_page page = {.fd = fd};
    struct weir__status *status = &pool->status;
    struct stat st;

    if (fstat(fd, &st) < 0 || st.st_size <= 0)
        return false;
    page.size = (uint64_t)st.st_size;
    if (!tool_page_read(&page, status, sizeof(*status), 0) ||
        memcmp(status->magic, WEIR__STATUS_MAGIC, sizeof(status->magic)) != 0)
        return false;
    pool->name = name_of(heap, status->name);
    if (status->version != WEIR__STATUS_VERSION)
        pool->why = tool_print(heap, "its page is of version %u, and this program knows %u",
                               status->version, (unsigned)WEIR__STATUS_VERSION);
    else if (status->layout != weir__status_layout())
        pool->why = "it runs another build of weir than this program";
    else if (records)
        pool->why = read_records(pool, heap, &page);
    if (pool->why != NULL)
        pool->workers_count = pool->jobs_count = 0;
    return true;
}

/* ---- what the kernel knows ------------------------------------------------------------------ */

/* "PID (COMM) STATE PPID ...": state, parent, user and system time. */
static bool read_stat(pid_t pid, char *state, int *parent, uint64_t *ticks)
{
    char text[1024];
    const char *end;
    unsigned long user, system;

    if (tool_process_read(pid, "stat", text, sizeof(text)) <= 0)
        return false;
    end = strrchr(text, ')');
    if (end == NULL || sscanf(end + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", state,
                              parent, &user, &system) != 4)
        return false;
    *ticks = (uint64_t)user + system;
    return true;
}

/* A worker's number is the page's; it counts if that process is a child of the supervisor. */
static void look_at_workers(struct tool_pool *pool)
{
    for (size_t i = 0; i < pool->workers_count; i++) {
        struct tool_worker *worker = &pool->workers[i];
        char state;
        int parent;
        uint64_t ticks;

        if (worker->pid <= 0 || !pool->pids_are_ours ||
            !read_stat(worker->pid, &state, &parent, &ticks) || parent != pool->supervisor)
            continue;
        worker->found = true;
        worker->cpu_ticks = ticks;
        if (state == 'T' || state == 't')
            worker->work = TOOL_STOPPED;
        else if (state == 'D')
            worker->work = TOOL_WAITING;
    }
}

static void read_pool(struct tool_pools *pools, const struct tool_processes *processes,
                      const struct tool_use *file, bool records)
{
    const int fd = tool_use_open(file);
    struct tool_pool *pool;

    if (fd < 0)
        return;
    pools->items = tool_grow(processes->heap, pools->items, &pools->capacity, pools->count + 1,
                             sizeof(*pools->items));
    pool = &pools->items[pools->count];
    *pool = (struct tool_pool){.dev = file->dev, .ino = file->ino, .supervisor = file->pid};
    if (tool_pool_read(pool, processes->heap, fd, records)) {
        pool->pids_are_ours = pool->status.supervisor_pid == pool->supervisor;
        look_at_workers(pool);
        pools->count++;
    }
    close(fd);
}

static int compare_pools(const void *a, const void *b)
{
    const struct tool_pool *x = a, *y = b;

    return (x->supervisor > y->supervisor) - (x->supervisor < y->supervisor);
}

void tool_pools_read(struct tool_pools *pools, const struct tool_processes *processes, bool records)
{
    *pools = (struct tool_pools){0};
    for (size_t i = 0; i < processes->files_count; i++) {
        if (strcmp(processes->files[i].name, WEIR__STATUS_FILE) == 0)
            read_pool(pools, processes, &processes->files[i].use, records);
    }
    if (pools->count > 0)
        qsort(pools->items, pools->count, sizeof(*pools->items), compare_pools);
}

bool tool_pool_is_of(const struct tool_pool *pool, const struct tool_scope *scope)
{
    if (pool->status.scope != scope->id)
        return false;
    for (size_t i = 0; i < scope->members_count; i++) {
        if (scope->members[i] == pool->supervisor)
            return true;
    }
    return false;
}
