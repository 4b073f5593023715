/* SPDX-License-Identifier: MIT
 *
 * trace_live.c: the trace of a pool that runs, for some seconds.
 *
 * The supervisor is asked by a signal to have events noted for that time (status.h, STATUS_TRACE),
 * which begins when its page says that they are; then the rings are read in the pool's file of
 * memory. Nothing is written there, and a pool whose watcher dies is not traced any longer than was
 * asked for. What a worker is at when the time is over has no event yet: it is taken from the
 * worker's record, as chunks that hang are what is looked for.
 *
 * The processes note while this reads. An event that may have been overwritten meanwhile is left
 * out, which the second look at `written` tells; all else that can be wrong is found by
 * tool_trace_build().
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/control/ring.h"
#include "pool/tool/pools.h"
#include "pool/tool/text.h"
#include "pool/tool/timeline.h"
#include "pool/tool/tool.h"
#include "shm/clock.h"

#define MILLISECOND INT64_C(1000000)

/* A supervisor that does not answer for this long is taken for one that stands still. */
#define ANSWER_MS 10000

/* Until it is asked again: a signal that is sent while another SIGUSR1 waits is lost. */
#define ASK_AGAIN_MS 100

/* What a ring had when the time began. */
struct before {
    uint64_t written, chunks;
    int64_t busy_ns;
};

struct live {
    struct tool_heap *heap;
    struct tool_processes processes;
    const struct tool_pool *pool;
    const struct tool_use *use; /* of the page, by the supervisor */
    struct tool_page page;
    struct weir__control *control; /* without the slots */
    uint64_t rings_at, records_at, jobs_at;
    struct before *before; /* workers + 1 */
    int64_t from_ns, to_ns;
};

/* ---- which pool ------------------------------------------------------------------------------ */

static int refuse_many(const struct live *live, const struct tool_pools *pools,
                       const struct tool_scope *scope, const char *what)
{
    const char *list = "";

    for (size_t i = 0; i < pools->count; i++) {
        const struct tool_pool *pool = &pools->items[i];

        if (tool_pool_is_of(pool, scope) && pool->status.can & STATUS_TRACE)
            list = tool_print(live->heap, "%s%s%d (%s)", list, *list == '\0' ? "" : ", ",
                              (int)pool->supervisor, pool->name);
    }
    tool_say("\"%s\" has several pools; name one by its supervisor: %s",
             tool_escape(live->heap, what), list);
    return TOOL_FAILED;
}

/* The pool of a supervisor, or the only one of a scope or process. */
static int find_pool(struct live *live, const struct tool_pools *pools, const char *what)
{
    const pid_t pid = tool_process_parse(what);
    const struct tool_scope *scope;
    struct tool_scopes scopes;
    size_t count = 0;

    for (size_t i = 0; i < pools->count && pid > 0; i++) {
        if (pools->items[i].supervisor == pid) {
            live->pool = &pools->items[i];
            return TOOL_DONE;
        }
    }
    tool_scopes_read(&scopes, &live->processes);
    scope = tool_scope_find(&scopes, what);
    for (size_t i = 0; i < pools->count && scope != NULL; i++) {
        if (!tool_pool_is_of(&pools->items[i], scope) || pools->items[i].name[0] == '\0')
            continue;
        live->pool = &pools->items[i];
        count++;
    }
    if (count > 1)
        return refuse_many(live, pools, scope, what);
    if (count == 1)
        return TOOL_DONE;
    tool_say("\"%s\" has no pool that can be seen", tool_escape(live->heap, what));
    return TOOL_NO;
}

/* Why the pool cannot be traced; NULL: it can. */
static const char *look_at_page(struct live *live)
{
    struct weir__control *control = live->control;
    uint64_t rings;

    if (!tool_page_read(&live->page, control, offsetof(struct weir__control, slots), 0) ||
        control->workers < 1 || control->workers > WEIR_WORKERS_MAX)
        return "its page is damaged";
    if (!(control->status.can & STATUS_TRACE) || control->rings == NULL)
        return "it has no memory for events (RLIMIT_FSIZE or RLIMIT_AS was too small)";
    if (control->ring_events == 0 || control->ring_events > WEIR__RING_EVENTS ||
        (control->ring_events & (control->ring_events - 1)) != 0 ||
        ((size_t)control->workers + 1) * control->ring_events * sizeof(struct weir__event) >
            WEIR__RINGS_SIZE)
        return "its page is damaged";
    rings = ((uint64_t)control->workers + 1) * weir__ring_size(control->ring_events);
    if (!tool_page_place(&live->page, &control->status, control->rings, rings, &live->rings_at) ||
        !tool_page_place(&live->page, &control->status, control->job_records,
                         WEIR__JOB_RECORDS * sizeof(struct weir__job_record), &live->records_at) ||
        !tool_page_place(&live->page, &control->status, control->jobs,
                         WEIR__JOBS_MAX * sizeof(struct weir__job), &live->jobs_at))
        return "its page is damaged";
    return NULL;
}

static const struct tool_use *find_use(const struct live *live)
{
    for (size_t i = 0; i < live->processes.files_count; i++) {
        const struct tool_use *use = &live->processes.files[i].use;

        if (use->dev == live->pool->dev && use->ino == live->pool->ino)
            return use;
    }
    return NULL;
}

static const char *open_pool(struct live *live)
{
    const struct tool_pool *pool = live->pool;
    struct stat st;

    if (pool->why != NULL)
        return pool->why;
    if (pool->name[0] == '\0')
        return "it is a process (weir_process), and has no chunks";
    if (!pool->pids_are_ours)
        return "it runs in another pid namespace";
    live->use = find_use(live);
    live->page.fd = live->use != NULL ? tool_use_open(live->use) : -1;
    if (live->page.fd < 0 || fstat(live->page.fd, &st) < 0)
        return "it is gone";
    live->page.size = (uint64_t)st.st_size;
    return look_at_page(live);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* A pidfd of the supervisor; -1: it is gone, is not that process any more, or does not handle the
 * signal, whatever its page says. */
static int open_supervisor(const struct live *live)
{
    const int pidfd = (int)syscall(SYS_pidfd_open, live->pool->supervisor, 0);
    /* after the pidfd: what has the file now is the supervisor */
    const int fd = pidfd >= 0 ? tool_use_open(live->use) : -1;
    const bool same = fd >= 0 && tool_process_catches(live->pool->supervisor, SIGUSR1, &(pid_t){0});

    if (fd >= 0)
        close(fd);
    if (pidfd >= 0 && !same)
        close(pidfd);
    return same ? pidfd : -1;
}

/* For how long events are noted; 0: no longer. */
static bool ask(int pidfd, int64_t ns)
{
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = ns > 0 ? (int)(ns / MILLISECOND) + 1000 : 0;
    return syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, &info, 0) == 0;
}

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static void stop_at_signals(void)
{
    const struct sigaction action = {.sa_handler = stop};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool is_traced(const struct live *live)
{
    uint32_t tracing = 0;

    return tool_page_read(&live->page, &tracing, sizeof(tracing),
                          offsetof(struct weir__control, tracing)) &&
           tracing != 0;
}

/* Asks until events are noted: a supervisor that gets no CPU would take of the time that is asked
 * for, and one that stands still would leave a trace of nothing. NULL: they are. */
static const char *ask_until_traced(const struct live *live, int pidfd, int64_t ns)
{
    const int64_t until = weir__now_ns() + ANSWER_MS * MILLISECOND;
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};

    for (int ms = 0; weir__now_ns() < until && !stopped; ms++) {
        if (ms % ASK_AGAIN_MS == 0 && !ask(pidfd, ns))
            return tool_print(live->heap, "its supervisor may not be asked: %s", strerror(errno));
        if (is_traced(live))
            return NULL;
        if (poll(&ended, 1, 1) > 0)
            return "it has ended";
    }
    return stopped
               ? "it has not answered yet"
               : tool_print(live->heap, "its supervisor has not answered for %d s: is it stopped?",
                            ANSWER_MS / 1000);
}

/* Until the time is over, Ctrl-C, or the pool's end. */
static void wait_for_events(const struct live *live, int pidfd, int64_t ns)
{
    const int64_t until = live->from_ns + ns;
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};

    if (isatty(STDERR_FILENO))
        tool_say("pool \"%s\" is traced for %s; Ctrl-C ends that sooner", live->pool->name,
                 tool_trace_time(live->heap, ns));
    while (!stopped && ended.revents == 0) {
        const int64_t rest = until - weir__now_ns();

        if (rest <= 0)
            break;
        if (!is_traced(live)) /* another watcher has ended, and with it what it asked for */
            ask(pidfd, rest);
        poll(&ended, 1,
             (int)(rest / MILLISECOND < ASK_AGAIN_MS ? rest / MILLISECOND + 1 : ASK_AGAIN_MS));
    }
}

/* ---- what was noted -------------------------------------------------------------------------- */

static uint64_t ring_at(const struct live *live, size_t index)
{
    return live->rings_at + index * weir__ring_size(live->control->ring_events);
}

static void note_before(struct live *live)
{
    const size_t count = (size_t)live->control->workers + 1;

    live->before = tool_take(live->heap, count, sizeof(*live->before));
    for (size_t i = 0; i < count; i++) {
        struct weir__ring ring = {0};

        if (tool_page_read(&live->page, &ring, sizeof(ring), ring_at(live, i)))
            live->before[i] = (struct before){ring.written, ring.chunks, ring.busy_ns};
    }
}

/* The part of the event that lies in the time; false: none does. */
static bool cut(const struct live *live, struct weir__event *event)
{
    if (event->end_ns < live->from_ns)
        return false;
    if (event->begin_ns < live->from_ns)
        event->begin_ns = live->from_ns;
    if (event->kind == EVENT_CHUNK && event->chunk.busy_ns > event->end_ns - event->begin_ns)
        event->chunk.busy_ns = event->end_ns - event->begin_ns;
    return true;
}

/* What is read first may be overwritten before the end of the reading. */
static void read_ring(const struct live *live, struct tool_ring *out, size_t index, size_t spare)
{
    const uint32_t size = live->control->ring_events;
    const struct before *before = &live->before[index];
    struct weir__event *ring = tool_take(live->heap, size, sizeof(*ring)),
                       *kept = tool_take(live->heap, size + spare, sizeof(*kept));
    struct weir__ring head = {0}, again = {0};
    uint64_t first, count = 0;

    *out = (struct tool_ring){.events = kept};
    if (!tool_page_read(&live->page, &head, sizeof(head), ring_at(live, index)) ||
        !tool_page_read(&live->page, ring, size * sizeof(*ring),
                        ring_at(live, index) + offsetof(struct weir__ring, events)) ||
        !tool_page_read(&live->page, &again, sizeof(again), ring_at(live, index)))
        return;
    first = again.written < size ? 0 : again.written - size + 1;
    out->head.lost = first > before->written ? first - before->written : 0;
    if (first < before->written && before->written > 0)
        first = before->written - 1; /* an event that was there may have got more chunks */
    for (uint64_t i = first; i < head.written && i - first < size; i++) {
        kept[count] = ring[i & (size - 1)];
        count += cut(live, &kept[count]);
    }
    out->head.events = count;
    out->head.busy_ns = again.busy_ns - before->busy_ns;
    out->head.chunks = again.chunks - before->chunks;
}

/* Jobs that ended in the time, and those that are open. */
static void read_jobs(struct live *live, struct tool_trace_source *source)
{
    struct weir__job_record *all = tool_take(live->heap, WEIR__JOB_RECORDS, sizeof(*all)),
                            *kept = tool_take(live->heap, WEIR__JOB_RECORDS + WEIR__JOBS_MAX,
                                              sizeof(*kept));
    const uint32_t used = live->control->jobs_used;

    source->jobs = kept;
    if (tool_page_read(&live->page, all, WEIR__JOB_RECORDS * sizeof(*all), live->records_at)) {
        for (size_t i = 0; i < WEIR__JOB_RECORDS; i++) {
            if (all[i].number > 0 && all[i].closed_ns >= live->from_ns)
                kept[source->jobs_count++] = all[i];
        }
    }
    for (uint32_t i = 0; i < used && i < WEIR__JOBS_MAX; i++) {
        struct weir__job job;

        if (i == WEIR__QUEUE_JOB ||
            !tool_page_read(&live->page, &job, sizeof(job), live->jobs_at + i * sizeof(job)) ||
            job.state != JOB_OPEN)
            continue;
        weir__job_record_fill(&kept[source->jobs_count++], &job, 0);
    }
}

/* What a worker is at. False: at nothing, or it is not known. */
static bool read_chunk(const struct live *live, const struct tool_pool *pool, size_t index,
                       struct weir__event *event)
{
    const struct tool_worker *worker = &pool->workers[index];
    const uint64_t at = offsetof(struct weir__control, slots) + index * sizeof(struct weir__slot);
    struct weir__slot slot;

    if (worker->job < 0 || worker->pid <= 0 || worker->work == TOOL_IDLE ||
        !tool_page_read(&live->page, &slot, sizeof(slot), at))
        return false;
    *event = (struct weir__event){
        .begin_ns = slot.started_ns,
        .end_ns = live->to_ns,
        .job = pool->jobs[worker->job].queue ? 0 : pool->jobs[worker->job].number,
        .kind = EVENT_CUT,
        .attempt = worker->attempt > 0 ? (uint16_t)worker->attempt : 1,
        .worker = {.chunk = worker->chunk,
                   .slot = (uint32_t)index,
                   .pid = worker->pid,
                   .life = worker->life}};
    if (worker->for_ns >= 0 && live->to_ns - worker->for_ns > event->begin_ns)
        event->begin_ns = live->to_ns - worker->for_ns;
    return event->begin_ns <= event->end_ns && cut(live, event);
}

static void add_chunks(const struct live *live, struct tool_ring *ring)
{
    struct weir__event *events = (struct weir__event *)(uintptr_t)ring->events; /* of read_ring() */
    struct tool_pools pools;

    tool_pools_read(&pools, &live->processes, true);
    for (size_t i = 0; i < pools.count; i++) {
        const struct tool_pool *pool = &pools.items[i];

        if (pool->ino != live->pool->ino || pool->dev != live->pool->dev || pool->why != NULL)
            continue;
        for (size_t k = 0; k < pool->workers_count && k < (size_t)live->control->workers; k++)
            ring->head.events += read_chunk(live, pool, k, &events[ring->head.events]);
    }
}

static bool collect(struct live *live, struct tool_trace *trace, const char **why)
{
    const struct weir__status *status = &live->control->status;
    const size_t workers = (size_t)live->control->workers;
    struct tool_ring *rings = tool_take(live->heap, workers + 1, sizeof(*rings));
    struct tool_trace_source source = {.rings = rings};

    live->to_ns = weir__now_ns();
    for (size_t i = 0; i <= workers; i++)
        read_ring(live, &rings[i], i, i == workers ? workers : 0);
    add_chunks(live, &rings[workers]);
    if (!tool_page_read(&live->page, live->control, offsetof(struct weir__control, slots), 0)) {
        *why = "its page cannot be read any more";
        return false;
    }
    read_jobs(live, &source);
    source.head = (struct weir__trace_head){.jobs = source.jobs_count,
                                            .workers = (uint32_t)workers,
                                            .host_pid = status->host_pid,
                                            .supervisor_pid = status->supervisor_pid,
                                            .began_mono_ns = status->began_mono_ns,
                                            .began_real_ns = status->began_real_ns,
                                            .traced_ns = live->from_ns,
                                            .written_ns = weir__now_ns()};
    memcpy(source.head.name, status->name, sizeof(source.head.name));
    return tool_trace_build(trace, live->heap, &source, why);
}

/* ---- all together ---------------------------------------------------------------------------- */

static const char *trace_pool(struct live *live, struct tool_trace *trace, int64_t ns)
{
    const int pidfd = open_supervisor(live);
    const char *why;

    if (pidfd < 0)
        return "it is gone";
    stop_at_signals();
    why = ask_until_traced(live, pidfd, ns);
    if (why == NULL) {
        live->from_ns = weir__now_ns();
        note_before(live);
        wait_for_events(live, pidfd, ns);
    }
    ask(pidfd, 0);
    if (why == NULL)
        collect(live, trace, &why);
    close(pidfd);
    return why;
}

int tool_trace_live(struct tool_trace *trace, struct tool_heap *heap, const char *what, int64_t ns)
{
    static struct weir__control control; /* large, and aligned as a heap is not */
    struct live *live = tool_take(heap, 1, sizeof(*live));
    struct tool_pools pools;
    const char *why;
    int status;

    live->heap = heap;
    live->page.fd = -1;
    live->control = &control;
    status = tool_processes_require(&live->processes, heap, false);
    if (status != TOOL_DONE)
        return status;
    tool_pools_read(&pools, &live->processes, true);
    status = find_pool(live, &pools, what);
    if (status != TOOL_DONE)
        return status;
    why = open_pool(live);
    if (why == NULL)
        why = trace_pool(live, trace, ns);
    if (live->page.fd >= 0)
        close(live->page.fd);
    if (why == NULL)
        return TOOL_DONE;
    tool_say("pool \"%s\" (%d) cannot be traced: %s", live->pool->name, (int)live->pool->supervisor,
             why);
    return TOOL_FAILED;
}
