/* SPDX-License-Identifier: MIT
 *
 * top.c: `weir top`: what the workers of the pools do, again and again.
 *
 * It samples: twenty times a second it reads the pools' pages, and from one sample to the next it
 * follows who is at which chunk. So a share of time is that of the samples, and the pools note and
 * do nothing for it. Once a frame it looks for new pools.
 *
 * What is known of a pool (struct watched) is kept from frame to frame; all else is of one sample,
 * in a heap of its own.
 *
 * Failure modes. A pool that ends is left out from then on. A terminal gets its cursor back
 * whatever ends the program but SIGKILL.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "pool/tool/describe.h"
#include "pool/tool/pools.h"
#include "pool/tool/processes.h"
#include "pool/tool/scopes.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "shm/block/block.h"
#include "shm/clock.h"

#define SECOND      INT64_C(1000000000)
#define SAMPLE_NS   (SECOND / 20)
#define FIRST_NS    (SECOND / 2) /* before the first frame, at most */
#define MEMORY_NS   (2 * SECOND) /* between two looks at a process's memory: they hold it up */
#define LATE_NS     (5 * SECOND) /* younger chunks are not remarked on, ... */
#define LATE_TIMES  10           /* and no shorter ones than so many times the mean */
#define UNFED_NS    (5 * SECOND) /* how long it is watched before too few chunks are remarked on */
#define FULL        90           /* percent of /dev/shm */
#define DELAY_MAX_S 3600

struct options {
    const char *what; /* a scope's id or a process; NULL: all */
    int64_t delay_ns;
    long frames; /* 0: for ever */
    bool batch, json;
};

/* What is known of one worker from before. */
struct follow {
    uint32_t life;
    uint64_t job; /* key_of() the job that it is in; 0: in none */
    int64_t chunk;
    int64_t since_ns; /* when it was first seen at that chunk */
    bool has_ticks;
    uint64_t cpu_ticks;
    uint64_t memory; /* private; 0: not known */
    int64_t memory_ns;
    unsigned samples, busy; /* in this frame */
};

struct job_before {
    uint64_t job;                     /* key_of() it */
    int64_t done, busy_ns;            /* of all workers; since it was first seen */
    int64_t first_done, first_for_ns; /* when it was first seen */
    double rate;                      /* chunks a second, of this frame */
};

struct watched {
    struct tool_heap heap;
    ino_t ino;
    dev_t dev;
    bool seen; /* in this frame */
    struct follow *workers;
    size_t workers_count;
    struct job_before *jobs; /* by place */
    size_t jobs_capacity;
    uint64_t *ever_busy; /* a bit a worker */
};

struct top {
    struct options options;
    struct tool_heap *lasting;
    struct watched *pools;
    size_t pools_count, pools_capacity;
    int64_t frame_ns; /* when the last frame was written */
    bool terminal;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    stopped = number;
}

/* ---- following ------------------------------------------------------------------------------ */

/* Not 0. */
static uint64_t key_of(const struct tool_job *job)
{
    return (job->number << 16 | job->place) + 1;
}

static struct watched *watched_of(struct top *top, const struct tool_pool *pool)
{
    struct watched *watched;

    for (size_t i = 0; i < top->pools_count; i++) {
        watched = &top->pools[i];
        if (watched->ino == pool->ino && watched->dev == pool->dev &&
            watched->workers_count == pool->workers_count)
            return watched;
    }
    top->pools = tool_grow(top->lasting, top->pools, &top->pools_capacity, top->pools_count + 1,
                           sizeof(*top->pools));
    watched = &top->pools[top->pools_count++];
    *watched =
        (struct watched){.ino = pool->ino, .dev = pool->dev, .workers_count = pool->workers_count};
    watched->workers =
        tool_take(&watched->heap, pool->workers_count + 1, sizeof(*watched->workers));
    watched->ever_busy = tool_take(&watched->heap, WEIR_WORKERS_MAX / 64, sizeof(uint64_t));
    return watched;
}

static struct job_before *job_before(struct watched *watched, const struct tool_job *job)
{
    struct job_before *before;

    watched->jobs = tool_grow(&watched->heap, watched->jobs, &watched->jobs_capacity,
                              (size_t)job->place + 1, sizeof(*watched->jobs));
    before = &watched->jobs[job->place];
    if (before->job != key_of(job)) /* its place has another job now */
        *before = (struct job_before){.job = key_of(job),
                                      .done = job->done,
                                      .first_done = job->done,
                                      .first_for_ns = job->for_ns};
    return before;
}

static bool is_working(const struct tool_worker *worker)
{
    return worker->job >= 0 && worker->work != TOOL_IDLE && worker->work != TOOL_STARTING;
}

/* Whom the sample shows at which chunk. */
static void follow_worker(struct watched *watched, const struct tool_pool *pool, size_t number,
                          int64_t step_ns)
{
    struct tool_worker *worker = &pool->workers[number];
    struct follow *follow = &watched->workers[number];
    const int64_t now = weir__now_ns();

    follow->samples++;
    if (!is_working(worker)) {
        follow->job = 0;
        return;
    }
    follow->busy++;
    watched->ever_busy[number / 64] |= UINT64_C(1) << number % 64;
    job_before(watched, &pool->jobs[worker->job])->busy_ns += step_ns;
    if (follow->job != key_of(&pool->jobs[worker->job]) || follow->chunk != worker->chunk ||
        follow->life != worker->life) {
        follow->job = key_of(&pool->jobs[worker->job]);
        follow->chunk = worker->chunk;
        follow->life = worker->life;
        follow->since_ns = now;
    }
    if (worker->for_ns < 0) /* a queued call notes no time */
        worker->for_ns = now - follow->since_ns;
}

static void sample(struct top *top, const struct tool_pools *pools, int64_t step_ns)
{
    for (size_t i = 0; i < pools->count; i++) {
        const struct tool_pool *pool = &pools->items[i];
        struct watched *watched = watched_of(top, pool);

        watched->seen = true;
        for (size_t job = 0; job < pool->jobs_count; job++)
            job_before(watched, &pool->jobs[job]);
        for (size_t worker = 0; worker < pool->workers_count; worker++)
            follow_worker(watched, pool, worker, step_ns);
    }
}

/* ---- what a frame shows --------------------------------------------------------------------- */

struct frame {
    struct tool_heap *heap;
    struct watched *watched;
    const struct tool_pool *pool;
    double seconds; /* since the last frame */
    char **warnings;
    json_t *codes;
    size_t warnings_count, warnings_capacity;
};

static void __attribute__((format(printf, 4, 5)))
warn(struct frame *frame, const char *code, int64_t worker, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = tool_print_args(frame->heap, format, args);
    va_end(args);
    frame->warnings = tool_grow(frame->heap, frame->warnings, &frame->warnings_capacity,
                                frame->warnings_count + 1, sizeof(*frame->warnings));
    frame->warnings[frame->warnings_count++] = text;
    json_array_append_new(frame->codes, json_pack("{s:s, s:o, s:s}", "code", code, "worker",
                                                  worker >= 0 ? json_integer(worker) : json_null(),
                                                  "text", text));
}

/* Private memory, as shared pages would count in each process; 0: not known. */
static uint64_t private_memory(pid_t pid)
{
    char text[4096];
    uint64_t sum = 0;
    const char *line = text;

    if (tool_process_read(pid, "smaps_rollup", text, sizeof(text)) <= 0)
        return 0;
    while ((line = strstr(line, "\nPrivate_")) != NULL) {
        uint64_t kib;

        line += strlen("\nPrivate_");
        if (sscanf(line, "%*[^:]: %" SCNu64 " kB", &kib) == 1)
            sum += kib << 10;
    }
    return sum;
}

/* Share of a CPU since the last frame; negative: not known. */
static double cpu_share(struct frame *frame, size_t number)
{
    const struct tool_worker *worker = &frame->pool->workers[number];
    struct follow *follow = &frame->watched->workers[number];
    const uint64_t before = follow->cpu_ticks;
    const bool has_before = follow->has_ticks;

    follow->has_ticks = worker->found;
    follow->cpu_ticks = worker->cpu_ticks;
    if (!has_before || !worker->found || worker->cpu_ticks < before || frame->seconds <= 0)
        return -1;
    return (double)(worker->cpu_ticks - before) / (double)sysconf(_SC_CLK_TCK) / frame->seconds;
}

static uint64_t memory_of(struct frame *frame, size_t number)
{
    const struct tool_worker *worker = &frame->pool->workers[number];
    struct follow *follow = &frame->watched->workers[number];
    const int64_t now = weir__now_ns();

    if (worker->found && (follow->memory_ns == 0 || now - follow->memory_ns >= MEMORY_NS)) {
        follow->memory = private_memory(worker->pid);
        follow->memory_ns = now;
    }
    return follow->memory;
}

/* How long a chunk of the job takes on average; 0: not known. If none has ended since the job was
 * first seen: at most, as if all workers had been at it until then. */
static int64_t mean_of(const struct job_before *before, const struct tool_job *job, size_t workers)
{
    const int64_t done = job->done - before->first_done;
    int64_t mean = 0;

    if (done > 0)
        return before->busy_ns / done;
    if (before->first_done <= 0 ||
        __builtin_mul_overflow(before->first_for_ns / before->first_done, (int64_t)workers, &mean))
        return 0;
    return mean;
}

static void look_at_worker(struct frame *frame, size_t number)
{
    const struct tool_worker *worker = &frame->pool->workers[number];
    const struct tool_job *job;
    int64_t mean;

    if (worker->work == TOOL_STOPPED)
        warn(frame, "stopped", (int64_t)number,
             "worker %zu (%d) is stopped, by a signal or a debugger", number, worker->pid);
    if (worker->work == TOOL_BROKEN)
        warn(frame, "broken", (int64_t)number, "worker %zu could not be started", number);
    if (worker->job < 0 || worker->for_ns < LATE_NS)
        return;
    job = &frame->pool->jobs[worker->job];
    mean = mean_of(job_before(frame->watched, job), job, frame->pool->workers_count);
    if (!job->queue && mean > 0 && worker->for_ns / LATE_TIMES > mean)
        warn(frame, "slow-chunk", (int64_t)number,
             "chunk %" PRId64 " of %s runs for %s, %" PRId64 " times the mean", worker->chunk,
             tool_job_label(frame->heap, job), tool_duration(frame->heap, worker->for_ns),
             worker->for_ns / mean);
}

static void look_at_pool(struct frame *frame)
{
    const struct tool_pool *pool = frame->pool;
    size_t fed = 0;

    for (size_t i = 0; i < pool->workers_count; i++) {
        look_at_worker(frame, i);
        fed += frame->watched->ever_busy[i / 64] >> i % 64 & 1;
    }
    for (size_t i = 0; i < pool->jobs_count; i++) {
        const struct tool_job *job = &pool->jobs[i];

        if (!job->queue && job->for_ns > UNFED_NS && job->total < (int64_t)pool->workers_count &&
            fed < pool->workers_count)
            warn(frame, "few-chunks", -1, "%zu of %zu workers had work: %s has %" PRId64 " chunks",
                 fed, pool->workers_count, tool_job_label(frame->heap, job), job->total);
    }
    if (pool->pids_are_ours && (int)pool->workers_count > weir_cpu_count())
        warn(frame, "few-cpus", -1, "%zu workers, and %d CPUs here (affinity and quota)",
             pool->workers_count, weir_cpu_count());
}

static void look_at_shm(struct frame *frame)
{
    struct statvfs fs;
    int percent;

    if (statvfs(WEIR__SHM_DIR, &fs) < 0 || fs.f_blocks == 0)
        return;
    percent = (int)((fs.f_blocks - fs.f_bfree) * 100 / fs.f_blocks);
    if (percent >= FULL)
        warn(frame, "full-shm", -1, WEIR__SHM_DIR " is %d %% full", percent);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void write_head(struct frame *frame)
{
    const struct tool_pool *pool = frame->pool;
    const struct weir__status *status = &pool->status;
    size_t running = 0;

    for (size_t i = 0; i < pool->workers_count; i++)
        running += is_working(&pool->workers[i]);
    tool_line(frame->heap,
              "%s  supervisor %d  %zu of %u workers at work  %" PRIu64 " died, %" PRIu64
              " chunks retried, %" PRIu64 " late",
              pool->name[0] != '\0' ? pool->name : "process", (int)pool->supervisor, running,
              status->workers, status->workers_died, status->chunks_retried,
              status->chunks_timed_out);
    if (pool->why != NULL)
        tool_line(frame->heap, "  no more is known: %s", pool->why);
}

static const char *time_left(struct frame *frame, const struct tool_job *job, double rate)
{
    if (job->queue || rate <= 0)
        return "-";
    return tool_duration(frame->heap,
                         (int64_t)((double)(job->total - job->done) / rate * (double)SECOND));
}

static void write_jobs(struct frame *frame)
{
    static const char *const heads[] = {"JOB",   "KIND",     ">DONE", ">RUN", ">WAIT",
                                        ">DIED", ">CHUNK/S", ">FOR",  ">LEFT"};
    struct tool_table table = {.heap = frame->heap, .heads = heads, .columns = 9};

    for (size_t i = 0; i < frame->pool->jobs_count; i++) {
        const struct tool_job *job = &frame->pool->jobs[i];
        const double rate = job_before(frame->watched, job)->rate;
        const char **row;

        if (job->queue && job->total == 0)
            continue;
        row = tool_table_row(&table);
        row[0] = tool_job_label(frame->heap, job);
        row[1] = job->kind;
        row[2] = job->queue || job->total == 0
                     ? tool_number(frame->heap, job->done)
                     : tool_print(frame->heap, "%d%%",
                                  (int)((double)job->done / (double)job->total * 100));
        row[3] = tool_number(frame->heap, job->running);
        row[4] = tool_number(frame->heap, job->waiting);
        row[5] = tool_number(frame->heap, job->deaths);
        row[6] = tool_print(frame->heap, rate < 100 ? "%.1f" : "%.0f", rate);
        row[7] = tool_duration(frame->heap, job->for_ns);
        row[8] = time_left(frame, job, rate);
    }
    tool_table_write(&table);
}

static void write_workers(struct frame *frame)
{
    static const char *const heads[] = {">W",  ">PID",   "STATE", ">BUSY", ">CPU", ">PRIVATE",
                                        "JOB", ">CHUNK", "RANGE", ">TRY",  ">FOR"};
    struct tool_table table = {.heap = frame->heap, .heads = heads, .columns = 11};

    for (size_t i = 0; i < frame->pool->workers_count; i++) {
        const struct tool_worker *worker = &frame->pool->workers[i];
        struct follow *follow = &frame->watched->workers[i];
        const struct tool_job *job = is_working(worker) ? &frame->pool->jobs[worker->job] : NULL;
        const double cpu = cpu_share(frame, i);
        const uint64_t memory = memory_of(frame, i);
        const char **row = tool_table_row(&table);

        row[0] = tool_number(frame->heap, (int64_t)i);
        row[1] = worker->pid > 0 ? tool_number(frame->heap, worker->pid) : "-";
        row[2] = tool_work_name(worker->work);
        row[3] = tool_print(frame->heap, "%u%%",
                            follow->samples > 0 ? follow->busy * 100 / follow->samples : 0);
        row[4] = cpu < 0 ? "-" : tool_print(frame->heap, "%d%%", (int)(cpu * 100 + 0.5));
        row[5] = memory > 0 ? tool_size(frame->heap, memory, false) : "-";
        follow->samples = follow->busy = 0;
        if (job == NULL)
            continue;
        row[6] = tool_job_label(frame->heap, job);
        row[10] = tool_duration(frame->heap, worker->for_ns);
        if (job->queue)
            continue;
        row[7] = tool_number(frame->heap, worker->chunk);
        row[8] = tool_range(frame->heap, worker->range);
        row[9] = worker->attempt > 0 ? tool_number(frame->heap, worker->attempt) : "-";
    }
    tool_table_write(&table);
}

static void write_text(struct frame *frame)
{
    write_head(frame);
    write_jobs(frame);
    write_workers(frame);
    for (size_t i = 0; i < frame->warnings_count; i++)
        tool_line(frame->heap, "! %s", frame->warnings[i]);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* The pool as `weir show` has it, and what comes of watching it. */
static void write_json(struct frame *frame)
{
    json_t *object = tool_pool_json(frame->heap, frame->pool), *workers, *jobs, *item;
    size_t i;

    workers = json_object_get(object, "workers");
    jobs = json_object_get(object, "jobs");
    json_array_foreach(workers, i, item)
    {
        struct follow *follow = &frame->watched->workers[i];
        const double cpu = cpu_share(frame, i);
        const uint64_t memory = memory_of(frame, i);

        json_object_set_new(
            item, "busy",
            json_real(follow->samples > 0 ? (double)follow->busy / (double)follow->samples : 0));
        json_object_set_new(item, "cpu", cpu < 0 ? json_null() : json_real(cpu));
        json_object_set_new(item, "private", memory > 0 ? tool_json_number(memory) : json_null());
        if (is_working(&frame->pool->workers[i]))
            json_object_set_new(item, "for_ns", tool_json_duration(frame->pool->workers[i].for_ns));
        follow->samples = follow->busy = 0;
    }
    json_array_foreach(jobs, i, item)
    {
        json_object_set_new(item, "rate",
                            json_real(job_before(frame->watched, &frame->pool->jobs[i])->rate));
    }
    json_object_set_new(object, "schema", json_integer(1));
    json_object_set_new(object, "t", json_real((double)weir__now_ns() / (double)SECOND));
    json_object_set(object, "warnings", frame->codes);
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

/* ---- frames --------------------------------------------------------------------------------- */

static void note_rates(struct frame *frame)
{
    for (size_t i = 0; i < frame->pool->jobs_count; i++) {
        const struct tool_job *job = &frame->pool->jobs[i];
        struct job_before *before = job_before(frame->watched, job);

        before->rate = frame->seconds > 0 ? (double)(job->done - before->done) / frame->seconds : 0;
        before->rate = before->rate > 0 ? before->rate : 0;
        before->done = job->done;
    }
}

static void write_frame(struct top *top, struct tool_heap *heap, const struct tool_pools *pools)
{
    const int64_t now = weir__now_ns();
    const double seconds = top->frame_ns > 0 ? (double)(now - top->frame_ns) / (double)SECOND : 0;

    if (top->terminal)
        tool_screen_begin();
    if (!top->options.json)
        tool_line(heap, "%s  %zu pool%s", tool_time(heap, time(NULL)), pools->count,
                  pools->count == 1 ? "" : "s");
    for (size_t i = 0; i < pools->count; i++) {
        struct frame frame = {.heap = heap,
                              .watched = watched_of(top, &pools->items[i]),
                              .pool = &pools->items[i],
                              .seconds = seconds,
                              .codes = json_array()};

        note_rates(&frame);
        look_at_pool(&frame);
        if (i + 1 == pools->count)
            look_at_shm(&frame);
        if (top->options.json)
            write_json(&frame);
        else
            write_text(&frame);
        json_decref(frame.codes);
    }
    if (top->terminal)
        tool_screen_end();
    fflush(stdout);
    top->frame_ns = now;
}

/* Pools that have ended are forgotten. */
static void forget(struct top *top)
{
    size_t kept = 0;

    for (size_t i = 0; i < top->pools_count; i++) {
        if (top->pools[i].seen)
            top->pools[kept++] = top->pools[i];
        else
            tool_heap_free(&top->pools[i].heap);
    }
    top->pools_count = kept;
    for (size_t i = 0; i < kept; i++)
        top->pools[i].seen = false;
}

/* Whether the file is the page of a pool of that scope. */
static bool is_page_of(const struct tool_use *file, const struct tool_pools *pools,
                       const struct tool_scope *scope)
{
    for (size_t i = 0; i < pools->count; i++) {
        const struct tool_pool *pool = &pools->items[i];

        if (pool->ino == file->ino && pool->dev == file->dev)
            return tool_pool_is_of(pool, scope);
    }
    return false;
}

/* Finds the pools that are asked for; of others *processes then has no page. */
static int look(const struct top *top, struct tool_heap *heap, struct tool_processes *processes)
{
    const int status = tool_processes_require(processes, heap, false);
    const struct tool_scope *scope;
    struct tool_scopes scopes;
    struct tool_pools pools;
    size_t kept = 0;

    if (status != TOOL_DONE || top->options.what == NULL)
        return status;
    tool_scopes_read(&scopes, processes);
    scope = tool_scope_find(&scopes, top->options.what);
    if (scope == NULL)
        return TOOL_NO;
    tool_pools_read(&pools, processes, true);
    for (size_t i = 0; i < processes->files_count; i++) {
        if (is_page_of(&processes->files[i].use, &pools, scope))
            processes->files[kept++] = processes->files[i];
    }
    processes->files_count = kept;
    return kept > 0 ? TOOL_DONE : TOOL_NO;
}

/* Samples for so long. */
static void watch(struct top *top, const struct tool_processes *processes, int64_t ns)
{
    int64_t last = weir__now_ns();
    const int64_t until = last + ns;

    while (!stopped && last < until) {
        const int64_t rest = until - last;
        const struct timespec pause = {.tv_nsec = rest < SAMPLE_NS ? rest : SAMPLE_NS};
        struct tool_processes same = *processes;
        struct tool_heap heap = {0};
        struct tool_pools pools;
        int64_t now;

        nanosleep(&pause, NULL);
        same.heap = &heap;
        tool_pools_read(&pools, &same, true);
        now = weir__now_ns();
        sample(top, &pools, now - last);
        last = now;
        tool_heap_free(&heap);
    }
}

/* One frame, after the time before it. */
static int run_frame(struct top *top, struct tool_heap *heap, int64_t ns)
{
    struct tool_processes processes;
    struct tool_pools pools;
    const int status = look(top, heap, &processes);

    if (status != TOOL_DONE)
        return status;
    watch(top, &processes, ns);
    if (stopped)
        return TOOL_DONE;
    tool_pools_read(&pools, &processes, true);
    sample(top, &pools, 0);
    write_frame(top, heap, &pools);
    forget(top);
    return TOOL_DONE;
}

static int run_frames(struct top *top)
{
    int status = TOOL_DONE;

    for (long frame = 0; status == TOOL_DONE && !stopped && !ferror(stdout) &&
                         (top->options.frames == 0 || frame < top->options.frames);
         frame++) {
        const bool is_first = frame == 0;
        struct tool_heap heap = {0};

        status = run_frame(top, &heap,
                           is_first && top->options.delay_ns > FIRST_NS ? FIRST_NS
                                                                        : top->options.delay_ns);
        if (status == TOOL_NO && is_first)
            tool_say("\"%s\" has no pool that can be seen", tool_escape(&heap, top->options.what));
        tool_heap_free(&heap);
        if (status == TOOL_NO && !is_first)
            return TOOL_DONE;
    }
    return status;
}

/* ---- the command ---------------------------------------------------------------------------- */

static bool parse_frames(const char *text, long *frames)
{
    char *end;

    errno = 0;
    *frames = strtol(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *frames > 0;
}

/* False: the argument is wrong. */
static bool take_option(struct options *options, int option)
{
    switch (option) {
    case 'p':
        options->what = optarg;
        return true;
    case 'd':
        return tool_parse_seconds(optarg, 0.05, DELAY_MAX_S, &options->delay_ns);
    case 'n':
        return parse_frames(optarg, &options->frames);
    case 'b':
        options->batch = true;
        return true;
    case 'J':
        options->json = true;
        return true;
    default:
        return true;
    }
}

static void catch_endings(void)
{
    const struct sigaction action = {.sa_handler = stop};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static int run(struct tool_heap *heap, int argc, char **argv, const struct tool_command *command)
{
    static const struct option known[] = {
        {"pool", required_argument, NULL, 'p'},
        {"delay", required_argument, NULL, 'd'},
        {"frames", required_argument, NULL, 'n'},
        {"batch", no_argument, NULL, 'b'},
        {"json", no_argument, NULL, 'J'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct top top = {.options = {.delay_ns = SECOND}, .lasting = heap};
    int option, status;

    while ((option = tool_next_option(argc, argv, "p:d:n:bJh", known, command, &status)) > 0) {
        if (!take_option(&top.options, option))
            return tool_usage(command, optarg);
    }
    if (option < 0)
        return status;
    top.terminal = !top.options.batch && !top.options.json && tool_terminal_columns() > 0;
    if (top.terminal) {
        catch_endings();
        fputs("\033[?25l\033[2J", stdout);
    }
    status = run_frames(&top);
    if (top.terminal)
        fputs("\033[?25h", stdout);
    for (size_t i = 0; i < top.pools_count; i++)
        tool_heap_free(&top.pools[i].heap);
    return status;
}

const struct tool_command tool_top = {
    .name = "top",
    .summary = "what the workers of the pools do, again and again",
    .usage = "[-p SCOPE|PID] [-d SECONDS] [-n FRAMES] [-b] [-J]",
    .help =
        "  -p, --pool WHAT     the pools of a scope alone: its digits, or one of its processes\n"
        "  -d, --delay SECONDS between two frames: 0.05 to 3600, 1 by default\n"
        "  -n, --frames N      end after N frames\n"
        "  -b, --batch         frames one below the other, as where stdout is no terminal\n"
        "  -J, --json          a JSON object a line: one pool of one frame\n"
        "  -h, --help          this\n",
    .run = run,
};
