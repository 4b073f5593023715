/* SPDX-License-Identifier: MIT
 *
 * trace_measure.c: what a trace says of its jobs: times, balance, where workers were idle.
 *
 * Jobs of one name are one group. The time in which a worker was idle while a job was there is
 * split by that worker's own chunks of the job: before the first one, between two, and the rest.
 * What it worked on other jobs meanwhile is none of it.
 */
#include <stdlib.h>
#include <string.h>

#include "pool/tool/timeline.h"

/* The time that was worked until a moment. */
struct sums {
    /* Of each worker: its work, by begin, and the time worked before each. */
    const struct tool_event **work;
    int64_t *before;
    size_t *first; /* in those, by worker; one more for the end */
    /* Of all workers: what holds from a moment on. */
    struct moment {
        int64_t ns;
        double busy_ns; /* until then */
        double rate;    /* workers busy */
    } * moments;
    size_t moments_count;
};

struct measure {
    struct tool_trace_stats *stats;
    struct tool_heap *heap;
    const struct tool_trace *trace;
    struct sums sums;
};

/* ---- sums ------------------------------------------------------------------------------------ */

static int compare_moments(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    return (x->ns > y->ns) - (x->ns < y->ns);
}

static void sum_moments(struct sums *sums)
{
    double busy = 0, rate = 0;
    int64_t last = 0;

    qsort(sums->moments, sums->moments_count, sizeof(*sums->moments), compare_moments);
    for (size_t i = 0; i < sums->moments_count; i++) {
        struct moment *moment = &sums->moments[i];

        busy += rate * (double)(moment->ns - last);
        rate += moment->rate;
        last = moment->ns;
        moment->rate = rate;
        moment->busy_ns = busy;
    }
}

static void add_moments(struct sums *sums, const struct tool_event *event)
{
    const int64_t length = event->event.end_ns - event->event.begin_ns;
    const double rate = length > 0 ? (double)tool_event_busy(event) / (double)length : 0;

    sums->moments[sums->moments_count++] = (struct moment){event->event.begin_ns, 0, rate};
    sums->moments[sums->moments_count++] = (struct moment){event->event.end_ns, 0, -rate};
}

static void make_sums(struct sums *sums, struct tool_heap *heap, const struct tool_trace *trace)
{
    size_t count = 0;

    sums->work = tool_take(heap, trace->events_count + 1, sizeof(void *));
    sums->before = tool_take(heap, trace->events_count + 1, sizeof(*sums->before));
    sums->first = tool_take(heap, trace->workers_count + 1, sizeof(*sums->first));
    sums->moments = tool_take(heap, 2 * trace->events_count + 1, sizeof(*sums->moments));
    for (size_t i = 0; i < trace->workers_count; i++) {
        const struct tool_traced_worker *worker = &trace->workers[i];
        int64_t busy = 0;

        sums->first[i] = count;
        for (size_t at = worker->first; at < worker->first + worker->count; at++) {
            const struct tool_event *event = &trace->events[at];

            if (!tool_event_is_work(event))
                continue;
            sums->work[count] = event;
            sums->before[count++] = busy;
            busy = tool_trace_sum(busy, tool_event_busy(event));
            add_moments(sums, event);
        }
    }
    sums->first[trace->workers_count] = count;
    sum_moments(sums);
}

/* Until a moment, by one worker. */
static int64_t busy_until(const struct sums *sums, unsigned worker, int64_t ns)
{
    size_t low = sums->first[worker], high = sums->first[worker + 1];
    const size_t first = low;
    const struct tool_event *event;
    int64_t length;
    double part;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (sums->work[middle]->event.begin_ns < ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == first)
        return 0;
    event = sums->work[low - 1];
    length = event->event.end_ns - event->event.begin_ns;
    part = length > 0 ? (double)(ns - event->event.begin_ns) / (double)length : 1;
    return tool_trace_sum(sums->before[low - 1],
                          (int64_t)((part < 1 ? part : 1) * (double)tool_event_busy(event)));
}

/* Until a moment, by all workers. */
static double all_busy_until(const struct sums *sums, int64_t ns)
{
    size_t low = 0, high = sums->moments_count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (sums->moments[middle].ns <= ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return 0;
    return sums->moments[low - 1].busy_ns +
           sums->moments[low - 1].rate * (double)(ns - sums->moments[low - 1].ns);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    const struct tool_traced_job *const *x = a, *const *y = b;
    const int order = strcmp((*x)->group, (*y)->group);

    return order != 0 ? order : (*x > *y) - (*x < *y);
}

/* Groups by name, in no order that means anything. */
static void make_groups(struct measure *measure)
{
    const struct tool_trace *trace = measure->trace;
    struct tool_trace_stats *stats = measure->stats;
    const struct tool_traced_job **jobs =
        tool_take(measure->heap, trace->jobs_count, sizeof(void *));

    stats->groups = tool_take(measure->heap, trace->jobs_count, sizeof(*stats->groups));
    stats->group_of_job = tool_take(measure->heap, trace->jobs_count, sizeof(size_t));
    for (size_t i = 0; i < trace->jobs_count; i++)
        jobs[i] = &trace->jobs[i];
    qsort(jobs, trace->jobs_count, sizeof(void *), compare_names);
    for (size_t i = 0; i < trace->jobs_count; i++) {
        if (i == 0 || strcmp(jobs[i]->group, jobs[i - 1]->group) != 0)
            stats->groups[stats->groups_count++] =
                (struct tool_job_group){.label = jobs[i]->group, .one = jobs[i]};
        stats->group_of_job[jobs[i] - trace->jobs] = stats->groups_count - 1;
    }
}

static int compare_groups(const void *a, const void *b)
{
    const struct tool_job_group *x = a, *y = b;

    if (x->busy_ns != y->busy_ns)
        return x->busy_ns > y->busy_ns ? -1 : 1;
    return strcmp(x->label, y->label);
}

static void sort_groups(struct measure *measure)
{
    struct tool_trace_stats *stats = measure->stats;
    const struct sums *sums = &measure->sums;
    size_t *places = tool_take(measure->heap, stats->groups_count, sizeof(*places));

    for (size_t i = 0; i < sums->first[measure->trace->workers_count]; i++) {
        const size_t group = tool_event_group(stats, sums->work[i]);

        if (group != SIZE_MAX)
            stats->groups[group].busy_ns =
                tool_trace_sum(stats->groups[group].busy_ns, tool_event_busy(sums->work[i]));
    }
    for (size_t i = 0; i < stats->groups_count; i++)
        stats->groups[i].first_work = i; /* where it was, for now */
    qsort(stats->groups, stats->groups_count, sizeof(*stats->groups), compare_groups);
    for (size_t i = 0; i < stats->groups_count; i++)
        places[stats->groups[i].first_work] = i;
    for (size_t i = 0; i < measure->trace->jobs_count; i++)
        stats->group_of_job[i] = places[stats->group_of_job[i]];
}

size_t tool_event_group(const struct tool_trace_stats *stats, const struct tool_event *event)
{
    return event->job != SIZE_MAX ? stats->group_of_job[event->job] : SIZE_MAX;
}

/* ---- a job ----------------------------------------------------------------------------------- */

/* Work as it lies in the stats: of one job, by worker. */
struct span {
    const struct tool_event **work;
    size_t count;
};

/* What one worker did of a job. */
static void measure_share(const struct measure *measure, struct tool_job_group *group,
                          struct span share, int64_t begin_ns, int64_t *busiest_ns)
{
    const struct sums *sums = &measure->sums;
    const unsigned worker = share.work[0]->worker;
    const int64_t first = share.work[0]->event.begin_ns;
    const int64_t before = busy_until(sums, worker, first);
    int64_t waking, gaps, busy = 0, last = first;

    for (size_t i = 0; i < share.count; i++) {
        busy = tool_trace_sum(busy, tool_event_busy(share.work[i]));
        last = share.work[i]->event.end_ns > last ? share.work[i]->event.end_ns : last;
    }
    waking = first - begin_ns - (before - busy_until(sums, worker, begin_ns));
    gaps = last - first - (busy_until(sums, worker, last) - before);
    group->waking_ns = tool_trace_sum(group->waking_ns, waking > 0 ? waking : 0);
    group->gaps_ns = tool_trace_sum(group->gaps_ns, gaps > 0 ? gaps : 0);
    *busiest_ns = busy > *busiest_ns ? busy : *busiest_ns;
}

static void find_ends(const struct measure *measure, struct span of_job, int64_t *begin_ns,
                      int64_t *end_ns)
{
    const struct tool_trace *trace = measure->trace;
    const struct weir__job_record *record = &trace->jobs[of_job.work[0]->job].record;

    *begin_ns = INT64_MAX;
    *end_ns = 0;
    for (size_t i = 0; i < of_job.count; i++) {
        const struct weir__event *event = &of_job.work[i]->event;

        *begin_ns = event->begin_ns < *begin_ns ? event->begin_ns : *begin_ns;
        *end_ns = event->end_ns > *end_ns ? event->end_ns : *end_ns;
    }
    if (record->number == 0)
        return;
    if (record->opened_ns < *begin_ns)
        *begin_ns = record->opened_ns > trace->begin_ns ? record->opened_ns : trace->begin_ns;
    if (record->closed_ns > *end_ns)
        *end_ns = record->closed_ns;
}

static void measure_job(const struct measure *measure, struct tool_job_group *group,
                        struct span of_job)
{
    int64_t begin, end, busiest = 0;
    double idle;

    find_ends(measure, of_job, &begin, &end);
    for (size_t at = 0, next; at < of_job.count; at = next) {
        for (next = at + 1; next < of_job.count; next++) {
            if (of_job.work[next]->worker != of_job.work[at]->worker)
                break;
        }
        measure_share(measure, group, (struct span){of_job.work + at, next - at}, begin, &busiest);
    }
    idle = (double)measure->trace->workers_count * (double)(end - begin) -
           (all_busy_until(&measure->sums, end) - all_busy_until(&measure->sums, begin));
    idle = idle < 0 ? 0 : idle > (double)(INT64_MAX / 4) ? (double)(INT64_MAX / 4) : idle;
    group->idle_ns = tool_trace_sum(group->idle_ns, (int64_t)idle);
    group->elapsed_ns = tool_trace_sum(group->elapsed_ns, end - begin);
    group->longest_ns = tool_trace_sum(group->longest_ns, busiest);
    group->begin_ns = group->jobs == 0 || begin < group->begin_ns ? begin : group->begin_ns;
    group->end_ns = end > group->end_ns ? end : group->end_ns;
    group->jobs++;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

struct cost {
    int64_t ns, chunks;
};

static int compare_costs(const void *a, const void *b)
{
    const struct cost *x = a, *y = b;

    return (x->ns > y->ns) - (x->ns < y->ns);
}

/* The smallest time than which so many of them take no longer. */
static int64_t quantile(const struct cost *costs, size_t count, int64_t chunks)
{
    size_t i = 0;

    for (int64_t seen = 0; i < count; i++) {
        seen = tool_trace_sum(seen, costs[i].chunks);
        if (seen >= chunks)
            break;
    }
    return costs[i < count ? i : count - 1].ns;
}

static void measure_chunks(struct tool_heap *heap, struct tool_job_group *group, struct span work)
{
    struct cost *costs = tool_take(heap, work.count, sizeof(*costs));
    size_t count = 0;

    for (size_t i = 0; i < work.count; i++) {
        const struct tool_event *event = work.work[i];
        const struct weir__event *raw = &event->event;

        group->failed += raw->kind == EVENT_CHUNK && (raw->flags & EVENT_FAILED) != 0;
        group->retried += raw->kind != EVENT_DEATH && raw->attempt > 1;
        if (raw->kind != EVENT_CHUNK)
            continue;
        costs[count++] = (struct cost){raw->chunk.busy_ns / raw->count, raw->count};
        group->chunks = tool_trace_sum(group->chunks, raw->count);
        if (group->slowest == NULL ||
            raw->chunk.longest_ns > group->slowest->event.chunk.longest_ns)
            group->slowest = event;
    }
    if (count == 0)
        return;
    qsort(costs, count, sizeof(*costs), compare_costs);
    group->median_ns = quantile(costs, count, group->chunks - group->chunks / 2);
    group->p95_ns = quantile(costs, count, group->chunks - group->chunks / 20);
}

static void measure_group(const struct measure *measure, struct tool_job_group *group)
{
    const struct span work = {measure->stats->work + group->first_work, group->work_count};

    if (work.count == 0)
        return;
    for (size_t at = 0, next; at < work.count; at = next) {
        for (next = at + 1; next < work.count; next++) {
            if (work.work[next]->job != work.work[at]->job)
                break;
        }
        measure_job(measure, group, (struct span){work.work + at, next - at});
    }
    measure_chunks(measure->heap, group, work);
}

/* ---- all ------------------------------------------------------------------------------------- */

/* An event with the number of its group, to sort by. */
struct keyed {
    size_t group;
    const struct tool_event *event;
};

/* Events lie by worker and begin. */
static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->event->job != y->event->job)
        return x->event->job < y->event->job ? -1 : 1;
    return (x->event > y->event) - (x->event < y->event);
}

static void sort_work(struct measure *measure)
{
    struct tool_trace_stats *stats = measure->stats;
    const size_t count = measure->sums.first[measure->trace->workers_count];
    struct keyed *keyed = tool_take(measure->heap, count + 1, sizeof(*keyed));

    for (size_t i = 0; i < count; i++) {
        const size_t group = tool_event_group(stats, measure->sums.work[i]);

        if (group != SIZE_MAX)
            keyed[stats->work_count++] = (struct keyed){group, measure->sums.work[i]};
    }
    qsort(keyed, stats->work_count, sizeof(*keyed), compare_keyed);
    stats->work = tool_take(measure->heap, count + 1, sizeof(void *));
    for (size_t i = 0; i < stats->groups_count; i++)
        stats->groups[i].first_work = stats->groups[i].work_count = 0;
    for (size_t i = 0; i < stats->work_count; i++) {
        struct tool_job_group *group = &stats->groups[keyed[i].group];

        stats->work[i] = keyed[i].event;
        if (group->work_count++ == 0)
            group->first_work = i;
    }
}

void tool_trace_measure(struct tool_trace_stats *stats, struct tool_heap *heap,
                        const struct tool_trace *trace)
{
    struct measure measure = {.stats = stats, .heap = heap, .trace = trace};

    *stats = (struct tool_trace_stats){0};
    make_sums(&measure.sums, heap, trace);
    make_groups(&measure);
    sort_groups(&measure);
    sort_work(&measure);
    for (size_t i = 0; i < stats->groups_count; i++)
        measure_group(&measure, &stats->groups[i]);
}
