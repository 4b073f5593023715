/* SPDX-License-Identifier: MIT
 *
 * pools.h: the pools of this machine, their workers and their jobs, as their status pages say.
 */
#ifndef WEIR_TOOL_POOLS_H
#define WEIR_TOOL_POOLS_H

#include <stdint.h>
#include <weir.h>

#include "pool/control/status.h"
#include "pool/tool/processes.h"
#include "pool/tool/scopes.h"

enum tool_work {
    TOOL_NO_PROCESS, /* in this place */
    TOOL_BROKEN,     /* could not be started, and is not tried again */
    TOOL_STARTING,   /* not ready yet: in the initializer */
    TOOL_IDLE,
    TOOL_RUNNING,
    /* What the kernel says of a process takes precedence. */
    TOOL_STOPPED, /* by a signal, or a debugger */
    TOOL_WAITING, /* for a disk or another device, uninterruptibly */
};

struct tool_worker {
    enum tool_work work;
    int32_t pid;        /* as the page has it; 0: none */
    uint32_t life;      /* how many processes have been in this place */
    int64_t job;        /* in tool_pool.jobs; -1: in none that could be read */
    int64_t chunk;      /* of a job */
    weir_range range;   /* of the chunk; of a call: empty */
    int64_t for_ns;     /* how long it has been at the chunk; -1: not known */
    unsigned attempt;   /* from 1; 0: not known */
    bool found;         /* the process is there, a child of the supervisor; and then ... */
    uint64_t cpu_ticks; /* ... what it has used */
};

struct tool_job {
    uint32_t place;                        /* of the job's record, and ... */
    uint64_t number;                       /* ... which job of that place it is */
    const char *name;                      /* escaped; "": none */
    const char *kind;                      /* "for", "map", ... */
    bool queue;                            /* the queue of calls: chunks are calls */
    bool stopping;                         /* no further chunk is started */
    bool failed;                           /* a chunk has failed */
    const char *failure;                   /* the first one's message, escaped; NULL: not known */
    int64_t total, done, running, waiting; /* chunks; too few are done after a death */
    uint32_t deaths, retried;              /* of workers on its chunks; chunks after that */
    int64_t for_ns;                        /* since it was opened; -1: not known */
    int64_t left_ns, chunk_timeout_ns;     /* until its deadline; per chunk; 0: none */
    weir_range range;
};

struct tool_pool {
    dev_t dev;
    ino_t ino;
    pid_t supervisor;           /* as it is numbered here */
    struct weir__status status; /* a copy; strings without NUL are possible */
    const char *name;           /* escaped; "": a process (weir_process) */
    const char *why;            /* why nothing but the above is known; NULL: all is */
    bool pids_are_ours;         /* its processes have the same numbers here */
    bool broken, draining;
    int32_t spinning; /* workers that spin for work */
    struct tool_worker *workers;
    size_t workers_count;
    struct tool_job *jobs;
    size_t jobs_count, jobs_capacity;
};

struct tool_pools {
    struct tool_pool *items; /* by supervisor */
    size_t count, capacity;
};

/* The file of a pool. */
struct tool_page {
    int fd;
    uint64_t size;
};

/* False: it is not so long, or cannot be read. */
bool tool_page_read(const struct tool_page *page, void *to, size_t size, uint64_t at);
/* Where a pointer that the pool has leads to, and so many bytes behind it. False: not into the
 * file. */
bool tool_page_place(const struct tool_page *page, const struct weir__status *status,
                     const void *pointer, uint64_t size, uint64_t *at);

const char *tool_work_name(enum tool_work work);
/* Of a kind of job (enum weir__job_does): "for", "map", ...; "?": there is none. */
const char *tool_kind_name(uint8_t does);

/* All pools whose page can be read, weir_process among them. `records`: and what lies behind the
 * page, jobs and workers, and what the kernel knows of these. */
void tool_pools_read(struct tool_pools *pools, const struct tool_processes *processes,
                     bool records);
/* What a file says that may be a pool's; any bytes are harmless. False: it is none. */
bool tool_pool_read(struct tool_pool *pool, struct tool_heap *heap, int fd, bool records);

/* Whether the pool is the scope's: its page says so, and its supervisor is a member. */
bool tool_pool_is_of(const struct tool_pool *pool, const struct tool_scope *scope);

#endif
