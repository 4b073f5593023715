/* SPDX-License-Identifier: MIT
 *
 * pool.h: the host's private side of a pool.
 */
#ifndef WEIR_POOL_INTERNAL_H
#define WEIR_POOL_INTERNAL_H

#include <pthread.h>

#include "manager/internal.h"
#include "pool/arena.h"
#include "pool/control.h"
#include "pool/fork.h"

/* What the host knows of a job besides the shared record; the same index. */
struct weir__held {
    weir__cell *cells; /* in the arena, or NULL: inline */
    size_t cells_size;
    void *arg; /* in the arena, or NULL */
    size_t arg_size;
    int64_t cursor; /* cells below it are known to be final */
    bool cold;      /* a worker had to be woken for it */
};

struct weir_pool {
    weir_manager *manager;
    struct weir__control *control;
    struct weir__detached supervisor;
    struct weir__on_end on_end; /* stops the pool when the scope ends */
    const uint32_t *mine;       /* 1 here, 0 in a forked child (MADV_WIPEONFORK) */

    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t idle;  /* open has become 0 */
    int open;             /* jobs that are open: closing one is the last thing its caller does */
    struct weir__arena arena;
    struct weir__held *held; /* WEIR__JOBS_MAX */
    uint16_t *vacant;        /* stack of job indices */
    int vacant_count;

    _Atomic bool supervisor_gone;
};

/* ---- job.c: the host's side of one job ------------------------------------------------------ */

/* What a job is, before it has memory. */
struct weir__job_spec {
    weir_range range;
    weir_task_fn function;
    void *arg;
    size_t arg_size;
    int64_t count, grain;
    unsigned retries;
    bool keep_going;
};

/* Gives the job memory and shows it to the workers. Returns its index or a negative error. */
int weir__job_open(weir_pool *pool, const struct weir__job_spec *spec);
/* Waits until all its chunks are final (stopping it if it is to stop). */
void weir__job_wait(weir_pool *pool, int index);
/* The job's result, as weir_pool_for() returns it; sets the last error. */
int weir__job_result(weir_pool *pool, int index);
/* Takes the job away; its memory is reused once no worker looks at it any more. */
void weir__job_close(weir_pool *pool, int index);

#endif
