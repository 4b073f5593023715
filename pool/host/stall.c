/* SPDX-License-Identifier: MIT
 *
 * stall.c: what a call waits for, said when no chunk of its job ends.
 *
 * The thread that waits counts the chunks that have ended, every eighth of stall_ms; the time since
 * the last look that found another number is how long the job stalls. Time for which the thread did
 * not look although it was due is taken off: it did not wait, or the program stood still.
 *
 * What is said is what cells and slots show at that moment. A cell that is RUNNING names the slot
 * and the incarnation of its worker, so a worker is only ever named with a chunk that it has. Slots
 * change meanwhile: a worker may be missing, or named although it has just settled its chunk. Which
 * of the processes are stopped or dead the kernel says, as the supervisor may be the one that is
 * stopped.
 *
 * Nothing here can keep the job from being waited for: a stderr that takes nothing is passed over
 * until the next look, and a look takes at most a hundredth of the time.
 */
#include "pool/host/stall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/control/chunk.h"
#include "pool/control/log.h"
#include "pool/control/put.h"
#include "pool/host/hold.h"
#include "shm/clock.h"

#define LOOKS         8 /* in the time that is given */
#define LOOK_MIN_NS   INT64_C(1000000)
#define LOOK_MAX_NS   INT64_C(1000000000)
#define LOOK_SHARE    100 /* of the time goes into looking, at most one part in so many */
#define LATE_NS       INT64_C(500000000)
#define TEXT_MAX      960 /* with "weir: " a line of weir__log_line() */
#define WORKERS_NAMED 4

struct text {
    char bytes[TEXT_MAX];
    size_t used;
};

/* What does not fit is cut off. */
static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
    const size_t room = sizeof(text->bytes) - text->used;
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(text->bytes + text->used, room, format, args);
    va_end(args);
    if (length > 0)
        text->used += (size_t)length < room ? (size_t)length : room - 1;
}

/* 0.3 s, 41 s, 12 min, 30 h */
static void add_time(struct text *text, int64_t time_ms)
{
    const long long seconds = (long long)(time_ms / 1000);

    if (seconds < 10)
        add(text, "%lld.%d s", seconds, (int)(time_ms % 1000 / 100));
    else if (seconds < 600)
        add(text, "%lld s", seconds);
    else if (seconds < 10 * 3600LL)
        add(text, "%lld min", seconds / 60);
    else
        add(text, "%lld h", seconds / 3600);
}

/* ---- processes ------------------------------------------------------------------------------ */

/* As /proc/PID/stat has it; 0: not known. */
static char state_of(pid_t pid)
{
    char path[32], text[256];
    const char *end;
    ssize_t got;
    int fd;

    if (pid <= 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    end = strrchr(text, ')'); /* the name may have any characters */
    if (end == NULL || end[1] != ' ')
        return 0;
    return end[2];
}

static const char *state_words(char state)
{
    switch (state) {
    case 'D':
        return ", uninterruptible";
    case 'T':
        return ", stopped";
    case 't':
        return ", held by a debugger";
    case 'Z':
    case 'X':
        return ", dead";
    default:
        return "";
    }
}

static bool is_stopped(pid_t pid)
{
    const char state = state_of(pid);

    return state == 'T' || state == 't';
}

/* ---- workers -------------------------------------------------------------------------------- */

static int64_t ms_since(int64_t now, int64_t then)
{
    return now > then ? (now - then) / 1000000 : 0;
}

/* The chunk of the job that the worker in this slot has. False: it has none. */
static bool find_chunk(const struct weir__control *control, const struct weir__job *job, int slot,
                       int64_t now, weir_stall_worker *out)
{
    const struct weir__slot *of = &control->slots[slot];
    const int64_t chunk = atomic_load(&of->chunk), started = atomic_load(&of->started_ns);
    uint64_t cell;

    if (atomic_load(&of->job) != (uint32_t)(job - control->jobs) + 1 || chunk < 0 ||
        chunk >= job->count)
        return false;
    cell = atomic_load(&job->cells[chunk]);
    if (weir__cell_state_of(cell) != CELL_RUNNING || weir__cell_owner(cell) != (unsigned)slot ||
        weir__cell_incarnation(cell) != atomic_load(&of->incarnation))
        return false;
    *out = (weir_stall_worker){
        .worker = slot,
        .pid = atomic_load(&of->pid),
        .chunk = chunk,
        .range = weir__job_chunk(job, chunk),
        /* a chunk that was claimed before the job was known to last has begun with it */
        .for_ms = ms_since(now, started > job->opened_ns ? started : job->opened_ns),
        .attempt = (int)weir__cell_attempt(cell),
    };
    return true;
}

/* Of a stream: the worker is at some call or job. */
static bool find_work(const struct weir__control *control, int slot, weir_stall_worker *out)
{
    const struct weir__slot *of = &control->slots[slot];

    if (atomic_load(&of->job) == 0 || atomic_load(&of->state) != SLOT_READY)
        return false;
    *out = (weir_stall_worker){
        .worker = slot, .pid = atomic_load(&of->pid), .chunk = -1, .for_ms = -1};
    return true;
}

/* Those longest at their chunk come first, and the others are only counted. */
static void insert_worker(weir_stall *stall, const weir_stall_worker *worker)
{
    size_t place = stall->workers_count;

    stall->running++;
    while (place > 0 && stall->workers[place - 1].for_ms < worker->for_ms) {
        if (place < WEIR_STALL_WORKERS_MAX)
            stall->workers[place] = stall->workers[place - 1];
        place--;
    }
    if (place < WEIR_STALL_WORKERS_MAX)
        stall->workers[place] = *worker;
    if (stall->workers_count < WEIR_STALL_WORKERS_MAX)
        stall->workers_count++;
}

static void find_workers(const struct weir__control *control, const struct weir__job *job,
                         weir_stall *stall)
{
    const int64_t now = weir__now_ns();
    weir_stall_worker worker;

    for (int i = 0; i < control->workers; i++) {
        if (job != NULL ? find_chunk(control, job, i, now, &worker)
                        : find_work(control, i, &worker))
            insert_worker(stall, &worker);
    }
    for (size_t i = 0; i < stall->workers_count; i++)
        stall->workers[i].state = state_of(stall->workers[i].pid);
}

/* ---- the line ------------------------------------------------------------------------------- */

static void add_head(struct text *text, const weir_stall *stall, const struct weir__job *job)
{
    const char *item = job != NULL ? "chunk" : "item", *kind = job != NULL ? "job" : "stream";

    add(text, "pool %s, %s", stall->pool, kind);
    if (stall->job != NULL)
        add(text, " %s", stall->job);
    else if (job != NULL)
        add(text, " on [%lld, %lld)", (long long)job->range.begin, (long long)job->range.end);
    add(text, ": no %s has ended for ", item);
    add_time(text, stall->stalled_ms);
    add(text, " (%lld of %lld have)", (long long)stall->ended, (long long)stall->chunks);
}

static void add_worker(struct text *text, const weir_stall_worker *worker, bool first)
{
    add(text, "; worker %d (pid %d%s)%s at", worker->worker, (int)worker->pid,
        state_words(worker->state), first ? worker->chunk < 0 ? " is" : " has been" : "");
    if (worker->chunk < 0) {
        add(text, " work");
        return;
    }
    add(text, " chunk %lld [%lld, %lld) for ", (long long)worker->chunk,
        (long long)worker->range.begin, (long long)worker->range.end);
    add_time(text, worker->for_ms);
    if (worker->attempt > 1)
        add(text, ", attempt %d", worker->attempt);
}

static void add_more(struct text *text, int64_t more)
{
    if (more > 0)
        add(text, "; and %lld more", (long long)more);
}

/* What a worker is at that has no chunk of the job. */
static void add_idler(struct text *text, const struct weir__control *control, int slot)
{
    const struct weir__slot *of = &control->slots[slot];
    const uint32_t state = atomic_load(&of->state);
    const pid_t pid = atomic_load(&of->pid);

    add(text, "; worker %d", slot);
    if (state == SLOT_BROKEN) {
        add(text, " could not be started");
        return;
    }
    if (pid <= 0 || state == SLOT_EMPTY) {
        add(text, " is about to be started");
        return;
    }
    add(text, " (pid %d%s)", (int)pid, state_words(state_of(pid)));
    if (state == SLOT_STARTING)
        add(text, " is starting: %s",
            control->initializer != NULL ? "its initializer has not returned" : "it is not ready");
    else
        add(text, atomic_load(&of->job) > 0 ? " is at another job" : " is idle");
}

/* Nobody is at the job: what workers that may come to it are at. */
static void add_idlers(struct text *text, const struct weir__control *control,
                       const struct weir__job *job)
{
    int64_t more = 0;
    int named = 0;

    for (int i = 0; i < control->workers; i++) {
        if (job != NULL && job->each > 0 && weir__cell_final(atomic_load(&job->cells[i])))
            continue;
        if (named < WORKERS_NAMED) {
            add_idler(text, control, i);
            named++;
        } else {
            more++;
        }
    }
    add_more(text, more);
}

static void describe(struct text *text, const struct weir__control *control,
                     const struct weir__job *job, const weir_stall *stall)
{
    const int64_t waiting = stall->chunks - stall->ended - stall->running;
    size_t named = 0;

    add_head(text, stall, job);
    for (; named < stall->workers_count && named < WORKERS_NAMED; named++)
        add_worker(text, &stall->workers[named], named == 0);
    add_more(text, stall->running - (int64_t)named);
    if (waiting > 0)
        add(text, "; %lld %s%s for a worker", (long long)waiting, job != NULL ? "chunk" : "item",
            waiting > 1 ? "s wait" : " waits");
    if (stall->running == 0)
        add_idlers(text, control, job);
    if (stall->supervisor_stopped)
        add(text, "; the supervisor (pid %d) is stopped", (int)control->status.supervisor_pid);
}

/* ---- looking -------------------------------------------------------------------------------- */

/* False: stderr takes nothing just now. */
static bool say(weir_pool *pool, const struct weir__job *job, const struct weir__stall *stall,
                const weir_stall *seen)
{
    /* the future of a job is claimed by this thread, but the pool of a stream may end */
    weir_pool *held __attribute__((cleanup(weir__pool_let_go))) = NULL;
    struct weir__control *control = pool->control;
    const int before = errno;
    struct text text = {.used = 0};
    char name[WEIR__STATUS_NAME];
    weir_stall out = *seen;

    if ((stall->wish.call == NULL && !weir__may_put()) || (job == NULL && !weir__pool_hold(pool)))
        return false;
    held = job == NULL ? pool : NULL;
    weir__status_set_name(name, control->status.name);
    out.message = text.bytes;
    out.pool = name;
    out.job = stall->name[0] != '\0' ? stall->name : NULL;
    out.supervisor_stopped = is_stopped(control->status.supervisor_pid);
    find_workers(control, job, &out);
    describe(&text, control, job, &out);
    if (stall->wish.call == NULL)
        weir__log_line(control, "weir: %s", text.bytes);
    weir__pool_let_go(&held);
    held = NULL;
    if (stall->wish.call != NULL)
        stall->wish.call(&out, stall->wish.arg);
    errno = before;
    return true;
}

static void count(const struct weir__job *job, const struct weir__progress_counts *counts,
                  weir_stall *out)
{
    if (job != NULL) {
        out->chunks = job->count;
        out->ended = job->count - weir__ledger_tally(job->cells, job->count).open;
    } else {
        out->ended = (int64_t)(counts->done + counts->failed);
        out->chunks = out->ended + (int64_t)counts->out;
    }
}

static int64_t step_of(const struct weir__stall *stall)
{
    const int64_t step = stall->wish.limit_ns / LOOKS;

    return step < LOOK_MIN_NS ? LOOK_MIN_NS : step < LOOK_MAX_NS ? step : LOOK_MAX_NS;
}

static void begin_anew(struct weir__stall *stall, int64_t ended, int64_t now)
{
    stall->ended = ended;
    stall->since_ns = now;
    stall->say_ns = stall->wish.limit_ns;
}

/* As late as what is to be said next, if that comes before the next look. `cost`: of this one. */
static void set_next(struct weir__stall *stall, int64_t now, int64_t cost)
{
    const int64_t due = stall->since_ns + stall->say_ns;

    stall->next_ns = now + step_of(stall);
    if (due > now && due < stall->next_ns)
        stall->next_ns = due;
    if (stall->next_ns < now + cost * LOOK_SHARE)
        stall->next_ns = now + cost * LOOK_SHARE;
}

int64_t weir__stall_look(weir_pool *pool, const struct weir__job *job,
                         const struct weir__progress_counts *counts, struct weir__stall *stall)
{
    int64_t now, looked;
    weir_stall seen = {.chunks = 0};

    if (stall->wish.limit_ns <= 0)
        return INT64_MAX;
    now = weir__now_ns();
    if (now < stall->next_ns)
        return stall->next_ns;
    if (pool == NULL || (job == NULL && counts == NULL)) {
        begin_anew(stall, 0, now);
        set_next(stall, now, 0);
        return stall->next_ns;
    }
    count(job, counts, &seen);
    looked = weir__now_ns();
    if (seen.ended != stall->ended || seen.ended == seen.chunks)
        begin_anew(stall, seen.ended, now);
    else if (now - stall->next_ns >= LATE_NS)
        stall->since_ns += now - stall->next_ns;
    seen.stalled_ms = ms_since(now, stall->since_ns);
    set_next(stall, now, looked - now);
    if (now - stall->since_ns >= stall->say_ns && say(pool, job, stall, &seen)) {
        stall->say_ns *= 2;
        set_next(stall, weir__now_ns(), looked - now);
    }
    return stall->next_ns;
}

void weir__stall_go_on(struct weir__stall *stall)
{
    const int64_t now = weir__now_ns();

    if (stall->wish.limit_ns <= 0)
        return;
    begin_anew(stall, 0, now);
    set_next(stall, now, 0);
}

void weir__stall_init(struct weir__stall *stall, const struct weir__job_spec *spec)
{
    const char *name = spec->name != NULL ? spec->name : spec->progress.label;

    stall->wish = spec->stall;
    weir__status_set_name(stall->name, name != NULL ? name : "");
    weir__stall_go_on(stall);
}
