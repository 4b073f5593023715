/* SPDX-License-Identifier: MIT
 *
 * ops_future.h: a lane's futures.
 */
#ifndef RANDOM_OPS_FUTURE_H
#define RANDOM_OPS_FUTURE_H

#include "job.h"

#define FUTURES (TALLIES - 1) /* the last tally is for calls that wait */

struct future_place {
    weir_future *future; /* NULL: none here */
    struct job job;
    bool ended; /* and checked: the code was */
    int code;
    bool called_back; /* a callback is set, or was */
    int calls;
    bool pool_gone;
    struct lane *lane;
};

/* The lane's place of that number; and the future there, if the lane's thread may use it, else
 * NULL. */
struct future_place *future_place_of(struct lane *lane, unsigned number);
struct future_place *usable_future(struct lane *lane, unsigned number);

/* The future has ended with the code: checked the first time. */
void settle_future(struct future_place *place, int code);

/* Operations: waiting for several. */
void wait_for_many(struct lane *lane, const struct op *op);
void wait_by_waiter(struct lane *lane, const struct op *op);

#endif
