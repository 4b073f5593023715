/* SPDX-License-Identifier: MIT
 *
 * trace_simulate.c: how long a job would have taken, cut into other chunks or with more workers.
 *
 * The recorded time of each chunk lies evenly on its items. Other chunks take what their items
 * take, and a microsecond each. They are given out as the pool does it (pool/worker/work_jobs.c,
 * work_round()): each worker begins at its own region and goes round, and whoever is free takes the
 * next free chunk. What the job took beyond that when it was recorded, such as to wake workers, is
 * added as it was.
 *
 * A job of which chunks are missing, or whose chunks are no ranges, is not computed.
 */
#include <stdlib.h>

#include "pool/control/control.h"
#include "pool/tool/timeline.h"

#define CHUNK_COST_NS 1000.
#define JOBS_MAX      32 /* of a group; for the others what was recorded is taken */

/* The recorded time of items that lie together. */
struct piece {
    uint64_t from, to; /* from the begin of the range on */
    double ns;
    double before_ns; /* of all pieces before it */
};

struct profile {
    struct piece *pieces;
    size_t count;
    uint64_t length; /* items of the job */
    int64_t chunks;  /* as they were */
};

static bool can_be_cut(const struct tool_traced_job *job)
{
    const uint8_t does = job->record.does;

    return job->record.number > 0 && (does == DOES_FOR || does == DOES_MAP || does == DOES_REDUCE ||
                                      does == DOES_MAP_REDUCE_MAP);
}

/* ---- recorded times -------------------------------------------------------------------------- */

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    return (x->from > y->from) - (x->from < y->from);
}

/* Chunks that were noted together follow each other. */
static bool piece_of(const struct tool_traced_job *job, const struct tool_event *event,
                     struct piece *piece)
{
    const int64_t first = event->event.chunk.first;
    const weir_range begin = tool_traced_range(job, first);
    weir_range end;

    if (event->event.kind != EVENT_CHUNK || (event->event.flags & EVENT_FAILED) != 0 ||
        first >= job->record.count || event->event.count > job->record.count - first)
        return false;
    end = tool_traced_range(job, first + event->event.count - 1);
    *piece = (struct piece){.from = (uint64_t)begin.begin - (uint64_t)job->record.range_begin,
                            .to = (uint64_t)end.end - (uint64_t)job->record.range_begin,
                            .ns = (double)event->event.chunk.busy_ns};
    return piece->from < piece->to;
}

/* False: chunks are missing. */
static bool make_profile(struct tool_heap *heap, const struct tool_traced_job *job,
                         const struct tool_event *const *work, size_t count,
                         struct profile *profile)
{
    uint64_t covered = 0;
    double sum = 0;
    size_t kept = 0;

    *profile = (struct profile){.pieces = tool_take(heap, count + 1, sizeof(*profile->pieces)),
                                .length = (uint64_t)job->record.range_end -
                                          (uint64_t)job->record.range_begin,
                                .chunks = job->record.count};
    for (size_t i = 0; i < count; i++)
        profile->count += piece_of(job, work[i], &profile->pieces[profile->count]);
    if (profile->count == 0)
        return false;
    qsort(profile->pieces, profile->count, sizeof(*profile->pieces), compare_pieces);
    for (size_t i = 0; i < profile->count; i++) {
        struct piece piece = profile->pieces[i];

        if (kept > 0 && piece.from < profile->pieces[kept - 1].to)
            continue; /* twice */
        piece.before_ns = sum;
        sum += piece.ns;
        covered += piece.to - piece.from;
        profile->pieces[kept++] = piece;
    }
    profile->count = kept;
    return covered == profile->length;
}

/* What the items before that one took. *at: the piece in which the last one was; items are asked
 * for in order. */
static double cost_until(const struct profile *profile, uint64_t item, size_t *at)
{
    const struct piece *piece;

    while (*at + 1 < profile->count && item > profile->pieces[*at].to)
        ++*at;
    piece = &profile->pieces[*at];
    return piece->before_ns +
           piece->ns * ((double)(item - piece->from) / (double)(piece->to - piece->from));
}

/* ---- giving out chunks ----------------------------------------------------------------------- */

struct round {
    unsigned workers;
    uint32_t count;
    double *costs;
    uint32_t *next;  /* the first chunk from there on that may be free; one more for the end */
    uint32_t *place; /* of each worker */
    struct free_worker {
        double ns;
        unsigned worker;
    } * heap; /* who is free first is at the front */
};

static uint32_t find_free(uint32_t *next, uint32_t chunk)
{
    uint32_t found = chunk;

    while (next[found] != found)
        found = next[found];
    while (next[chunk] != found) {
        const uint32_t after = next[chunk];

        next[chunk] = found;
        chunk = after;
    }
    return found;
}

static bool is_sooner(const struct free_worker *a, const struct free_worker *b)
{
    return a->ns != b->ns ? a->ns < b->ns : a->worker < b->worker;
}

/* The front one is now free later. */
static void sink(struct round *round)
{
    const unsigned count = round->workers;
    unsigned at = 0;

    for (;;) {
        unsigned first = at;
        struct free_worker moved;

        for (unsigned child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            if (is_sooner(&round->heap[child], &round->heap[first]))
                first = child;
        }
        if (first == at)
            return;
        moved = round->heap[at];
        round->heap[at] = round->heap[first];
        round->heap[first] = moved;
        at = first;
    }
}

/* Cuts the range evenly. */
static void cut(const struct profile *profile, struct round *round)
{
    const uint64_t grain = profile->length / round->count, longer = profile->length % round->count;
    double before = 0;
    uint64_t item = 0;
    size_t at = 0;

    for (uint32_t chunk = 0; chunk < round->count; chunk++) {
        double until;

        item += grain + (chunk < longer);
        until = cost_until(profile, item, &at);
        round->costs[chunk] = until - before + CHUNK_COST_NS;
        before = until;
    }
}

/* Returns when the last chunk is done. */
static double give_out(struct round *round)
{
    double end = 0;

    for (uint32_t chunk = 0; chunk <= round->count; chunk++)
        round->next[chunk] = chunk;
    for (unsigned worker = 0; worker < round->workers; worker++) {
        round->heap[worker] = (struct free_worker){0, worker};
        round->place[worker] = (uint32_t)((uint64_t)round->count * worker / round->workers);
    }
    for (uint32_t left = round->count; left > 0; left--) {
        struct free_worker *front = &round->heap[0];
        uint32_t chunk = find_free(round->next, round->place[front->worker]);

        if (chunk == round->count)
            chunk = find_free(round->next, 0);
        round->next[chunk] = chunk + 1;
        round->place[front->worker] = chunk;
        front->ns += round->costs[chunk];
        end = front->ns > end ? front->ns : end;
        sink(round);
    }
    return end;
}

static double compute(const struct profile *profile, struct tool_what_if as, int64_t *steps)
{
    struct tool_heap heap = {0};
    struct round round = {.workers = as.workers};
    double end;

    round.count = (uint32_t)as.chunks;
    if (profile->length < round.count)
        round.count = (uint32_t)profile->length;
    *steps -= round.count;
    round.costs = tool_take(&heap, round.count, sizeof(*round.costs));
    round.next = tool_take(&heap, round.count + (size_t)1, sizeof(*round.next));
    round.place = tool_take(&heap, round.workers, sizeof(*round.place));
    round.heap = tool_take(&heap, round.workers, sizeof(*round.heap));
    cut(profile, &round);
    end = give_out(&round);
    tool_heap_free(&heap);
    return end;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

/* A job of a group. */
struct part {
    const struct tool_event *const *work;
    size_t count;
    int64_t elapsed_ns;
};

static int compare_parts(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    if (x->elapsed_ns != y->elapsed_ns)
        return x->elapsed_ns > y->elapsed_ns ? -1 : 1;
    return (x->work > y->work) - (x->work < y->work);
}

static int64_t elapsed(const struct tool_trace *trace, const struct part *part)
{
    const struct weir__job_record *record = &trace->jobs[part->work[0]->job].record;
    int64_t begin = record->opened_ns, end = record->closed_ns;

    for (size_t i = 0; i < part->count; i++) {
        const struct weir__event *event = &part->work[i]->event;

        begin = event->begin_ns < begin ? event->begin_ns : begin;
        end = event->end_ns > end ? event->end_ns : end;
    }
    return end - (begin > trace->begin_ns ? begin : trace->begin_ns);
}

static struct part *find_parts(struct tool_heap *heap, const struct tool_trace *trace,
                               const struct tool_trace_stats *stats,
                               const struct tool_job_group *group, size_t *count)
{
    const struct tool_event *const *work =
        (const struct tool_event *const *)stats->work + group->first_work;
    struct part *parts = tool_take(heap, group->jobs + 1, sizeof(*parts));

    *count = 0;
    for (size_t at = 0, next; at < group->work_count; at = next) {
        struct part *part = &parts[(*count)++];

        for (next = at + 1; next < group->work_count && work[next]->job == work[at]->job; next++)
            ;
        *part = (struct part){work + at, next - at, 0};
        part->elapsed_ns = elapsed(trace, part);
    }
    qsort(parts, *count, sizeof(*parts), compare_parts);
    return parts;
}

/* What a job would have taken is added to each time. False: it cannot be computed for any. */
static bool simulate_job(const struct tool_trace *trace, const struct part *part,
                         struct tool_simulation *simulation, int64_t *steps)
{
    const struct tool_traced_job *job = &trace->jobs[part->work[0]->job];
    const struct tool_what_if was = {.chunks = job->record.count,
                                     .workers = (unsigned)trace->workers_count};
    struct tool_heap heap = {0};
    struct profile profile;
    double other;
    const bool good = can_be_cut(job) && *steps >= simulation->steps + was.chunks &&
                      make_profile(&heap, job, part->work, part->count, &profile);

    if (good) {
        other = (double)part->elapsed_ns - compute(&profile, was, steps);
        for (size_t i = 0; i < simulation->count; i++) {
            struct tool_what_if as = simulation->what_ifs[i];

            as.chunks = as.chunks > 0 ? as.chunks : was.chunks;
            as.workers = as.workers > 0 ? as.workers : was.workers;
            simulation->ns[i] += compute(&profile, as, steps) + (other > 0 ? other : 0);
        }
    }
    tool_heap_free(&heap);
    return good;
}

static void add_as_it_was(struct tool_simulation *simulation, const struct part *part)
{
    for (size_t i = 0; i < simulation->count; i++)
        simulation->ns[i] += (double)part->elapsed_ns;
}

bool tool_trace_simulate(struct tool_heap *heap, const struct tool_trace *trace,
                         const struct tool_trace_stats *stats, const struct tool_job_group *group,
                         struct tool_simulation *simulation, int64_t *steps)
{
    size_t count, computed = 0;
    const struct part *parts = find_parts(heap, trace, stats, group, &count);

    simulation->steps = 0;
    for (size_t i = 0; i < simulation->count; i++) {
        simulation->ns[i] = 0;
        simulation->steps += simulation->what_ifs[i].chunks;
    }
    for (size_t i = 0; i < count; i++) {
        if (i < JOBS_MAX && simulate_job(trace, &parts[i], simulation, steps))
            computed++;
        else
            add_as_it_was(simulation, &parts[i]);
    }
    return computed > 0;
}
