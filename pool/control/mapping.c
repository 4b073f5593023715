/* SPDX-License-Identifier: MIT
 *
 * mapping.c: mapping the control block.
 *
 * The block is one anonymous shared mapping without reserve: a header with the slots, then the
 * jobs, then the control heap. Only what is touched takes memory, also where the program locks its
 * memory, and none of it is in a core dump. Where the address space, or what may be locked, is
 * limited the heap shrinks, down to 1 MiB.
 */
#include "pool/control/mapping.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/control/calls.h"
#include "shm/block/lazy.h"
#include "shm/error.h"

#include "pool/control/no_malloc.h"

#define HEAP_SIZE     ((size_t)256 << 20)
#define HEAP_SIZE_MIN ((size_t)1 << 20)

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

struct weir__control *weir__control_new(int workers, bool jobs)
{
    size_t header =
        round_up(sizeof(struct weir__control) + ((size_t)workers + 1) * sizeof(struct weir__slot));
    size_t job_size = jobs ? round_up(WEIR__JOBS_MAX * sizeof(struct weir__job)) : 0;
    size_t queue_size = jobs ? round_up(sizeof(struct weir__queue)) : 0;
    size_t heap = jobs ? HEAP_SIZE : 0;
    struct weir__control *control;

    while ((control = weir__map_lazily(
                NULL, header + job_size + queue_size + heap, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) == MAP_FAILED) {
        if (heap / 2 < HEAP_SIZE_MIN)
            return weir__fail_null(
                -ENOMEM, "no address space for a pool's control block of %zu bytes%s",
                header + job_size + queue_size + heap, weir__lock_hint(errno).text);
        heap /= 2;
    }
    weir__set_dump(control, header + job_size + queue_size + heap, false);
    control->workers = workers;
    control->host_pid = getpid();
    control->event_fd = -1;
    atomic_init(&control->look_ns, INT64_MAX);
    control->size = header + job_size + queue_size + heap;
    if (jobs) {
        control->jobs = (struct weir__job *)((unsigned char *)control + header);
        control->queue = (struct weir__queue *)((unsigned char *)control + header + job_size);
        control->heap = (unsigned char *)control + header + job_size + queue_size;
        control->heap_size = heap;
    }
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
