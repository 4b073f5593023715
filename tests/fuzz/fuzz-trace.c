/* SPDX-License-Identifier: MIT
 *
 * A trace file of any content: what the program weir reads of it stays within what it promises, and
 * each of its outputs ends.
 *
 * Input: how long the file is (4 bytes; 0: as it is), then pieces of it: a place (4 bytes), a
 * length (1), bytes. All else is as a pool of three workers with two jobs has it.
 */
#include "fuzz.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/control/control.h"
#include "pool/tool/timeline.h"

enum { WORKERS = 3, EVENTS = 6, BEGAN = 1000000 };

static struct {
    struct weir__trace_head head;
    struct weir__job_record jobs[2];
    struct {
        struct weir__ring_head head;
        struct weir__event events[EVENTS];
    } rings[WORKERS + 1];
} image;

static char path[64];
static int file = -1;

/* ---- a trace --------------------------------------------------------------------------------- */

static void make_job(unsigned place, uint64_t number, const char *name)
{
    struct weir__job_record *job = &image.jobs[place];

    *job = (struct weir__job_record){.number = number,
                                     .opened_ns = BEGAN + 10,
                                     .closed_ns = BEGAN + 5000,
                                     .range_begin = -50,
                                     .range_end = 50,
                                     .grain = 10,
                                     .count = 10,
                                     .does = DOES_FOR};
    strcpy(job->name, name);
}

static void make_events(unsigned worker)
{
    struct weir__event *events = image.rings[worker].events;

    for (int i = 0; i < EVENTS; i++)
        events[i] = (struct weir__event){.begin_ns = BEGAN + 100 + 500 * i,
                                         .end_ns = BEGAN + 500 + 500 * i,
                                         .job = 1,
                                         .kind = EVENT_CHUNK,
                                         .attempt = (uint16_t)(1 + i % 2),
                                         .count = (uint32_t)(1 + i % 3),
                                         .chunk = {.first = i, .busy_ns = 400, .longest_ns = 300}};
    events[1].kind = EVENT_SPAN;
    strcpy(events[1].user.text, "a span");
    events[2].kind = EVENT_COUNT;
    strcpy(events[2].user.text, "a count");
}

static void make_deaths(void)
{
    struct weir__event *events = image.rings[WORKERS].events;

    for (unsigned i = 0; i < EVENTS; i++)
        events[i] = (struct weir__event){.begin_ns = BEGAN + 3200,
                                         .end_ns = BEGAN + 3500,
                                         .job = 2,
                                         .kind = (uint8_t)(EVENT_START + i % 3),
                                         .flags = EVENT_AGAIN,
                                         .worker = {.chunk = i, .slot = i % WORKERS, .pid = 99}};
}

/* All of it is read: else nothing below would be tried. */
static void hold_read(void)
{
    struct tool_heap heap = {0};
    struct tool_trace trace;
    const char *why;

    HOLD(tool_trace_read(&trace, &heap, path, &why));
    HOLD(trace.events_count == (WORKERS + 1) * EVENTS && trace.dropped == 0);
    HOLD(trace.workers_count == WORKERS && trace.jobs_count == 3);
    tool_heap_free(&heap);
}

static void prepare(void)
{
    image.head = (struct weir__trace_head){.magic = WEIR__TRACE_MAGIC,
                                           .version = WEIR__TRACE_VERSION,
                                           .size = sizeof image.head,
                                           .file_size = sizeof image,
                                           .jobs = 2,
                                           .workers = WORKERS,
                                           .supervisor_pid = 42,
                                           .began_mono_ns = BEGAN,
                                           .traced_ns = BEGAN,
                                           .written_ns = BEGAN + 10000,
                                           .name = "a pool"};
    make_job(0, 1, "a job");
    make_job(1, 2, "");
    for (unsigned i = 0; i <= WORKERS; i++)
        image.rings[i].head.events = EVENTS;
    for (unsigned i = 0; i < WORKERS; i++)
        make_events(i);
    make_deaths();
    file = memfd_create("trace", MFD_CLOEXEC);
    HOLD(file >= 0 && write(file, &image, sizeof image) == (ssize_t)sizeof image);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    hold_read();
}

/* ---- the file -------------------------------------------------------------------------------- */

static void change(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    const uint64_t end = fuzz_number(&input, 4);
    unsigned char piece[FUZZ_CHANGE_MAX];

    HOLD(pwrite(file, &image, sizeof image, 0) == (ssize_t)sizeof image);
    while (input.left > 0) {
        uint64_t place;
        const size_t length = fuzz_change(&input, piece, sizeof image, &place);

        HOLD(pwrite(file, piece, length, (off_t)place) == (ssize_t)length);
    }
    HOLD(ftruncate(file, (off_t)(end > 0 ? end % (2 * sizeof image) : sizeof image)) == 0);
}

/* ---- what holds ------------------------------------------------------------------------------ */

static void hold_harmless(const char *text)
{
    for (; *text != '\0'; text++)
        HOLD((unsigned char)*text >= ' ' && *text != 127);
}

static void hold_event(const struct tool_trace *trace, const struct tool_event *event)
{
    const struct tool_traced_job *job = tool_event_job(trace, event);
    const weir_range range = tool_traced_range(job, tool_event_chunk(event));
    const int64_t length = event->event.end_ns - event->event.begin_ns;

    HOLD(event->worker < trace->workers_count);
    HOLD(event->job == SIZE_MAX || event->job < trace->jobs_count);
    HOLD(event->event.begin_ns >= trace->begin_ns && event->event.end_ns <= trace->end_ns);
    HOLD(length >= 0 && tool_event_busy(event) >= 0 && tool_event_busy(event) <= length);
    HOLD(tool_event_count(event) >= 1 && event->event.attempt >= 1);
    HOLD(range.begin <= range.end);
    if (event->event.kind == EVENT_SPAN || event->event.kind == EVENT_COUNT)
        hold_harmless(event->text);
}

static void hold_trace(const struct tool_trace *trace)
{
    size_t count = 0;

    hold_harmless(trace->name);
    HOLD(trace->workers_count >= 1 && trace->workers_count <= WEIR_WORKERS_MAX);
    for (size_t i = 0; i < trace->jobs_count; i++)
        hold_harmless(trace->jobs[i].label);
    for (size_t i = 0; i < trace->workers_count; i++) {
        const struct tool_traced_worker *worker = &trace->workers[i];

        HOLD(worker->first == count);
        count += worker->count;
    }
    HOLD(count == trace->events_count);
    for (size_t i = 0; i < count; i++) {
        const struct tool_event *event = &trace->events[i];

        hold_event(trace, event);
        HOLD(i == 0 || event[-1].worker < event->worker ||
             (event[-1].worker == event->worker &&
              event[-1].event.begin_ns <= event->event.begin_ns));
    }
}

/* Each output has something, and the picture is not too large. */
static void hold_outputs(struct tool_heap *heap, const struct tool_trace *trace)
{
    char *text = NULL;
    size_t size = 0;

    for (int i = 0; i < 5; i++) {
        FILE *to = open_memstream(&text, &size);

        HOLD(to != NULL);
        if (i == 0)
            tool_trace_summary(heap, trace, (struct tool_what_if){0}, to);
        else if (i == 1)
            tool_trace_summary(heap, trace, (struct tool_what_if){.chunks = 50, .workers = 9}, to);
        else if (i == 2)
            tool_trace_json(heap, trace, to);
        else if (i == 3)
            tool_trace_html(heap, trace, to);
        else
            tool_trace_svg(heap, trace, to);
        HOLD(fclose(to) == 0 && size > 0 && size <= (size_t)2 << 20);
        free(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tool_heap heap = {0};
    struct tool_trace trace;
    const char *why = NULL;

    if (file < 0)
        prepare();
    change(data, size);
    if (tool_trace_read(&trace, &heap, path, &why)) {
        hold_trace(&trace);
        hold_outputs(&heap, &trace);
    } else {
        HOLD(why != NULL);
        hold_harmless(why);
    }
    tool_heap_free(&heap);
    return 0;
}

/* ---- the first inputs ------------------------------------------------------------------------ */

static void seed_of(const char *folder, const char *name, const void *member, uint8_t length,
                    uint64_t bytes)
{
    const uint32_t place = (uint32_t)((const char *)member - (const char *)&image);
    unsigned char input[4 + 4 + 1 + 8] = {0};

    memcpy(input + 4, &place, 4);
    input[8] = length;
    memcpy(input + 9, &bytes, 8);
    fuzz_seed(folder, name, input, 9 + (size_t)length);
}

void fuzz_seeds(const char *folder)
{
    const struct weir__event *event = image.rings[0].events;

    fuzz_seed(folder, "as-it-is", "\0\0\0\0", 4);
    fuzz_seed(folder, "cut", "\0\1\0\0", 4);
    seed_of(folder, "jobs", &image.head.jobs, 8, UINT64_MAX);
    seed_of(folder, "workers", &image.head.workers, 4, 1024);
    seed_of(folder, "began", &image.head.began_mono_ns, 8, INT64_MAX);
    seed_of(folder, "written", &image.head.written_ns, 8, INT64_MAX / 4);
    seed_of(folder, "events", &image.rings[0].head.events, 8, UINT64_MAX / 64 + 1);
    seed_of(folder, "lost", &image.rings[0].head.lost, 8, UINT64_MAX);
    seed_of(folder, "count", &image.jobs[0].count, 8, 1 << 24);
    seed_of(folder, "grain", &image.jobs[0].grain, 8, UINT64_MAX);
    seed_of(folder, "range", &image.jobs[0].range_begin, 8, (uint64_t)INT64_MIN);
    seed_of(folder, "name", image.jobs[0].name, 4, UINT64_C(0x1b1b1b1b));
    seed_of(folder, "end", &event->end_ns, 8, BEGAN + 9000);
    seed_of(folder, "kind", &event->kind, 1, EVENT_COUNT);
    seed_of(folder, "together", &event->count, 4, UINT32_MAX);
    seed_of(folder, "first", &event->chunk.first, 8, INT64_MAX);
    seed_of(folder, "busy", &event->chunk.busy_ns, 8, INT64_MAX);
    seed_of(folder, "slot", &image.rings[WORKERS].events[0].worker.slot, 4, UINT32_MAX);
}
