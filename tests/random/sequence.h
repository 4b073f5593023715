/* SPDX-License-Identifier: MIT
 *
 * sequence.h: operations, and how a list of them is made from a seed.
 *
 * A sequence is made before it runs, and an operation is a kind, a lane and four numbers: so the
 * list can be printed, run again, and made smaller by leaving operations out. A number means the
 * same whatever ran before: an operation that finds nothing at its place does nothing.
 *
 * A lane is a thread with objects and futures of its own; scopes and pools are used by all lanes.
 * An operation that is `alone` runs in the main thread while the lanes rest.
 */
#ifndef RANDOM_SEQUENCE_H
#define RANDOM_SEQUENCE_H

#include "random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LANES     4
#define KINDS_MAX 160 /* of all families */
#define OPS_MAX   1000

struct lane;
struct op;
struct scope_place;
struct pool_place;

/* One operation's code. */
struct kind {
    const char *name;
    unsigned weight; /* how often it is drawn, beside the others of its family */
    bool alone;
    bool last; /* it ends the process: at most once, at the end of a sequence */
    void (*run)(struct lane *lane, const struct op *op);
};

/* What belongs together. The functions may be NULL. */
struct family {
    const char *name;
    const struct kind *kinds; /* up to one without a name */
    unsigned weight;          /* 0: only by its name */
    /* Checks and forgets what the lane has in the pool, or the scope, which is about to end;
     * `orderly`: gives it back first. */
    void (*leave_pool)(struct lane *lane, struct pool_place *pool, bool orderly);
    /* The pool has ended: all jobs of it must have. */
    void (*pool_ended)(struct lane *lane, struct pool_place *pool);
    void (*leave_scope)(struct lane *lane, struct scope_place *scope, bool orderly);
    /* Compares the lane's objects with the model; in a forked child, too. */
    void (*check)(struct lane *lane);
    /* In a forked child: what the lane has of the program's is refused, and forgotten. */
    void (*in_child)(struct lane *lane, uint64_t *seed);
    /* After the end of the last scope: gives back what belongs to none. */
    void (*leave)(struct lane *lane);
};

extern const struct family *const families[]; /* up to NULL */

struct op {
    unsigned kind; /* kind_at() */
    unsigned lane;
    uint32_t n[4];
};

struct sequence {
    uint64_t seed;
    unsigned lanes;
    size_t count;
    struct op ops[OPS_MAX];
    bool left_out[OPS_MAX];
};

/* The kinds of all families, in one row; NULL beyond the last. */
const struct kind *kind_at(unsigned number, const struct family **family);

/* Makes the sequence of the seed. `only`: names of families, with commas; NULL: all. `count`: how
 * many operations, 0: by the seed. */
void sequence_make(struct sequence *sequence, uint64_t seed, const char *only, size_t count);

void sequence_print(const struct sequence *sequence, FILE *out);

/* False when a name is not that of a family. */
bool families_exist(const char *only);

/* A number below `limit`, made of the operation's number `i`. */
static inline unsigned pick(const struct op *op, int i, unsigned limit)
{
    return op->n[i] % limit;
}

/* A seed for all that an operation draws. */
static inline uint64_t op_seed(const struct op *op)
{
    return ((uint64_t)op->n[2] << 32 | op->n[3]) ^ 0x9e3779b97f4a7c15u;
}

static inline unsigned draw(uint64_t *seed, unsigned limit)
{
    return (unsigned)(next_random(seed) % limit);
}

static inline bool one_in(uint64_t *seed, unsigned limit)
{
    return draw(seed, limit) == 0;
}

#endif
