/* SPDX-License-Identifier: MIT
 *
 * timeline.h: what the supervisor notes of a traced pool, and the file that it writes.
 *
 * All of these do nothing where the pool is not traced.
 */
#ifndef WEIR_SUPERVISOR_TIMELINE_H
#define WEIR_SUPERVISOR_TIMELINE_H

#include "pool/control/control.h"

/* A worker's process was started. */
void weir__timeline_started(struct weir__control *control, unsigned slot, pid_t pid);

/* How a worker has died. */
struct weir__timeline_death {
    unsigned slot;
    pid_t pid;
    int status;                  /* as waitpid() gives it */
    const struct weir__job *job; /* NULL: it ran no chunk */
    int64_t chunk;
    unsigned attempt;
    bool again; /* the chunk is run again */
};

/* Before its slot is cleared. */
void weir__timeline_died(struct weir__control *control, const struct weir__timeline_death *death);

/* No worker is left. Writes the file; `killed`: the program has died. */
void weir__timeline_write(struct weir__control *control, bool killed);

#endif
