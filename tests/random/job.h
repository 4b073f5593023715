/* SPDX-License-Identifier: MIT
 *
 * job.h: a job with a function that succeeds, fails, dies or hangs, and what may come of it.
 *
 * The same work is done by all calls that run jobs, waiting or not. The function notes each item in
 * a tally in memory that all processes share.
 */
#ifndef RANDOM_JOB_H
#define RANDOM_JOB_H

#include "world.h"

enum deed { CALM, FAILS, DIES, EXITS, SLEEPS, HANGS, ASKS };
enum form { FOR, MAP, REDUCE, SUBMIT };

#define RESULT_MAX    3000
#define JOB_UNTOUCHED (-77.5) /* in an element that no function has written */

/* What a worker needs to know: at most 64 bytes, so that a call can go through the queue. */
struct work {
    struct tally *tally;
    int64_t begin, length;  /* the range; [0, 1) of a submitted call */
    int64_t at;             /* the item at which the deed is done, from 0 */
    int32_t code;           /* a failure's */
    uint8_t deed, attempts; /* it is done in the first so many attempts */
    uint16_t result_size;   /* of a submitted call */
};

_Static_assert(sizeof(struct work) <= 64, "a call that goes through the queue");

/* An element of weir_pool_map(), in and out. */
struct element {
    int64_t index;
    double value;
};

/* What a reduction folds into: items that follow each other. */
struct stretch {
    int64_t first, last, count, sum;
};

struct job {
    enum form form;
    struct work work;
    weir_range range;
    weir_job_options options;
    struct pool_place *pool; /* its weir_pool may be gone when the job ends */
    unsigned kills, cancels; /* that were over when it began */
    bool cancelled;          /* by weir_future_cancel() or _free() */
    double begin_ms;
    struct element *in, *out; /* MAP */
    bool private_out;
    struct stretch result; /* REDUCE */
};

extern const weir_reduction stretches;

/* Draws a job of the form for the pool; job_end() gives back what it has. */
void job_draw(struct job *job, struct lane *lane, struct pool_place *pool, enum form form,
              struct tally *tally);

/* Notes that the call is about to be made. */
void job_begin(struct job *job);

/* Checks how it went: code, last error, items, and what it gave. */
void job_end(struct job *job, int code);

/* The same for a future that was freed before its end: no code is known. */
void job_abandon(struct job *job);

/* Gives back what it has. */
void job_forget(struct job *job);

/* The job in a few words. */
void job_say(struct lane *lane, const char *call, const struct job *job);

/* What job_map() makes of a value. */
double job_image(double value);

int job_for(weir_task *task, weir_range range, void *arg);
int job_map(weir_task *task, const void *in, void *out, void *arg);
int job_call(weir_task *task, void *arg);

/* Whether the bytes are what the call of this work gives. */
bool is_result_of(const struct work *work, const void *data, size_t size);

#endif
