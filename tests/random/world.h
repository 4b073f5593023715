/* SPDX-License-Identifier: MIT
 *
 * world.h: what a sequence works on, with what it must be, and how a violation is told.
 *
 * `world` is private to the sequence's process, but for `world.record`: memory that the program
 * `random` shares with the sequences, their workers and forked children. A violation is written
 * there by the process that finds it.
 */
#ifndef RANDOM_WORLD_H
#define RANDOM_WORLD_H

#include "now.h"
#include "sanitizer.h"
#include "sequence.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir.h>

#define SLOWER      (ADDRESS_SANITIZER ? 4 : 1)
#define SCOPES      3
#define POOLS       3
#define TRACE_LINES 6
#define TRACE_SIZE  200
#define TALLY_ITEMS 2048
#define TALLIES     12 /* a lane's: for its futures, and one for calls that wait */

/* What the functions of a job note about its items. */
struct tally {
    _Atomic int running;               /* functions that have begun and not ended */
    _Atomic int begun[TALLY_ITEMS];    /* times that the item was begun */
    _Atomic int ended[TALLY_ITEMS];    /* times that it was done to the end */
    _Atomic int outside, after_return; /* items beyond the range; begun when the call was over */
    _Atomic bool over;
};

struct count {
    _Atomic long sequences, deaths, cancels, forks, stops, futures, refusals;
    _Atomic long run[KINDS_MAX];
};

struct record {
    struct count count;
    _Atomic int violated;
    char where[64]; /* file and line */
    char what[2000];
    _Atomic int ends_itself; /* the sequence ends without weir_scope_end() on purpose */
    _Atomic int all_killed;  /* and a manager is killed, before or with it: the next begin sweeps */
    struct {
        _Atomic unsigned next;
        char lines[TRACE_LINES][TRACE_SIZE];
    } trace[LANES];
    struct tally tallies[LANES][TALLIES];
    char text_path[64]; /* a file for weir_text_open() */
};

struct scope_place {
    weir_scope *scope; /* NULL: none here */
    bool anonymous;
    bool manager_gone; /* killed */
};

/* What some lanes do to a pool, and other lanes' jobs may suffer: it is counted when it begins, and
 * when it can have no effect on a job that begins later. */
struct meddling {
    _Atomic unsigned begun, over;
};

struct pool_place {
    weir_pool *pool; /* NULL: none here */
    struct scope_place *scope;
    int workers;
    bool fresh_workers;           /* after some chunks each: a fork costs a millisecond */
    _Atomic bool supervisor_gone; /* killed */
    _Atomic bool ending;          /* nothing can be submitted */
    _Atomic bool killed;          /* weir_pool_kill(), or the scope's end */
    struct meddling kills, cancels;
};

/* Each family has its own part, in a file of its own. */
struct lane {
    unsigned number;
    uint64_t seed; /* for what no operation has numbers for */
    const struct op *op;
    struct list_place *lists;
    struct dict_place *dicts;
    struct array_place *arrays;
    struct arena_place *arenas;
    struct future_place *futures;
    struct stream_place *streams;
    struct process_place *processes;
};

struct world {
    struct record *record;
    bool tracing;
    struct scope_place scopes[SCOPES];
    struct pool_place pools[POOLS];
    struct lane lanes[LANES];
    unsigned lane_count;
};

extern struct world world;

/* ---- telling --------------------------------------------------------------------------------- */

/* Says what the lane is about to do: shown with a violation, a crash or a hang. */
void say(struct lane *lane, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Notes what does not hold, and ends this process. */
_Noreturn void violation(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same in a worker, which goes on. */
void violation_in_worker(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define MUST(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            violation(__FILE__, __LINE__, #condition, __VA_ARGS__);                                \
    } while (0)

#define COUNT(what) atomic_fetch_add(&world.record->count.what, 1)

/* ---- codes ----------------------------------------------------------------------------------- */

/* The code is 0 or above, or one of the others, up to a 0: then the last error says so too, with
 * a message of one line. */
#define ALLOW(call, code, ...)                                                                     \
    check_code(__FILE__, __LINE__, (call), (code), (const int[]){__VA_ARGS__, 0})

/* The code must be one of these errors. */
#define REFUSED(call, code, ...)                                                                   \
    do {                                                                                           \
        const int64_t code_ = (code);                                                              \
        MUST(code_ < 0, "%s gave %lld", (call), (long long)code_);                                 \
        check_code(__FILE__, __LINE__, (call), code_, (const int[]){__VA_ARGS__, 0});              \
        COUNT(refusals);                                                                           \
    } while (0)

/* The same for a call that gives a pointer. */
#define REFUSED_NULL(call, pointer, ...)                                                           \
    do {                                                                                           \
        weir_clear_error();                                                                        \
        MUST((pointer) == NULL, "%s gave an object", (call));                                      \
        check_code(__FILE__, __LINE__, (call), weir_last_error()->code,                            \
                   (const int[]){__VA_ARGS__, 0});                                                 \
        COUNT(refusals);                                                                           \
    } while (0)

#define SUCCEEDS(call)                                                                             \
    do {                                                                                           \
        const int64_t result_ = (call);                                                            \
        MUST(result_ >= 0, "%lld, %s", (long long)result_, weir_last_error()->message);            \
    } while (0)

void check_code(const char *file, int line, const char *call, int64_t code, const int *allowed);
bool message_has(const char *part);

/* The number of the operation that the lane is at. */
size_t op_number(const struct lane *lane);

/* ---- places ---------------------------------------------------------------------------------- */

/* The scope, or the pool, that the number names; NULL when there is none. */
struct scope_place *scope_of(unsigned number);
struct pool_place *pool_of(unsigned number);

/* Ends a pool or scope and all that lanes have in it. */
void end_pool(struct pool_place *pool, bool kill, bool orderly);
void end_scope(struct scope_place *scope, bool orderly);

/* Compares all objects with the model. */
void check_all(void);

/* Waits for a forked child; its status must be 0. */
void reap(pid_t pid, const char *what);

/* Runs the sequence in this process, and ends all. */
void play(const struct sequence *sequence, struct record *record, bool tracing);

#endif
