/* SPDX-License-Identifier: MIT
 *
 * control.c: mapping the control block, and the few things about it that host and workers share.
 *
 * The block is one anonymous shared mapping without reserve: a header with the slots, then the
 * jobs, then the control heap. Only what is touched takes memory. Where the address space is limited the
 * heap shrinks, down to 1 MiB.
 */
#include "pool/control/control.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/control/calls.h"
#include "pool/control/park.h"
#include "shm/error.h"

#define HEAP_SIZE     ((size_t)256 << 20)
#define HEAP_SIZE_MIN ((size_t)1 << 20)

static_assert(WEIR_WORKERS_MAX + 1 <= CELL_OWNER_MAX, "a cell can name every slot");
static_assert(WEIR__CHUNKS_MAX <= (int64_t)ACTIVITY_SETTLED, "all chunks can be counted");
static_assert(sizeof(struct weir__meeting) == WEIR__LINE, "a meeting is one cache line");
static_assert(WEIR__JOBS_MAX == WEIR_WORKERS_MAX * 4, "as many words for jobs as there are");
static_assert(offsetof(struct weir__job, run) == WEIR__LINE,
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

    for (;;) {
        control = mmap(NULL, header + job_size + queue_size + heap, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (control != MAP_FAILED)
            break;
        if (heap / 2 < HEAP_SIZE_MIN) {
            weir__fail(-ENOMEM, "no address space for a pool's control block of %zu bytes",
                       header + job_size + queue_size + heap);
            return NULL;
        }
        heap /= 2;
    }
    control->workers = workers;
    control->event_fd = -1;
    control->size = header + job_size + queue_size + heap;
    if (jobs) {
        control->jobs = (struct weir__job *)((unsigned char *)control + header);
        control->queue = (struct weir__queue *)((unsigned char *)control + header + job_size);
        weir__calls_init(control);
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

void weir__job_cut(struct weir__job *job, int64_t grain)
{
    uint64_t length = (uint64_t)job->range.end - (uint64_t)job->range.begin;

    job->grain = grain > 0 ? (uint64_t)grain : length / (uint64_t)job->count;
    job->longer = grain > 0 ? 0 : (int64_t)(length % (uint64_t)job->count);
}

weir_range weir__job_chunk(const struct weir__job *job, int64_t chunk)
{
    /* unsigned: a range may be longer than INT64_MAX, but its ends never leave [begin, end] */
    uint64_t begin = (uint64_t)job->range.begin, length = (uint64_t)job->range.end - begin;
    uint64_t from =
        (uint64_t)chunk * job->grain + (uint64_t)(chunk < job->longer ? chunk : job->longer);
    uint64_t size = job->grain + (chunk < job->longer);

    if (size > length - from)
        size = length - from;
    return (weir_range){(int64_t)(begin + from), (int64_t)(begin + from + size)};
}

void weir__event_write(struct weir__control *control)
{
    const uint64_t one = 1;
    int before = errno;
    ssize_t put = write(control->event_fd, &one, sizeof(one));

    (void)put; /* it can only fail because it is as readable as can be */
    errno = before;
}

void weir__event_ring(struct weir__control *control)
{
    /* seq_cst; pairs with attach.c, drain(): what was told before an exchange that finds 1 is seen
     * by the host, whose exchange comes after it */
    if (atomic_exchange(&control->event, 1) == 0)
        weir__event_write(control);
}

void weir__host_wake(struct weir__control *control)
{
    atomic_fetch_add(&control->host_bell, 1);
    weir__futex_wake(&control->host_bell, INT32_MAX);
}

void weir__host_notify(struct weir__control *control, uint32_t waiting, _Atomic uint64_t *notified,
                       unsigned bit)
{
    if (waiting & WAITING_EVENT) {
        atomic_fetch_or(notified, UINT64_C(1) << bit);
        weir__event_ring(control);
    }
    if (waiting & WAITING_ASLEEP)
        weir__host_wake(control);
}

void weir__host_ring(struct weir__control *control, struct weir__job *job)
{
    /* seq_cst; pairs with job_wait() and weir_future_then(): they set waiting, then look at the job
     * once more */
    uint32_t waiting = atomic_load(&job->waiting);
    unsigned index = (unsigned)(job - control->jobs);

    if (waiting != 0)
        weir__host_notify(control, waiting, &control->notified[index / 64], index % 64);
}
