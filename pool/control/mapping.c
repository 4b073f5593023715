/* SPDX-License-Identifier: MIT
 *
 * mapping.c: mapping the control block.
 *
 * The block is one shared mapping without reserve: a header with the slots, then the jobs, the
 * queue, the rings of a timeline, the control heap, and the regions for results. Only what is
 * touched takes memory, also where the program locks its memory, and none of it is in a core dump.
 * Where the address space, or what may be locked, is limited the rings are left out, and the pool
 * cannot be traced; then the heap and the regions shrink: the heap down to 1 MiB, a region to
 * nothing, and then each larger result is a block.
 *
 * Up to the rings it lies in a file of memory, if that can be had, in which other programs see it
 * (status.h). The heap and the regions are anonymous: a seal that keeps others from writing would
 * also keep the host from giving memory back.
 */
#include "pool/control/mapping.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pool/control/calls.h"
#include "pool/control/piece.h"
#include "pool/control/ring.h"
#include "shm/block/block.h"
#include "shm/block/lazy.h"
#include "shm/clock.h"
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
    size_t header, jobs, queue, rings, heap, maps, regions;
    uint32_t ring_events, region_words;
};

static size_t layout_size(const struct layout *layout)
{
    return layout->header + layout->jobs + layout->queue + layout->rings + layout->heap +
           layout->maps + layout->regions;
}

/* What other programs may see. */
static size_t layout_watched(const struct layout *layout)
{
    return layout->header + layout->jobs + layout->queue + layout->rings;
}

static bool may_write_file_of(size_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= size;
}

/* One a worker and the supervisor's, then the records of jobs. Where the file that holds them, or
 * the one to which they are written, may not be so large there are none. */
static void lay_rings(struct layout *layout, size_t workers)
{
    uint32_t events = WEIR__RING_EVENTS;

    while (events * (workers + 1) * sizeof(struct weir__event) > WEIR__RINGS_SIZE)
        events /= 2;
    layout->rings = round_up((workers + 1) * weir__ring_size(events) +
                             WEIR__JOB_RECORDS * sizeof(struct weir__job_record));
    layout->ring_events = events;
    if (!may_write_file_of(layout_watched(layout)))
        layout->rings = 0;
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
    if (layout->rings > 0) {
        control->rings = at;
        control->ring_events = layout->ring_events;
        control->job_records =
            (struct weir__job_record *)(at + ((size_t)control->workers + 1) *
                                                 weir__ring_size(layout->ring_events));
    }
    at += layout->rings;
    control->heap = at;
    control->heap_size = layout->heap;
    at += layout->heap;
    control->region_maps = (_Atomic uint64_t *)at;
    control->regions = at + layout->maps;
    control->region_words = layout->region_words;
}

/* ---- for who watches ------------------------------------------------------------------------ */

#ifndef F_SEAL_FUTURE_WRITE /* Linux 5.1 */
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* A file of `size` bytes; -1: there is none. Beyond its RLIMIT_FSIZE a process would get SIGXFSZ
 * here. */
static int make_watch_file(size_t size)
{
    int fd;

    if (!may_write_file_of(size))
        return -1;
    fd = weir__above_streams(weir__memory_file_unsealed(WEIR__STATUS_FILE));
    if (fd >= 0 && ftruncate(fd, (off_t)size) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* From now on nobody can write it but by a mapping that exists. */
static bool seal(int fd)
{
    return fchmod(fd, 0400) == 0 &&
           fcntl(fd, F_ADD_SEALS,
                 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0;
}

/* Puts the file in place of the mapping's first `size` bytes, which are empty. What cannot be kept
 * is not watched; false: there is no memory there any more (errno). */
static bool map_watched(void *at, size_t size, struct weir__descriptor *watch)
{
    bool mapped = true;
    int fd, error;

    weir__descriptors_lock();
    fd = make_watch_file(size);
    if (fd >= 0) {
        mapped = weir__map_lazily(at, size, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) != MAP_FAILED;
        error = errno;
        if (mapped && seal(fd)) {
            weir__descriptor_set(watch, fd);
            weir__descriptor_list(watch);
        } else {
            close(fd);
        }
        errno = error;
    }
    weir__descriptors_unlock();
    return mapped;
}

uint64_t weir__status_layout(void)
{
    const uint64_t of_build[] = {WEIR_VERSION_MAJOR,
                                 WEIR_VERSION_MINOR,
                                 WEIR_VERSION_PATCH,
                                 sizeof(struct weir__slot),
                                 sizeof(struct weir__job),
                                 sizeof(struct weir__queue),
                                 sizeof(struct weir__call),
                                 sizeof(struct weir__ring),
                                 sizeof(struct weir__event),
                                 sizeof(struct weir__job_record),
                                 offsetof(struct weir__control, meeting),
                                 offsetof(struct weir__control, slots)};
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < sizeof(of_build) / sizeof(of_build[0]); i++)
        hash = (hash ^ of_build[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void fill_status(struct weir__control *control, size_t watched)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    control->status = (struct weir__status){
        .version = WEIR__STATUS_VERSION,
        .size = sizeof(control->status),
        .layout = weir__status_layout(),
        .base = (uintptr_t)control,
        .mapped = watched,
        .host_pid = getpid(),
        .workers = (uint32_t)control->workers,
        .began_mono_ns = weir__now_ns(),
        .began_real_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec,
    };
}

void weir__control_show(struct weir__control *control, uint64_t scope, const char *name)
{
    struct weir__status *status = &control->status;

    status->scope = scope;
    weir__status_set_name(status->name, name);
    atomic_thread_fence(memory_order_release);
    memcpy(status->magic, WEIR__STATUS_MAGIC, sizeof(status->magic));
}

/* ---- making and ending ---------------------------------------------------------------------- */

struct weir__control *weir__control_new(int workers, bool jobs, struct weir__descriptor *watch)
{
    struct layout layout = {
        .header = round_up(sizeof(struct weir__control) +
                           ((size_t)workers + 1) * sizeof(struct weir__slot)),
        .jobs = jobs ? round_up(WEIR__JOBS_MAX * sizeof(struct weir__job)) : 0,
        .queue = jobs ? round_up(sizeof(struct weir__queue)) : 0,
        .heap = jobs ? HEAP_SIZE : 0,
    };
    struct weir__control *control;

    if (jobs && watch != NULL)
        lay_rings(&layout, (size_t)workers);
    if (jobs)
        lay_regions(&layout, (size_t)workers, REGIONS_SIZE);
    while ((control = weir__map_lazily(NULL, layout_size(&layout), PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) ==
           MAP_FAILED) {
        if (layout.rings > 0) {
            layout.rings = 0;
            continue;
        }
        if (layout.heap / 2 < HEAP_SIZE_MIN)
            return weir__fail_null(-ENOMEM,
                                   "no address space for a pool's control block of %zu bytes%s",
                                   layout_size(&layout), weir__lock_hint(errno).text);
        layout.heap /= 2;
        lay_regions(&layout, (size_t)workers, layout.heap);
    }
    if (watch != NULL && !map_watched(control, layout_watched(&layout), watch)) {
        const struct weir__lock_hint hint = weir__lock_hint(errno);

        munmap(control, layout_size(&layout));
        return weir__fail_null(-ENOMEM, "no memory for a pool's control block%s", hint.text);
    }
    weir__set_dump(control, layout_size(&layout), false);
    control->workers = workers;
    control->host_pid = getpid();
    control->event_fd = -1;
    control->watch_fd = -1;
    control->trace_fd = -1;
    if (watch != NULL) {
        control->watch_fd = watch->fd;
        control->watch_device = watch->device;
        control->watch_inode = watch->inode;
    }
    fill_status(control, layout_watched(&layout));
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
