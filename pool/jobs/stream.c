/* SPDX-License-Identifier: MIT
 *
 * stream.c: calls for input of unknown length, some in flight at a time.
 *
 * A stream is a queue of futures and nothing more; it is private to the thread that uses it. An
 * item is *running* until its end has been seen, and in `out` from when its turn to be taken is
 * known: in order that is from the start, unordered from its end. So the head of `out` is always
 * what comes next.
 *
 * A stream with a total has one progress for all of its calls: the ends that it has noted. It is
 * shown in the calls of the stream, whenever it is time, and while they wait.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/mine.h"
#include "pool/host/future_set.h"
#include "pool/host/hold.h"
#include "pool/host/nested.h"
#include "pool/host/progress.h"
#include "pool/host/queue.h"
#include "pool/host/spec.h"
#include "shm/clock.h"
#include "shm/error.h"

#define IN_FLIGHT_A_WORKER 4

struct entry {
    weir_future *future;
    int64_t index;
    size_t place; /* in stream->running */
    bool running;
    WEIR__QUEUE_LINK(entry) link;
};

struct weir_stream {
    struct weir__future_set *set; /* of the pool; it outlives it */
    weir_call_fn function;
    weir_job_options job;
    bool unordered;
    size_t in_flight;
    int64_t puts, takes;
    int64_t untaken; /* so many at most; 0: no limit */
    WEIR__QUEUE(, entry) out;
    struct entry *taken; /* what weir_stream_next() gave out last */
    size_t running_count;
    struct entry **running;          /* in_flight of them, in no order, ... */
    weir_future **futures;           /* ... and their futures */
    struct weir__progress *progress; /* NULL: none is shown, or its end was */
    struct weir__progress_counts counts;
};

static int check_stream_options(const weir_stream_options *options)
{
    if (weir__check_reserved(options->reserved, sizeof(options->reserved) / sizeof(uint64_t),
                             "weir_stream_options") < 0)
        return -EINVAL;
    if (options->in_flight < 0 || options->in_flight > WEIR_IN_FLIGHT_MAX)
        return weir__fail(-EINVAL, "in_flight is %d; it must be from 1 to %d, or 0 for the default",
                          options->in_flight, WEIR_IN_FLIGHT_MAX);
    if (options->total == 0 && options->job != NULL &&
        (options->job->progress != NULL || options->job->on_progress != NULL))
        return weir__fail(-EINVAL, "a stream can show progress only towards a total: set `total` "
                                   "to the number of items, if it is known");
    return 0;
}

static int check_untaken(const weir_stream_options *options)
{
    return options->untaken >= 0 ? 0
                                 : weir__fail(-EINVAL, "untaken is %lld; it must not be negative",
                                              (long long)options->untaken);
}

static size_t choose_in_flight(const weir_pool *pool, const weir_stream_options *options)
{
    int count =
        options->in_flight > 0 ? options->in_flight : weir_pool_workers(pool) * IN_FLIGHT_A_WORKER;

    return count < WEIR_IN_FLIGHT_MAX ? (size_t)count : WEIR_IN_FLIGHT_MAX;
}

/* The progress is the stream's, and not that of each call; likewise what a call waits for. */
static int take_progress(weir_stream *stream, const weir_stream_options *options,
                         struct weir__job_spec *spec)
{
    stream->job.progress = NULL;
    stream->job.progress_lines = false;
    stream->job.on_progress = NULL;
    stream->job.on_progress_arg = NULL;
    stream->job.stall_ms = WEIR_STALL_NONE;
    stream->job.on_stall = NULL;
    stream->counts.total = options->total;
    spec->counts = &stream->counts;
    return weir__progress_new(spec, &stream->progress);
}

weir_stream *weir_stream_new(weir_pool *pool, weir_call_fn function,
                             const weir_stream_options *options)
{
    const weir_stream_options defaults = {0};
    weir_job_options job = {0};
    struct weir__job_spec spec;
    weir_stream *stream;

    if (options == NULL)
        options = &defaults;
    if (options->job != NULL)
        job = *options->job;
    job.chunks = job.grain = job.first_chunk = 0; /* as for weir_pool_submit() */
    job.arg_size = 0;
    /* the options of a call are checked here, not at the first put */
    if (weir__use_pool(&pool) < 0 || check_stream_options(options) < 0 ||
        check_untaken(options) < 0 ||
        weir__spec_init(&spec, pool, (weir_range){0, 1}, (void (*)(void))function, NULL, &job, 0) <
            0 ||
        weir__pool_enter(pool) < 0)
        return NULL;
    stream = calloc(1, sizeof(*stream));
    if (stream != NULL) {
        WEIR__QUEUE_INIT(&stream->out);
        weir__future_set_hold(pool->futures.set);
        stream->set = pool->futures.set;
        stream->function = function;
        stream->unordered = options->unordered;
        stream->in_flight = choose_in_flight(pool, options);
        stream->untaken = options->untaken;
        stream->job = job;
        stream->running = calloc(stream->in_flight, sizeof(struct entry *));
        stream->futures = calloc(stream->in_flight, sizeof(weir_future *));
    }
    weir__pool_leave(pool);
    if (stream == NULL || stream->running == NULL || stream->futures == NULL ||
        take_progress(stream, options, &spec) < 0) {
        weir_stream_free(stream);
        weir__fail(-ENOMEM, "no memory for a stream");
        return NULL;
    }
    return stream;
}

/* ---- in flight ------------------------------------------------------------------------------ */

static void start_running(weir_stream *stream, struct entry *entry)
{
    entry->running = true;
    entry->place = stream->running_count++;
    stream->running[entry->place] = entry;
    stream->futures[entry->place] = entry->future;
    if (!stream->unordered)
        WEIR__QUEUE_PUT(&stream->out, entry, link);
}

static void note_end(weir_stream *stream, struct entry *entry)
{
    size_t last = --stream->running_count;

    stream->running[entry->place] = stream->running[last];
    stream->futures[entry->place] = stream->futures[last];
    stream->running[entry->place]->place = entry->place;
    entry->running = false;
    if (entry->future->code == 0)
        stream->counts.done++;
    else
        stream->counts.failed++;
    if (stream->unordered)
        WEIR__QUEUE_PUT(&stream->out, entry, link);
}

/* Notes all that have ended. */
static void note_ends(weir_stream *stream)
{
    for (size_t i = 0; i < stream->running_count;) {
        if (!weir_future_done(stream->futures[i])) {
            i++;
            continue;
        }
        note_end(stream, stream->running[i]); /* another one is at i now */
    }
}

static void end_progress(weir_stream *stream)
{
    const struct weir__progress_counts *counts = &stream->counts;

    weir__progress_end(stream->set->pool, -1, stream->progress,
                       counts->done == counts->total ? 0 : -1);
    free(stream->progress);
    stream->progress = NULL;
}

/* Shows how far the stream is, if it is time, and its end. */
static void show_progress(weir_stream *stream)
{
    struct weir__progress_counts *counts = &stream->counts;

    if (stream->progress == NULL)
        return;
    if (weir__now_ns() >= weir__progress_next(stream->progress))
        note_ends(stream);
    counts->out = stream->running_count;
    if (counts->total > 0 && counts->done + counts->failed >= counts->total)
        end_progress(stream);
    else
        weir__progress_look(stream->set->pool, -1, stream->progress);
}

/* Waits until one of these has ended, or the time is up, or progress is to be shown: then -EAGAIN,
 * and *timeout_ms is what is left. */
static int64_t wait_a_while(weir_stream *stream, weir_future *const *futures, size_t count,
                            int *timeout_ms)
{
    int64_t next = weir__progress_next(stream->progress), step_ms = INT_MAX, which;

    if (next != INT64_MAX)
        step_ms = (next - weir__now_ns() + 999999) / 1000000;
    if (step_ms < 0)
        step_ms = 0;
    if (next == INT64_MAX || (*timeout_ms >= 0 && *timeout_ms <= step_ms))
        return weir_future_wait_many(futures, count, WEIR_WHEN_ANY, *timeout_ms);
    which = weir_future_wait_many(futures, count, WEIR_WHEN_ANY, (int)step_ms);
    if (which != -ETIMEDOUT)
        return which;
    if (*timeout_ms >= 0)
        *timeout_ms -= (int)step_ms;
    return -EAGAIN;
}

static int report_wait(int64_t result, int timeout_ms)
{
    return result == -ETIMEDOUT
               ? weir__fail(-ETIMEDOUT, "no result has come within %d ms", timeout_ms)
               : (int)result;
}

/* Waits until one of those that are running has ended. */
static int wait_for_one(weir_stream *stream, int timeout_ms)
{
    const size_t before = stream->running_count;
    int left_ms = timeout_ms;
    int64_t which;

    do {
        show_progress(stream);
        note_ends(stream);
        if (stream->running_count < before)
            return 0;
        which = wait_a_while(stream, stream->futures, before, &left_ms);
    } while (which >= 0 || which == -EAGAIN);
    return report_wait(which, timeout_ms);
}

static int check_stream(const weir_stream *stream)
{
    return weir__check_mine(stream->set->mine, "a stream");
}

int weir_stream_put(weir_stream *stream, const void *arg, size_t size)
{
    struct entry *entry;
    weir_pool *pool;
    int result;

    if (stream == NULL)
        return weir__refuse_null("stream");
    result = check_stream(stream);
    if (result < 0)
        return result;
    pool = stream->set->pool;
    if (pool == NULL)
        return weir__fail(-ECANCELED, "the stream's pool has ended");
    show_progress(stream);
    if (stream->untaken > 0 && stream->puts - stream->takes >= stream->untaken)
        return -EAGAIN;
    if (stream->running_count == stream->in_flight) {
        result = wait_for_one(stream, -1);
        if (result < 0)
            return result;
    }
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return weir__fail(-ENOMEM, "no memory for an item of a stream");
    entry->future = weir_pool_submit(pool, stream->function, arg, size, &stream->job);
    if (entry->future == NULL) {
        free(entry);
        return weir_last_error()->code;
    }
    entry->index = stream->puts++;
    start_running(stream, entry);
    return 0;
}

/* ---- results -------------------------------------------------------------------------------- */

static void free_entry(struct entry *entry)
{
    if (entry == NULL)
        return;
    weir_future_free(entry->future);
    free(entry);
}

/* Waits until the head of `out` has ended. 1, 0: nothing is left, or a negative error. */
static int wait_for_next(weir_stream *stream, int timeout_ms)
{
    struct entry *head = WEIR__QUEUE_FIRST(&stream->out);
    int left_ms = timeout_ms;
    int64_t which;

    if (head == NULL) {
        int result = stream->running_count > 0 ? wait_for_one(stream, timeout_ms) : 0;

        return result < 0 ? result : WEIR__QUEUE_FIRST(&stream->out) != NULL;
    }
    while (head->running) {
        show_progress(stream);
        if (!head->running) /* its end was noted for that */
            break;
        /* not weir_future_wait(): its -ETIMEDOUT may be the call's own */
        which = wait_a_while(stream, &head->future, 1, &left_ms);
        if (which >= 0)
            note_end(stream, head);
        else if (which != -EAGAIN)
            return report_wait(which, timeout_ms);
    }
    return 1;
}

/* Of a future that has ended. The call was on "[0, 1)": what the caller knows is the item. */
static void name_item(weir_error *error, int64_t index)
{
    const weir_error of_call = *error;
    const char *range = strstr(of_call.message, "[0, 1)");

    error->range = (weir_range){index, index + 1};
    if (range != NULL)
        snprintf(error->message, sizeof(error->message), "%.*sitem %lld%.700s",
                 (int)(range - of_call.message), of_call.message, (long long)index, range + 6);
    else
        snprintf(error->message, sizeof(error->message), "item %lld: %.700s", (long long)index,
                 of_call.message);
}

int weir_stream_next(weir_stream *stream, weir_item *out, int timeout_ms)
{
    struct entry *entry;
    int result;

    if (stream == NULL)
        return weir__refuse_null("stream");
    if (out == NULL)
        return weir__fail(-EINVAL, "the item is NULL");
    result = check_stream(stream);
    if (result < 0)
        return result;
    free_entry(stream->taken);
    stream->taken = NULL;
    result = wait_for_next(stream, timeout_ms);
    show_progress(stream);
    if (result <= 0)
        return result;
    entry = WEIR__QUEUE_FIRST(&stream->out);
    WEIR__QUEUE_REMOVE(&stream->out, entry, link);
    stream->taken = entry;
    stream->takes++;
    if (entry->future->error != NULL)
        name_item(entry->future->error, entry->index);
    *out = (weir_item){.index = entry->index, .code = weir_future_wait(entry->future, -1)};
    if (out->code == 0)
        out->data = weir_future_result(entry->future, &out->size);
    else
        out->error = weir_future_error(entry->future);
    return 1;
}

void weir_stream_free(weir_stream *stream)
{
    struct entry *entry;

    if (stream == NULL || !weir__is_mine(stream->set->mine))
        return;
    for (size_t i = 0; i < stream->running_count; i++)
        weir_future_cancel(stream->futures[i]); /* all of them, before one is waited for */
    while (stream->running_count > 0) {
        entry = stream->running[0];
        (void)!weir_future_wait(entry->future, -1); /* note_end() takes its error */
        note_end(stream, entry);
    }
    end_progress(stream);
    while ((entry = WEIR__QUEUE_FIRST(&stream->out)) != NULL) {
        WEIR__QUEUE_REMOVE(&stream->out, entry, link);
        free_entry(entry);
    }
    free_entry(stream->taken);
    free(stream->running);
    free(stream->futures);
    weir__future_set_release(stream->set);
    free(stream);
}
