/* SPDX-License-Identifier: MIT
 *
 * A pool's file of any content: what the program weir reads of it stays within what it promises,
 * and no control character of a name comes out.
 *
 * Input: how long the file is, then pieces of it: a place (4 bytes), a length (1), bytes. All else
 * is as a pool of three workers with two jobs and calls in its queue has it.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pool/control/calls.h"
#include "pool/control/control.h"
#include "pool/control/mapping.h"
#include "pool/tool/describe.h"
#include "pool/tool/pools.h"

enum { WORKERS = 3, JOBS = 4 };

#define BASE UINT64_C(0x7f0000000000)

/* A control block: the slots are its end. */
static struct {
    alignas(WEIR__LINE) unsigned char header[offsetof(struct weir__control, slots) +
                                             (WORKERS + 1) * sizeof(struct weir__slot)];
    struct weir__job jobs[JOBS];
    struct weir__queue queue;
} image;

static struct weir__control *const control = (struct weir__control *)image.header;
static int file = -1;

/* ---- a pool ---------------------------------------------------------------------------------- */

static uint64_t place_in_image(const void *member)
{
    return (uint64_t)((const char *)member - (const char *)&image);
}

static void make_pool(void)
{
    control->status = (struct weir__status){
        .magic = WEIR__STATUS_MAGIC,
        .version = WEIR__STATUS_VERSION,
        .size = sizeof(struct weir__status),
        .layout = weir__status_layout(),
        .base = BASE,
        .mapped = sizeof image,
        .workers = WORKERS,
        .name = "a pool",
    };
    control->workers = WORKERS;
    control->jobs = (struct weir__job *)(BASE + place_in_image(image.jobs));
    control->queue = (struct weir__queue *)(BASE + place_in_image(&image.queue));
    atomic_init(&control->jobs_used, JOBS);
}

static void make_job(unsigned place, int64_t count, bool own_cells)
{
    struct weir__job *job = &image.jobs[place];

    atomic_init(&job->state, JOB_OPEN);
    atomic_init(&job->stop, UINT64_C(7) << STOP_NUMBER_SHIFT);
    atomic_init(&job->activity, UINT64_C(2) << ACTIVITY_SETTLED_SHIFT);
    job->count = count;
    job->does = DOES_FOR;
    job->named = true;
    strcpy(job->name, "a job");
    job->range = (weir_range){-50, 50};
    job->grain = (uint64_t)(100 / count);
    job->opened_ns = 1;
    job->cells = own_cells ? (weir__cell *)(BASE + place_in_image(job->inline_cells)) : NULL;
}

static void make_worker(unsigned number, uint32_t job, int64_t chunk)
{
    struct weir__slot *slot = &control->slots[number];

    atomic_init(&slot->pid, (int32_t)(100 + number));
    atomic_init(&slot->state, SLOT_READY);
    atomic_init(&slot->incarnation, 1);
    atomic_init(&slot->job, job);
    atomic_init(&slot->chunk, chunk);
}

/* All of it is read: else nothing below would be tried. */
static void hold_read(void)
{
    struct tool_heap heap = {0};
    struct tool_pool pool = {0};

    HOLD(tool_pool_read(&pool, &heap, file, true) && pool.why == NULL);
    HOLD(pool.jobs_count == 3 && pool.workers_count == WORKERS);
    for (int i = 1; i < WORKERS; i++)
        HOLD(pool.workers[i].work == TOOL_RUNNING && pool.workers[i].job >= 0);
    HOLD(pool.workers[1].range.begin == -10 && pool.workers[1].range.end == 0);
    tool_heap_free(&heap);
}

static void prepare(void)
{
    make_pool();
    make_job(1, 10, true);
    make_job(2, 1000, false);
    atomic_init(&image.jobs[WEIR__QUEUE_JOB].state, JOB_OPEN);
    atomic_init(&image.queue.tail, UINT64_C(5) << QUEUE_POSITION_SHIFT);
    make_worker(0, WEIR__QUEUE_JOB + 1, 3);
    make_worker(1, 2, 4);
    make_worker(2, 3, 500);
    file = memfd_create("status", MFD_CLOEXEC);
    HOLD(file >= 0 && write(file, &image, sizeof image) == (ssize_t)sizeof image);
    hold_read();
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Writes the input's pieces, or what stood there before; returns where the file is to end. */
static uint64_t put_pieces(const uint8_t *data, size_t size, bool before)
{
    struct fuzz_input input = {data, size};
    const uint64_t end = fuzz_number(&input, 4);
    unsigned char piece[FUZZ_CHANGE_MAX];

    while (input.left > 0) {
        uint64_t place;
        const size_t length = fuzz_change(&input, piece, sizeof image, &place);

        HOLD(pwrite(file, before ? (const char *)&image + place : (char *)piece, length,
                    (off_t)place) == (ssize_t)length);
    }
    return end > 0 && end < sizeof image ? end : sizeof image;
}

static void change(const uint8_t *data, size_t size)
{
    HOLD(ftruncate(file, (off_t)put_pieces(data, size, false)) == 0);
}

static void restore(const uint8_t *data, size_t size)
{
    const uint64_t end = put_pieces(data, size, true);

    HOLD(pwrite(file, (const char *)&image + end, sizeof image - end, (off_t)end) ==
         (ssize_t)(sizeof image - end));
}

/* ---- what holds ------------------------------------------------------------------------------ */

static void hold_harmless(const char *text)
{
    for (; *text != '\0'; text++)
        HOLD((unsigned char)*text >= ' ' && *text != 127);
}

static void hold_job(const struct tool_job *job)
{
    hold_harmless(job->name);
    hold_harmless(job->kind);
    HOLD(job->place < WEIR__JOBS_MAX);
    HOLD(job->total >= 0 && job->done >= 0 && job->done <= job->total);
    HOLD(job->waiting >= 0 && job->running >= 0);
    HOLD(job->for_ns >= -1 && job->left_ns >= 0 && job->chunk_timeout_ns >= 0);
}

static void hold_worker(const struct tool_pool *pool, const struct tool_worker *worker)
{
    HOLD(worker->job >= -1 && worker->job < (int64_t)pool->jobs_count);
    HOLD(worker->for_ns >= -1);
    HOLD(worker->work == TOOL_RUNNING || worker->attempt == 0);
    hold_harmless(tool_work_name(worker->work));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tool_heap heap = {0};
    struct tool_pool pool = {0};

    if (file < 0)
        prepare();
    change(data, size);
    if (tool_pool_read(&pool, &heap, file, true)) {
        json_t *json = tool_pool_json(&heap, &pool);

        HOLD(json != NULL);
        json_decref(json);
        hold_harmless(pool.name);
        HOLD(pool.workers_count <= WEIR_WORKERS_MAX && pool.jobs_count <= WEIR__JOBS_MAX);
        HOLD(pool.why == NULL || pool.workers_count == 0);
        for (size_t i = 0; i < pool.jobs_count; i++)
            hold_job(&pool.jobs[i]);
        for (size_t i = 0; i < pool.workers_count; i++)
            hold_worker(&pool, &pool.workers[i]);
    }
    tool_heap_free(&heap);
    restore(data, size);
    return 0;
}

/* ---- the first inputs ------------------------------------------------------------------------ */

static void seed_of(const char *folder, const char *name, uint32_t cut, const void *member,
                    uint8_t length, uint64_t bytes)
{
    const uint32_t place = (uint32_t)place_in_image(member);
    unsigned char input[4 + 4 + 1 + 8];

    memcpy(input, &cut, 4);
    memcpy(input + 4, &place, 4);
    input[8] = length;
    memcpy(input + 9, &bytes, 8);
    fuzz_seed(folder, name, input, 9 + (size_t)length);
}

void fuzz_seeds(const char *folder)
{
    fuzz_seed(folder, "as-it-is", "\0\0\0\0", 4);
    fuzz_seed(folder, "cut", "\0\1\0\0", 4);
    seed_of(folder, "jobs", 0, &control->jobs, 8, UINT64_MAX);
    seed_of(folder, "used", 0, &control->jobs_used, 4, UINT32_MAX);
    seed_of(folder, "base", 0, &control->status.base, 8, 1);
    seed_of(folder, "workers", 0, &control->workers, 4, INT32_MAX);
    seed_of(folder, "chunk", 0, &control->slots[1].chunk, 8, UINT64_MAX);
    seed_of(folder, "job", 0, &control->slots[1].job, 4, 3);
    seed_of(folder, "started", 0, &control->slots[2].started_ns, 8, INT64_MAX);
    seed_of(folder, "count", 0, &image.jobs[1].count, 8, INT64_MAX);
    seed_of(folder, "range", 0, &image.jobs[1].range, 8, (uint64_t)INT64_MIN);
    seed_of(folder, "opened", 0, &image.jobs[1].opened_ns, 8, (uint64_t)INT64_MIN);
    seed_of(folder, "name", 0, image.jobs[1].name, 4, UINT64_C(0x1b1b1b1b));
    seed_of(folder, "named", 0, &image.jobs[1].named, 1, 196);
    seed_of(folder, "tail", 0, &image.queue.tail, 8, UINT64_MAX);
}
