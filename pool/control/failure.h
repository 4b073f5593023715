/* SPDX-License-Identifier: MIT
 *
 * failure.h: which of a job's failures its call reports: the first one.
 *
 * A job has two records: of a task that failed (by its worker), and of a worker that died
 * (by the supervisor). A record counts when the cell of its chunk is FAILED: the one store that
 * makes the chunk's failure final also commits the record, so there is nothing between the two at
 * which a process can be killed. Invariant: when any cell is FAILED, a record counts.
 *
 * The workers' record goes through
 *
 *        claim (a worker)            the cell is FAILED (that worker)
 *   FREE ----------------> CLAIMED ---------------------------------> counts
 *    ^                        |
 *    '------------------------'
 *      withdraw (supervisor: that worker has died, and its cell still says RUNNING)
 *
 * A worker whose own task fails while the record is CLAIMED waits until it counts or is free. It
 * waits for a worker that is a few lines away from the end of its chunk, or was killed there and is
 * about to be reaped; and the job cannot end before that one's chunk anyway. The supervisor
 * never waits: the other record is its own.
 *
 * If the caller asks for all failures, the job has a log too. Each process that is about to make a
 * chunk FAILED takes an entry, fills it in, and notes the chunk in it; it counts from the cell on,
 * as a record. No process waits for an entry: those that are left for others are too few, or none.
 */
#ifndef WEIR_FAILURE_H
#define WEIR_FAILURE_H

#include "pool/control/control.h"

/* The records of a job, with its cells, and the chunk that it is about. A call of the queue
 * (calls.h) is on its own: one cell. */
struct weir__failures {
    struct weir__failure *record;
    struct weir__failure_log *log; /* NULL: there is none */
    const weir__cell *cells;
    int64_t count, chunk;
};

static inline struct weir__failures weir__job_failures(struct weir__job *job, int64_t chunk)
{
    return (struct weir__failures){&job->failure, job->failure_log, job->cells, job->count, chunk};
}

/* Host, while no process is inside the job. */
void weir__failure_reset(struct weir__failure *record);

/* Worker `slot`, about the chunk, which it runs: the record to fill in before the cell becomes
 * FAILED; NULL when another one's counts. */
weir_error *weir__failure_claim(struct weir__failures failures, unsigned slot);

/* Supervisor, about the chunk of a worker that has died: likewise. */
weir_error *weir__failure_claim_death(struct weir__failures failures);

/* Worker or supervisor, likewise: takes an entry of the log, to be filled in and then noted, before
 * the cell becomes FAILED. NULL: there is no log, or no entry left. */
struct weir__failure_entry *weir__failure_log_take(struct weir__failures failures);
void weir__failure_log_note(struct weir__failures failures, struct weir__failure_entry *entry);

/* Host, at the end of the job: whether the entry counts. */
bool weir__failure_log_counts(struct weir__failures failures,
                              const struct weir__failure_entry *entry);

/* Supervisor, about a worker that has died and whose cell still says RUNNING, before the cell is
 * changed: no other worker waits any more for what that worker was writing, and an entry that it
 * has noted says nothing. */
void weir__failure_withdraw(struct weir__failures failures, unsigned slot);

/* Host, at the end of the job: the record that counts, the first if there are two. NULL: none. */
const weir_error *weir__failure_first(struct weir__failures failures);

#endif
