/* SPDX-License-Identifier: MIT
 *
 * crash.h: kills processes of a scope at random instants, many times, and looks at what is left.
 *
 * crash.c has the cases and the judgement, crash-programs.c the programs that are killed, and
 * crash-kills.c and crash-points.c kill them.
 */
#ifndef TEST_CRASH_H
#define TEST_CRASH_H

#include "entries.h"
#include "now.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <weir.h>

#define CLEAN_MS 1000
#define HANG_MS  20000
#define CHUNKS   40

/* ---- what a trial is about ------------------------------------------------------------------ */

/* Shared by this program, the host and all that it forks. */
struct board {
    _Atomic pid_t manager, supervisor;
    _Atomic int phase;         /* of the host: how far it has come */
    _Atomic int started;       /* chunks, ever */
    _Atomic int64_t sums[512]; /* a chunk's result */
};

extern struct board *board;

struct sample {
    double *ms;
    int count, wrong;
};

void note(struct sample *sample, double ms);
void wrong(struct sample *sample, int trial, const char *what, int got);

/* In /dev/shm. */
static inline int files(void)
{
    return count_entries("/dev/shm");
}

void print_files(void);

/* The milliseconds until no process is left, and no file (if files_too); -1 when there is still one
 * after `limit_ms`. *status gets the wait status of `host`. */
double wait_clean(pid_t host, int *status, int limit_ms, bool files_too);

/* ---- the programs ---------------------------------------------------------------------------- */

/* Runs a job with a known result; 0 when it succeeded and the result is exact, its code when it
 * failed, 1 when wrong. */
int run_job(weir_pool *pool, int retries);

/* Starts a host: phases 1 to 5 of its life. With `rounds` 0 it works until it is killed. Exit
 * status 0, or 10 + phase. */
pid_t start_host(int rounds);

/* What strace runs: the whole life of a program, with a process too. */
int life(void);

/* ---- the cases ------------------------------------------------------------------------------- */

enum victims { HOST = 1, MANAGER = 2, SUPERVISOR = 4, GROUP = 8, MANAGER_FIRST = 16 };

void crash_worker(struct sample *sample, int trials, unsigned seed);
void crash_storm(struct sample *sample, int seconds, unsigned seed);
void crash_supervisor(struct sample *sample, int trials, unsigned seed);
void crash_host(struct sample *sample, int trials, unsigned seed, int victims);
void crash_manager(struct sample *sample, int trials, unsigned seed);
/* Kills at the first `count` calls of each system call, with strace; 77 where it cannot trace. */
int crash_points(struct sample *sample, int count, const char *self);

#endif
