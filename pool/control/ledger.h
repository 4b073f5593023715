/* SPDX-License-Identifier: MIT
 *
 * ledger.h: the owner of each chunk, and which chunks are settled.
 *
 * One 64-bit atomic cell a chunk. Every change of a cell is one atomic step of the process that is
 * named here, so a process killed at any instruction leaves each cell in one of these states:
 *
 *   FREE       No worker has it. Any worker may claim it; the host may cancel it.
 *   RUNNING    The worker {owner, incarnation} is on it. Only that worker settles it. The
 *              supervisor may take it back after it has reaped that worker and before it forks
 *              another one into the same slot. If the chunk takes too long the supervisor first
 *              condemns it: the worker cannot settle it any more, and is killed on this chunk and
 *              on no other one.
 *   DONE       Committed: its result counts. Or passed: it was for one worker alone (of
 *              weir_pool_each()), and there is none in that slot any more. Final.
 *   FAILED     The task failed, or its worker died with no attempt left. Final.
 *   CANCELLED  Cancelled before any worker had it, or given up by its worker, whose task was told
 *              that the job is stopped. Final.
 *
 *        claim (worker)        settle (the owner)
 *   FREE --------------> RUNNING ------------------> DONE, CANCELLED
 *    ^ | pass (host, supervisor): to DONE
 *    | |                  |   |
 *    | | cancel (host)    |   | settle (the owner); reclaim (supervisor), no attempt left
 *    | v                  |   '--------------------> FAILED
 *    | CANCELLED          |
 *    '--------------------'
 *      reclaim (supervisor), attempts left: the attempt number stays
 *
 * This file makes no system call and touches nothing but cells.
 */
#ifndef WEIR_LEDGER_H
#define WEIR_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t weir__cell;

enum weir__cell_state {
    CELL_FREE = 0,
    CELL_RUNNING,
    CELL_DONE,
    CELL_FAILED,
    CELL_CANCELLED,
};

/* bits 0-2 state, 3-7 attempt (1 to 31 once claimed), 8-18 owner slot, 19 condemned, 32-63 owner's
 * incarnation */
#define CELL_ATTEMPT_MAX 31
#define CELL_OWNER_MAX   2047
#define CELL_CONDEMNED   (UINT64_C(1) << 19)

static inline enum weir__cell_state weir__cell_state_of(uint64_t value)
{
    return (enum weir__cell_state)(value & 7);
}

static inline unsigned weir__cell_attempt(uint64_t value)
{
    return (unsigned)(value >> 3) & 31;
}

static inline unsigned weir__cell_owner(uint64_t value)
{
    return (unsigned)(value >> 8) & 2047;
}

static inline uint32_t weir__cell_incarnation(uint64_t value)
{
    return (uint32_t)(value >> 32);
}

static inline bool weir__cell_final(uint64_t value)
{
    return weir__cell_state_of(value) >= CELL_DONE;
}

/* Worker: FREE to RUNNING, attempt one up. Returns the attempt (from 1), or 0 when it was not
 * free. */
unsigned weir__cell_claim(weir__cell *cell, unsigned owner, uint32_t incarnation);

/* The owner: RUNNING to DONE, FAILED or CANCELLED. A process that sees the new state sees all that
 * the owner wrote before. */
void weir__cell_settle(weir__cell *cell, enum weir__cell_state state);

/* The same for a chunk that may take too long. False: it is condemned, and stays RUNNING. */
bool weir__cell_settle_in_time(weir__cell *cell, enum weir__cell_state state);

/* Supervisor: condemns a chunk whose cell was `seen` RUNNING. False: it has been settled since. */
bool weir__cell_condemn(weir__cell *cell, uint64_t seen);

/* Supervisor, about a worker it has reaped: a cell that this worker was running becomes FREE if it
 * has had at most `retries` retries, else FAILED. Returns the cell's new state, or CELL_RUNNING
 * when the cell was not this worker's; *attempt gets the attempt that ended. */
enum weir__cell_state weir__cell_reclaim(weir__cell *cell, unsigned owner, uint32_t incarnation,
                                         unsigned retries, unsigned *attempt);

/* Host or supervisor: FREE to DONE, of a chunk for a worker that there will not be. */
void weir__cell_pass(weir__cell *cell);

/* Host: makes every FREE cell CANCELLED, so that no chunk starts any more. */
void weir__ledger_cancel_unstarted(weir__cell *cells, int64_t count);

/* Host: true when all cells are final. *cursor (0 at first) remembers how far that is known. */
bool weir__ledger_settled(const weir__cell *cells, int64_t count, int64_t *cursor);

struct weir__chunk_tally {
    int64_t done, failed, cancelled, open;
};

struct weir__chunk_tally weir__ledger_tally(const weir__cell *cells, int64_t count);

#endif
