/* SPDX-License-Identifier: MIT
 *
 * mapping.c: mapping the control block.
 *
 * The block is one anonymous shared mapping without reserve: a header with the slots, then the
 * jobs, the queue, the control heap, and the regions for results. Only what is touched takes
 * memory, also where the program locks its memory, and none of it is in a core dump. Where the
 * address space, or what may be locked, is limited the heap and the regions shrink: the heap down
 * to 1 MiB, a region to nothing, and then each larger result is a block.
 */
#include "pool/control/mapping.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/control/calls.h"
#include "pool/control/piece.h"
#include "shm/block/lazy.h"
#include "shm/error.h"

#include "pool/control/no_malloc.h"

#define REGIONS_SIZE  ((size_t)256 << 20) /* of all workers' together */
#define REGION_MAX    ((size_t)64 << 20)
#define REGION_UNIT   ((size_t)64 << 10) /* the largest page of a Linux kernel (arm64, ppc64) */
#define HEAP_SIZE     ((size_t)256 << 20)
#define HEAP_SIZE_MIN ((size_t)1 << 20)

static_assert(WEIR_WORKERS_MAX <= 2048 && REGION_MAX / WEIR__UNIT < 1 << 24,
              "a word can name every piece");
static_assert(WEIR_WORKERS_MAX + 1 <= CELL_OWNER_MAX, "a cell can name every slot");
static_assert(WEIR__CHUNKS_MAX <= (int64_t)ACTIVITY_SETTLED, "all chunks can be counted");
static_assert(sizeof(struct weir__meeting) == WEIR__LINE, "a meeting is one cache line");
static_assert(WEIR__JOBS_MAX == WEIR_WORKERS_MAX * 4, "as many words for jobs as there are");
static_assert(offsetof(struct weir__job, kind) == WEIR__LINE,
              "what a worker reads on its way into a job is one cache line");
static_assert(sizeof(weir__cell) == 8 && ATOMIC_LLONG_LOCK_FREE == 2,
              "cells are lock-free in every process");

static size_t round_up(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

/* The parts of the mapping, in their order. */
struct layout {
    size_t header, jobs, queue, heap, maps, regions;
    uint32_t region_words;
};

static size_t layout_size(const struct layout *layout)
{
    return layout->header + layout->jobs + layout->queue + layout->heap + layout->maps +
           layout->regions;
}

static void lay_regions(struct layout *layout, size_t workers, size_t size)
{
    const size_t word = (size_t)WEIR__WORD_UNITS * WEIR__UNIT;
    const size_t of_one = size / workers < REGION_MAX ? size / workers : REGION_MAX;

    layout->region_words = (uint32_t)(of_one / REGION_UNIT * REGION_UNIT / word);
    layout->maps = round_up(workers * layout->region_words * sizeof(uint64_t));
    layout->regions = workers * layout->region_words * word;
}

static void place_parts(struct weir__control *control, const struct layout *layout)
{
    unsigned char *at = (unsigned char *)control + layout->header;

    control->jobs = (struct weir__job *)at;
    at += layout->jobs;
    control->queue = (struct weir__queue *)at;
    at += layout->queue;
    control->heap = at;
    control->heap_size = layout->heap;
    at += layout->heap;
    control->region_maps = (_Atomic uint64_t *)at;
    control->regions = at + layout->maps;
    control->region_words = layout->region_words;
}

struct weir__control *weir__control_new(int workers, bool jobs)
{
    struct layout layout = {
        .header = round_up(sizeof(struct weir__control) +
                           ((size_t)workers + 1) * sizeof(struct weir__slot)),
        .jobs = jobs ? round_up(WEIR__JOBS_MAX * sizeof(struct weir__job)) : 0,
        .queue = jobs ? round_up(sizeof(struct weir__queue)) : 0,
        .heap = jobs ? HEAP_SIZE : 0,
    };
    struct weir__control *control;

    if (jobs)
        lay_regions(&layout, (size_t)workers, REGIONS_SIZE);
    while ((control = weir__map_lazily(NULL, layout_size(&layout), PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) ==
           MAP_FAILED) {
        if (layout.heap / 2 < HEAP_SIZE_MIN)
            return weir__fail_null(-ENOMEM,
                                   "no address space for a pool's control block of %zu bytes%s",
                                   layout_size(&layout), weir__lock_hint(errno).text);
        layout.heap /= 2;
        lay_regions(&layout, (size_t)workers, layout.heap);
    }
    weir__set_dump(control, layout_size(&layout), false);
    control->workers = workers;
    control->host_pid = getpid();
    control->event_fd = -1;
    atomic_init(&control->look_ns, INT64_MAX);
    control->size = layout_size(&layout);
    if (jobs)
        place_parts(control, &layout);
    return control;
}

void weir__control_free(struct weir__control *control)
{
    if (control != NULL)
        munmap(control, control->size);
}

/* Of the system, which may have pages of 16 or 64 KiB: half a page that is given back takes the
 * other half's memory along. */
static uintptr_t page_size(void)
{
    return (uintptr_t)sysconf(_SC_PAGESIZE);
}

void weir__give_back_pages(void *memory, size_t size)
{
    const uintptr_t page = page_size(), begin = (uintptr_t)memory;
    const uintptr_t from = (begin + page - 1) & ~(page - 1), to = (begin + size) & ~(page - 1);

    if (from < to)
        weir__remove_pages((void *)from, to - from);
}
