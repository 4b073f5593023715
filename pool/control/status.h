/* SPDX-License-Identifier: MIT
 *
 * status.h: the first page of a control block, by which other programs see a pool.
 *
 * Header, jobs and queue of the control block lie in a file of memory that only the supervisor
 * keeps open, under the name WEIR__STATUS_FILE: other programs of the user find it in
 * /proc/SUPERVISOR/fd and read it there. It is sealed once the pool's processes can map it, so
 * nobody else can write it, change its size or map it to write (F_SEAL_FUTURE_WRITE), and its mode
 * lets it be opened for reading alone.
 *
 * Who reads is no participant: it takes no lock, writes nothing, and sees what stands there at that
 * moment. Every number is to be taken for one that anybody may have written. The fields of this
 * page have their places for ever under WEIR__STATUS_VERSION; what lies behind it is known only to
 * a program of the same build of weir (weir__status_layout()).
 *
 * Where the file cannot be had (no descriptor is left, RLIMIT_FSIZE, a sandbox, Linux before 5.1)
 * the same memory is anonymous, and the pool cannot be watched.
 */
#ifndef WEIR_STATUS_H
#define WEIR_STATUS_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define WEIR__STATUS_FILE    "weir-pool"
#define WEIR__STATUS_MAGIC   "WEIRPOOL" /* without a NUL */
#define WEIR__STATUS_VERSION 1
#define WEIR__STATUS_NAME    32 /* bytes of a name, with its NUL */

/* status.can: what the processes do if they are asked. Bits. */
enum {
    STATUS_STACKS = 1, /* workers write their stack to stderr on SIGQUIT, and go on */
    /* The supervisor has events noted (trace.h) for as many milliseconds as a queued SIGUSR1 says:
     * sigqueue(), from root or its own user. */
    STATUS_TRACE = 2,
};

/* All but the counters: the host, before the supervisor is forked; magic last. */
struct weir__status {
    char magic[8];
    uint32_t version; /* WEIR__STATUS_VERSION */
    uint32_t size;    /* of this struct */
    uint64_t layout;  /* weir__status_layout() of the build that made the pool */
    uint64_t base;    /* where the control block lies in the pool's processes */
    uint64_t mapped;  /* bytes of it in the file */
    uint64_t scope;   /* the scope's number */
    int32_t host_pid;
    int32_t supervisor_pid; /* supervisor; both as in the host's pid namespace */
    uint32_t workers;
    uint32_t can;                         /* STATUS_... */
    int64_t began_mono_ns, began_real_ns; /* CLOCK_MONOTONIC, CLOCK_REALTIME */
    char name[WEIR__STATUS_NAME];         /* the pool's; "": a weir_process */
    /* Supervisor. */
    _Atomic uint64_t workers_started;  /* replacements too */
    _Atomic uint64_t workers_died;     /* but for those that have ended in order */
    _Atomic uint64_t chunks_retried;   /* free again after their worker's death */
    _Atomic uint64_t chunks_timed_out; /* their worker was killed for the time they took */
    _Atomic uint64_t starts_failed;    /* of workers that died before they were ready */
};

/* What is too long is cut off. */
static inline void weir__status_set_name(char to[WEIR__STATUS_NAME], const char *name)
{
    memccpy(to, name, '\0', WEIR__STATUS_NAME - 1);
    to[WEIR__STATUS_NAME - 1] = '\0';
}

#endif
