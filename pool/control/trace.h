/* SPDX-License-Identifier: MIT
 *
 * trace.h: what the processes of a pool note while it is traced, and the form of a trace file.
 *
 * Each process notes events in a ring of its own, in the control block: each worker, and the
 * supervisor. A full ring goes on at its begin: the oldest events are lost, and counted. The host
 * notes a record of each job that it closes. As only one process writes a ring it needs no lock; a
 * reader copies an event and then looks whether it may have been overwritten meanwhile.
 *
 * When the pool ends, or the program has died, the supervisor writes what is there to the trace
 * file: a struct weir__trace_head, the jobs, then ring after ring. Numbers are as the machine has
 * them. Every number in a ring or a file is to be taken for one that anybody may have written.
 *
 * A worker killed while it notes an event: `written` does not count it, or it is one more chunk in
 * an event that was there. An event is lost with a kill between the settling of a chunk and this.
 */
#ifndef WEIR_TRACE_H
#define WEIR_TRACE_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/control/status.h"

/* The numbers stay. */
enum weir__event_kind {
    EVENT_CHUNK = 1, /* a chunk, or a call; or several short ones, one after the other */
    EVENT_SPAN,      /* WEIR_SPAN: text, from begin to end */
    EVENT_COUNT,     /* weir_task_count(): text, number */
    /* Noted by the supervisor. */
    EVENT_START, /* a worker's process was started, at begin */
    EVENT_DEATH, /* it has died, at end; with a chunk if it ran one, which began at begin */
    EVENT_CUT,   /* a chunk that was still running when the file was written, at end */
};

/* event.flags */
enum {
    EVENT_FAILED = 1, /* of a chunk: the task failed */
    EVENT_AGAIN = 2,  /* of a death: the chunk is run again */
    EVENT_LATE = 4,   /* of a death: it was killed for the time it took */
    EVENT_IDLE = 8,   /* of a death: it ran no chunk; job, chunk and begin say nothing */
};

#define WEIR__EVENT_TEXT 24 /* bytes, with a NUL */

struct weir__event {
    int64_t begin_ns, end_ns; /* CLOCK_MONOTONIC */
    uint64_t job;             /* the number of a job record; 0: calls, the queue's job */
    uint8_t kind;             /* enum weir__event_kind */
    uint8_t flags;
    uint16_t attempt; /* from 1 */
    uint32_t count;   /* of a chunk: how many chunks it stands for */
    union {
        struct {
            int64_t first; /* chunk; of a call: its place in the queue */
            int64_t busy_ns, longest_ns;
            int64_t longest; /* the chunk that took longest_ns */
        } chunk;
        struct {
            int64_t number;
            char text[WEIR__EVENT_TEXT];
        } user;
        struct {
            int64_t chunk;
            uint32_t slot;
            int32_t pid, signal, exit_status; /* signal 0: it has exited with that status */
            uint32_t life;                    /* how many processes have been in the slot */
            uint32_t pad;
        } worker; /* START, DEATH, CUT */
    };
};

static_assert(sizeof(struct weir__event) == 64, "an event is one cache line, and has no holes");

#define WEIR__RING_EVENTS 16384              /* of one ring at most: 1 MiB; a power of two */
#define WEIR__RINGS_SIZE  ((size_t)64 << 20) /* events of all rings of a pool together */

struct weir__ring {
    alignas(64) _Atomic uint64_t written; /* events ever; the ring has the last ones of them */
    _Atomic int64_t busy_ns;              /* in chunks, those that are lost too */
    _Atomic uint64_t chunks;              /* ever */
    alignas(64) struct weir__event events[];
};

/* A job, when it is closed, or is open while the file is written. */
struct weir__job_record {
    uint64_t number;              /* from 1; 0: not a record */
    int64_t opened_ns, closed_ns; /* 0: it was open */
    int64_t range_begin, range_end;
    uint64_t grain; /* as in struct weir__job: the range of each chunk follows from these */
    int64_t longer;
    int64_t count; /* chunks */
    uint32_t deaths, retried;
    uint8_t does;    /* enum weir__job_does */
    uint8_t failed;  /* a chunk has failed */
    uint8_t stopped; /* it was cancelled, or has passed its deadline, or a chunk has failed */
    uint8_t pad[21];
    char name[WEIR__STATUS_NAME]; /* "": none */
};

static_assert(sizeof(struct weir__job_record) == 128, "two cache lines, without holes");

#define WEIR__JOB_RECORDS 8192 /* that a pool keeps; a power of two */

#define WEIR__TRACE_MAGIC   "WEIRTRCE" /* without a NUL */
#define WEIR__TRACE_VERSION 1

struct weir__trace_head {
    char magic[8]; /* written last: without it the file is not complete */
    uint32_t version;
    uint32_t size; /* of this struct; the job records follow */
    uint64_t file_size;
    uint64_t jobs, jobs_lost; /* records in the file; of older jobs, which are not */
    uint32_t workers;         /* so many rings, of worker 0 and so on, then the supervisor's */
    int32_t host_pid, supervisor_pid;
    uint32_t killed;                      /* 1: the program has died */
    int64_t began_mono_ns, began_real_ns; /* of the pool */
    int64_t traced_ns, written_ns;        /* when tracing began, and the file was written */
    char name[WEIR__STATUS_NAME];         /* the pool's */
};

static_assert(sizeof(struct weir__trace_head) == 120, "no holes");

/* In the file, before the events of each ring, which stand there from the oldest on. */
struct weir__ring_head {
    uint64_t events, lost; /* in the file; noted before those */
    int64_t busy_ns;
    uint64_t chunks;
};

static_assert(sizeof(struct weir__ring_head) == 32, "no holes");

#endif
