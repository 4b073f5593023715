/* SPDX-License-Identifier: MIT
 *
 * progress.c: a job's progress, shown by the thread that waits for it; and if nothing of the job
 * ends, what the thread waits for (stall.c).
 *
 * A map-reduce has two jobs and one progress: an item counts for nine tenths when it has been
 * mapped, the last tenth of all of them as tables are merged.
 *
 * The numbers are derived from the ledger's cells at each look; nothing is counted on the side, so
 * a worker that dies cannot make them wrong. A look costs at most a hundredth of the time: after
 * one that took long (millions of chunks) the next one comes later.
 *
 * On a terminal every frame is one write() that begins at the start of the line and leaves no
 * colour on: whatever ends the program between two frames leaves a terminal that is in order. It
 * ends with a character in the last column. The cursor then stays there until the next character,
 * which the terminal puts on the line below: so output of others, or its own echo of Ctrl-C, has a
 * line of its own. The next frame begins with a carriage return, which leads to the start of the
 * bar if nothing came in between, and of that other line otherwise.
 * Nothing here can keep the job from being waited for: a terminal that takes nothing is passed
 * over, an error of writing changes nothing, and a closed pipe raises no signal.
 */
#include "pool/host/progress.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/control/bar.h"
#include "pool/control/chunk.h"
#include "pool/control/put.h"
#include "pool/host/out.h"
#include "pool/host/progress_text.h"
#include "pool/host/stall.h"
#include "shm/clock.h"
#include "shm/error.h"

#define FRAME_NS       100000000
#define LOOK_SHARE     100 /* of the time goes into looking, at most one part in so many */
#define LINE_MS        1000
#define LINE_AT_ALL_MS 60000
#define LINE_WIDTH     120
#define WIDTH_DEFAULT  80
#define WIDTH_MAX      500
#define LAST_COLUMN    "\033[K\033[999C " /* clears what is behind, then a space there */

enum mode {
    MODE_QUIET,
    MODE_CALL,
    MODE_BAR,
    MODE_LINES,
};

struct weir__progress {
    struct weir__progress_wish wish;
    struct weir__stall stall;
    const struct weir__progress_counts *counts; /* in place of a job; NULL: there is a job */
    enum mode mode;
    bool colour;
    bool waits_to_wrap; /* the terminal stays in the last column until a character comes */
    uint64_t device;    /* the terminal */
    bool drawn;         /* its line has a bar of this job */
    bool begun;         /* the thread that waits has shown something, and not yet the end */
    unsigned jobs;      /* that follow one another, ... */
    unsigned job;       /* ... and which it is, from 0 */
    uint64_t items;     /* of the first one, which is what is shown of all */
    int64_t start_ns;
    int64_t next_ns;             /* no look before */
    int64_t line_ms;             /* when the last line was written, since the start */
    unsigned line_tenths;        /* done then */
    const struct weir__out *out; /* of the call that shows it; NULL: none */
    char label[];
};

/* ---- where to ------------------------------------------------------------------------------- */

static enum mode choose_mode(const struct weir__progress_wish *wish)
{
    const char *terminal = getenv("TERM");

    if (wish->call != NULL)
        return MODE_CALL;
    if (wish->label == NULL)
        return MODE_QUIET;
    if (isatty(STDERR_FILENO) && terminal != NULL && terminal[0] != '\0' &&
        strcmp(terminal, "dumb") != 0)
        return MODE_BAR;
    return wish->lines ? MODE_LINES : MODE_QUIET;
}

static int terminal_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    long width = 0;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width <= 0 && columns != NULL)
        width = strtol(columns, NULL, 10);
    if (width <= 0)
        width = WIDTH_DEFAULT;
    return width < WIDTH_MAX ? (int)width : WIDTH_MAX;
}

/* Whether the terminal is one of the few that wrap as soon as the last column is written. */
static bool wraps_at_once(void)
{
    static const char *const names[] = {"ansi", "cons25", "cygwin", "mach", "pcansi", "sun"};
    const char *terminal = getenv("TERM");

    for (size_t i = 0; terminal != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(terminal, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

static uint64_t terminal_device(void)
{
    struct stat stat;

    return fstat(STDERR_FILENO, &stat) == 0 ? stat.st_rdev : 0;
}

/* ---- what ----------------------------------------------------------------------------------- */

/* Items of the chunks [from, to) that are done and that have failed. */
static void add_items(const struct weir__job *job, int64_t from, int64_t to, uint64_t size,
                      weir_progress *out)
{
    struct weir__chunk_tally tally = weir__ledger_tally(job->cells + from, to - from);

    out->done += (uint64_t)tally.done * size;
    out->failed += (uint64_t)tally.failed * size;
}

static void count_items(const struct weir__job *job, weir_progress *out)
{
    int64_t last = job->count - 1, longer = job->longer < last ? job->longer : last;
    weir_range end = weir__job_chunk(job, last);

    add_items(job, 0, longer, job->grain + 1, out);
    add_items(job, longer, last, job->grain, out);
    /* the last one may be shorter */
    add_items(job, last, job->count, (uint64_t)end.end - (uint64_t)end.begin, out);
}

static uint64_t tenth_of(uint64_t items)
{
    return items / 10 + (items % 10 > 0);
}

/* part / all of the items, without overflow. */
static uint64_t share_of_items(uint64_t items, uint64_t part, uint64_t all)
{
    return items / all * part + items % all * part / all;
}

/* From what is done of one of two jobs to what is done of both. `all`: the job's items. */
static void scale(const struct weir__progress *progress, uint64_t all, weir_progress *out)
{
    const uint64_t tenth = tenth_of(progress->items), failed = out->failed;

    if (progress->job == 0) {
        out->done -= tenth_of(out->done);
        return;
    }
    out->done = progress->items - tenth + share_of_items(tenth, out->done, all);
    out->failed = share_of_items(tenth, failed, all);
    if (failed > 0 && out->failed == 0)
        out->failed = 1;
}

/* `job` NULL: there is none, or it could not be opened. */
static weir_progress look_at(const struct weir__progress *progress, const struct weir__job *job)
{
    weir_progress out = {
        .label = progress->wish.label,
        .total = progress->items,
        .elapsed_ms = (weir__now_ns() - progress->start_ns) / 1000000,
        .left_ms = -1,
    };

    if (progress->counts != NULL) {
        out.done = progress->counts->done;
        out.failed = progress->counts->failed;
        out.total = progress->counts->total;
    } else if (job != NULL) {
        count_items(job, &out);
    }
    if (progress->jobs > 1)
        scale(progress, job != NULL ? (uint64_t)job->range.end - (uint64_t)job->range.begin : 1,
              &out);
    if (out.elapsed_ms > 0)
        out.rate = (double)out.done * 1000 / (double)out.elapsed_ms;
    if (out.rate > 0) {
        double remaining = (double)(out.total - out.done) / out.rate * 1000;

        out.left_ms = remaining < 1e15 ? (int64_t)remaining : -1;
    }
    return out;
}

/* ---- showing -------------------------------------------------------------------------------- */

/* For the lines of workers. A thread whose job has ended publishes too if another's bar is up. */
static void publish_bar(weir_pool *pool, uint64_t device, const char *frame, size_t size)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    if (!pool->ended)
        weir__bar_set(&pool->control->bar, device, frame, size);
    pthread_mutex_unlock(&pool->lock);
}

/* The bar. It is made known to workers first, so that a line of theirs that comes after it has
 * it. */
static void put_bar(weir_pool *pool, struct weir__progress *progress, const weir_progress *now)
{
    char frame[WEIR__BAR_MAX] = "\r";
    const char *end = progress->waits_to_wrap ? LAST_COLUMN : "\033[K";
    size_t size = 1;

    static_assert(1 + WEIR__PROGRESS_TEXT + sizeof(LAST_COLUMN) <= WEIR__BAR_MAX, "a frame fits");
    size += weir__progress_bar(frame + size, now, terminal_width(), progress->colour);
    memcpy(frame + size, end, strlen(end));
    size += strlen(end);
    publish_bar(pool, progress->device, frame, size);
    weir__put(frame, size);
    progress->drawn = true;
}

/* In place of the bar: nothing, or at the end a line that stays. Workers that write lines draw no
 * bar any more, but clear it until it is gone. */
static void replace_bar(weir_pool *pool, struct weir__progress *progress, const weir_progress *now)
{
    char text[WEIR__PROGRESS_TEXT + 8] = "\r";
    size_t size = 1;

    if (now != NULL)
        size += weir__progress_line(text + size, now, terminal_width(), progress->colour);
    memcpy(text + size, "\033[K\n", 4);
    publish_bar(pool, progress->device, NULL, 0);
    weir__put(text, size + (now != NULL ? 4 : 3));
    publish_bar(pool, 0, NULL, 0);
    progress->drawn = false;
}

static void put_frame(weir_pool *pool, struct weir__progress *progress, const weir_progress *now)
{
    if (!weir__may_put())
        return;
    if (now->ended)
        replace_bar(pool, progress, now);
    else
        put_bar(pool, progress, now);
}

static void clear_frame(weir_pool *pool, struct weir__progress *progress)
{
    if (progress->drawn && weir__may_put())
        replace_bar(pool, progress, NULL);
    else if (progress->drawn)
        publish_bar(pool, 0, NULL, 0);
    progress->drawn = false;
}

static void put_line(struct weir__progress *progress, const weir_progress *now)
{
    unsigned tenths = now->total > 0 ? (unsigned)((double)now->done / (double)now->total * 10) : 10;
    int64_t since = now->elapsed_ms - progress->line_ms;
    char line[WEIR__PROGRESS_TEXT + 1];
    size_t size;

    if (!now->ended &&
        (since < LINE_MS || (tenths == progress->line_tenths && since < LINE_AT_ALL_MS)))
        return;
    progress->line_ms = now->elapsed_ms;
    progress->line_tenths = tenths;
    size = weir__progress_line(line, now, LINE_WIDTH, false);
    line[size] = '\n';
    weir__put(line, size + 1);
}

static void show_progress(weir_pool *pool, struct weir__progress *progress,
                          const weir_progress *now)
{
    int before = errno;

    if (progress->mode == MODE_CALL)
        progress->wish.call(now, progress->wish.arg);
    else if (progress->mode == MODE_BAR)
        put_frame(pool, progress, now);
    else if (progress->mode == MODE_LINES)
        put_line(progress, now);
    errno = before;
}

/* Of several bars one is drawn at a time: the first until its job has ended or is no longer waited
 * for. */
static bool take_terminal(weir_pool *pool, struct weir__progress *progress)
{
    struct weir__progress *nobody = NULL;

    return progress->mode != MODE_BAR || pool == NULL ||
           atomic_compare_exchange_strong(&pool->bar_owner, &nobody, progress) ||
           nobody == progress;
}

void weir__progress_leave(weir_pool *pool, struct weir__progress *progress)
{
    struct weir__progress *me = progress;

    if (progress == NULL)
        return;
    progress->begun = false;
    clear_frame(pool, progress);
    if (pool != NULL)
        atomic_compare_exchange_strong(&pool->bar_owner, &me, NULL);
}

static const struct weir__job *job_at(weir_pool *pool, int index)
{
    return index >= 0 ? &pool->control->jobs[index] : NULL;
}

int64_t weir__progress_next(const struct weir__progress *progress)
{
    int64_t shown, said;

    if (progress == NULL)
        return INT64_MAX;
    shown = progress->mode != MODE_QUIET ? progress->next_ns : INT64_MAX;
    said = weir__stall_next(&progress->stall);
    return shown < said ? shown : said;
}

static void look_if_due(weir_pool *pool, int index, struct weir__progress *progress)
{
    const int64_t now = weir__now_ns();
    int64_t next;

    if (progress->mode == MODE_QUIET || now < progress->next_ns)
        return;
    if (take_terminal(pool, progress)) {
        const weir_progress look = look_at(progress, job_at(pool, index));

        progress->begun = true;
        show_progress(pool, progress, &look);
        if (weir__out_is_lost(progress->out))
            return;
    }
    next = weir__now_ns();
    progress->next_ns = next + FRAME_NS;
    if ((next - now) * LOOK_SHARE > FRAME_NS)
        progress->next_ns = next + (next - now) * LOOK_SHARE;
}

int64_t weir__progress_look(weir_pool *pool, int index, struct weir__progress *progress)
{
    if (progress == NULL)
        return INT64_MAX;
    look_if_due(pool, index, progress);
    if (weir__out_is_lost(progress->out))
        return INT64_MAX;
    weir__stall_look(pool, job_at(pool, index), progress->counts, &progress->stall);
    if (weir__out_is_lost(progress->out))
        return INT64_MAX;
    return weir__progress_next(progress);
}

bool weir__progress_wait(weir_pool *pool, int index, int64_t limit_ns,
                         struct weir__progress *progress)
{
    int64_t next = weir__progress_next(progress);

    while (!weir__job_wait(pool, index, next < limit_ns ? next : limit_ns)) {
        if (weir__now_ns() >= limit_ns) {
            weir__progress_leave(pool, progress);
            return false;
        }
        next = weir__progress_look(pool, index, progress);
        if (progress != NULL && weir__out_is_lost(progress->out))
            return false;
    }
    return true;
}

bool weir__progress_calls(const struct weir__progress *progress)
{
    return progress != NULL && (progress->mode == MODE_CALL || progress->stall.wish.call != NULL);
}

void weir__progress_set_out(struct weir__progress *progress, const struct weir__out *out)
{
    if (progress != NULL)
        progress->out = out;
}

void weir__progress_go_on(struct weir__progress *progress)
{
    if (progress == NULL)
        return;
    progress->job++;
    weir__stall_go_on(&progress->stall);
}

void weir__progress_end(weir_pool *pool, int index, struct weir__progress *progress, int code)
{
    weir_progress look;

    if (progress == NULL || progress->mode == MODE_QUIET)
        return;
    look = look_at(progress, job_at(pool, index));
    look.ended = true;
    if (code == 0) { /* also of a map-reduce that had nothing to merge */
        look.done = look.total;
        look.left_ms = 0;
    }
    show_progress(pool, progress, &look);
    weir__progress_leave(pool, progress);
}

bool weir__progress_begun(const struct weir__progress *progress)
{
    return progress != NULL && progress->begun;
}

/* ---- making --------------------------------------------------------------------------------- */

int weir__progress_new(const struct weir__job_spec *spec, struct weir__progress **out)
{
    const struct weir__progress_wish *wish = &spec->progress;
    const char *no_colour = getenv("NO_COLOR");
    size_t size = wish->label != NULL ? strlen(wish->label) + 1 : 0;
    struct weir__progress *progress;

    *out = NULL;
    if (wish->label == NULL && wish->call == NULL && spec->stall.limit_ns == 0)
        return 0;
    progress = calloc(1, sizeof(*progress) + size);
    if (progress == NULL)
        return weir__fail(-ENOMEM, "no memory for a job's progress");
    progress->wish = *wish;
    progress->counts = spec->counts;
    if (wish->label != NULL) {
        memcpy(progress->label, wish->label, size);
        progress->wish.label = progress->label;
    }
    progress->jobs = spec->map_reduce != NULL ? 2 : 1;
    progress->items = (uint64_t)spec->range.end - (uint64_t)spec->range.begin;
    progress->mode = choose_mode(wish);
    progress->waits_to_wrap = !wraps_at_once();
    progress->device = terminal_device();
    progress->colour = no_colour == NULL || no_colour[0] == '\0';
    progress->start_ns = weir__now_ns();
    progress->next_ns = progress->start_ns + FRAME_NS;
    weir__stall_init(&progress->stall, spec);
    *out = progress;
    return 0;
}
